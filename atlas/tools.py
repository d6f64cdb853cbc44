"""The built-in tools: a small welfare office, so that a newcomer has something real to govern."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta
from functools import partial
from typing import Annotated, Any

import sqlalchemy as sa
from fastmcp import FastMCP
from fastmcp.exceptions import ToolError
from mcp.types import ToolAnnotations
from pydantic import Field
from sqlalchemy.engine import Connection

from atlas.database import Database, instant_text, metadata, now

PAYMENT_EXTENSION_DAYS = 30
BENEFITS = ("housing benefit", "basic income support", "disability benefit", "child benefit")

beneficiaries = sa.Table(
    "beneficiaries",
    metadata,
    sa.Column("beneficiary_id", sa.String(20), primary_key=True),
    sa.Column("record", sa.Text, nullable=False),
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
        return await self.database.read(partial(_record, beneficiary_id=beneficiary_id))

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
    query = sa.select(beneficiaries.c.record).where(beneficiaries.c.beneficiary_id == beneficiary_id)
    text = connection.execute(query).scalar()
    if text is None:
        raise ToolError(f"There is no beneficiary {beneficiary_id}.")
    record: dict[str, Any] = json.loads(text)
    return record


def _move(record: dict[str, Any], field: str, days: int) -> str:
    if record[field] is None:
        raise ToolError(f"This beneficiary has no {field.replace('_', ' ')} date that could be moved.")
    try:
        record[field] = (date.fromisoformat(record[field]) + timedelta(days=days)).isoformat()
    except OverflowError:
        raise ToolError("That date is too far away.") from None
    return str(record[field])


def _amount(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= 10_000:
        raise ToolError("monthly_amount_eur is a whole number of euros from 0 to 10000.")
    return value


def _choice(field: str, *choices: str) -> Callable[[Any], str]:
    def check(value: Any) -> str:
        if value not in choices:
            raise ToolError(f"{field} is one of: {', '.join(choices)}.")
        return str(value)

    return check


CHANGEABLE: dict[str, Callable[[Any], Any]] = {
    "benefit": _choice("benefit", *BENEFITS),
    "monthly_amount_eur": _amount,
    "status": _choice("status", "active", "suspended", "ended"),
}


def add_welfare_tools(server: FastMCP, office: WelfareOffice) -> None:
    """Offer the office's four tools on an MCP server."""
    _add_reading(server, office)
    _add_extensions(server, office)
    _add_modification(server, office)


def _add_reading(server: FastMCP, office: WelfareOffice) -> None:
    @server.tool(
        title="Check the status of a beneficiary",
        annotations=ToolAnnotations(read_only_hint=True, open_world_hint=False),
    )
    async def check_status(beneficiary_id: BeneficiaryId) -> dict[str, Any]:
        """Read the welfare record of one beneficiary: benefit, amount, dates and history."""
        return {"beneficiary_id": beneficiary_id} | await office.read(beneficiary_id)


def _add_extensions(server: FastMCP, office: WelfareOffice) -> None:
    additive = ToolAnnotations(
        read_only_hint=False, destructive_hint=False, idempotent_hint=False, open_world_hint=False
    )

    @server.tool(title="Extend the deadline for documents", annotations=additive)
    async def request_extension(
        beneficiary_id: BeneficiaryId,
        days: Annotated[int, Field(description="How many days more", ge=1, le=365)],
        reason: Reason,
        documents: Annotated[list[str], Field(description="References of supporting documents")] = [],  # noqa: B006
    ) -> str:
        """Give a beneficiary more days to hand in missing documents."""
        what = f"documents extended by {days} days: {reason} ({', '.join(documents) or 'no documents'})"
        due = await office.change(beneficiary_id, what, lambda record: _move(record, "documents_due", days))
        return f"The documents of {beneficiary_id} are now due on {due}."

    @server.tool(title="Extend the repayment of an overpaid benefit", annotations=additive)
    async def request_payment_extension(beneficiary_id: BeneficiaryId, reason: Reason) -> str:
        """Put off by 30 days the date on which a beneficiary has to pay money back."""
        what = f"repayment extended by {PAYMENT_EXTENSION_DAYS} days: {reason}"
        due = await office.change(
            beneficiary_id, what, lambda record: _move(record, "repayment_due", PAYMENT_EXTENSION_DAYS)
        )
        return f"The repayment of {beneficiary_id} is now due on {due}."


def _add_modification(server: FastMCP, office: WelfareOffice) -> None:
    @server.tool(
        title="Modify a welfare record",
        annotations=ToolAnnotations(
            read_only_hint=False, destructive_hint=True, idempotent_hint=False, open_world_hint=False
        ),
    )
    async def modify_welfare_record(
        beneficiary_id: BeneficiaryId,
        changes: Annotated[
            dict[str, Any],
            Field(description="New values by field: benefit, monthly_amount_eur, status", min_length=1),
        ],
    ) -> str:
        """Change the benefit, its amount or its status for a beneficiary."""
        unknown = sorted(changes.keys() - CHANGEABLE.keys())
        if unknown:
            raise ToolError(f"These fields cannot be changed: {', '.join(unknown)}.")
        what = f"modified: {json.dumps(changes, ensure_ascii=False, sort_keys=True)}"

        def edit(record: dict[str, Any]) -> str:
            record.update({field: CHANGEABLE[field](value) for field, value in changes.items()})
            return ", ".join(sorted(changes))

        changed = await office.change(beneficiary_id, what, edit)
        return f"The record of {beneficiary_id} was changed: {changed}."
