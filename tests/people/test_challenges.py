"""What a passkey has to sign is kept for a short time, and a few of a person."""

from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Connection
from store import open_store

from atlas.errors import PasskeyRefused
from atlas.people.passkeys.challenges import MOST_OF_PERSON, Purpose, make, take
from atlas.people.tables import challenges

ORIGIN = "http://localhost"


async def test_a_program_that_asks_for_ever_fills_no_store(tmp_path: Path) -> None:
    """The newest of a person are good, once each, an older one is not, and those of others stay."""
    async with open_store(tmp_path) as store:

        def asked(connection: Connection) -> tuple[bytes, list[bytes]]:
            of_ben = make(connection, "ben", Purpose.ADD, origin=ORIGIN)
            many = [make(connection, "anna", Purpose.ADD, origin=ORIGIN) for _ in range(3 * MOST_OF_PERSON)]
            return of_ben, many

        def rows(connection: Connection) -> int:
            return connection.scalar(sa.select(sa.func.count()).select_from(challenges)) or 0

        of_ben, many = await store.database.write(asked)
        assert await store.database.read(rows) == MOST_OF_PERSON + 1
        for challenge, name in ((of_ben, "ben"), (many[-1], "anna"), (many[-MOST_OF_PERSON], "anna")):

            def use(connection: Connection, challenge: bytes = challenge, name: str = name) -> str:
                return take(connection, challenge, name, Purpose.ADD)

            assert await store.database.write(use) == ORIGIN
            with pytest.raises(PasskeyRefused, match="used already"):
                await store.database.write(use)
        with pytest.raises(PasskeyRefused, match="did not ask"):
            await store.database.write(lambda connection: take(connection, many[0], "anna", Purpose.ADD))
