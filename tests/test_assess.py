"""Assessment: policy and model together, and that a person decides where either fails."""

import asyncio
import json
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any
from unittest.mock import AsyncMock

import pytest
from assessing import LENIENT, assessments_of, decisions_by
from fastmcp import FastMCP
from fastmcp.tools import Tool
from injections import INJECTIONS, Injection
from kept import entries_in
from mcp.types import ToolAnnotations
from models_that_say import FAILURES, GOOD, Says, SaysLater, patience
from store import answer, approval, open_case, open_store, tool_call

from atlas.assessors import Question
from atlas.assessors.prompt import payload
from atlas.grounds.present import NOT_THERE, tool_facts
from atlas.models import NO_TOOL, UPSTREAM_META, Case, Status
from atlas.settings import Settings

SHIPPED = Settings.model_fields["atlas_policy"].default.read_text()


async def assessed(
    directory: Path, policy: str, model: Says | None, seconds: float = 60, **arguments: Any
) -> Case:
    """The case after it was assessed, in as many steps as it takes."""
    async with open_store(directory) as store:
        case = await open_case(store, tool_call("check_status", **arguments))
        assessments = assessments_of(store, directory, policy=policy, model=model, seconds=seconds)
        case = await assessments.assess(case.case_id)
        if case.inquiry is not None and case.status is Status.QUEUED:
            await assessments.assess(case.case_id)
        return await store.read(case.case_id)


def rule(**gives: int) -> str:
    """A policy with one rule."""
    return "\n".join(
        ['[[rule]]\ntool = "check_status"', *(f"{key} = {value}" for key, value in gives.items())]
    )


SCORES = [
    # what the rule gives, what the model says, the final score
    ({"score": 12}, None, 12),
    ({"score": 12, "floor": 40}, None, 40),
    ({"score": 90, "floor": 40}, None, 90),
    ({"score": 85}, 30, 30),  # without a floor the model may find a call harmless
    ({"score": 12}, 95, 95),
    ({"score": 85, "floor": 70}, 0, 70),  # with one it may not
    ({"score": 85, "floor": 70}, 71, 71),
    ({"score": 0, "floor": 0}, 0, 0),
]


@pytest.mark.parametrize(("gives", "says", "score"), SCORES)
@pytest.mark.parametrize("kind", [Says, SaysLater])
async def test_the_score_is_the_higher_of_the_floor_and_the_models_or_the_policys_own(
    tmp_path: Path, kind: type[Says], gives: dict[str, int], says: int | None, score: int
) -> None:
    """And every score is on record."""
    model = None if says is None else kind(lambda: GOOD | {"risk_score": says})
    case = await assessed(tmp_path, rule(**gives), model)
    assessment = case.assessment
    assert assessment is not None and assessment.ruling is not None
    assert (assessment.risk_score, assessment.model_score) == (score, says)
    floor = gives.get("floor", 0)
    assert (assessment.ruling.score, assessment.ruling.floor) == (max(gives["score"], floor), floor)
    assert assessment.ruling.rules and len(assessment.ruling.policy_sha256) == 64
    assert case.status is (Status.PENDING_REVIEW if score >= 70 else Status.AUTHORIZED)
    entry = next(e for e in entries_in(tmp_path) if e["action"] == "assess.scored")
    assert entry["detail"]["ruling"]["policy_sha256"] == assessment.ruling.policy_sha256
    assert entry["detail"]["model_score"] == says


@pytest.mark.parametrize("kind", [Says, SaysLater])
@pytest.mark.parametrize(("make", "reason"), FAILURES)
async def test_when_anything_goes_wrong_a_person_decides(
    tmp_path: Path, kind: type[Says], make: Callable[[], Any], reason: str
) -> None:
    """The score is 100, and the reason is on record without what the assessor said."""
    case = await assessed(tmp_path, LENIENT, kind(make), patience(reason))
    assert case.status is Status.PENDING_REVIEW
    assert case.assessment is not None and case.assessment.risk_score == 100
    assert reason in case.assessment.rationale and "4711" not in case.assessment.rationale
    assert case.assessment.model_score is None and case.assessment.ruling is not None


async def test_what_the_policy_denies_is_over_without_asking_the_model(tmp_path: Path) -> None:
    """No person is asked either."""
    model = Says(lambda: GOOD)
    case = await assessed(tmp_path, '[[rule]]\ntool = "check_*"\ndeny = true', model)
    assert case.status is Status.DENIED and model.asked == 0


async def test_a_policy_that_cannot_be_applied_leaves_the_call_to_a_person(tmp_path: Path) -> None:
    """The model is not asked: what it says could be below a floor that no one knows."""
    model = Says(lambda: GOOD)
    policy = '[[rule]]\ntool = "check_status"\nwhen = "args.amount < 10"\nscore = 1'
    case = await assessed(tmp_path, policy, model, beneficiary_id="BEN-123")
    assert case.status is Status.PENDING_REVIEW and model.asked == 0
    assert case.assessment is not None and case.assessment.risk_score == 100


async def test_a_condition_that_fails_asks_for_as_many_reviewers_as_if_it_held(tmp_path: Path) -> None:
    """An agent could else choose arguments on which the strict rule cannot be evaluated."""
    policy = '[[rule]]\ntool = "check_status"\nwhen = "args.amount > 10"\napprovals = 2\nscore = 90'
    case = await assessed(tmp_path, policy, None, amount="much")
    assert case.status is Status.PENDING_REVIEW
    assert case.assessment is not None and case.assessment.approvals == 2
    assert "cannot be evaluated" in case.assessment.rationale


async def test_a_score_of_100_without_a_floor_leaves_room_to_the_model(tmp_path: Path) -> None:
    """Only a floor binds it."""
    case = await assessed(tmp_path, rule(score=100), Says(lambda: GOOD))
    assert case.status is Status.AUTHORIZED


@pytest.mark.parametrize("attack", INJECTIONS, ids=[attack.name for attack in INJECTIONS])
async def test_a_model_that_was_talked_into_a_zero_gets_no_attack_past_a_person(
    tmp_path: Path, attack: Injection
) -> None:
    """With the shipped policy the floor holds, also where the text of the call has misled the model."""
    call = tool_call(attack.tool_name, **attack.arguments)
    call = call.model_copy(update={"intent": attack.intent, "user_request": attack.user_request})
    async with open_store(tmp_path) as store:
        case = await open_case(store, call)
        model = Says(lambda: GOOD | {"risk_score": 0})
        case = await assessments_of(store, tmp_path, policy=SHIPPED, model=model).assess(case.case_id)
    assert case.status is Status.PENDING_REVIEW
    # A call that is too long to be seen whole is not shown to a model at all.
    assert case.assessment is not None and case.assessment.risk_score == (70 if model.asked else 100)


@pytest.mark.parametrize("attack", INJECTIONS, ids=[attack.name for attack in INJECTIONS])
async def test_an_attack_in_an_earlier_answer_gets_no_call_past_a_person(
    tmp_path: Path, attack: Injection
) -> None:
    """The model has read it, and was talked into a zero: the floor holds, as for what stands in the call."""
    said = json.dumps([attack.arguments, attack.intent, attack.user_request, attack.description])
    async with open_store(tmp_path) as store:
        read = await open_case(store, tool_call("read_email"))
        await answer(store, read, said)
        change = {"beneficiary_id": "BEN-123", "changes": {"status": "ended"}}
        case = await open_case(store, tool_call("modify_welfare_record", **change))
        model = Reads(lambda: GOOD | {"risk_score": 0})
        stage = assessments_of(store, tmp_path, policy=SHIPPED, model=model, sees_session=True)
        case = await stage.assess(case.case_id)
    assert case.status is Status.PENDING_REVIEW
    assert case.assessment is not None and case.assessment.risk_score >= 70
    [asked] = model.questions
    [told] = payload(asked)["session"]["earlier_calls"]
    assert told["tool"] == "read_email" and told["is_from_outside"]


class Reads(Says):
    """Keeps what it was asked."""

    def __init__(self, make: Callable[[], Any]) -> None:
        super().__init__(make)
        self.questions: list[Question] = []

    async def judge(self, question: Question) -> Any:
        """Answer as the test says."""
        self.questions.append(question)
        return await super().judge(question)


async def test_a_call_that_the_model_saw_only_in_part_goes_to_a_person(tmp_path: Path) -> None:
    """What is hidden in the middle of much text was judged by no one."""
    model = Says(lambda: GOOD)
    case = await assessed(tmp_path, LENIENT, model, note="All is well. " * 2000)
    assert case.status is Status.PENDING_REVIEW and model.asked == 0
    assert (
        case.assessment is not None and "too long for a model to see all of it" in case.assessment.rationale
    )


async def test_a_plain_reason_leaves_the_model_its_say(tmp_path: Path) -> None:
    """A well-documented extension can be approved by itself, as the shipped policy means it."""
    call = tool_call("request_payment_extension", beneficiary_id="BEN-123", reason="hospital stay, see D-17")
    async with open_store(tmp_path) as store:
        case = await open_case(store, call)
        model = Says(lambda: GOOD)
        case = await assessments_of(store, tmp_path, policy=SHIPPED, model=model).assess(case.case_id)
    assert case.status is Status.AUTHORIZED


async def test_a_question_that_was_asked_is_not_asked_again(tmp_path: Path) -> None:
    """By whichever process the answer is fetched."""
    model = SaysLater(lambda: GOOD)
    async with open_store(tmp_path) as store:
        case = await open_case(store)
        asked = await assessments_of(store, tmp_path, model=model).assess(case.case_id)
        assert asked.status is Status.QUEUED and asked.inquiry is not None and model.asked == 0
    async with open_store(tmp_path) as store:
        later = SaysLater(lambda: GOOD)
        case = await assessments_of(store, tmp_path, model=later).assess(case.case_id)
        assert case.status is Status.AUTHORIZED and later.asked == 1


async def test_where_another_model_was_asked_the_present_one_judges(tmp_path: Path) -> None:
    """The settings may change while the gateway is down."""
    async with open_store(tmp_path) as store:
        case = await open_case(store)
        await assessments_of(store, tmp_path, model=SaysLater(lambda: GOOD)).assess(case.case_id)
        other = Says(lambda: GOOD | {"risk_score": 99})
        other.name = "another model"
        case = await assessments_of(store, tmp_path, model=other).assess(case.case_id)
        assert case.status is Status.PENDING_REVIEW and other.asked == 1


async def test_a_slow_model_does_not_hold_up_other_calls(tmp_path: Path) -> None:
    """They are judged while it thinks, by the same one."""
    release = asyncio.Event()

    async def think() -> Any:
        await release.wait()
        return GOOD

    answers: list[Callable[[], Any]] = [think, lambda: GOOD]
    async with open_store(tmp_path) as store:
        slow, quick = await open_case(store), await open_case(store, tool_call("check_status", a=1))
        model = Says(lambda: answers[model.asked - 1]())
        assessments = assessments_of(store, tmp_path, model=model)
        waiting = asyncio.create_task(assessments.assess(slow.case_id))
        while not model.asked:
            await asyncio.wait([waiting], timeout=0.01)
        assert (await assessments.assess(quick.case_id)).status is Status.AUTHORIZED
        assert not waiting.done()
        release.set()
        assert (await waiting).status is Status.AUTHORIZED


async def test_a_person_who_is_quicker_than_the_model_wins(tmp_path: Path) -> None:
    """The policy alone says who may decide; the model's answer, when it comes, changes nothing."""
    async with open_store(tmp_path) as store:
        case = await open_case(store)
        model = SaysLater(lambda: GOOD | {"risk_score": 99})
        assessments = assessments_of(store, tmp_path, model=model)
        await assessments.assess(case.case_id)
        decisions = decisions_by(assessments, store)
        await decisions.record(case.case_id, approval())
        after = await assessments.assess(case.case_id)
        assert after.status is Status.AUTHORIZED and after.decision is not None
        assert after.assessment is not None and after.assessment.model_score is None


async def test_an_answer_that_was_on_its_way_when_a_person_decided_changes_nothing(tmp_path: Path) -> None:
    """The first one on record."""
    release = asyncio.Event()

    async def wait() -> Any:
        await release.wait()
        return GOOD | {"risk_score": 99}

    async with open_store(tmp_path) as store:
        case = await open_case(store)
        assessments = assessments_of(store, tmp_path, model=Says(wait), seconds=20)
        asking = asyncio.create_task(assessments.assess(case.case_id))
        decisions = decisions_by(assessments, store)
        await decisions.record(case.case_id, approval())
        release.set()
        after = await asking
        assert after.status is Status.AUTHORIZED
        assert after.assessment is not None and after.assessment.model_score is None


async def test_of_two_questions_about_one_case_the_second_is_dropped(tmp_path: Path) -> None:
    """Two runs may ask at once; only what is on record is fetched."""
    async with open_store(tmp_path) as store:
        case = await open_case(store)
        first, second = SaysLater(lambda: GOOD), SaysLater(lambda: GOOD)
        second.reference = "fc-2"
        asked = await assessments_of(store, tmp_path, model=first).assess(case.case_id)
        late = assessments_of(store, tmp_path, model=second)
        judged = await late._model.ask(await late._question(case, NOT_THERE))  # type: ignore[union-attr]
        late._judge = AsyncMock(return_value=judged)  # type: ignore[method-assign]
        assert (await late.assess(case.case_id)).inquiry == asked.inquiry
        await late._model.close()  # type: ignore[union-attr]
        assert (first.cancelled, second.cancelled) == ([], ["fc-2"])


async def test_what_a_model_calls_prohibited_goes_to_a_person_with_any_number(tmp_path: Path) -> None:
    """An answer that contradicts itself approves nothing."""
    case = await assessed(tmp_path, LENIENT, Says(lambda: GOOD | {"classification": "Prohibited"}))
    assert case.status is Status.PENDING_REVIEW


async def test_a_denial_that_came_into_force_while_the_model_thought_holds(tmp_path: Path) -> None:
    """The policy is asked again when the answer is there."""
    async with open_store(tmp_path) as store:
        case = await open_case(store)
        path = tmp_path / "policy.toml"

        def deny() -> Any:
            path.write_text('[[rule]]\ntool = "check_status"\ndeny = true')
            assessments._policy.reload()
            return GOOD

        assessments = assessments_of(store, tmp_path, model=Says(deny))
        assert (await assessments.assess(case.case_id)).status is Status.DENIED


@pytest.mark.parametrize(("given", "is_denied"), [(365, True), ("365", True), (7, False), ("7", False)])
async def test_the_policy_rules_on_what_the_tool_will_get(
    tmp_path: Path, given: Any, is_denied: bool
) -> None:
    """FastMCP makes a number of a text that is one; a denial cannot be evaded by quotation marks."""
    server = FastMCP("tools")

    @server.tool
    def check_status(days: int, flag: bool = False) -> str:
        """Look."""
        return ""

    policy = (
        '[[rule]]\ntool = "check_status"\nwhen = "args.days > 30"\ndeny = true\n' + LENIENT.split("\n", 1)[1]
    )
    async with open_store(tmp_path) as store:
        case = await open_case(store, tool_call("check_status", days=given))
        assessments = assessments_of(store, tmp_path, policy=policy, server=server)
        case = await assessments.assess(case.case_id)
    assert (case.status is Status.DENIED) is is_denied
    assert case.call.arguments == {"days": given}  # what is executed stays as it came


class Upstream:
    """A server with one tool from elsewhere, which changes as the test likes."""

    def __init__(self) -> None:
        self.server = FastMCP("gateway")
        self.change("Look.")

    def change(self, description: str) -> None:
        """Another description from now on."""

        def check_status(text: str) -> str:
            return text

        tool = Tool.from_function(check_status, description=description, meta={UPSTREAM_META: "files"})
        with suppress(KeyError):
            self.server.local_provider.remove_tool("check_status")
        self.server.add_tool(tool)


SEEN = [
    # what the tool says at each call, and whether the policy's score counts for it
    (["Look.", "Look."], [True, True]),
    (["Look.", "Delete.", "Delete.", "Look."], [True, False, False, True]),
]


@pytest.mark.parametrize(("said", "counts"), SEEN)
@pytest.mark.parametrize("model", [None, 0], ids=["policy alone", "model"])
async def test_an_upstream_tool_that_changed_since_the_policy_did_is_for_a_person_no_matter_what_a_model_says(
    tmp_path: Path, said: list[str], counts: list[bool], model: int | None
) -> None:
    """As long as it is not what it was when it was first seen under this policy."""
    upstream, harmless = Upstream(), Says(lambda: GOOD | {"risk_score": model})
    async with open_store(tmp_path) as store:
        assessments = assessments_of(
            store, tmp_path, server=upstream.server, model=None if model is None else harmless
        )
        approved = []
        for number, description in enumerate(said):
            upstream.change(description)
            case = await open_case(store, tool_call("check_status", text=str(number)))
            case = await assessments.assess(case.case_id)
            approved.append(case.status is Status.AUTHORIZED)
            assert case.assessment is not None and case.assessment.ruling is not None
            assert ("its description" in case.assessment.ruling.rationale) is not approved[-1]
    assert approved == counts


async def test_an_upstream_tool_that_changed_is_known_again_when_the_policy_file_has_changed(
    tmp_path: Path,
) -> None:
    """And what the policy denies stays denied, with any tool."""
    upstream = Upstream()
    async with open_store(tmp_path) as store:
        assessments = assessments_of(store, tmp_path, server=upstream.server)
        await assessments.rule(await open_case(store, tool_call("check_status", text="a")))
        upstream.change("Delete.")
        assert (
            await assessments.rule(await open_case(store, tool_call("check_status", text="a")))
        ).needs_person
        (tmp_path / "policy.toml").write_text(LENIENT + "# looked at\n")
        assessments._policy.reload()
        assert not (
            await assessments.rule(await open_case(store, tool_call("check_status", text="a")))
        ).needs_person
        (tmp_path / "policy.toml").write_text('[[rule]]\ntool = "check_status"\ndeny = true\n')
        assessments._policy.reload()
        upstream.change("Look.")
        assert (await assessments.rule(await open_case(store, tool_call("check_status", text="a")))).is_denied


async def test_a_rule_that_names_the_changed_definition_vouches_for_it(tmp_path: Path) -> None:
    """Also if another one was the first to be seen under this file."""
    upstream = Upstream()
    upstream.change("Delete.")
    pinned = f'definition = "sha256:{await definition_of_upstream(upstream)}"\n'
    async with open_store(tmp_path) as store:
        assessments = assessments_of(store, tmp_path, server=upstream.server, policy=LENIENT + pinned)
        upstream.change("Look.")
        assert (
            await assessments.rule(await open_case(store, tool_call("check_status", text="a")))
        ).needs_person
        upstream.change("Delete.")
        assert not (
            await assessments.rule(await open_case(store, tool_call("check_status", text="a")))
        ).needs_person


async def definition_of_upstream(upstream: Upstream) -> str | None:
    """The digest of what the tool is now."""
    return (await tool_facts(upstream.server, "check_status")).definition_sha256


async def test_a_model_that_was_asked_about_what_the_tool_was_has_judged_nothing(tmp_path: Path) -> None:
    """The tool changed between the question and the answer."""
    upstream = Upstream()
    async with open_store(tmp_path) as store:
        case = await open_case(store, tool_call("check_status", text="a"))
        assessments = assessments_of(
            store, tmp_path, server=upstream.server, model=SaysLater(lambda: GOOD | {"risk_score": 0})
        )
        assert (await assessments.assess(case.case_id)).inquiry is not None
        upstream.change("Delete.")
        case = await assessments.assess(case.case_id)
        assert case.status is Status.PENDING_REVIEW and case.assessment is not None
        assert "changed while a model judged the call" in case.assessment.rationale


async def test_a_tool_that_cannot_be_looked_up_is_not_there(tmp_path: Path) -> None:
    """Nothing is approved or executed then; that its server does not answer is no change of it."""

    class Broken(FastMCP[Any]):
        async def get_tool(self, name: str, version: Any = None) -> Tool | None:
            raise ConnectionError

    async with open_store(tmp_path) as store:
        assessments = assessments_of(store, tmp_path, server=Broken("broken"))
        assert await assessments.definition_sha256(await open_case(store)) is None
        ruled = await assessments.rule(await open_case(store, tool_call("check_status")))
        assert ruled.definition_sha256 == NO_TOOL and ruled.needs_person


async def test_a_call_whose_arguments_its_changed_tool_does_not_take_can_still_be_put_before_a_person(
    tmp_path: Path,
) -> None:
    """They were checked when it was another one."""
    upstream = Upstream()
    async with open_store(tmp_path) as store:
        assessments = assessments_of(store, tmp_path, server=upstream.server)
        ruled = await assessments.rule(await open_case(store, tool_call("check_status", number=7)))
        assert ruled.definition_sha256 is not None and ruled.ruling is not None


async def test_what_a_tool_says_of_itself_is_what_the_judges_see(tmp_path: Path) -> None:
    """Description, annotations and tags; a tool that is not there says nothing."""
    server = FastMCP("tools")

    @server.tool(annotations=ToolAnnotations(read_only_hint=True, open_world_hint=False), tags={"b", "a"})
    def look() -> str:
        """Only look."""
        return ""

    facts = await tool_facts(server, "look")
    assert (facts.description, facts.is_read_only, facts.is_open_world) == ("Only look.", True, False)
    assert facts.tags == ("a", "b") and facts.is_destructive is None
    assert (await tool_facts(server, "gone")).description == ""


@pytest.mark.parametrize(("trust", "outside"), [("outside", True), ("inside", False)])
async def test_an_assessment_says_whether_the_answer_will_come_from_third_parties(
    tmp_path: Path, trust: str, outside: bool
) -> None:
    """As the policy in force says it; later calls read it there."""
    policy = f'[[rule]]\ntool = "check_status"\nscore = 1\ntrust = "{trust}"\n'
    async with open_store(tmp_path) as store:
        case = await open_case(store, tool_call("check_status"))
        case = await assessments_of(store, tmp_path, policy=policy).assess(case.case_id)
        assert case.assessment is not None and case.assessment.is_outside is outside
