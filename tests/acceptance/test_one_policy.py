"""One policy is in force for all gateways of a store: where it comes from, who takes it, and who refuses."""

import asyncio
import os
import signal
import sys
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

import httpx
from gateway_process import REVIEWER_KEY, GatewayProcess, call, eventually, output_of, reference_in, text_of
from several_gateways import POLICY, SeveralGateways, several_gateways

STRICT = '[[rule]]\ntool = "*"\nscore = 90\nrationale = "A person looks at everything."\n'
OF_ANNA = '[[rule]]\ntool = "*"\nscore = 90\nreviewers = ["anna"]\n'
WITH_ANNA = f"anna:{REVIEWER_KEY}"
REOPENED = "decide.reopened"


def digest(text: str) -> str:
    """How a policy is known."""
    return sha256(text.encode()).hexdigest()


async def put(gateway: GatewayProcess, text: str, *more: str) -> str:
    """What the command says, with the settings of a gateway."""
    path = gateway.directory / "put.toml"
    path.write_text(text)
    command = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "atlas.assessors.policy", "put", str(path), *more),
        cwd=gateway.directory,
        env=gateway.environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    return await output_of(command, seconds=120)


async def policy_part(gateway: GatewayProcess) -> tuple[int, dict[str, Any]]:
    """What /readyz says of the policy, with its status."""
    async with httpx.AsyncClient(timeout=60) as client:
        answer = await client.get(f"{gateway.url}/readyz")
    return answer.status_code, answer.json()["policy"]


async def judges_by(text: str, *gateways: GatewayProcess) -> bool:
    """Whether all of them do, and are ready."""
    said = [await policy_part(gateway) for gateway in gateways]
    return all((status, part["sha256"]) == (200, digest(text)) for status, part in said)


def entries_of(several: SeveralGateways, action: str) -> list[dict[str, Any]]:
    """The entries of a kind in a ledger that verifies."""
    return [entry for entry in several.entries() if entry["action"] == action]


async def test_the_first_gateway_puts_its_file_in_force_and_one_with_another_file_judges_by_it_and_says_so(
    url: str, tmp_path: Path
) -> None:
    """Its own file counts nowhere: neither at its start nor when it is told to read it again."""
    (tmp_path / "strict.toml").write_text(STRICT)
    async with several_gateways(tmp_path, url) as several:
        first, other = several.gateways
        await other.kill()
        await other.start(ATLAS_POLICY=str(tmp_path / "strict.toml"))
        status, part = await policy_part(other)
        assert (status, part["ok"], part["sha256"]) == (200, True, digest(POLICY))
        said = f"python -m atlas.assessors.policy put {tmp_path / 'strict.toml'}"
        assert said in part["problem"] and said in other.newest_log()
        assert "problem" not in (await policy_part(first))[1]
        os.kill(other.process_id, signal.SIGHUP)

        async def has_said_it_again() -> bool:
            return other.newest_log().count(said) == 2

        await eventually(has_said_it_again)
        assert (await policy_part(other))[1]["sha256"] == digest(POLICY)
        async with other.agent() as agent:
            assert text_of(await call(agent, "look", n=1)) == "looked at 1"
        [entry] = entries_of(several, "policy.put")
        assert (entry["actor"], entry["case_id"]) == ("gateway", "")
        assert entry["detail"] == {"policy_version": 1, "policy_sha256": [None, digest(POLICY)]}
        by = several.rows("SELECT DISTINCT policy_sha256 FROM processes WHERE ended_at IS NULL")
        assert by == [(digest(POLICY),)]


async def test_a_policy_that_is_put_counts_at_all_gateways_and_a_call_is_judged_again_once(
    url: str, tmp_path: Path
) -> None:
    """What waited goes back to a person once, whichever gateway is asked; who put it is in the ledger."""
    async with several_gateways(tmp_path, url) as several:
        first, other = several.gateways
        async with first.agent() as agent:
            case_id = reference_in(await call(agent, "change", n=1))
        said = await put(other, STRICT, "--by", "anna")
        assert f"version 2, SHA-256 {digest(STRICT)}" in said
        await eventually(partial(judges_by, STRICT, first, other))
        refused = await first.decide(case_id, round=1)
        assert (refused.status_code, refused.json()["error"]) == (409, "CallChanged")
        approved = await other.decide(case_id, round=2)
        assert approved.status_code == 200, approved.text

        async def is_executed() -> bool:
            return several.ran() == {"change 1": 1}

        await eventually(is_executed)
        assert len(entries_of(several, REOPENED)) == 1
        for n, gateway in enumerate((first, other), start=2):
            async with gateway.agent() as agent:
                reference_in(await call(agent, "look", n=n))  # which had passed before
        assert [entry["actor"] for entry in entries_of(several, "policy.put")] == ["gateway", "operator:anna"]
        assert "in force already" in await put(first, STRICT)


async def test_no_call_bounces_while_a_policy_is_put(url: str, tmp_path: Path) -> None:
    """Both gateways are called all the time: what was admitted after the put never goes back."""
    async with several_gateways(tmp_path, url) as several:
        is_put = asyncio.Event()

        async def calls(gateway: GatewayProcess, start: int) -> None:
            async with gateway.agent() as agent:
                n, more = start, 5
                while more:
                    await call(agent, "look", n=n)
                    n, more = n + 1, more - is_put.is_set()

        async def puts() -> None:
            await put(several.gateways[0], f"{POLICY}\n# looked at again\n")
            is_put.set()

        await asyncio.gather(puts(), *(calls(each, 1000 * n) for n, each in enumerate(several.gateways)))
        [_, entry] = entries_of(several, "policy.put")
        begun = {one["case_id"] for one in entries_of(several, "admit.queued") if one["seq"] > entry["seq"]}
        back = {one["case_id"] for one in entries_of(several, REOPENED)}
        assert len(begun) >= 8 and not begun & back
        assert begun <= {one["case_id"] for one in entries_of(several, "execute.finished")}


async def test_a_gateway_that_cannot_use_the_policy_judges_nothing_says_so_and_takes_the_next_one(
    url: str, tmp_path: Path
) -> None:
    """It does not know the reviewer; a call that it has to judge waits for a person."""
    async with several_gateways(tmp_path, url, ATLAS_REVIEWER_KEY=WITH_ANNA) as several:
        able, unable = several.gateways
        await unable.kill()
        await unable.start(ATLAS_REVIEWER_KEY=REVIEWER_KEY)
        await put(able, OF_ANNA)
        await eventually(partial(judges_by, OF_ANNA, able))

        async def refuses() -> dict[str, Any] | None:
            status, part = await policy_part(unable)
            return part if status == 503 else None

        part = await eventually(refuses)
        assert not part["ok"] and part["problem"].startswith("This gateway judges no call: it cannot use")
        assert part["problem"] in unable.newest_log()
        await able.kill()  # so that the other has to judge
        async with unable.agent() as agent:
            case_id = reference_in(await call(agent, "look", n=1))
        answer = await unable.decide(case_id)
        assert (answer.status_code, answer.json()["error"]) == (503, "PolicyNotTaken")
        await able.start()
        assert (await able.decide(case_id, round=1)).status_code == 409
        assert (await able.decide(case_id, round=2)).status_code == 200

        async def is_executed() -> bool:
            return several.ran() == {"look 1": 1}

        await eventually(is_executed)
        assert len(entries_of(several, REOPENED)) == 1
        await put(able, POLICY)
        await eventually(partial(judges_by, POLICY, able, unable))
        async with unable.agent() as agent:
            assert text_of(await call(agent, "look", n=2)) == "looked at 2"


async def test_with_sqlite_put_says_what_to_do_instead(tmp_path: Path) -> None:
    """There is one gateway, which has its file."""
    path = tmp_path / "policy.toml"
    path.write_text(STRICT)
    command = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "atlas.assessors.policy", "put", str(path)),
        env={"PYTHONPATH": os.getcwd(), "ATLAS_DATA_DIR": str(tmp_path), "ATLAS_POLICY": str(path)},
        stderr=asyncio.subprocess.PIPE,
    )
    _, said = await asyncio.wait_for(command.communicate(), 120)
    assert command.returncode == 1
    assert f"it judges by the file {path}. Change that file, then send the gateway SIGHUP" in said.decode()
