"""The fields of a changed approval: what runs is what a person wrote, and no more; all else is refused."""

import html
import json
import re
from collections.abc import AsyncIterator
from contextlib import closing

import pytest
import pytest_asyncio
from desk_case import Desk, desk, field, form_of
from gateway_process import status_of
from kept import store_by_hand
from upstream_by_hand import tool

pytestmark = pytest.mark.asyncio(loop_scope="session")

FREE = tool("free", title="Do anything", description="Takes anything.", inputSchema={"type": "object"})
POLICY = """
[[rule]]
tool = "far_free"
when = "!('two' in args)"
score = 80
may_edit = ["a", "b", "to", "to.iban"]

[[rule]]
tool = "far_free"
when = "'two' in args"
score = 80
approvals = 2
may_edit = ["a", "b"]
"""


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def at(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Desk]:
    """A gateway whose policy lets people change what any call has in a, b and to."""
    async with desk(tmp_path_factory.mktemp("fields"), FREE, policy=POLICY) as one:
        yield one


def mistake(text: str) -> str:
    """The sentence of a refusal."""
    found = re.search(r'id="mistake"[^>]*>(.*?)</p>', text, re.DOTALL)
    return html.unescape(re.sub("<[^>]+>", "", found[1])) if found else ""


async def change(at: Desk, reference: str, name: str = "anna", **fields: str) -> tuple[int, str]:
    """A changed approval with what stands in the fields; the status, and the sentence of a refusal."""
    async with at.person(name) as person:
        page = (await person.get(f"/desk/cases/{reference}")).text
        form = form_of(page, "CHANGED") | {f"edit:{path}": text for path, text in fields.items()}
        answer = await person.post(f"/desk/cases/{reference}/decision", data=form)
    return answer.status_code, mistake(answer.text)


def edits_of(at: Desk, reference: str) -> list[str]:
    """The arguments that people have written for a case."""
    with closing(store_by_hand(at.gateway.data)) as connection:
        query = "SELECT arguments FROM edits WHERE case_id = ?"
        return [text for (text,) in connection.execute(query, (reference,))]


async def test_a_field_that_was_not_touched_does_not_undo_the_change_of_another(at: Desk) -> None:
    """A browser sends the part of what was changed as it was shown."""
    reference = await at.ask("far_free", to={"iban": "OLD"}, key="part")
    changed = {"to": '{"iban": "NEW"}', "to.iban": "OLD"}
    assert await change(at, reference, **changed) == (303, "")
    [written] = edits_of(at, reference)
    assert '"NEW"' in written and '"OLD"' not in written


async def test_two_changes_of_one_argument_that_differ_are_refused(at: Desk) -> None:
    """No one can know which is meant, and nothing is approved."""
    reference = await at.ask("far_free", to={"iban": "OLD"}, key="contrary")
    status, said = await change(at, reference, **{"to": '{"iban": "NEW"}', "to.iban": "OTHER"})
    assert status == 422 and said.startswith("You changed to and to.iban, which is a part of it, in two ways")
    assert status_of(at.gateway, reference) == "PENDING_REVIEW"


@pytest.mark.parametrize(
    ("before", "text", "said"),
    [
        (1, "1e17", "a is beyond ±9007199254740991."),
        (1, "12345678901234567.891", "cannot be kept as a number"),
        (1, "1e-400", "it would become 0.0"),
        (1, "1.0", "You changed no argument."),
        ({"x": 1}, '{"x": 5, "x": 6}', "The name x stands twice in one place."),
        ({"x": 1}, '{"x": "\\ud800"}', "no canonical form"),
        ([1], "[" * 510 + "]" * 510, "no canonical form"),
        ("t\u202e", "t", "Write it as JSON, in quotes"),
    ],
)
async def test_what_cannot_run_as_it_was_typed_is_refused(
    at: Desk, before: object, text: str, said: str
) -> None:
    """With a sentence on the page of the case, and nothing is approved."""
    reference = await at.ask("far_free", a=before, key=f"refused {text[:30]}")
    status, told = await change(at, reference, a=text)
    assert (
        status == 422 and said in told and "Nothing was done" in told + "Nothing was done" * ("form" in told)
    )
    assert status_of(at.gateway, reference) == "PENDING_REVIEW" and edits_of(at, reference) == []


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ('"arguments": {"a": 1e17, "key": "program"}', "a is beyond"),
        ('"arguments": {"a": 2, "a": 3, "key": "program"}', "The name a stands twice"),
        ('"arguments": {"a": 1e-400, "key": "program"}', "it would become 0.0"),
        ('"arguments": {"a": NaN, "key": "program"}', "NaN is no number"),
        ('"round": 10000000000000000000000', "beyond"),
        ('"round": 2147483648', "less than or equal"),
    ],
)
async def test_a_program_hears_the_same(at: Desk, body: str, said: str) -> None:
    """And never that the gateway has a fault."""
    reference = await at.ask("far_free", a=1, key="program")
    text = f'{{"event_id": "{reference}", "decision": "APPROVED", {body}}}'
    async with at.person() as person:
        answer = await person.post(
            "/webhook/approval", content=text, headers={"Content-Type": "application/json"}
        )
    assert answer.status_code == 422 and said in answer.json()["detail"]
    assert status_of(at.gateway, reference) == "PENDING_REVIEW"


@pytest.mark.parametrize("character", ["\u202e", "\u3164", "\u200b", "\u00a0", "\U000e0041"])
async def test_a_field_shows_what_is_not_seen_as_an_escape(at: Desk, character: str) -> None:
    """As JSON, in a text alone and inside of an object; what is sent back unchanged changes nothing."""
    text = f"{character}é {character}x"
    reference = await at.ask("far_free", a=text, b={"in": [text]}, key=f"seen {ord(character)}")
    async with at.person() as person:
        page = (await person.get(f"/desk/cases/{reference}")).text
    fold = page[page.index('id="changes"') : page.index("Approve with changes")]
    escape = json.dumps(character)[1:-1]
    assert character not in fold.replace("e\u0301", "") and html.unescape(fold).count(escape) == 4
    shown = f'"{escape}é {escape}x"'
    assert await change(at, reference, a=shown) == (422, "You changed no argument. Nothing was done.")
    assert (await change(at, reference, a=f'"{escape}z"'))[0] == 303
    [written] = edits_of(at, reference)
    assert f"{character}z" in written or f"{escape}z" in written


async def test_what_was_typed_for_another_round_is_named_and_not_put_into_the_fields(at: Desk) -> None:
    """Without scripts too: no change of the other person is undone."""
    reference = await at.ask("far_free", a="100", b="old", two="rounds")
    async with at.person() as anna:
        before = (await anna.get(f"/desk/cases/{reference}")).text
        assert (await change(at, reference, "ben", a="100", b="of ben"))[0] == 303
        form = form_of(before, "CHANGED") | {"edit:a": "150", "edit:b": "old"}
        answer = await anna.post(f"/desk/cases/{reference}/decision", data=form)
        assert answer.status_code == 409
        assert 'name="edit:a" value="100"' in answer.text and 'name="edit:b" value="of ben"' in answer.text
        dropped = answer.text[answer.text.index('id="dropped"') :].partition("</ul>")[0]
        assert "150" in dropped and "old" not in dropped
        assert field(answer.text, "round") == "2"
    assert len(edits_of(at, reference)) == 1


async def test_an_edit_that_is_sent_again_counts_once(at: Desk) -> None:
    """As when its answer was lost: the form of the first round is a success again."""
    reference = await at.ask("far_free", a="1", two="sent again")
    async with at.person() as anna:
        page = (await anna.get(f"/desk/cases/{reference}")).text
        form = form_of(page, "CHANGED") | {"edit:a": "2"}
        for _ in range(2):
            answer = await anna.post(f"/desk/cases/{reference}/decision", data=form)
            assert answer.status_code == 303
    assert len(edits_of(at, reference)) == 1


@pytest.mark.parametrize("begin", ["12345678901234567890", "9" * 5000, "-1"])
async def test_no_place_in_a_list_of_lines_is_too_far(at: Desk, begin: str) -> None:
    """It is past the end, or no number."""
    reference = await at.ask("far_free", a="far")
    async with at.person() as person:
        answer = await person.get(f"/desk/cases/{reference}/all/arguments?begin={begin}")
        newer = await person.get(f"/desk/live/newer?after={begin}")
    assert answer.status_code in (200, 422) and newer.status_code in (200, 422)
