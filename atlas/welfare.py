"""The built-in tools: a small welfare office, so that a newcomer has something real to govern."""

import json
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

import sqlalchemy as sa
from fastmcp import FastMCP
from fastmcp.exceptions import ToolError
from fastmcp.tools import Tool
from mcp.types import ToolAnnotations
from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, TypeAdapter, WithJsonSchema
from sqlalchemy.engine import Connection
from typing_extensions import TypedDict

from atlas.database.database import Database
from atlas.database.sqlite.store import SqliteDatabase
from atlas.database.statements import Prepared, metadata
from atlas.instants import instant_text, now
from atlas.settings import Settings

PAYMENT_EXTENSION_DAYS = 30
Benefit = Literal["housing benefit", "basic income support", "disability benefit", "child benefit"]

beneficiaries = sa.Table(
    "beneficiaries",
    metadata,
    sa.Column("beneficiary_id", sa.String(20), primary_key=True),
    sa.Column("record", sa.Text, nullable=False),
)
_RECORD = Prepared(
    sa.select(beneficiaries.c.record).where(beneficiaries.c.beneficiary_id == sa.bindparam("this"))
)

SEED: dict[str, dict[str, Any]] = {
    "BEN-123": {
        "benefit": "housing benefit",
        "monthly_amount_eur": 412,
        "status": "active",
        "documents_due": "2027-01-15",
        "repayment_due": "2027-02-01",
    },
    "BEN-124": {
        "benefit": "basic income support",
        "monthly_amount_eur": 563,
        "status": "active",
        "documents_due": "2027-01-31",
        "repayment_due": None,
    },
    "BEN-125": {
        "benefit": "disability benefit",
        "monthly_amount_eur": 718,
        "status": "suspended",
        "documents_due": "2026-12-10",
        "repayment_due": "2027-03-15",
    },
}

BeneficiaryId = Annotated[str, Field(description="The file number of the beneficiary, such as BEN-123")]
Reason = Annotated[str, Field(description="Why this is asked for, in words the file can keep", min_length=3)]


def is_offered(settings: Settings, servers: Collection[object]) -> bool:
    """Whether agents are offered it: as ATLAS_WELFARE says, else where no server is behind the gateway."""
    return not servers if settings.atlas_welfare is None else settings.atlas_welfare


def told_at_start(settings: Settings, servers: Collection[object]) -> str | None:
    """What the start says of the office; nothing where it is all that there is."""
    if not is_offered(settings, servers):
        why = "ATLAS_MCP_CONFIG names servers" if settings.atlas_welfare is None else "ATLAS_WELFARE is off"
        return f"off ({why}); ATLAS_WELFARE=on in .env offers the example office"
    return "on: agents are offered the example office beside your servers" if servers else None


@dataclass(frozen=True)
class WelfareOffice:
    """The records of the beneficiaries; every change of one is kept in its history."""

    database: Database

    async def seed(self) -> None:
        """Put the example records into an empty office."""
        rows = [
            {"beneficiary_id": key, "record": json.dumps(record | {"history": []})}
            for key, record in SEED.items()
        ]

        def insert(connection: Connection) -> None:
            if connection.execute(sa.select(beneficiaries).limit(1)).first() is None:
                connection.execute(beneficiaries.insert(), rows)

        await self.database.write(insert)

    async def read(self, beneficiary_id: str) -> dict[str, Any]:
        """The record of a beneficiary; raises ToolError for an unknown one."""
        look = partial(_rows, beneficiary_id=beneficiary_id)
        rows = self.database.read_here(look)  # by its key: a thread would take longer than the look
        return _record_in(await self.database.read(look) if rows is None else rows, beneficiary_id)

    async def change(self, beneficiary_id: str, what: str, edit: Callable[[dict[str, Any]], str]) -> str:
        """Edit a record in place, with a line of history, and return what the edit said of it."""

        def write(connection: Connection) -> str:
            record = _record(connection, beneficiary_id)
            said = edit(record)
            record["history"].append(f"{instant_text(now())} {what}")
            statement = beneficiaries.update().where(beneficiaries.c.beneficiary_id == beneficiary_id)
            connection.execute(statement.values(record=json.dumps(record, ensure_ascii=False)))
            return said

        return await self.database.write(write)


def _record(connection: Connection, beneficiary_id: str) -> dict[str, Any]:
    return _record_in(_rows(connection, beneficiary_id), beneficiary_id)


def _rows(connection: Connection, beneficiary_id: str) -> Sequence[Any]:
    return _RECORD.rows(connection, {"this": beneficiary_id})


def _record_in(rows: Sequence[Any], beneficiary_id: str) -> dict[str, Any]:
    if not rows:
        raise ToolError(f"There is no beneficiary {beneficiary_id}.")
    record: dict[str, Any] = json.loads(rows[0][0])
    return record


def _move(record: dict[str, Any], field: str, days: int) -> str:
    if record[field] is None:
        raise ToolError(f"This beneficiary has no {field.replace('_', ' ')} date that could be moved.")
    try:
        record[field] = (date.fromisoformat(record[field]) + timedelta(days=days)).isoformat()
    except OverflowError:
        raise ToolError("That date is too far away.") from None
    return str(record[field])


def _whole_number(value: Any) -> Any:
    if isinstance(value, (bool, str)):
        raise ValueError("has to be a whole number of euros")
    return value


Euros = Annotated[int, BeforeValidator(_whole_number), Field(description="Whole euros", ge=0, le=10_000)]


class Fields(TypedDict, total=False):
    """The fields of a welfare record that can be changed."""

    __pydantic_config__ = ConfigDict(extra="forbid")  # type: ignore[misc]

    benefit: Benefit | None
    monthly_amount_eur: Euros | None
    status: Literal["active", "suspended", "ended"] | None


def _at_least_one(fields: Fields) -> Fields:
    if not _new_values(fields):
        raise ValueError("give at least one of benefit, monthly_amount_eur and status")
    return fields


def _new_values(fields: Fields) -> dict[str, Any]:
    """What changes; null stands for a field that stays as it is, as clients in strict mode send it."""
    return {name: value for name, value in fields.items() if value is not None}


# In place of a reference into `$defs`, which some clients do not follow.
CHANGES_SCHEMA = TypeAdapter(Fields).json_schema() | {
    "title": "Changes",
    "description": "New values by field; a field that is null or missing stays as it is",
    "minProperties": 1,
}
Changes = Annotated[Fields, AfterValidator(_at_least_one), WithJsonSchema(CHANGES_SCHEMA)]


def add_welfare_tools(server: FastMCP, office: WelfareOffice) -> None:
    """Offer the office's four tools on an MCP server.

    Their descriptions are no docstrings: FastMCP would load griffe for these, 2 MB and 50 ms of a start.
    """
    _add_reading(server, office)
    _add_extensions(server, office)
    _add_modification(server, office)


async def built_in_tools() -> dict[str, Tool]:
    """The office's tools by name, to look at: no file is opened for them."""
    server = FastMCP("built in")
    add_welfare_tools(server, WelfareOffice(SqliteDatabase(Path())))
    return {tool.name: tool for tool in await server.list_tools()}


def _add_reading(server: FastMCP, office: WelfareOffice) -> None:
    @server.tool(
        title="Check the status of a beneficiary",
        description="Read the welfare record of one beneficiary: benefit, amount, dates and history.",
        annotations=ToolAnnotations(read_only_hint=True, open_world_hint=False),
    )
    async def check_status(beneficiary_id: BeneficiaryId) -> dict[str, Any]:
        return {"beneficiary_id": beneficiary_id} | await office.read(beneficiary_id)


def _add_extensions(server: FastMCP, office: WelfareOffice) -> None:
    additive = ToolAnnotations(
        read_only_hint=False, destructive_hint=False, idempotent_hint=False, open_world_hint=False
    )

    @server.tool(
        title="Extend the deadline for documents",
        description="Give a beneficiary more days to hand in missing documents.",
        annotations=additive,
    )
    async def request_extension(
        beneficiary_id: BeneficiaryId,
        days: Annotated[int, Field(description="How many days more", ge=1, le=365)],
        reason: Reason,
        documents: Annotated[list[str], Field(description="References of supporting documents")] = [],  # noqa: B006
    ) -> str:
        what = f"documents extended by {days} days: {reason} ({', '.join(documents) or 'no documents'})"
        due = await office.change(beneficiary_id, what, lambda record: _move(record, "documents_due", days))
        return f"The documents of {beneficiary_id} are now due on {due}."

    @server.tool(
        title="Extend the repayment of an overpaid benefit",
        description="Put off by 30 days the date on which a beneficiary has to pay money back.",
        annotations=additive,
    )
    async def request_payment_extension(beneficiary_id: BeneficiaryId, reason: Reason) -> str:
        what = f"repayment extended by {PAYMENT_EXTENSION_DAYS} days: {reason}"
        due = await office.change(
            beneficiary_id, what, lambda record: _move(record, "repayment_due", PAYMENT_EXTENSION_DAYS)
        )
        return f"The repayment of {beneficiary_id} is now due on {due}."


def _add_modification(server: FastMCP, office: WelfareOffice) -> None:
    @server.tool(
        title="Modify a welfare record",
        description="Change the benefit, its amount or its status for a beneficiary.",
        annotations=ToolAnnotations(
            read_only_hint=False, destructive_hint=True, idempotent_hint=False, open_world_hint=False
        ),
    )
    async def modify_welfare_record(
        beneficiary_id: BeneficiaryId,
        changes: Changes,
    ) -> str:
        values = _new_values(changes)
        what = f"modified: {json.dumps(values, ensure_ascii=False, sort_keys=True)}"

        def edit(record: dict[str, Any]) -> str:
            record.update(values)
            return ", ".join(sorted(values))

        changed = await office.change(beneficiary_id, what, edit)
        return f"The record of {beneficiary_id} was changed: {changed}."
