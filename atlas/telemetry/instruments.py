"""What this process counts and measures itself; Prometheus adds up what several gateways say.

No label has a person, a reference, an argument or the name of a tool in it: a server can name its tools as it
likes, and as many as it likes. A server behind the gateway is a label, for the operator's file names it.
"""

from collections.abc import Callable, Sequence
from time import perf_counter
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Histogram

from atlas import ledger
from atlas.assessors.guard import Heard
from atlas.cases.store import Collected
from atlas.ledger import Act, Action
from atlas.models import HAS_FAILED, Case
from atlas.outbox.deliveries import Tried
from atlas.telemetry.channels import Channels

STAGES = ("admit", "assess", "decide", "execute", "report")
# How an act is told of whose detail says more than its name.
TOOL_ERROR, NOT_JUDGED, COLLECTED = "tool_error", "failed", "collected"
# By whom, and how, an act decides.
DECIDES = {
    Action.APPROVED: ("person", "approved"),
    Action.REJECTED: ("person", "rejected"),
    Action.AUTO_APPROVED: ("score", "approved"),
    Action.PLAN_USED: ("plan", "approved"),
    Action.DENIED: ("policy", "rejected"),
    Action.EXPIRED: ("time", "rejected"),
}
ENDS_EXECUTION = {
    Action.EXECUTED: "finished",
    Action.OUTCOME_UNKNOWN: "outcome_unknown",
    Action.EXECUTION_REFUSED: "refused",
}
OWN_TOOLS, UNKNOWN_SERVER = "gateway", "unknown"  # in the place of a server's name
MINUTE, HOUR, DAY = 60.0, 3600.0, 86400.0
REVIEW_BUCKETS = (
    *(10.0, 30.0, MINUTE, 5 * MINUTE, 15 * MINUTE, 30 * MINUTE),
    *(HOUR, 2 * HOUR, 4 * HOUR, 8 * HOUR, DAY, 3 * DAY, 7 * DAY),
)
EXECUTION_BUCKETS = (0.005, 0.025, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, MINUTE, 5 * MINUTE)
MODEL_BUCKETS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, MINUTE)
STORE_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0)
MOST_OPEN = 10_000  # of which the begin is remembered: of calls whose run begins, and whose tool runs


class Instruments:
    """Hears of changes, questions and events, and counts them."""

    def __init__(
        self, registry: CollectorRegistry, *, owner_of: Callable[[str], str | None], channels: Channels
    ) -> None:
        """`owner_of` says whose tool it is, `channels` by which ways people are told."""
        self._owner_of = owner_of
        self._channels = channels
        self._admitted: dict[str, float] = {}
        self._executing: dict[str, float] = {}

        def counter(name: str, means: str, *labels: str) -> Counter:
            return Counter(f"atlas_{name}", means, labels, registry=registry)

        def histogram(name: str, means: str, buckets: Sequence[float], *labels: str) -> Histogram:
            return Histogram(f"atlas_{name}", means, labels, buckets=buckets, registry=registry)

        self._calls = counter("calls", "Acts on calls, by the stage and what came of it.", "stage", "outcome")
        self._other = counter("other_acts", "Acts that are of no call, as the ledger has them.", "of", "act")
        self._decisions = counter("decisions", "Calls that were decided, and by what.", "by", "verdict")
        self._notices = counter("notices", "Attempts to bring a notice.", "channel", "ending")
        self._questions = counter("assessor_questions", "Questions to the model that judges.", "outcome")
        self._review = histogram(
            "review_seconds", "From when a call waits until a person decided.", REVIEW_BUCKETS, "verdict"
        )
        self._execution = histogram(
            "execution_seconds", "How long a tool ran.", EXECUTION_BUCKETS, "server", "outcome"
        )
        self._model = histogram("assessor_seconds", "How long the model took to judge.", MODEL_BUCKETS)
        self._store = histogram(
            "store_write_seconds", "From the request of a change until it is on disk.", STORE_BUCKETS
        )
        self._accepted = histogram(
            "engine_accept_seconds", "How long the engine took to take events.", STORE_BUCKETS
        )
        self._started = histogram(
            "engine_start_seconds",
            "From when a call is on disk until the engine begins its run.",
            STORE_BUCKETS,
        )
        self._begin_at_zero()

    def _begin_at_zero(self) -> None:
        """Have all labels that are known from the start: the first of a kind is an increase too."""
        for action in Action:
            of, act = action.value.split(".")
            (self._calls if of in STAGES else self._other).labels(of, act)
        for stage, outcome in (("execute", TOOL_ERROR), ("assess", NOT_JUDGED), ("report", COLLECTED)):
            self._calls.labels(stage, outcome)
        for by, verdict in DECIDES.values():
            self._decisions.labels(by, verdict)
        for verdict in ("approved", "rejected"):
            self._review.labels(verdict)
        for heard in Heard:
            self._questions.labels(heard.value)
        for channel in self._channels.labels:
            for ending in ("delivered", "failed", "given_up"):
                self._notices.labels(channel, ending)

    def join(self, connection: Any, facts: Sequence[Any]) -> None:
        """Nothing of it is in the store."""

    def hear(self, facts: Sequence[Any], result: Any, seconds: float) -> None:
        """Count what a change did."""
        self._store.observe(seconds)
        for fact in facts:
            if isinstance(fact, Act):
                self._count(fact, result if isinstance(result, Case) else None)
            elif isinstance(fact, Tried):
                self._notices.labels(self._channels.label(fact.channel), fact.ending).inc()
            elif isinstance(fact, Collected):
                self._calls.labels("report", COLLECTED).inc()

    def _count(self, act: Act, case: Case | None) -> None:
        of, name = act.action.value.split(".")
        if of not in STAGES:
            self._other.labels(of, name).inc()
            return
        self._calls.labels(of, _outcome(act, name)).inc()
        if (decided := DECIDES.get(act.action)) is not None:
            self._decisions.labels(*decided).inc()
            if decided[0] == "person" and case is not None:
                self._measure_review(case, decided[1])
        if act.action is Action.ADMITTED:
            _remember(self._admitted, act.case_id)
        elif act.action is Action.EXECUTING:
            _remember(self._executing, act.case_id)
        elif act.action in ENDS_EXECUTION and case is not None:
            self._measure_execution(act, case)

    def _measure_review(self, case: Case, verdict: str) -> None:
        if case.decision is not None:
            since = case.assessment.assessed_at if case.assessment else case.opened_at
            self._review.labels(verdict).observe((case.decision.decided_at - since).total_seconds())

    def _measure_execution(self, act: Act, case: Case) -> None:
        began = self._executing.pop(act.case_id, None)
        if began is not None:
            owner = self._owner_of(case.call.tool_name)
            server = UNKNOWN_SERVER if owner is None else owner or OWN_TOOLS
            outcome = _outcome(act, ENDS_EXECUTION[act.action])
            self._execution.labels(server, outcome).observe(perf_counter() - began)

    def begun(self, case_id: str) -> None:
        """The engine begins the run of a case."""
        admitted = self._admitted.pop(case_id, None)
        if admitted is not None:
            self._started.observe(perf_counter() - admitted)

    def accepted(self, seconds: float) -> None:
        """The engine took events."""
        self._accepted.observe(seconds)

    def asked(self, seconds: float, heard: Heard) -> None:
        """A model was asked, or was not."""
        self._questions.labels(heard.value).inc()
        if heard is Heard.ANSWERED:
            self._model.observe(seconds)


def _outcome(act: Act, name: str) -> str:
    if act.action is ledger.Action.EXECUTED and act.detail.get("is_error"):
        return TOOL_ERROR
    if act.action is ledger.Action.ASSESSED and act.actor.endswith(HAS_FAILED):
        return NOT_JUDGED
    return name


def _remember(begun: dict[str, float], case_id: str) -> None:
    if len(begun) >= MOST_OPEN:
        del begun[next(iter(begun))]  # the oldest
    begun[case_id] = perf_counter()
