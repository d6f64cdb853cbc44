"""GET /cases, GET /cases/{ref} and /openapi.json: who may read, what is told, and how errors are."""

import json
from collections.abc import AsyncIterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from gateway_process import AGENT_KEY, REVIEWER_KEY, GatewayProcess, outcome
from nursery import ROOT
from people import ANNA, BRUNO, client, named_gateway, waiting

from atlas.canonical import digest

HOSTILE = "\u202e\u200b\x1b[31m<script>alert(1)</script>\u0000é\U0001f600"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def gateway(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[GatewayProcess]:
    """One gateway for the tests of this module."""
    process = named_gateway(tmp_path_factory.mktemp("reading"))
    await process.start()
    yield process
    await process.kill()


pytestmark = pytest.mark.asyncio(loop_scope="module")


async def read(gateway: GatewayProcess, path: str, key: str | None = ANNA, **asked: Any) -> Any:
    """What is answered with 200."""
    async with client(gateway, key) as http:
        answer = await http.get(path, params=asked)
    assert answer.status_code == 200, answer.text
    return answer.json()


@pytest.mark.parametrize("path", ["/cases", "/cases/evt_0123456789abcdef", "/cases?state=wrong"])
async def test_only_people_read_cases(gateway: GatewayProcess, path: str) -> None:
    """An agent is told that it is one, before anything that it asks is looked at; none of it is kept."""
    for key, status, error in (
        (AGENT_KEY, 403, "NotPermitted"),
        (None, 401, "NotAuthenticated"),
        ("an-unknown-key-of-someone", 401, "NotAuthenticated"),
    ):
        async with client(gateway, key) as http:
            answer = await http.get(path)
        assert (answer.status_code, answer.json()["error"]) == (status, error)
        assert answer.json().keys() == {"error", "detail"}
        assert answer.headers["cache-control"] == "no-store"
        assert AGENT_KEY not in answer.text


@pytest.mark.parametrize(
    ("asked", "status", "said"),
    [
        ("/cases/evt_0123456789abcdef", 404, "There is no case evt_0123456789abcdef."),
        ("/cases/..%2f..%2fetc", 404, None),
        ("/cases/%00", 404, None),
        ("/cases/" + "x" * 5000, 404, None),
        ("/cases?state=PENDING_REVIEW", 422, "state"),
        ("/cases?status=WAITING", 422, "PENDING_REVIEW"),
        ("/cases?after=wrong", 422, "Leave `after` out"),
        ("/cases?order=riskiest", 422, "for status=PENDING_REVIEW alone"),
        ("/cases?limit=201", 422, "limit"),
        ("/cases?score=101", 422, "score"),
        ("/cases?since=2026-01-01T00:00:00", 422, "timezone"),
        ("/cases?since=0001-01-01T00:00:00%2B14:00", 422, "since"),  # before the year 1 in UTC
        ("/cases?until=9999-12-31T23:59:59-14:00", 422, "until"),
        ("/cases?q=" + "x" * 201, 422, "q"),
    ],
)
async def test_what_cannot_be_answered_is_a_sentence(
    gateway: GatewayProcess, asked: str, status: int, said: str | None
) -> None:
    """In the one shape of errors, and kept nowhere."""
    async with client(gateway) as http:
        answer = await http.get(asked)
    assert answer.status_code == status, answer.text
    assert answer.json().keys() == {"error", "detail"} and (said or "") in answer.json()["detail"]
    assert answer.headers["cache-control"] == "no-store"


async def test_a_case_is_told_with_all_that_a_person_needs(gateway: GatewayProcess) -> None:
    """The call with its exact arguments, what the agent claims, why it waits, and the ledger."""
    earlier, case_id = [(await waiting(gateway, text=text))[0] for text in ("before", HOSTILE)]
    told = await read(gateway, f"/cases/{case_id}")
    assert (told["status"], told["tool"], told["agent"], told["round"]) == (
        *("PENDING_REVIEW", "modify_welfare_record", "agent"),
        1,
    )
    arguments = {"beneficiary_id": "BEN-123", "changes": {"n": 0, "text": HOSTILE}}
    assert told["arguments"] == arguments == json.loads(told["canonical"])
    assert told["arguments_sha256"] == sha256(told["canonical"].encode()).hexdigest() == digest(arguments)
    assert told["definition"]["description"].startswith("Change the benefit")
    assessment = told["assessment"]
    assert assessment["risk_score"] >= assessment["threshold"]
    assert assessment["rules"] and assessment["legal_basis"] and assessment["rationale"]
    assert told["ruling"] == {
        "reviewers": [],
        "approvals": 1,
        "may_edit": [],
        "given": [],
        "passkey": False,
    }
    assert told["waiting_before"] == [earlier]
    assert earlier in [line["case_id"] for line in told["earlier_of_tool"]]
    assert (told["decision"], told["outcome"], told["frozen_at"], told["finished_at"]) == (None,) * 4
    actions = [entry["action"] for entry in told["timeline"]]
    assert actions == ["admit.queued", "assess.scored", "decide.review_requested"]
    assert told["version"] == told["timeline"][-1]["seq"]
    hashes = [entry["entry_hash"] for entry in told["timeline"]]
    assert all(len(one) == 64 for one in hashes)


async def test_the_digest_of_what_is_seen_can_be_made_from_the_answer(gateway: GatewayProcess) -> None:
    """As docs/reference/endpoints.md says, so that a program need not believe the gateway."""
    [case_id] = await waiting(gateway, text="digest")
    told = await read(gateway, f"/cases/{case_id}")
    seen = {
        "case_id": case_id,
        "round": told["round"],
        "arguments_sha256": sha256(told["canonical"].encode()).hexdigest(),
        "definition_sha256": told["definition"]["definition_sha256"],
        "policy_sha256": told["assessment"]["policy_sha256"],
        "risk_score": told["assessment"]["risk_score"],
    }
    assert told["seen_sha256"] == digest(seen)


async def test_a_decided_case_says_by_whom_and_how_it_ended(gateway: GatewayProcess) -> None:
    """The decision, its reason, the outcome, and the history that finds it."""
    [case_id] = await waiting(gateway, text="to be done")
    answer = await gateway.decide(case_id, key=BRUNO, reason="the file is complete")
    assert answer.status_code == 200
    async with gateway.agent() as agent:
        await outcome(agent, case_id)
    told = await read(gateway, f"/cases/{case_id}")
    assert told["status"] == "EXECUTED" and told["outcome"]["result"]["content"]
    assert (told["decision"]["reviewer"], told["decision"]["reason"]) == ("bruno", "the file is complete")
    page = await read(gateway, "/cases", reviewer="bruno", q="FILE IS complete", status="EXECUTED")
    assert [line["case_id"] for line in page["cases"]] == [case_id]
    assert page["cases"][0]["finished_at"] == told["finished_at"]


async def test_pages_follow_each_other(gateway: GatewayProcess) -> None:
    """By `next_cursor`, to the last one, which has none."""
    made = await waiting(gateway, 5, text="pages")
    seen: list[str] = []
    asked: dict[str, Any] = {"q": "pages", "status": "PENDING_REVIEW", "limit": 2, "order": "oldest"}
    while True:
        page = await read(gateway, "/cases", **asked)
        seen += [line["case_id"] for line in page["cases"]]
        if page["next_cursor"] is None:
            break
        asked["after"] = page["next_cursor"]
    assert seen == made


async def test_head_is_get_without_a_body(gateway: GatewayProcess) -> None:
    """For the list, a case and the description; the status is the same."""
    [case_id] = await waiting(gateway, text="head")
    async with client(gateway) as http:
        for path in ("/cases", "/cases/", f"/cases/{case_id}", "/cases/evt_0", "/openapi.json"):
            got, head = await http.get(path), await http.head(path)
            assert (head.status_code, head.content) == (got.status_code, b"")


async def test_the_description_is_for_everyone_and_says_what_is_served(gateway: GatewayProcess) -> None:
    """Without a key, without a secret; each path, method and field is one that is answered."""
    described = await read(gateway, "/openapi.json", key=None)
    assert described["openapi"].startswith("3.")
    assert {"/cases", "/cases/{ref}", "/webhook/approval"} <= described["paths"].keys()
    text = json.dumps(described)
    assert ANNA not in text and AGENT_KEY not in text and "HTTPValidationError" not in text
    [case_id] = await waiting(gateway, text="described")
    schemas = described["components"]["schemas"]
    told, page = await read(gateway, f"/cases/{case_id}"), await read(gateway, "/cases")
    assert told.keys() == schemas["Shown"]["properties"].keys()
    assert page.keys() == schemas["CasesPage"]["properties"].keys()
    assert page["cases"][0].keys() == schemas["Line"]["properties"].keys()
    ids = [one["operationId"] for path in described["paths"].values() for one in path.values()]
    assert len(ids) == len(set(ids))


async def test_each_reference_of_the_description_leads_somewhere(gateway: GatewayProcess) -> None:
    """A generator of clients reads it."""
    described = await read(gateway, "/openapi.json", key=None)
    names = set(described["components"]["schemas"])

    def references(value: Any) -> set[str]:
        if isinstance(value, dict):
            own = {value["$ref"].rpartition("/")[2]} if isinstance(value.get("$ref"), str) else set()
            return own.union(*(references(item) for item in value.values()))
        return set().union(*map(references, value)) if isinstance(value, list) else set()

    assert references(described) <= names and "Error" in references(described)


async def test_a_session_of_the_desk_reads_too_and_a_look_is_recorded_where_the_policy_says(
    tmp_path: Path,
) -> None:
    """A program reads as the desk does: with its cookie, and with the entry that the desk writes."""
    policy = tmp_path / "policy.toml"
    shipped = (ROOT / "atlas" / "policy.toml").read_text()
    policy.write_text(shipped.replace("record_views = false", "record_views = true"))
    process = named_gateway(tmp_path, ATLAS_POLICY=str(policy))
    await process.start()
    try:
        [case_id] = await waiting(process, text="a session")
        async with client(process, None) as http:
            assert (await http.get(f"/cases/{case_id}")).status_code == 401
            own = {"Origin": process.url, "Sec-Fetch-Site": "same-origin"}
            await http.post("/desk/sign-in", data={"way": "key", "key": ANNA}, headers=own)
            for _ in range(2):
                assert (await http.get(f"/cases/{case_id}")).status_code == 200
            assert (await http.head(f"/cases/{case_id}")).status_code == 200
        async with client(process, BRUNO) as http:
            told = (await http.get(f"/cases/{case_id}")).json()
        views = [entry["actor"] for entry in told["timeline"] if entry["action"] == "decide.viewed"]
        assert views == ["anna"]  # once, and bruno's look is written after what he is told
    finally:
        await process.kill()


async def test_without_keys_every_program_of_this_machine_reads(tmp_path: Path) -> None:
    """Open mode."""
    process = GatewayProcess(tmp_path, ATLAS_AGENT_KEY="", ATLAS_REVIEWER_KEY="")
    await process.start()
    try:
        assert await read(process, "/cases", key=None) == {
            "cases": [],
            "next_cursor": None,
            "looked_until": None,
        }
        async with client(process, REVIEWER_KEY) as http:
            foreign = await http.get("/cases", headers={"Origin": "https://evil.example"})
        assert foreign.status_code == 403
    finally:
        await process.kill()
