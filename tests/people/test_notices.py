"""Notifications: what the reviewer's URL gets, and what it never gets."""

import asyncio
import itertools
import json
from pathlib import Path

import pytest
from sqlalchemy.engine import Connection
from store import assessment_of, open_case, open_store, settings_of_test, tool_call

from atlas.cases.rounds import next_round
from atlas.cases.store import add_assessment, transition
from atlas.models import Case, Status
from atlas.people.notices import Notifier


async def test_a_notice_names_the_case_without_its_arguments_and_is_sent_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The URL answers 500 once, then takes it; the log has the same."""
    answers = itertools.count(1)
    requests: asyncio.Queue[dict[str, object]] = asyncio.Queue()

    async def reviewer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
        status = b"500 Not yet" if next(answers) == 1 else b"204 Taken"
        requests.put_nowait(json.loads(await reader.readexactly(length)))
        writer.write(b"HTTP/1.1 " + status + b"\r\nconnection: close\r\ncontent-length: 0\r\n\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(reviewer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    settings = settings_of_test(tmp_path, atlas_notify_url=f"http://127.0.0.1:{port}/notices")
    async with server, open_store(tmp_path) as store:
        notifier = Notifier(settings, store.database)
        call = tool_call("modify_welfare_record", secret="of a person")
        claims = {"intent": "close the file\u202e", "user_request": None}
        unchecked = ["properties.id.type"]
        case = await open_case(store, call.model_copy(update=claims), not_checked=unchecked)

        def wait(connection: Connection) -> Case:
            because = {"reopened_because": "It changed."}
            judged = assessment_of(case.call).model_copy(update=because)
            again = next_round(case, definition_sha256=None)
            return transition(connection, add_assessment(connection, again, judged), Status.PENDING_REVIEW)

        notifier.tell(await store.change(case.case_id, wait))

        first, second = [await asyncio.wait_for(requests.get(), 60) for _ in range(2)]
        await notifier.close()
    assert first == second
    assert first["kind"] == "review_requested" and first["event_id"] == case.case_id
    assert first["agent_claims"] == {"intent": "close the file"}  # marked as claims, and nothing hidden
    assert first["reopened_because"] == "It changed." and first["round"] == 2
    assert first["not_checked"] == ["properties.id.type"]
    assert f"arguments of {case.case_id} only the server checks ['properties.id.type']" in caplog.text
    assert "of a person" not in json.dumps(first)
    assert "; round 2, judged again: It changed." in caplog.text
