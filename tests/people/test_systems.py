"""Systems decide for their people by signature: who that is, what is refused, and what is on record."""

import re
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio
from command_of_test import ran_beside
from gateway_process import AGENT_KEY, GatewayProcess, eventually
from people import ANNA, client, named_gateway, waiting
from systems import OF_CHAT, OF_CHAT_NEXT, OF_TICKETS, SYSTEMS, post, said, secret_of, signed

from atlas.canonical import digest

pytestmark = pytest.mark.asyncio(loop_scope="module")

POLICY = """
[[rule]]
name = "all"
tool = "*"
score = 80

[[rule]]
name = "seniors alone"
tool = "*"
when = '"seniors" in args.changes'
reviewers = ["group:seniors"]
score = 80

[[rule]]
name = "with a passkey"
tool = "*"
when = '"passkey" in args.changes'
step_up = true
score = 80
"""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def gateway(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[GatewayProcess]:
    """One gateway with two systems, of which one has two secrets."""
    directory = tmp_path_factory.mktemp("systems")
    process = named_gateway(directory, **SYSTEMS)
    await process.start()
    yield process
    await process.kill()


async def one_waits(gateway: GatewayProcess, **changes: Any) -> str:
    """The reference of a new call that waits."""
    (case_id,) = await waiting(gateway, unlike_others=str(time.time_ns()), **changes)
    return case_id


async def told(gateway: GatewayProcess, case_id: str) -> dict[str, Any]:
    """A case as a reviewer's program reads it."""
    async with client(gateway) as http:
        case: dict[str, Any] = (await http.get(f"/cases/{case_id}")).json()
    return case


async def assert_nothing_was_done(gateway: GatewayProcess, case_id: str) -> None:
    """No decision, and no approval."""
    case = await told(gateway, case_id)
    assert (case["status"], case["decision"], case["ruling"]["given"]) == ("PENDING_REVIEW", None, [])


def assert_refused(answer: httpx.Response, status: int, error: str, *words: str) -> None:
    """The status, the error, and words of its sentence."""
    assert (answer.status_code, answer.json()["error"]) == (status, error), answer.text
    for word in words:
        assert word in answer.json()["detail"]


@pytest.mark.parametrize("decision", ["APPROVED", "REJECTED"])
async def test_a_signed_decision_is_that_of_the_mapped_person_and_says_through_which_system(
    gateway: GatewayProcess, decision: str
) -> None:
    """In the case and in the ledger."""
    case_id = await one_waits(gateway)
    answer = await post(gateway, *signed(said(case_id, decision)))
    assert (answer.status_code, answer.json()["decision"]) == (200, decision)

    async def decided() -> Any:
        case = await told(gateway, case_id)
        return case if case["decision"] else None

    case = await eventually(decided)
    assert (case["decision"]["reviewer"], case["decision"]["way"]) == ("anna", "chat")
    (entry,) = [one for one in case["timeline"] if one["action"] in ("decide.approved", "decide.rejected")]
    assert (entry["actor"], entry["detail"]["way"]) == ("anna", "chat")


async def test_people_read_through_which_system_a_decision_came(gateway: GatewayProcess) -> None:
    """At the desk, and in a terminal."""
    case_id = await one_waits(gateway)
    await post(gateway, *signed(said(case_id, "REJECTED")))
    async with client(gateway) as http:
        page = (await http.get(f"/desk/cases/{case_id}")).text
    assert "Rejected by anna, through chat," in re.sub(r"<[^>]+>", "", page)
    shown = await command(gateway, "atlas.cases", "show", case_id, "--url", gateway.url, "--as", "anna")
    assert "anna, through chat" in shown


@pytest.mark.parametrize("secret", [OF_CHAT, OF_CHAT_NEXT])
async def test_a_system_signs_with_either_of_two_secrets(gateway: GatewayProcess, secret: str) -> None:
    """So that one can take the place of the other."""
    case_id = await one_waits(gateway)
    assert (await post(gateway, *signed(said(case_id), secret))).status_code == 200
    assert (await told(gateway, case_id))["decision"]["reviewer"] == "anna"


async def test_a_decision_of_a_key_names_no_system(gateway: GatewayProcess) -> None:
    """As before there were any."""
    case_id = await one_waits(gateway)
    await gateway.decide(case_id, "REJECTED", key=ANNA)
    assert (await told(gateway, case_id))["decision"]["way"] is None


async def test_the_same_message_again_is_the_same_success_and_no_second_decision(
    gateway: GatewayProcess,
) -> None:
    """A copy of the very bytes, and one that was signed at another time."""
    case_id = await one_waits(gateway)
    body = said(case_id, "REJECTED", reason="incomplete")
    first = await post(gateway, *signed(body, message_id="msg_again"))
    again = await post(gateway, *signed(body, message_id="msg_again"))
    later = await post(gateway, *signed(body, message_id="msg_again", age=60))
    assert first.json() == again.json() == later.json()
    assert [one.status_code for one in (first, again, later)] == [200, 200, 200]
    entries = [
        one for one in (await told(gateway, case_id))["timeline"] if one["action"] == "decide.rejected"
    ]
    assert len(entries) == 1


@pytest.mark.parametrize(
    "other",
    [{"reviewer": "U0BEN"}, {"decision": "APPROVED"}, {"reason": "something else"}],
    ids=["person", "decision", "reason"],
)
async def test_an_id_of_a_message_stands_for_one_decision(
    gateway: GatewayProcess, other: dict[str, str]
) -> None:
    """Of one person, on one call; also where another person of the system says it."""
    case_id, message_id = await one_waits(gateway), f"msg_{digest(other)[:12]}"
    first = said(case_id, "REJECTED")
    assert (await post(gateway, *signed(first, message_id=message_id))).status_code == 200
    changed = first | {"event_id": await one_waits(gateway)} | other
    assert_refused(await post(gateway, *signed(changed, message_id=message_id)), 409, "KeyUsed", message_id)
    await assert_nothing_was_done(gateway, changed["event_id"])


async def test_the_ids_of_two_systems_are_not_of_one_kind(gateway: GatewayProcess) -> None:
    """Nor is one a key of a reviewer's program."""
    first, second, third = [await one_waits(gateway) for _ in range(3)]
    answers = [
        await post(gateway, *signed(said(first, "REJECTED"), message_id="1")),
        await post(gateway, *signed(said(second, "REJECTED", "jdoe"), OF_TICKETS, message_id="1")),
        await gateway.decide(third, "REJECTED", key=ANNA, idempotency_key="1"),
    ]
    assert [one.status_code for one in answers] == [200, 200, 200]


@pytest.mark.parametrize("age", [301, 3600, -600, -86_400])
async def test_a_message_of_another_time_is_refused(gateway: GatewayProcess, age: int) -> None:
    """More than five minutes old, or from a clock that is ahead."""
    case_id = await one_waits(gateway)
    answer = await post(gateway, *signed(said(case_id), age=age))
    assert_refused(answer, 401, "SignatureRefused", "five minutes", "nothing was done")
    await assert_nothing_was_done(gateway, case_id)


async def test_a_changed_body_is_refused(gateway: GatewayProcess) -> None:
    """One blank, another decision, another person."""
    case_id = await one_waits(gateway)
    raw, headers = signed(said(case_id, "REJECTED"))
    for changed in (
        raw + b" ",
        raw.replace(b"REJECTED", b"APPROVED"),
        raw.replace(b"U024BE7LH", b"U0BEN"),
        b"\xff",
        b"",
    ):
        assert_refused(await post(gateway, changed, headers), 401, "SignatureRefused", "No secret in force")
    await assert_nothing_was_done(gateway, case_id)


@pytest.mark.parametrize(
    "changes",
    [
        {"webhook-id": "another"},
        {"webhook-timestamp": str(int(time.time()) + 1)},
        {"webhook-timestamp": "nan"},
        {"webhook-timestamp": "1e9"},
        {"webhook-signature": "v1,"},
        {"webhook-signature": "v1"},
        {"webhook-signature": "v1,AAAA v2,BBBB"},
        {"webhook-signature": "none"},
        {"webhook-id": ""},
        {"webhook-id": "x" * 201},
    ],
    ids=lambda one: next(iter(one.items())),
)
async def test_headers_that_were_not_signed_are_refused(
    gateway: GatewayProcess, changes: dict[str, str]
) -> None:
    """Each is a part of what the signature is over, or none at all."""
    case_id = await one_waits(gateway)
    raw, headers = signed(said(case_id), age=3)
    answer = await post(gateway, raw, headers | changes)
    assert_refused(answer, 401, "SignatureRefused")
    await assert_nothing_was_done(gateway, case_id)


@pytest.mark.parametrize("name", ["webhook-id", "webhook-timestamp", "webhook-signature"])
async def test_a_header_stands_exactly_once(gateway: GatewayProcess, name: str) -> None:
    """Without one there is no way back to a request that is not signed, not even beside a reviewer's key."""
    case_id = await one_waits(gateway)
    raw, headers = signed(said(case_id))
    twice = await post(gateway, raw, [*headers.items(), (name, headers[name])])
    assert_refused(twice, 401, "SignatureRefused", name, "there twice")
    without = {key: value for key, value in headers.items() if key != name}
    assert_refused(await post(gateway, raw, without), 401, "SignatureRefused", name, "missing")
    beside_a_key = without | {"Authorization": f"Bearer {ANNA}"}
    assert_refused(await post(gateway, raw, beside_a_key), 401, "SignatureRefused", "has a key")
    await assert_nothing_was_done(gateway, case_id)


async def test_an_unsigned_request_still_needs_a_key(gateway: GatewayProcess) -> None:
    """The mapped id in the body is worth nothing by itself."""
    case_id = await one_waits(gateway)
    answer = await post(gateway, signed(said(case_id))[0], {"content-type": "application/json"})
    assert_refused(answer, 401, "NotAuthenticated")
    with_key = await gateway.decide(case_id, key=ANNA, reviewer="U024BE7LH")
    assert_refused(with_key, 403, "NotPermitted", "cannot sign for U024BE7LH")
    await assert_nothing_was_done(gateway, case_id)


@pytest.mark.parametrize("authorization", [f"Bearer {AGENT_KEY}", AGENT_KEY, f"bearer  {AGENT_KEY}"])
async def test_a_signature_does_not_let_an_agent_in(gateway: GatewayProcess, authorization: str) -> None:
    """An agent that got hold of a signed message sends it with its own key."""
    case_id = await one_waits(gateway)
    raw, headers = signed(said(case_id))
    answer = await post(gateway, raw, headers | {"Authorization": authorization})
    assert_refused(answer, 403, "NotPermitted", "An agent cannot decide")
    await assert_nothing_was_done(gateway, case_id)


async def test_a_request_is_signed_or_bears_a_key(gateway: GatewayProcess) -> None:
    """Anna's key beside a message of Bruno: which of them decides must not be a question."""
    case_id = await one_waits(gateway)
    raw, headers = signed(said(case_id, reviewer="U0BEN"))
    answer = await post(gateway, raw, headers | {"Authorization": f"Bearer {ANNA}"})
    assert_refused(answer, 401, "SignatureRefused", "a reviewer's key")
    await assert_nothing_was_done(gateway, case_id)


@pytest.mark.parametrize(
    ("reviewer", "secret"),
    [("jdoe", OF_CHAT), ("U024BE7LH", OF_TICKETS), ("anna", OF_CHAT), ("u024be7lh", OF_CHAT)],
    ids=["of another system", "of another system too", "the name here", "in small letters"],
)
async def test_a_person_whom_the_settings_do_not_map_decides_nothing(
    gateway: GatewayProcess, reviewer: str, secret: str
) -> None:
    """Not even a rejection: the sentence says which line an operator writes."""
    case_id = await one_waits(gateway)
    answer = await post(gateway, *signed(said(case_id, "REJECTED", reviewer), secret))
    system = "chat" if secret == OF_CHAT else "tickets"
    assert_refused(answer, 403, "NotPermitted", "is no one here", f"{system}:{reviewer}=NAME")
    await assert_nothing_was_done(gateway, case_id)


async def test_a_system_names_the_person(gateway: GatewayProcess) -> None:
    """There is no person of whom a system would speak without a name."""
    case_id = await one_waits(gateway)
    body = {"decision": "REJECTED", "event_id": case_id}
    assert_refused(await post(gateway, *signed(body)), 403, "NotPermitted", "did not say who decides")
    await assert_nothing_was_done(gateway, case_id)


async def test_a_secret_that_is_in_no_setting_signs_nothing(gateway: GatewayProcess) -> None:
    """Not an agent's key as a secret, and not an empty one."""
    case_id = await one_waits(gateway)
    for secret in (secret_of("another"), secret_of(AGENT_KEY), secret_of(ANNA)):
        answer = await post(gateway, *signed(said(case_id), secret))
        assert_refused(answer, 401, "SignatureRefused", "No secret in force")
    await assert_nothing_was_done(gateway, case_id)


async def test_a_system_can_ask_the_agent_once_by_a_message(gateway: GatewayProcess) -> None:
    """A copy asks nothing again, also after the agent has answered."""
    case_id = await one_waits(gateway)
    body = said(case_id, "INFORMATION_REQUESTED", reason="Which file?")
    assert (await post(gateway, *signed(body, message_id="msg_ask"))).json()["status"] == "Agent Asked"
    assert (await post(gateway, *signed(body, message_id="msg_ask"))).json()["status"] == "Agent Asked"
    case = await told(gateway, case_id)
    assert [(one["asked_by"], one["question"]) for one in case["questions"]] == [("anna", "Which file?")]
    (entry,) = [one for one in case["timeline"] if one["action"] == "decide.question_asked"]
    assert entry["detail"]["way"] == "chat"


async def test_the_rules_hold_for_people_of_systems(tmp_path: Path) -> None:
    """A group of the store lets Carla approve, and not Anna; a passkey is asked for; access can end."""
    policy = tmp_path / "policy.toml"
    policy.write_text(POLICY)
    gateway = named_gateway(tmp_path, **SYSTEMS, ATLAS_POLICY=str(policy))
    await gateway.start()
    try:
        seniors, passkey = await one_waits(gateway, seniors=1), await one_waits(gateway, passkey=1)
        answer = await post(gateway, *signed(said(seniors)))
        assert_refused(answer, 403, "RuleRefuses", "the group seniors")
        await command(gateway, "atlas.people", "--at", gateway.url, "add", "carla", "--groups", "seniors")
        answer = await post(gateway, *signed(said(seniors, reviewer="jdoe"), OF_TICKETS))
        assert (answer.status_code, answer.json()["decision"]) == (200, "APPROVED")
        answer = await post(gateway, *signed(said(passkey, reviewer="jdoe"), OF_TICKETS))
        assert answer.status_code == 403 and "passkey" in answer.json()["detail"]
        await assert_nothing_was_done(gateway, passkey)
        await command(gateway, "atlas.people", "end", "carla")
        answer = await post(gateway, *signed(said(passkey, "REJECTED", "jdoe"), OF_TICKETS))
        assert_refused(answer, 403, "NotPermitted", "access of carla was ended")
    finally:
        await gateway.kill()


async def test_a_system_names_an_account_as_it_is_written_here(tmp_path: Path) -> None:
    """Else an account that has ended would decide under another spelling of its name."""
    people = {"ATLAS_WEBHOOK_PEOPLE": "chat:U2=Lena"}
    gateway = named_gateway(tmp_path, **SYSTEMS | people)
    await gateway.start()
    try:
        case_id = await one_waits(gateway)
        await command(gateway, "atlas.people", "--at", gateway.url, "add", "lena")
        for end in ((), ("atlas.people", "end", "lena")):
            if end:
                await command(gateway, *end)
            answer = await post(gateway, *signed(said(case_id, reviewer="U2")))
            assert_refused(answer, 403, "NotPermitted", "names Lena, and the account here is lena")
        await assert_nothing_was_done(gateway, case_id)
    finally:
        await gateway.kill()


@pytest.mark.parametrize(("number", "word"), [(2**31, "round"), (2**63, "is beyond"), (10**30, "is beyond")])
async def test_a_round_that_no_store_can_keep_is_refused_with_a_sentence(
    gateway: GatewayProcess, number: int, word: str
) -> None:
    """Alone and among many, and nothing is done for the others of the request."""
    case_id, other = await one_waits(gateway), await one_waits(gateway)
    answer = await post(gateway, *signed(said(case_id, "REJECTED", round=number, idempotency_key="k")))
    assert_refused(answer, 422, "RequestInvalid", word)
    some = [{"event_id": other}, {"event_id": case_id, "round": number, "idempotency_key": "k"}]
    async with client(gateway) as http:
        decisions = [{"decision": "REJECTED"} | one for one in some]
        answer = await http.post("/webhook/approvals", json={"decisions": decisions})
    assert_refused(answer, 422, "RequestInvalid", word)
    await assert_nothing_was_done(gateway, case_id)
    await assert_nothing_was_done(gateway, other)


async def command(gateway: GatewayProcess, module: str, *words: str) -> str:
    """What a command prints, over the gateway's own data directory and settings."""
    done = await ran_beside(module, *words, environment=gateway.environment, directory=gateway.directory)
    assert done.returncode == 0, done
    return done.stdout + done.stderr
