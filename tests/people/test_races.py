"""Two people decide one call in the same instant, by different ways: one counts, each is told the truth."""

import asyncio
import contextlib
import itertools
import json
import re
from collections.abc import AsyncIterator
from functools import partial
from html import unescape
from typing import Any

import pytest
import pytest_asyncio
from desk_visitor import Visitor
from gateway_process import GatewayProcess, eventually, status_of
from kept import rows_in
from people import ANNA, BRUNO, named_gateway, waiting

from atlas.cases.terminal.remote import Gateway, Refused

pytestmark = pytest.mark.asyncio(loop_scope="module")
KEYS = {"anna": ANNA, "bruno": BRUNO}
DECIDED = ("decide.approved", "decide.rejected")
VERDICTS = tuple(itertools.product(("APPROVED", "REJECTED"), repeat=2))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def gateway(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[GatewayProcess]:
    """A gateway whose tool takes any text."""
    process = named_gateway(tmp_path_factory.mktemp("races"))
    await process.start()
    yield process
    await process.kill()


class Racer:
    """One person, who decides by each way, and what they are told: "own", or who it was and what they did."""

    def __init__(self, gateway: GatewayProcess, name: str, desk: Visitor) -> None:
        self.name, self._gateway, self._desk = name, gateway, desk
        self.ways = {"desk": self.at_desk, "webhook": self.by_webhook, "terminal": self.in_terminal}

    async def at_desk(self, case_id: str, verdict: str, seen: str) -> str:
        """The form of the page, sent by a browser that is signed in."""
        form = {"verdict": verdict, "round": "1", "seen": seen, "key": f"{self.name}-{case_id}"}
        form |= {"form_token": await self._desk.token(), "reason": "A race."}
        origin = {"Origin": self._gateway.url}
        path = f"/desk/cases/{case_id}/decision"
        answer = await self._desk.post(path, data=form, headers=origin)
        return "" if answer.status_code in (200, 303) else f"{answer.status_code} {text_of_page(answer.text)}"

    async def by_webhook(self, case_id: str, verdict: str, seen: str) -> str:
        """A program that holds the key."""
        said = {"round": 1, "seen_sha256": seen} if verdict == "APPROVED" else {}
        answer = await self._gateway.decide(case_id, verdict, key=KEYS[self.name], **said)
        before = answer.json().get("decided_before") if answer.status_code == 200 else None
        if before is not None:
            return f"already {verdict.lower()} by {before['reviewer']} at {before['at']}"
        return "" if answer.status_code == 200 else str(answer.json()["detail"])

    async def in_terminal(self, case_id: str, verdict: str, seen: str) -> str:
        """The calls of `python -m atlas.cases`."""
        remote = Gateway(self._gateway.url, key=KEYS[self.name])
        said: dict[str, Any] = {"round": 1, "seen_sha256": seen} if verdict == "APPROVED" else {}
        decide = partial(remote.decide, decision=verdict, event_id=case_id, **said)
        try:
            receipt = await asyncio.to_thread(decide)
        except Refused as refused:
            return str(refused)
        before = receipt.get("decided_before")
        return f"already {verdict.lower()} by {before['reviewer']} at {before['at']}" if before else ""


@pytest.mark.parametrize("races", [40, pytest.param(200, marks=[pytest.mark.soak, pytest.mark.timeout(900)])])
async def test_two_people_decide_by_different_ways_and_one_decision_counts(
    gateway: GatewayProcess, races: int
) -> None:
    """The other is told by whom and what; the tool runs once at most, and the end is told of once."""
    made = await waiting(gateway, races, text=f"race {races}")
    remote = Gateway(gateway.url, key=ANNA)
    async with contextlib.AsyncExitStack() as stack:
        racers = []
        for name, key in KEYS.items():
            desk = await stack.enter_async_context(Visitor(gateway))
            await desk.sign_in(way="key", key=key)
            racers.append(Racer(gateway, name, desk))
        ways = list(itertools.permutations(racers[0].ways, 2))
        for number, case_id in enumerate(made):
            seen = (await asyncio.to_thread(remote.case, case_id))["seen_sha256"]
            verdicts, both = VERDICTS[number // len(ways) % 4], ways[number % len(ways)]
            sent = zip(racers, both, verdicts, strict=True)
            if number % 2:
                sent = zip(reversed(racers), both, verdicts, strict=True)
            order = list(sent)
            told = await asyncio.gather(*(one.ways[way](case_id, said, seen) for one, way, said in order))
            assert_true(gateway, case_id, [(one.name, said) for one, _, said in order], told)
    await eventually(partial(all_ended, gateway, made))
    for case_id in made:
        begun = [actor for action, actor in entries(gateway, case_id) if action == "execute.started"]
        assert len(begun) == (status_of(gateway, case_id) == "EXECUTED")


def text_of_page(page: str) -> str:
    """What a person reads on it, in one line."""
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", page)).split())


def assert_true(gateway: GatewayProcess, case_id: str, order: list[tuple[str, str]], told: list[str]) -> None:
    """One was told of a success of their own, as ledger and notice have it, and the other by whom.

    A rejection that comes after the approval, and before the call begins, takes it back: both had a success.
    """
    decided = [(action, actor) for action, actor in entries(gateway, case_id) if action in DECIDED]
    if len(decided) == 2:
        assert [action for action, _ in decided] == ["decide.approved", "decide.rejected"]
        assert told == ["", ""] and {(name, f"decide.{said.lower()}") for name, said in order} == {
            (actor, action) for action, actor in decided
        }
        assert sorted(notices(gateway, case_id)) == sorted(("decided", actor) for _, actor in decided)
        return
    assert len(decided) == 1, (decided, told)
    [(action, winner)] = decided
    verdict = action.removeprefix("decide.")
    for (name, said), text in zip(order, told, strict=True):
        if name == winner:
            assert (text, said.lower()) == ("", verdict)
        else:
            assert f"{verdict} by {winner} at " in text
            assert ("already" in text) == (said.lower() == verdict)
    assert notices(gateway, case_id) == [("decided", winner)]


def entries(gateway: GatewayProcess, case_id: str) -> list[tuple[str, str]]:
    """What the ledger has of a case."""
    query = "SELECT action, actor FROM ledger WHERE case_id = ? ORDER BY seq"
    return rows_in(gateway.data, query, (case_id,))


def notices(gateway: GatewayProcess, case_id: str) -> list[tuple[str, str]]:
    """The notices of the end of a case, each with who caused it and need not be told."""
    query = "SELECT kind, content FROM notices WHERE case_id = ? AND kind = 'decided'"
    return [(kind, json.loads(content)["by"]) for kind, content in rows_in(gateway.data, query, (case_id,))]


async def all_ended(gateway: GatewayProcess, made: list[str]) -> bool:
    """Whether each of the calls was executed or rejected, and none has been lost."""
    return all(status_of(gateway, case_id) in ("EXECUTED", "REJECTED") for case_id in made)
