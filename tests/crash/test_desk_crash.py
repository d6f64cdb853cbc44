"""A gateway that is killed while decisions come in from the desk keeps each that a page confirmed, once."""

from pathlib import Path

import pytest

from crash.desk_load import DeskLoad
from crash.test_gateway_crash import build_gateway, crash, seed_of_test


async def test_what_the_desk_confirmed_holds_after_a_few_kills(tmp_path: Path) -> None:
    """Every form is sent twice at once; tools, cases, decisions and ledger agree in the end."""
    await crash(build_gateway(tmp_path), kills=3, seed=seed_of_test(), load_of=DeskLoad)


@pytest.mark.soak
@pytest.mark.timeout(3600)
async def test_what_the_desk_confirmed_holds_after_300_kills(tmp_path: Path) -> None:
    """The same, long enough to hit the rare moments."""
    await crash(build_gateway(tmp_path), kills=300, seed=seed_of_test(), load_of=DeskLoad)
