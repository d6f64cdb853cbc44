"""What reads the ledger for the open streams goes on for as long as there are any."""

import asyncio
from collections.abc import Collection
from pathlib import Path

import pytest
from gateway_process import WAIT_SECONDS, eventually
from judged_calls import waiting
from store import open_store

from atlas.desk.live import teller
from atlas.desk.live.teller import Teller


async def all_hold(sessions: Collection[str]) -> Collection[str]:
    return sessions


async def test_a_stream_that_was_quiet_for_long_is_told_of_the_next_case(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each time nothing happens the wait ends with an error, which in Python 3.10 has a class of its own."""
    monkeypatch.setattr(teller, "POLL_SECONDS", 0.01)
    async with open_store(tmp_path) as store:
        told = Teller(store, valid=all_hold)
        rounds: list[int] = []
        news = told.news

        async def counted(after: int) -> teller.News:
            rounds.append(after)
            return await news(after)

        async def three_rounds() -> bool:
            return len(rounds) >= 3

        monkeypatch.setattr(told, "news", counted)
        with told.streams.opened("desk", None) as stream:
            messages = told.listen(stream)
            assert b"event: hello" in await anext(messages)
            await eventually(three_rounds)  # in which there was nothing to tell
            case = await waiting(store)
            assert case.case_id.encode() in await asyncio.wait_for(anext(messages), WAIT_SECONDS)
        told.close()
