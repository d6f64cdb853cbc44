"""What a request is told whose store fails: nothing was changed only where that is known."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
import sqlalchemy as sa
from fastapi import FastAPI
from store import open_store

from atlas import ledger
from atlas.operate.error_shape import add_error_shape


@asynccontextmanager
async def served(directory: Path) -> AsyncIterator[httpx.AsyncClient]:
    """An app that changes something at one address, and whose store fails after it or without it."""
    app = FastAPI()
    add_error_shape(app)
    async with open_store(directory) as store:

        @app.api_route("/after", methods=["GET", "POST"])
        async def after() -> None:
            await store.database.write(comment)
            raise sa.exc.OperationalError(None, None, Exception("the store is away"))

        @app.post("/without")
        async def without() -> None:
            raise sa.exc.OperationalError(None, None, Exception("the store is away"))

        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://atlas") as program:
            yield program


def comment(connection: sa.Connection) -> None:
    """An entry of the ledger."""
    ledger.append(connection, "evt_1", ledger.Action.COMMENTED, actor="anna", detail={})


@pytest.mark.parametrize(
    ("method", "path", "error", "said"),
    [
        ("POST", "/after", "RecordUnknown", "not known whether all of this was recorded"),
        ("POST", "/without", "StoreUnavailable", "nothing was changed"),
        ("GET", "/after", "StoreUnavailable", "nothing was changed"),  # what a reader sees to on the way
    ],
)
async def test_nothing_was_changed_is_said_only_of_a_request_that_has_changed_nothing(
    tmp_path: Path, method: str, path: str, error: str, said: str
) -> None:
    """Right: a decision that is on disk before its page fails is not called undone. One request knows nothing
    of another."""
    async with served(tmp_path) as program:
        for _ in range(2):
            told = await program.request(method, path)
            assert (told.status_code, told.json()["error"]) == (503, error)
            assert said in told.json()["detail"]
