"""Agents and reviewers of several gateways behind a balancer, while all of it dies and is cut off."""

import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import psycopg
from gateway_process import GatewayProcess

from crash.gateway_load import GatewayLoad

WAITING = "SELECT case_id FROM cases WHERE status = 'PENDING_REVIEW' ORDER BY opened_at"
Rows = Callable[..., list[tuple[Any, ...]]]


def at_the_balancer(gateway: GatewayProcess, url: str) -> GatewayProcess:
    """What speaks to whichever gateway the balancer chooses."""
    gateway.url = url
    return gateway


@dataclass
class ChaosLoad(GatewayLoad):
    """Goes on with the next gateway; what it asks of the database it asks when that answers."""

    rows: Rows = field(default=lambda *_: [])
    sent: set[str] = field(default_factory=set)  # cases for which a decision was sent, acknowledged or not

    def waiting(self) -> list[str]:
        """The references of the cases that wait for a person."""
        with contextlib.suppress(psycopg.Error):
            return [str(case_id) for (case_id,) in self.rows(WAITING)]
        return []

    async def _call_on(self) -> None:
        with contextlib.suppress(Exception):  # its gateway is gone: the balancer knows another one
            async with self.gateway.agent() as client:
                while not self.is_over:
                    await self._call(client)

    async def _decide_some(self) -> None:
        for case_id in [each for each in self.waiting() if each not in self.held][:20]:
            # A decision without an answer may be kept later, so that such a case is not held.
            if case_id not in self.sent and self.random.random() < 0.1:
                self.held.add(case_id)
                continue
            self.sent.add(case_id)
            decision = "APPROVED" if int(case_id[-1], 16) % 4 else "REJECTED"
            with contextlib.suppress(Exception):
                if await self.decide(case_id, decision):
                    self.acknowledged[case_id] = decision
