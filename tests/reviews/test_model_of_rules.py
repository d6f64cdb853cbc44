"""Plays people, delegations, rounds, clocks and restarts against a model of the rules: nothing gets past it.

No case is executed that the rules do not allow, none twice, and none waits for ever.
"""

import sys
import tempfile
from contextlib import suppress
from datetime import datetime, timedelta, timezone
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)
from model_of_rules import ModelCase, Policy, Tie, World, Yes
from office_of_model import DAY, OfficeOfModel, StillClock
from store import approval, rejection

from atlas.errors import (
    AlreadyDecided,
    AtlasError,
    CallChanged,
    CaseFinished,
    ClaimedByAnother,
    ContraryDecision,
    NotPermitted,
    PersonRefused,
    ReviewExpired,
    TakeBackRefused,
)
from atlas.models import Status
from atlas.people.accounts import accounts
from atlas.people.records import delegations, keeping, trainings
from atlas.people.votes import Vote
from atlas.review_rules import Escalation, ReviewRules
from atlas.reviews.claims import claim
from atlas.workflow.patience import seconds_to_wait

HOUR, SECOND = timedelta(hours=1), timedelta(seconds=1)
STARTED = datetime(2027, 3, 1, 8, tzinfo=timezone.utc)
PEOPLE, GROUPS = ("anna", "ben", "carla", "dora"), ("desk", "seniors")
ENDED = {"EXECUTED", "REJECTED", "EXPIRED", "DENIED"}

names = st.sampled_from(PEOPLE)
groups = st.sets(st.sampled_from(GROUPS))
first_pairs = st.lists(st.tuples(st.sampled_from(PEOPLE[:2]), names), min_size=1, max_size=2)
scopes = st.sampled_from((None, None, *GROUPS))
hours = st.sampled_from((1, 3, 30))
for_whom = st.one_of(st.none(), st.none(), names)
some_owners = st.sampled_from((frozenset(), frozenset({"dora"})))
reviews = st.builds(
    ReviewRules,
    is_separate=st.sampled_from((True, True, False)),
    trainings=st.sampled_from((("benefits",), ())),
    undo_seconds=st.sampled_from((0, 0, 7200)),
    may_edit=st.sampled_from(((), ("n",))),
    answer_seconds=st.sampled_from((None, 3600)),
    escalations=st.sampled_from(((), (Escalation(after_seconds=7200, to="carla"),))),
)
policies = st.fixed_dictionaries(
    {
        "reviewers": st.sampled_from((("anna", "ben"), ("group:desk",), ("group:seniors", "anna"), ())),
        "approvals": st.sampled_from((1, 2, 2)),
        "is_denied": st.sampled_from((False,) * 9 + (True,)),
        "review": reviews,
    }
)


class PeopleAndRules(RuleBasedStateMachine):
    """Each rule does a thing in the gateway and in the model, and compares what comes of it."""

    all_cases = Bundle("all_cases")

    def __init__(self) -> None:
        super().__init__()
        self.world = World(now=STARTED, groups={name: set() for name in PEOPLE})
        self.patch, self.directory = pytest.MonkeyPatch(), tempfile.TemporaryDirectory()
        StillClock(self.patch, self.world)
        self.office = OfficeOfModel(Path(self.directory.name), self.world)
        self.cases: list[ModelCase] = []
        self.numbers = self.office.numbers()
        for name in PEOPLE:
            self.office.write(partial(accounts.add, name=name, groups=(), keys=()))
        self._groups("anna", {"desk"})
        self._groups("ben", {"desk", "seniors"})

    @initialize(target=all_cases, says=policies, owners=some_owners, pairs=first_pairs)
    def begin(self, says: dict[str, Any], owners: frozenset[str], pairs: list[tuple[str, str]]) -> Any:
        """Two calls wait under a policy, in an office where some decide for others."""
        self.policy_is_reloaded(says)
        self.restart(owners)
        for giver, to in pairs:
            self.delegation(giver, to, None, 0, 30)
        for name in PEOPLE[:2]:
            self.training(name, 30)
        return multiple(self.a_call_comes(), self.a_call_comes())

    # People

    @rule(name=names, wanted=groups)
    def groups_of_a_person(self, name: str, wanted: set[str]) -> None:
        if name not in self.world.ended:
            self._groups(name, wanted)

    def _groups(self, name: str, wanted: set[str]) -> None:
        changes = {"groups": tuple(sorted(wanted))}
        self.office.write(lambda c: keeping.change(c, name, changes, actor="operator"))
        self.world.groups[name] = set(wanted)
        self._pass(SECOND)

    @rule(name=names)
    def a_person_ends_or_is_added_again(self, name: str) -> None:
        if name in self.world.ended:
            self.office.write(partial(accounts.add, name=name, groups=(), keys=()))
            self.world.ended.discard(name)
            self.world.groups[name] = set()
        else:
            self.office.write(lambda c: keeping.end(c, name, actor="operator"))
            self.world.ended.add(name)
            for tie in self.world.ties:
                if name in (tie.giver, tie.to):
                    tie.ends = min(tie.ends, self.world.now)
        self._pass(SECOND)

    @rule(name=names, lasts=hours)
    def training(self, name: str, lasts: int) -> None:
        until = self.world.now + lasts * HOUR
        note = partial(trainings.train, name=name, scope="benefits", what="A course", until=until)
        self.office.write(partial(note, actor="operator"))
        self.world.trained.setdefault(name, []).append(until)

    @rule(name=names)
    def training_is_taken_back(self, name: str) -> None:
        with suppress(PersonRefused):
            self.office.write(partial(trainings.untrain, name=name, scope="benefits", actor="operator"))
        self.world.trained[name] = []

    @rule(giver=names, to=names, group=scopes, begins=st.sampled_from((0, 0, 1, 3)), lasts=hours)
    def delegation(self, giver: str, to: str, group: str | None, begins: int, lasts: int) -> None:
        at = self.world.now + begins * HOUR
        made = Tie(giver, to, group, at, at + lasts * HOUR)
        is_fine = giver != to and not {giver, to} & self.world.ended
        is_fine = is_fine and group in (None, *self.world.groups[giver])
        give = partial(delegations.delegate, from_person=giver, to_person=to, group_name=group)
        try:
            self.office.write(partial(give, begins_at=made.begins, ends_at=made.ends, actor=giver))
        except PersonRefused:
            assert not is_fine
        else:
            assert is_fine
            self.world.ties.append(made)
        self._pass(SECOND)

    # The policy, the clock, and restarts

    @rule(says=policies)
    def policy_is_reloaded(self, says: dict[str, Any]) -> None:
        self.office.policy = Policy(number=self.office.policy.number + 1, **says)

    @rule(length=hours)
    def time_passes(self, length: int) -> None:
        self._pass(length * HOUR)

    def _pass(self, length: timedelta) -> None:
        self.world.now += length
        self.office.do_due()
        for case in self.cases:
            for one in case.policy.review.escalations if case.status == "PENDING_REVIEW" else ():
                # A question that extends the time has moved what was not due before it.
                due = case.since + timedelta(seconds=one.after_seconds + case.more)
                if due <= self.world.now < case.waits_until:
                    case.escalated.add(one.to)

    @rule(owners=some_owners)
    def restart(self, owners: frozenset[str]) -> None:
        self.world.owners = owners
        self.office.close()
        self.office.open()

    # Cases

    @rule(target=all_cases)
    def a_call_comes(self) -> Any:
        if len(self.cases) >= 4:
            return multiple()
        case = self.office.admit(len(self.cases))
        policy, until = self.office.policy, self.world.now + DAY
        made = ModelCase(case.case_id, len(self.cases), policy, until, self.world.now)
        made.status = "DENIED" if policy.is_denied else made.status
        self.cases.append(made)
        return made

    @rule(case=all_cases, who=names, whom=for_whom, n=st.sampled_from((None, None, 0, 1, 2)))
    def approve(self, case: ModelCase, who: str, whom: str | None, n: int | None) -> None:
        arguments = None if n is None else {"key": case.key, "n": n}
        vote = Vote(
            **vars(approval(who, round_number=case.round_number))
            | {"on_behalf_of": whom, "arguments": arguments}
        )
        refusal = self._said(case, vote)
        ways = self.world.ways(case, who, whom)
        against = set().union(*ways.values()) if all(ways.values()) else set()
        if case.status != "PENDING_REVIEW":
            self._is_over(case, who, refusal, against)
        elif "owner" in against:
            self._is_refused(refusal, {"owner"})
        elif self.world.now >= case.waits_until:
            if not isinstance(refusal, ReviewExpired):
                self._is_refused(refusal, against | {"may_edit"})
        elif case.policy.number != self.office.policy.number:
            assert isinstance(refusal, (CallChanged, CaseFinished)), refusal
            self._next_round(case)
        else:
            self._waits(case, refusal, who=who, whom=whom, n=case.n if n is None else n)

    def _waits(
        self, case: ModelCase, refusal: AtlasError | None, *, who: str, whom: str | None, n: int
    ) -> None:
        """An approval that comes in time, of a call as it was judged, or of one that the person changed."""
        ways = self.world.ways(case, who, whom)
        against = set().union(*ways.values()) if all(ways.values()) else set()
        if n != case.n and not against:
            # A person cannot get past the rules of the round that an edit begins.
            probe = ModelCase(**vars(case) | {"given": [], "escalated": set()})
            probe.earlier = case.earlier | self._authority(case)
            ways = self.world.ways(probe, who, whom)
            against = set().union(*ways.values()) if all(ways.values()) else set()
        if n != 0 and not case.policy.review.may_edit:
            against = against | {"may_edit"}
        if against:
            return self._is_refused(refusal, against)
        assert refusal is None, (refusal, ways)
        if n != case.n:
            self._next_round(case)
            case.n = n
        return self._count(case, who, {way for way, rules in ways.items() if not rules})

    @rule(case=all_cases, order=st.permutations(PEOPLE))
    def people_approve(self, case: ModelCase, order: list[str]) -> None:
        """One after the other, until it is decided; then the workflow takes it up at once."""
        for who in order:
            if case.status == "PENDING_REVIEW":
                self.approve(case, who, None, None)
        self.execute(case)

    @rule(case=all_cases, number=st.integers(0, 3), is_giver_first=st.booleans())
    def both_of_a_delegation_approve(self, case: ModelCase, number: int, is_giver_first: bool) -> None:
        """Two names, and where the policy says so one authority."""
        for tie in self.world.ties[number:][:1]:
            pair = (tie.giver, tie.to) if is_giver_first else (tie.to, tie.giver)
            for who in pair:
                self.approve(case, who, None, None)

    @rule(case=all_cases, pairs=st.lists(st.tuples(names, for_whom), min_size=2, max_size=3))
    def some_approve(self, case: ModelCase, pairs: list[tuple[str, str | None]]) -> None:
        """Some of them for others."""
        for who, whom in pairs:
            self.approve(case, who, whom, None)

    def _said(self, case: ModelCase, vote: Vote) -> AtlasError | None:
        """What the gateway answered to a vote; None: it counts."""
        self.world.now += SECOND
        try:
            self.office.run(self.office.decisions.record(case.case_id, vote))
        except AtlasError as error:
            return error
        return None

    def _is_refused(self, refusal: AtlasError | None, against: set[str]) -> None:
        assert isinstance(refusal, NotPermitted), (refusal, against)
        said = refusal.fields.get("rule", "owner")
        assert said in against, (refusal, against)

    def _is_over(self, case: ModelCase, who: str, refusal: AtlasError | None, against: set[str]) -> None:
        """It changes nothing, and is true: an own approval is a success again."""
        if refusal is None:
            assert case.decided and (who == case.decided.who or who in {yes.who for yes in case.given})
        elif isinstance(refusal, NotPermitted):
            self._is_refused(refusal, against | {"may_edit"})
        else:
            assert isinstance(refusal, (AlreadyDecided, ContraryDecision, CaseFinished)), refusal

    def _count(self, case: ModelCase, who: str, ways: set[str | None]) -> None:
        whom = self.office.for_whom(case, who)
        yes = Yes(who, whom, self.world.now)
        is_again = who in {one.who for one in self.world.counting(case)}
        assert is_again or whom in ways, (whom, ways)
        if not is_again:
            case.given = [one for one in case.given if one.who != who] + [yes]
        if case.policy.approvals == 1 or self.world.is_complete(case):
            case.status, case.decided = "AUTHORIZED", yes
            undo = case.policy.review.undo_seconds
            case.begins = self.world.now + timedelta(seconds=undo) if undo else None

    def _authority(self, case: ModelCase) -> frozenset[str]:
        given = [*case.given, *([case.decided] if case.decided else [])]
        return frozenset(name for yes in given for name in yes.names)

    def _next_round(self, case: ModelCase, *, policy: Policy | None = None) -> None:
        case.earlier |= self._authority(case)
        case.given, case.decided, case.begins, case.taken_back_by = [], None, None, None
        case.round_number += 1
        case.policy, case.escalated, case.more = policy or self.office.policy, set(), 0.0
        case.status = "DENIED" if case.policy.is_denied else "PENDING_REVIEW"
        case.since, case.waits_until = self.world.now, self.world.now + DAY

    @rule(case=all_cases, who=names)
    def reject(self, case: ModelCase, who: str) -> None:
        """By any person, under any rules, until the call begins."""
        refusal = self._said(case, rejection(who))
        if case.status == "AUTHORIZED":  # a person approved it, and it has not begun
            self._next_round(case, policy=case.policy)
            case.status = "PENDING_REVIEW"
        if case.status == "PENDING_REVIEW" and self.world.now < case.waits_until:
            assert refusal is None, refusal
            case.status, case.rejected_by = "REJECTED", who
        elif case.status == "REJECTED":
            assert isinstance(refusal, AlreadyDecided) if who != case.rejected_by else refusal is None
        else:
            assert isinstance(refusal, (ReviewExpired, CaseFinished, ContraryDecision)), refusal

    @rule(case=all_cases, who=names)
    def take_back(self, case: ModelCase, who: str) -> None:
        self.world.now += SECOND
        vote, may = rejection(who), case.status == "AUTHORIZED" and case.begins is not None
        is_again = case.status == "PENDING_REVIEW" and case.taken_back_by == who
        try:
            self.office.run(self.office.decisions.take_back(case.case_id, vote))
        except NotPermitted:
            assert may and who not in self._authority(case)
        except TakeBackRefused:
            assert not may and not is_again
        else:
            assert is_again or (may and who in self._authority(case))
            if may:
                self._next_round(case, policy=case.policy)
                case.taken_back_by = who

    @rule(case=all_cases, who=names)
    def ask_the_agent(self, case: ModelCase, who: str) -> None:
        self.world.now += SECOND
        with suppress(CaseFinished, ReviewExpired):
            self.office.run(self.office.decisions.ask(case.case_id, by=who, text="Why?"))
            assert case.status == "PENDING_REVIEW"
            assert self.world.now < case.waits_until
            seconds = case.policy.review.answer_seconds
            if not case.is_asked and seconds:
                case.waits_until += timedelta(seconds=seconds)
                case.more = seconds
            case.is_asked = True

    @rule(case=all_cases, who=names)
    def claim_never_blocks(self, case: ModelCase, who: str) -> None:
        with suppress(ClaimedByAnother, CaseFinished):
            self.office.write(partial(claim, case_id=case.case_id, person=who))

    @rule(case=all_cases)
    def execute(self, case: ModelCase) -> None:
        self._execute(case)

    def _execute(self, case: ModelCase) -> None:
        self.office.execute(case)
        if case.status == "AUTHORIZED" and (case.begins is None or case.begins <= self.world.now):
            if case.policy.number != self.office.policy.number:
                self._next_round(case)
            else:
                case.status = "EXECUTED"

    @rule(case=all_cases)
    def the_workflow_looks(self, case: ModelCase) -> None:
        self._look(case)

    def _look(self, case: ModelCase) -> None:
        self.office.look(case)
        if case.status == "PENDING_REVIEW" and case.waits_until <= self.world.now:
            case.status = "EXPIRED"

    @invariant()
    def all_is_as_the_model_says(self) -> None:
        for case in self.cases:
            found = self.office.read(case)
            assert (found.status.value, found.round_number) == (case.status, case.round_number)
            decided = case.rejected_by or (case.decided and case.decided.who)
            assert (found.decision.reviewer if found.decision else None) == decided
            runs = self.office.runs.get(case.key, [])
            assert runs == ([case.n] if case.status == "EXECUTED" else []), (runs, case)

    @invariant()
    def each_call_that_comes_to_wait_has_an_entry(self) -> None:
        """The gateway counts the entries since a moment, and knows then how many more calls can wait."""
        before, self.numbers = self.numbers, self.office.numbers()
        assert self.numbers.undecided - before.undecided <= self.numbers.entries - before.entries

    def teardown(self) -> None:
        """Each case ends when its run sleeps as long as it says, and no person does anything."""
        try:
            if sys.exc_info()[0] is None:
                for case in self.cases:
                    self._ends_by_itself(case)
                self.all_is_as_the_model_says()
        finally:
            self.office.close(is_end=True)
            self.patch.undo()
            self.directory.cleanup()

    def _ends_by_itself(self, case: ModelCase) -> None:
        for _ in range(4):
            if (found := self.office.read(case)).status.is_final:
                break
            if found.status is not Status.AUTHORIZED or case.begins is not None:
                self._pass(timedelta(seconds=seconds_to_wait(found)))
            self._look(case)
            self._execute(case)
        assert case.status in ENDED, case


@pytest.mark.parametrize(
    ("examples", "steps"),
    [(40, 20), pytest.param(1500, 60, marks=[pytest.mark.soak, pytest.mark.timeout(3600)])],
)
def test_no_case_is_executed_that_the_rules_do_not_allow(examples: int, steps: int) -> None:
    """And each refusal is by a rule that the model names; none waits for ever."""
    profile = settings(
        max_examples=examples,
        stateful_step_count=steps,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        derandomize=examples < 1000,
    )
    run_state_machine_as_test(PeopleAndRules, settings=profile)  # type: ignore[no-untyped-call]
