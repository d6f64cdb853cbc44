"""A case store on a real file, and calls to put into it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from sqlalchemy.engine import Connection

from atlas import ledger
from atlas.canonical import digest
from atlas.cases import CaseStore, insert_case
from atlas.database import Database
from atlas.models import Case, ToolCall
from atlas.settings import Settings


@asynccontextmanager
async def open_store(directory: Path) -> AsyncIterator[CaseStore]:
    """A store in a directory, closed afterwards."""
    database = Database(directory)
    await database.open()
    try:
        yield CaseStore(database)
    finally:
        await database.close()


def tool_call(tool_name: str = "check_status", principal: str = "agent", **arguments: Any) -> ToolCall:
    """A call with its digest."""
    return ToolCall(
        principal=principal, tool_name=tool_name, arguments=arguments, arguments_sha256=digest(arguments)
    )


async def open_case(store: CaseStore, call: ToolCall | None = None) -> Case:
    """A queued case, recorded as the admission does it."""

    def work(connection: Connection) -> Case:
        case, _ = insert_case(connection, call or tool_call(beneficiary_id="BEN-123"))
        detail = {"tool_name": case.call.tool_name, "arguments_sha256": case.call.arguments_sha256}
        ledger.append(
            connection, case.case_id, ledger.Action.ADMITTED, actor=case.call.principal, detail=detail
        )
        return case

    return await store.database.write(work)


def settings_of_test(directory: Path, **fields: Any) -> Settings:
    """Settings that read nothing from the environment of whoever runs the tests."""
    return Settings(_env_file=None, atlas_data_dir=directory, **fields)
