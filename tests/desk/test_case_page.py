"""The page of a case over HTTP: what it says, in which order, and what becomes of its forms."""

import re
from collections.abc import AsyncIterator
from functools import partial
from hashlib import sha256
from html import unescape
from pathlib import Path

import pytest
import pytest_asyncio
from desk_case import POLICY, Desk, desk, form_of
from gateway_process import eventually, status_of
from kept import entries_in

from atlas import ledger
from atlas.canonical import canonical_json
from atlas.desk.case.values import parts_of

pytestmark = pytest.mark.asyncio(loop_scope="module")
TAGS = re.compile(r"<[^>]*>|\s+")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def at(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Desk]:
    """A gateway whose server pays invoices."""
    async with desk(tmp_path_factory.mktemp("desk")) as made:
        yield made


def read(page: str) -> str:
    """What a page says, as one line."""
    return re.sub(" +", " ", unescape(TAGS.sub(" ", page)))


async def page_of(at: Desk, reference: str, name: str = "anna") -> str:
    """The page of a case."""
    async with at.person(name) as person:
        answer = await person.get(f"/desk/cases/{reference}")
    assert answer.status_code == 200
    return answer.text


async def test_a_page_says_what_will_happen_then_the_rest_in_order(at: Desk) -> None:
    """The sentence comes from the recorded title and the arguments; required ones come first."""
    reference = await at.ask(invoice_id="R-7", amount=12.5, meta={"io.atlas/intent": "settle the books"})
    page = await page_of(at, reference)
    said = read(page)
    assert "Pay an invoice If you approve, the gateway calls the tool far_pay of the server far once" in said
    assert "invoice_id = “ R-7 ” , amount = 12.5" in said.replace("”,", "” ,")
    headings = re.findall(r"<h[12] id=\"(\w+)\"", page)
    assert headings == [
        *("what", "arguments", "why", "claims", "decide", "before", "comments", "timeline"),
    ]
    for fact in (
        "90",
        "money leaves",
        "The house rules, section 4",
        "far_pay (line 4)",
        "It pays money out.",
    ):
        assert fact in said
    assert "a claim, not checked" in said and "settle the books" in said
    form = canonical_json({"invoice_id": "R-7", "amount": 12.5})
    assert sha256(form).hexdigest() in page
    async with at.person() as person:
        file = await person.get(f"/desk/cases/{reference}/arguments.json")
    assert file.content == form and "attachment" in file.headers["content-disposition"]


async def test_the_sentence_names_each_argument_or_says_how_many_more_there_are(at: Desk) -> None:
    """A long value is cut, and says so."""
    many = {f"field_{number:02}": number for number in range(12)}
    said = read(await page_of(at, await at.ask(invoice_id="x" * 200, **many)))
    assert "120 more characters" in said
    assert "field_06 = 6" in said and "and 5 more arguments" in said


async def test_a_rejection_needs_a_reason_and_a_chosen_one_counts(at: Desk) -> None:
    """Without one nothing is done, and what was written stays."""
    reference = await at.ask(invoice_id="R-8")
    async with at.person() as person:
        page = await page_of(at, reference)
        path = f"/desk/cases/{reference}/decision"
        refused = await person.post(path, data=form_of(page, "REJECTED", reason="  "))
        assert refused.status_code == 422 and "Say why you reject" in refused.text
        assert status_of(at.gateway, reference) == "PENDING_REVIEW"
        neither = await person.post(path, data=form_of(page, "WAVED_THROUGH", reason="keep me"))
        assert neither.status_code == 422 and "keep me" in neither.text
        long = await person.post(path, data=form_of(page, "REJECTED", reason="x" * 4001))
        assert long.status_code == 422 and status_of(at.gateway, reference) == "PENDING_REVIEW"
        said = form_of(page, "REJECTED", preset="The wrong invoice.", reason="It is R-9.\u202e")
        done = await person.post(path, data=said)
    assert done.status_code == 303
    entries = [entry for entry in entries_in(at.gateway.data) if entry["case_id"] == reference]
    rejected = next(entry for entry in entries if entry["action"] == "decide.rejected")
    assert (rejected["actor"], rejected["detail"]["reason"]) == ("anna", "The wrong invoice. It is R-9.")
    page = await page_of(at, reference)
    assert "Rejected by anna at" in read(page) and '<button class="danger"' not in page


async def test_the_same_form_twice_is_a_success_and_the_slower_person_is_told_by_whom(at: Desk) -> None:
    """A double click is no fault; a colleague who was quicker has a name and a time."""
    reference = await at.ask(invoice_id="R-10")
    pages = {name: await page_of(at, reference, name) for name in ("anna", "ben")}
    path = f"/desk/cases/{reference}/decision"
    async with at.person("anna") as anna, at.person("ben") as ben:
        form = form_of(pages["anna"], "APPROVED")
        answers = [await anna.post(path, data=form) for _ in range(2)]
        late = await ben.post(path, data=form_of(pages["ben"], "APPROVED", reason="looks fine"))
        await eventually(partial(has_status, at, reference, "EXECUTED"))
        contrary = await ben.post(path, data=form_of(pages["ben"], "REJECTED", reason="no"))
    assert [answer.status_code for answer in answers] == [303, 303]
    assert late.status_code == 409 and contrary.status_code == 409
    assert re.search(r"already approved by anna at \d\d:\d\d", read(late.text))
    assert "approved by anna at" in read(contrary.text)
    assert (
        sum(
            message.get("params", {}).get("arguments") == {"invoice_id": "R-10"}
            for message in at.upstream.came
        )
        <= 1
    )


async def has_status(at: Desk, reference: str, status: str) -> bool:
    """Whether a case stands there."""
    return status_of(at.gateway, reference) == status


@pytest.mark.sqlite("a changed file is not in force with PostgreSQL: tests/acceptance/test_one_policy.py")
async def test_a_page_that_is_older_than_the_case_is_refused_with_what_changed(at: Desk) -> None:
    """The policy was changed meanwhile; the page then shows each difference, and the new round counts."""
    reference = await at.ask(invoice_id="R-11")
    page = await page_of(at, reference)
    path = f"/desk/cases/{reference}/decision"
    other = POLICY.replace("section 4", "section 5").replace("score = 90", "score = 91")
    try:
        await at.gateway.takes_policy(at.policy, other)
        async with at.person() as person:
            answer = await person.post(path, data=form_of(page, "APPROVED"))
        assert answer.status_code == 409
        said = read(answer.text)
        assert "The policy was changed since this call was judged" in said and "nothing was approved" in said
        assert "the policy: legal_basis was The house rules, section 4 is The house rules, section 5" in said
        assert "this is round 2" in said
        async with at.person() as person:
            done = await person.post(path, data=form_of(await page_of(at, reference), "APPROVED"))
        assert done.status_code == 303
    finally:
        await at.gateway.takes_policy(at.policy, POLICY)


async def test_who_cannot_approve_is_told_why_and_can_reject(at: Desk) -> None:
    """The policy names others, or the person has approved already and another one has to."""
    reference = await at.ask("far_pay_twice", invoice_id="R-12")
    carl = await page_of(at, reference, "carl")
    assert (
        f"The policy lets anna, ben approve case {reference}, not carl." in read(carl)
        and 'value="APPROVED"' not in carl
    )
    assert 'value="REJECTED"' in carl
    page = await page_of(at, reference)
    async with at.person() as anna:
        await anna.post(f"/desk/cases/{reference}/decision", data=form_of(page, "APPROVED", reason="seen"))
    page = await page_of(at, reference)
    assert "You have approved it." in read(page) and "1 of 2" in read(page) and 'value="APPROVED"' not in page
    assert 'value="APPROVED"' in await page_of(at, reference, "ben")


async def test_earlier_cases_are_shown_as_evidence(at: Desk) -> None:
    """What the agent asked for before, and what people decided on the same tool and subject."""
    first, other = await at.ask(invoice_id="R-20", amount=1), await at.ask(invoice_id="R-21", amount=1)
    async with at.person("ben") as ben:
        for reference in (first, other):
            form = form_of(await page_of(at, reference, "ben"), "REJECTED", reason=f"no to {reference}")
            bb = await ben.post(f"/desk/cases/{reference}/decision", data=form)
        print(form, bb.status_code, re.findall("(?s)id=.mistake.*?</p>", bb.text))
    page = await page_of(at, await at.ask(invoice_id="R-20", amount=2))
    _, _, before = page.partition('<h2 id="before">')
    of_agent, _, alike = before.partition("Earlier cases: evidence, not authority")
    assert first in of_agent and other in of_agent
    assert f"no to {first}" in alike and other not in alike.partition('<h2 id="comments">')[0]


@pytest.mark.parametrize(
    ("texts", "structured", "shown_texts", "has_lines"),
    [
        (["done"], {"result": "done"}, ["done"], False),  # as servers wrap a text
        (['{"b": 2, "a": 1}'], {"a": 1, "b": 2}, [], True),  # as they repeat it for older clients
        (["done", '{"a": 1}'], {"a": 1}, ["done"], True),
        (['{"a": 2}'], {"a": 1}, ['{"a": 2}'], True),  # they differ, so both are shown
        (["done"], {"result": "not done"}, ["done"], True),
        (["done", "twice"], {"result": "done"}, ["done", "twice"], True),
        (['{"a": 1}'], None, ['{"a": 1}'], False),
        (["[" * 50_000], {"a": 1}, ["[" * 50_000], True),
        (["null"], None, ["null"], False),
    ],
)
async def test_what_a_tool_answers_twice_is_shown_once(
    texts: list[str], structured: object, shown_texts: list[str], has_lines: bool
) -> None:
    """And what is said only once, or differs, is always shown."""
    result = {"content": [{"type": "text", "text": text} for text in texts], "structuredContent": structured}
    parts = parts_of(result)
    assert parts["texts"] == shown_texts
    assert (parts["structured"] is not None) is has_lines


async def test_a_page_leads_to_the_stop_of_its_agent_and_of_its_tool(at: Desk) -> None:
    """The form is filled in; nothing is stopped before it is sent."""
    page = await page_of(at, await at.ask(invoice_id="S-1"))
    links = [unescape(link) for link in re.findall(r'href="(/desk/stop\?[^"]*)"', page)]
    assert links == ["/desk/stop?scope=agent&agent=billing-bot", "/desk/stop?scope=tool&tool=far_pay"]
    async with at.person() as person:
        for link, name in zip(links, ("billing-bot", "far_pay"), strict=True):
            form = (await person.get(link)).text
            assert re.search(r'value="(agent|tool)" required checked', form) and f'value="{name}"' in form
            assert "Nothing is stopped." in form and "aria-invalid" not in form
        hostile = (await person.get("/desk/stop", params={"scope": "agent", "agent": '"><script>x'})).text
        assert "<script>x" not in hostile


async def test_a_comment_is_kept_once_with_its_digest_in_the_ledger(at: Desk) -> None:
    """A double click writes one; an empty one and one that is too long are refused."""
    reference = await at.ask(invoice_id="R-30")
    token = {"form_token": ""}
    path = f"/desk/cases/{reference}/comments"
    async with at.person("ben") as ben:
        for _ in range(2):
            assert (await ben.post(path, data=token | {"text": "Ask Carl.\r\n<b>"})).status_code == 303
        assert (await ben.post(path, data=token | {"text": "  "})).status_code == 422
        assert (await ben.post(path, data=token | {"text": "x" * 4001})).status_code == 422
    page = await page_of(at, reference)
    assert page.count("Ask Carl.\n&lt;b&gt;") == 1
    entries = [
        entry
        for entry in entries_in(at.gateway.data)
        if entry["case_id"] == reference and entry["action"] == "decide.commented"
    ]
    assert [entry["detail"]["text_sha256"] for entry in entries] == [sha256(b"Ask Carl.\n<b>").hexdigest()]
    assert [entry["actor"] for entry in entries] == ["ben"]


async def test_the_timeline_has_every_entry_with_its_hash(at: Desk) -> None:
    """As the ledger has them, which still verifies."""
    reference = await at.ask(invoice_id="R-31")
    page = await page_of(at, reference)
    entries = [entry for entry in entries_in(at.gateway.data) if entry["case_id"] == reference]
    assert entries and all(entry["entry_hash"] in page and entry["action"] in page for entry in entries)
    ledger.verify(entries_in(at.gateway.data))


async def test_others_are_told_who_looks(at: Desk) -> None:
    """By name, and no one of herself."""
    reference = await at.ask(invoice_id="R-32")
    await page_of(at, reference, "ben")
    assert "ben looks at this case too." in read(await page_of(at, reference, "anna"))
    assert "anna looks at this case too." in read(await page_of(at, reference, "ben"))


async def test_all_of_a_megabyte_is_there_a_stretch_at_a_time(at: Desk) -> None:
    """The page itself stays small; the stretches together are the whole text, and no link is missing."""
    text = "".join(chr(0x61 + number % 26) for number in range(1_000_000))
    reference = await at.ask(invoice_id=text, amount=1)
    page = await page_of(at, reference)
    assert len(page) < 100_000
    found, path = "", f"/desk/cases/{reference}/all/arguments"
    async with at.person() as person:
        while path:
            stretch = (await person.get(path)).text
            assert len(stretch) < 100_000
            found += "".join(
                re.findall(
                    r'<li class="depth-0 (?:text|more)">.*?<bdi class="seen">([a-z]+)</bdi></span>\s*<[/d]',
                    stretch,
                )
            )
            step = re.search(r'href="(\?begin=\d+)" data-key="n"', stretch)
            path = f"/desk/cases/{reference}/all/arguments{step[1]}" if step else ""
    assert found == text


async def test_a_missing_case_is_a_page_that_says_so(at: Desk) -> None:
    """With the status of any missing thing; so are its parts."""
    async with at.person() as person:
        for path in ("", "/all/arguments", "/arguments.json"):
            answer = await person.get(f"/desk/cases/evt_0000000000000000{path}")
            assert answer.status_code == 404 and "There is no case evt_0000000000000000" in answer.text


async def test_views_are_recorded_where_the_policy_says_so(tmp_path: Path) -> None:
    """Once for each person in ten minutes; a live update of what they saw is none."""
    async with desk(tmp_path, policy="record_views = true\n" + POLICY) as at:
        reference = await at.ask(invoice_id="R-1")
        for name in ("anna", "anna", "ben"):
            await page_of(at, reference, name)
        async with at.person() as anna:
            await anna.get(f"/desk/cases/{reference}", headers=LIVE)
        assert views(at, reference) == [("anna", 1), ("ben", 1)]


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        ("", {"HX-Request": "true"}),
        ("", {"HX-Request": "true", "Desk-Automatic": "true"}),
        ("/all/arguments", {}),
        ("/all/canonical", {"HX-Request": "true"}),
        ("/arguments.json", {}),
    ],
)
async def test_no_way_to_the_arguments_is_without_a_view(
    recording: Desk, path: str, headers: dict[str, str]
) -> None:
    """Each of them is one entry, however often it is taken."""
    reference = await recording.ask(invoice_id=f"R-1 {path} {len(headers)}")
    async with recording.person("carl") as carl:
        for _ in range(2):
            answer = await carl.get(f"/desk/cases/{reference}{path}", headers=headers)
            assert answer.status_code == 200 and "R-1" in answer.text
    assert views(recording, reference) == [("carl", 1)]


async def changed_by_ben(at: Desk, amount: int) -> tuple[str, str, str]:
    """The reference of a call that ben changed, its page for anna before that, and what ben was told."""
    reference = await at.ask("far_pay_twice", invoice_id=f"R-{amount}", amount=1)
    first = await page_of(at, reference)
    async with at.person("ben") as ben:
        form = form_of(await page_of(at, reference, "ben"), "CHANGED", **{"edit:amount": str(amount)})
        told = (await ben.post(f"/desk/cases/{reference}/decision", data=form)).text
    return reference, first, read(told)


async def test_a_page_that_became_another_round_is_a_view_of_it(recording: Desk) -> None:
    """Whether it came by a live update, or as the answer to a form; and that is no advice for programs."""
    reference, first, _ = await changed_by_ben(recording, 2)
    assert views(recording, reference) == [("anna", 1), ("ben", 1)]
    async with recording.person() as anna:
        for _ in range(2):
            page = (await anna.get(f"/desk/cases/{reference}", headers=LIVE)).text
            assert 'name="round" value="2"' in page
        assert views(recording, reference)[2:] == [("anna", 2)]
        form = form_of(first, "APPROVED")
        told = read((await anna.post(f"/desk/cases/{reference}/decision", data=form)).text)
    assert "Look at it as the page shows it now, and decide on that." in told and '"round"' not in told


async def test_a_live_update_with_another_round_opens_it(recording: Desk) -> None:
    """Of a person who has the call open it is not said that they have not, and their time runs."""
    reference, _, told = await changed_by_ben(recording, 200)
    assert "The call waits in round 2: approve that, as the page shows it now." in told
    async with recording.person() as anna:
        for headers, said in (
            ({}, "You have not opened this call since it was judged again."),
            (LIVE, "This call was judged again, and you have seen it as it is now for "),
        ):
            if headers:
                await anna.get(f"/desk/cases/{reference}", headers=headers)
            vote = {"event_id": reference, "decision": "APPROVED", "round": 2}
            answer = await anna.post("/webhook/approval", json=vote)
            assert answer.json()["detail"].startswith(said), answer.text


LIVE = {"HX-Request": "true", "Desk-Automatic": "true"}  # as an open page asks for what changed
SLOW = """
record_views = true

[[rule]]
tool = "far_pay*"
score = 90
approvals = 2
may_edit = ["amount"]

[[rule]]
tool = "far_pay_twice"
when = "args.amount > 100"
min_seconds = 600
"""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def recording(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Desk]:
    """A gateway that records views, and gives people ten minutes to look at a large payment."""
    async with desk(tmp_path_factory.mktemp("views"), policy=SLOW) as made:
        yield made


def views(at: Desk, reference: str) -> list[tuple[str, int]]:
    """Who saw a case, and which round."""
    seen = [entry for entry in entries_in(at.gateway.data) if entry["action"] == "decide.viewed"]
    return [(one["actor"], one["detail"]["round"]) for one in seen if one["case_id"] == reference]
