"""A reviewer who approves and takes the approval back, at a gateway that dies again and again."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from gateway_process import eventually
from shifted_clock import set_clock

from atlas.instants import instant_text, now
from crash.gateway_load import GatewayLoad, rows, waiting_cases

DRAIN_SECONDS = 200.0
LAST = timedelta(hours=5)  # by which the clock goes forward while the last gateway runs
# What is due by a moment, of cases that wait or do not any more.
DUE = """
SELECT count(*) FROM due_times JOIN cases USING (case_id)
WHERE done_at IS NULL AND due_at <= ? AND NOT (status = 'PENDING_REVIEW' AND frozen_at IS NOT NULL)
"""


@dataclass
class DeadlineLoad(GatewayLoad):
    """What was acknowledged as taken back was so in its round, and what begins had another approval."""

    taken_back: set[tuple[str, int]] = field(default_factory=set)  # reference and round
    is_draining: bool = False
    put_forward: timedelta = timedelta(0)  # the clock of the gateway, when nothing kills it any more
    drained_by: datetime | None = None  # on that clock: what was due by then is done

    async def decide(self, case_id: str, decision: str) -> bool:
        """Decide, and of what is approved take some back: that is no decision any more."""
        [(round_number,)] = rows(self.gateway, "SELECT round_number FROM cases WHERE case_id = ?", case_id)
        answer = await self.gateway.decide(case_id, decision, round=round_number)
        if answer.status_code != 200 or decision != "APPROVED" or self.is_draining:
            return answer.status_code == 200
        if self.random.random() < 0.5:
            return True
        taken = await self.gateway.decide(case_id, "TAKEN_BACK")
        if taken.status_code == 200:
            self.taken_back.add((case_id, round_number))
            return False
        return True  # it has begun

    async def _decide_some(self) -> None:
        if not self.held:  # so that something waits to the end, and goes to others then
            self.held.update(waiting_cases(self.gateway)[:1])
        await super()._decide_some()

    async def decide_held(self) -> None:
        """When all that is due by now is done, approve the rest."""
        self.is_draining = True
        self.put_forward += LAST
        set_clock(self.gateway.directory / "clock", seconds=self.put_forward.total_seconds())
        self.drained_by = now() + self.put_forward
        await eventually(self._has_done_what_is_due, seconds=DRAIN_SECONDS)
        await super().decide_held()

    async def _has_done_what_is_due(self) -> Any:
        return rows(self.gateway, DUE, instant_text(self.drained_by or now())) == [(0,)]
