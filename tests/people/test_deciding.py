"""How people decide: one decision counts, the other person is told by whom, and it is for what was seen."""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator
from datetime import timedelta
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
import pytest_asyncio
import sqlalchemy as sa
from gateway_process import GatewayProcess
from kept import entries_in
from people import ANNA, BRUNO, client, named_gateway, waiting
from store import approval, assessment_of, decisions, open_case, open_store, rejection, ruling, tool_call

from atlas.cases.reviews import request_review
from atlas.cases.store import CaseStore, add_assessment, read_approvals, read_case
from atlas.cases.tables import decision_keys
from atlas.decide import decide_by_score
from atlas.errors import AlreadyDecided, CallChanged, ContraryDecision, KeyUsed
from atlas.grounds.seen import digest_of_seen
from atlas.instants import moment, now
from atlas.models import Case, Status, Verdict
from atlas.people.deciding import decide
from atlas.people.person import Person, Way
from atlas.people.votes import KEYS_KEPT, Vote

DAY = timedelta(days=1)
RACES = 100


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def gateway(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[GatewayProcess]:
    """One gateway for the tests over HTTP."""
    process = named_gateway(tmp_path_factory.mktemp("deciding"))
    await process.start()
    yield process
    await process.kill()


pytestmark = pytest.mark.asyncio(loop_scope="module")


async def post(http: httpx.AsyncClient, case_id: str, decision: str, **fields: Any) -> httpx.Response:
    """A decision, as a program sends it."""
    headers = fields.pop("headers", {})
    body = {"decision": decision, "event_id": case_id} | fields
    return await http.post("/webhook/approval", json=body, headers=headers)


# Two people


async def test_of_two_people_in_the_same_instant_one_counts_and_the_other_is_told_by_whom(
    gateway: GatewayProcess,
) -> None:
    """A hundred calls; in half of them the two want the opposite of each other.

    A rejection that comes after the approval, and before the call begins, takes it back: then both were told
    what they did.
    """
    made, chance = await waiting(gateway, RACES, text="race"), random.Random(3)  # noqa: S311
    winners: Counter[str] = Counter()
    async with client(gateway, ANNA) as anna, client(gateway, BRUNO) as bruno:
        for number, case_id in enumerate(made):
            verdicts = ("REJECTED", "APPROVED" if number % 2 else "REJECTED")
            people = [("anna", anna, verdicts[0]), ("bruno", bruno, verdicts[1])]
            chance.shuffle(people)
            answers = await asyncio.gather(*(post(http, case_id, said) for _, http, said in people))
            told = await client_case(anna, case_id)
            winner = told["decision"]["reviewer"]
            winners[winner] += 1
            for (name, _, said), answer in zip(people, answers, strict=True):
                assert_told(answer, name=name, said=said, winner=winner, case=told)
            decided = [(entry["action"], entry["actor"]) for entry in told["timeline"]]
            decided = [entry for entry in decided if entry[0] in DECIDED]
            assert decided[-1][1] == winner
            before = [] if told["round"] == 1 else [("decide.approved", "bruno")]
            assert decided[:-1] == before and (not before or decided[-1][0] == "decide.rejected")
    assert sum(winners.values()) == RACES


DECIDED = ("decide.approved", "decide.rejected")


async def client_case(http: httpx.AsyncClient, case_id: str) -> dict[str, Any]:
    """A case as it is now."""
    told: dict[str, Any] = (await http.get(f"/cases/{case_id}")).json()
    return told


def assert_told(answer: httpx.Response, *, name: str, said: str, winner: str, case: dict[str, Any]) -> None:
    """What a person is told of a decision that they sent is what became of it."""
    decided = case["decision"]["decision"]
    if name == winner:
        assert (answer.status_code, answer.json()["decision"]) == (200, decided)
        assert "decided_before" not in answer.json()
    elif said != decided and case["round"] == 2:  # it counted until the other one took it back
        assert answer.status_code == 200 and decided == "REJECTED"
    elif said == decided:
        assert answer.status_code == 200 and answer.json()["decided_before"]["reviewer"] == winner
        assert answer.json()["decided_before"]["at"].endswith("UTC")
    else:
        assert (answer.status_code, answer.json()["error"]) == (409, "ContraryDecision")
        assert f"{decided.lower()} by {winner} at " in answer.json()["detail"]


async def pending(store: CaseStore, **fields: Any) -> Case:
    """A case that was judged and waits for a person."""
    case = await open_case(store)

    def wait(connection: Any) -> Case:
        judged = add_assessment(connection, case, assessment_of(case.call, **fields))
        return request_review(connection, judged, DAY, reason="a test")

    return await store.change(case.case_id, wait)


async def test_an_approval_is_told_as_recorded_where_they_cannot_be_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Right: one of two is on disk, and how many there are is left out. Wrong: "nothing was changed"."""
    async with open_store(tmp_path) as store:
        takes, case = decisions(store, approvals=2), await pending(store, approvals=2)

        async def fail(case: Case) -> int:
            raise sa.exc.OperationalError(None, None, Exception("the store is away"))

        monkeypatch.setattr(takes, "approvals_of", fail)
        parts = SimpleNamespace(decisions=takes, announce=[].append)
        person = Person(name="anna", way=Way.KEY)
        receipt = await decide(parts, person, case_id=case.case_id, verdict=Verdict.APPROVED)
        assert receipt.approvals is not None
        assert (receipt.approvals.given, receipt.approvals.needed) == (None, 2)
        assert len(await store.database.read(partial(read_approvals, case=case))) == 1


async def test_the_desk_is_told_who_was_quicker(tmp_path: Path) -> None:
    """The same by another person is no success of one's own; the opposite is refused in the same words."""
    async with open_store(tmp_path) as store:
        takes, case_id = decisions(store), (await pending(store)).case_id
        decided = await takes.record(case_id, rejection("anna"))
        assert decided.decision is not None
        at = moment(decided.decision.decided_at)
        with pytest.raises(AlreadyDecided, match=f"already rejected by anna at {at}"):
            await takes.record(case_id, rejection("bruno"))
        with pytest.raises(ContraryDecision, match=f"rejected by anna at {at}"):
            await takes.record(case_id, approval("bruno"))
        assert (await takes.record(case_id, rejection("anna"))).decision == decided.decision


async def test_each_of_several_approvers_can_say_it_again(tmp_path: Path) -> None:
    """Also when another one has made it a decision meanwhile; a third person is told by whom."""
    async with open_store(tmp_path) as store:
        several = {"approvals": 2}
        takes, case_id = decisions(store, **several), (await pending(store, **several)).case_id
        await takes.record(case_id, approval("anna"))
        decided = await takes.record(case_id, approval("bruno"))
        assert decided.status is Status.AUTHORIZED
        assert (await takes.record(case_id, approval("anna"))).decision == decided.decision
        with pytest.raises(AlreadyDecided, match="by bruno"):
            await takes.record(case_id, approval("carla"))
    actions = Counter(entry["action"] for entry in entries_in(tmp_path))
    assert actions["decide.approved"] == 1 and actions["decide.approval_counted"] == 2


class Parts:
    """What a page hands to `decide`, with what was announced."""

    def __init__(self, store: CaseStore) -> None:
        self.decisions = decisions(store)
        self.announced: list[str] = []

    def announce(self, case: Case) -> None:
        """Note it."""
        self.announced.append(case.case_id)


async def test_a_decision_wakes_the_workflow_once_it_is_on_disk(tmp_path: Path) -> None:
    """And an approval that waits for others wakes nothing."""
    anna = Person(name="anna", way=Way.ACCOUNT)
    async with open_store(tmp_path) as store:
        parts, case_id = Parts(store), (await pending(store)).case_id
        receipt = await decide(parts, anna, case_id=case_id, verdict=Verdict.APPROVED)
        assert receipt.case.status is Status.AUTHORIZED and parts.announced == [case_id]
        parts.decisions = decisions(store, approvals=2)
        other = (await pending_other(store)).case_id
        receipt = await decide(parts, anna, case_id=other, verdict=Verdict.APPROVED)
        assert receipt.approvals is not None
        assert (receipt.approvals.given, receipt.approvals.needed) == (1, 2)
        assert parts.announced == [case_id]


async def pending_other(store: CaseStore) -> Case:
    """A second case, that wants two approvals."""
    call = tool_call("check_status", beneficiary_id="BEN-456")
    case = await open_case(store, call)

    def wait(connection: Any) -> Case:
        judged = add_assessment(connection, case, assessment_of(call, approvals=2))
        return request_review(connection, judged, DAY, reason="a test")

    return await store.change(case.case_id, wait)


# What was seen


def seen(vote: Vote, sha256: str, **more: Any) -> Vote:
    """The vote of a person who saw what has that digest."""
    return Vote(**(vars(vote) | {"seen_sha256": sha256} | more))


async def test_an_approval_counts_for_what_was_seen_and_for_nothing_else(tmp_path: Path) -> None:
    """A wrong digest approves nothing; the right one does; a rejection counts with any."""
    async with open_store(tmp_path) as store:
        takes, case = decisions(store), await pending(store)
        with pytest.raises(CallChanged, match=r"not what was shown.*nothing was approved"):
            await takes.record(case.case_id, seen(approval("anna"), "0" * 64))
        assert (await store.read(case.case_id)).status is Status.PENDING_REVIEW
        right = seen(approval("anna"), digest_of_seen(case))
        assert (await takes.record(case.case_id, right)).status is Status.AUTHORIZED
        assert (await takes.record(case.case_id, right)).status is Status.AUTHORIZED  # said again
        wrong = seen(rejection("anna"), "0" * 64)
        assert (await takes.record(case.case_id, wrong)).status is Status.REJECTED


async def test_a_call_that_was_judged_after_it_was_shown_is_looked_at_again(tmp_path: Path) -> None:
    """Its score is news to the person."""
    async with open_store(tmp_path) as store:
        case = await open_case(store)
        shown = digest_of_seen(case)

        def judge(connection: Any) -> Case:
            judged = add_assessment(
                connection, read_case(connection, case.case_id), assessment_of(case.call, 97)
            )
            return decide_by_score(connection, judged, timeout=DAY)

        await store.change(case.case_id, judge)
        with pytest.raises(CallChanged, match="judged after it was shown: score 97"):
            await decisions(store).record(case.case_id, seen(approval("anna"), shown))


async def test_a_policy_that_changed_since_is_told_with_what_changed(tmp_path: Path) -> None:
    """The round that was shown is over; the digest of the new one approves the new one."""
    async with open_store(tmp_path) as store:
        case = await pending(store)
        takes = decisions(store, policy_sha256="1" * 64, rationale="It is worse.")
        with pytest.raises(CallChanged, match=r"policy was changed.*reasons") as refused:
            await takes.record(case.case_id, seen(approval("anna"), digest_of_seen(case)))
        again = await store.read(case.case_id)
        assert again.round_number == 2 and '"round": 2' in str(refused.value)
        with pytest.raises(CallChanged, match="policy was changed"):  # the old digest for the new round
            old = seen(approval("anna"), digest_of_seen(case), round_number=2)
            await takes.record(case.case_id, old)
        right = seen(approval("anna"), digest_of_seen(again), round_number=2)
        assert (await takes.record(case.case_id, right)).status is Status.AUTHORIZED


@pytest.mark.parametrize(
    "change",
    [
        {"round_number": 2},
        {"definition_sha256": "2" * 64},
        {"case_id": "evt_other"},
        {"assessment": {"risk_score": 81}},
        {"assessment": {"ruling": ruling(policy_sha256="3" * 64)}},
        {"call": {"arguments_sha256": "4" * 64}},
    ],
    ids=str,
)
async def test_the_digest_covers_call_tool_policy_score_and_round(
    tmp_path: Path, change: dict[str, Any]
) -> None:
    """Each of them alone makes another one."""
    async with open_store(tmp_path) as store:
        case = await pending(store)
    [(name, value)] = change.items()
    if isinstance(value, dict):
        value = getattr(case, name).model_copy(update=value)
    assert digest_of_seen(case.model_copy(update={name: value})) != digest_of_seen(case)


# Saying it again


async def test_the_same_again_under_one_key_is_a_success_and_anything_else_is_refused(
    gateway: GatewayProcess,
) -> None:
    """Another case, another verdict, another reason, another round: the key stands for the first."""
    first, second = await waiting(gateway, 2, text="keys")
    key = {"Idempotency-Key": "key-1"}
    async with client(gateway, ANNA) as anna, client(gateway, BRUNO) as bruno:
        said = {"reason": "no", "headers": key}
        for _ in range(2):
            answer = await post(anna, first, "REJECTED", **said)
            assert (answer.status_code, answer.json()["status"]) == (200, "Signal Sent")
        for case_id, verdict, fields in (
            (second, "REJECTED", said),
            (first, "APPROVED", said),
            (first, "REJECTED", {"reason": "other", "headers": key}),
            (first, "REJECTED", {"reason": "no", "round": 2, "headers": key}),
            (first, "REJECTED", {"reason": "other", "idempotency_key": "key-1"}),
        ):
            answer = await post(anna, case_id, verdict, **fields)
            assert answer.status_code == 409, answer.text
            assert answer.json()["error"] in ("KeyUsed", "ContraryDecision", "CaseFinished")
        assert (await client_case(anna, second))["status"] == "PENDING_REVIEW"
        own = await post(bruno, second, "REJECTED", headers=key)  # the key of another person
        assert own.status_code == 200 and (await client_case(anna, second))["status"] == "REJECTED"
        both = await post(anna, second, "REJECTED", headers=key, idempotency_key="key-2")
        assert (both.status_code, both.json()["error"]) == (422, "RequestInvalid")


async def test_one_key_for_two_cases_in_the_same_instant_decides_one(gateway: GatewayProcess) -> None:
    """Twenty times."""
    made = await waiting(gateway, 40, text="one key")
    async with client(gateway, ANNA) as anna:
        for number in range(20):
            pair = made[2 * number : 2 * number + 2]
            key = f"shared-{number}"
            answers = await asyncio.gather(
                *(post(anna, one, "REJECTED", idempotency_key=key) for one in pair)
            )
            assert sorted(answer.status_code for answer in answers) == [200, 409]
            states = [(await client_case(anna, one))["status"] for one in pair]
            assert sorted(states) == ["PENDING_REVIEW", "REJECTED"]


async def test_a_refused_decision_leaves_its_key_free(tmp_path: Path) -> None:
    """What was not done can be done under it."""
    async with open_store(tmp_path) as store:
        takes, case = decisions(store), await pending(store)
        wrong = seen(approval("anna"), "0" * 64, idempotency_key="k")
        with pytest.raises(CallChanged):
            await takes.record(case.case_id, wrong)
        right = seen(approval("anna"), digest_of_seen(case), idempotency_key="k")
        assert (await takes.record(case.case_id, right)).status is Status.AUTHORIZED
        with pytest.raises(KeyUsed, match="key k stands for another decision"):
            await takes.record(case.case_id, Vote(Verdict.REJECTED, "anna", None, idempotency_key="k"))


async def test_keys_are_forgotten_after_some_days(tmp_path: Path) -> None:
    """The row goes when the next one comes."""
    async with open_store(tmp_path) as store:
        old = {"reviewer": "anna", "idempotency_key": "old", "case_id": "evt_0", "decision": "REJECTED"}
        old |= {"round_number": 1, "said_sha256": "0" * 64}
        written = now() - KEYS_KEPT - timedelta(minutes=1)
        await store.database.write(
            lambda connection: connection.execute(decision_keys.insert().values(**old, decided_at=written))
        )
        case = await pending(store)
        await decisions(store).record(
            case.case_id, Vote(Verdict.REJECTED, "anna", None, idempotency_key="old")
        )
        rows = await store.database.read(
            lambda connection: connection.execute(decision_keys.select()).mappings().all()
        )
    assert [(row["idempotency_key"], row["case_id"]) for row in rows] == [("old", case.case_id)]


async def test_the_webhook_keeps_its_contract(gateway: GatewayProcess) -> None:
    """A body of before is answered as before, to the letter, also the second time."""
    [case_id] = await waiting(gateway, text="contract")
    async with client(gateway, ANNA) as anna:
        for _ in range(2):
            answer = await post(anna, case_id, "REJECTED", reason="no")
            assert answer.json() == {"status": "Signal Sent", "decision": "REJECTED", "event_id": case_id}
        unknown = await post(anna, case_id, "REJECTED", seen="x")
        assert unknown.status_code == 422
        digest = await post(anna, case_id, "APPROVED", seen_sha256="short")
        assert (digest.status_code, digest.json()["error"]) == (422, "RequestInvalid")
