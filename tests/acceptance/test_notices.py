"""Notices of a whole gateway: by real mail to a person, over restarts, and what is said of late ones."""

import asyncio
import contextlib
import os
from pathlib import Path

import httpx
import pytest
from gateway_process import REVIEWER_KEY, ROOT, GatewayProcess, call, eventually, reference_in, text_of
from kept import store_by_hand
from nursery import quick_python
from receivers import mail_server, receiver, subject_of, words_of
from words import whole_words

AGENTS = "agent:agent-key-of-the-tests,other:other-agent-key-of-the-tests"
REVIEWERS = {"anna": "key-of-anna-for-the-tests", "olga": "key-of-olga-for-the-tests"}
CHANGE = {"beneficiary_id": "BEN-125", "changes": {"monthly_amount_eur": 700}}


async def people(gateway: GatewayProcess, *words: str) -> None:
    """Run `python -m atlas.people` beside the gateway, as its operator does."""
    process = await asyncio.create_subprocess_exec(
        *(quick_python(), "-m", "atlas.people", *words), cwd=gateway.directory, env=gateway.environment
    )
    assert await asyncio.wait_for(process.wait(), 60) == 0


async def change(gateway: GatewayProcess) -> str:
    """The reference of a call that waits for a person."""
    async with gateway.agent() as agent:
        return reference_in(await call(agent, "modify_welfare_record", **CHANGE))


async def test_a_person_is_told_by_mail_and_the_owner_of_the_agent_is_not(tmp_path: Path) -> None:
    """The profile names a channel of the settings; the mail comes when the call waits after 15 seconds."""
    async with mail_server() as mailbox:
        server = f"mailto://127.0.0.1:{mailbox.port}?from=atlas@example.com"
        gateway = GatewayProcess(
            tmp_path,
            ATLAS_AGENT_KEY=AGENTS,
            ATLAS_REVIEWER_KEY=",".join(f"{name}:{key}" for name, key in REVIEWERS.items()),
            ATLAS_AGENT_OWNERS="agent:olga",
            ATLAS_NOTIFY_CHANNELS=f"mail={server}&to={{address}}",
            ATLAS_PUBLIC_URL="https://atlas.example.com/office",
        )
        await gateway.start()
        try:
            for name in REVIEWERS:
                await people(gateway, "set", name, "--channels", f"mail:{name}@example.com")
            reference = await change(gateway)
            ((recipients, mail),) = await mailbox.got(1)
        finally:
            await gateway.kill()
    assert recipients == ["anna@example.com"]
    assert subject_of(mail) == "A call waits for your decision: modify_welfare_record"
    assert f"https://atlas.example.com/office/desk/cases/{reference}" in words_of(mail)
    assert "700" not in whole_words(words_of(mail))


async def test_what_is_late_is_said_and_goes_out_after_a_restart(tmp_path: Path) -> None:
    """/readyz stays ready and names channel and error; so does the desk; neither shows the URL."""
    is_down = [True]
    async with receiver(lambda number: 503 if is_down[0] else 204) as taken:
        gateway = GatewayProcess(tmp_path, ATLAS_NOTIFY_URL=taken.url + "?token=secret-path")
        await gateway.start()
        reference = await change(gateway)
        async with httpx.AsyncClient(
            base_url=gateway.url, headers={"Authorization": f"Bearer {REVIEWER_KEY}"}, timeout=60
        ) as client:

            async def late() -> list[dict[str, object]]:
                answer = await client.get("/readyz")
                assert answer.status_code == 200 and "secret-path" not in answer.text
                return list(answer.json().get("notices", []))

            (trouble,) = await eventually(late)
            page = (await client.get("/desk/overview")).text
        await gateway.kill()
        is_down[0] = False
        await gateway.start()
        (body,) = await taken.accepted(1)
        await gateway.kill()
    assert (trouble["channel"], trouble["late"], trouble["last_error"]) == ("webhook", 1, "HTTP 503")
    assert "person" not in trouble
    assert "Notices that could not be sent" in page and "HTTP 503" in page and "secret-path" not in page
    assert body["event_id"] == reference
    assert len({one["headers"]["webhook-id"] for one in taken.requests}) == 1


async def test_a_call_that_the_score_approves_writes_no_notice(tmp_path: Path) -> None:
    """It costs nothing more than before there was an outbox."""
    async with receiver() as taken:
        gateway = GatewayProcess(tmp_path, ATLAS_NOTIFY_URL=taken.url)
        await gateway.start()
        async with gateway.agent() as agent:
            answer = await call(agent, "check_status", beneficiary_id="BEN-123")
        await gateway.kill()
    assert "BEN-123" in text_of(answer)
    with contextlib.closing(store_by_hand(gateway.data)) as connection:
        assert connection.execute("SELECT count(*) FROM notices").fetchone() == (0,)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ATLAS_NOTIFY_URLS", "nothing://user:secret-word@example.com"),
        ("ATLAS_NOTIFY_URLS", "dbus://secret-word"),  # it would act on this machine
        ("ATLAS_NOTIFY_CHANNELS", "mail=mailtoo://secret-word@example.com?to={address}"),
        ("ATLAS_NOTIFY_CHANNELS", "mail=mailto://secret-word@example.com"),  # without {address}
        ("ATLAS_NOTIFY_SECRET", "secret-word"),
    ],
)
async def test_a_way_that_cannot_be_used_is_refused_at_the_start_without_its_secret(
    tmp_path: Path, name: str, value: str
) -> None:
    """In a sentence that names the setting."""
    gateway = GatewayProcess(tmp_path)
    process = await asyncio.create_subprocess_exec(
        *(quick_python(), str(ROOT / "gateway.py")),
        cwd=tmp_path,
        env=gateway.environment | {name: value, "PATH": os.environ["PATH"]},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await asyncio.wait_for(process.communicate(), 90)
    said = output.decode()
    assert process.returncode == 1 and name in said, said
    assert "secret-word" not in said and "Traceback" not in said
