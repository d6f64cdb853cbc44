"""The list of the history as a file, written while it is read: CSV for spreadsheets, JSON lines for programs.

A CSV begins with a byte order mark, without which spreadsheets take its letters for others. No cell of it can
begin a formula, and it shows characters that have no shape; JSON lines hold each value as it is.
"""

import asyncio
import csv
import io
import json
import re
from collections.abc import AsyncGenerator, Callable
from datetime import datetime
from typing import Any

from atlas.cases.lists.filters import Filter
from atlas.cases.lists.listing import Line, all_lines
from atlas.cases.lists.remarks import Remark, with_remarks
from atlas.database.database import Database
from atlas.desk.history.told import told_of
from atlas.desk.seen import seen_plain
from atlas.instants import instant_text

AT_ONCE = 50  # lines in a piece: their reasons may be long
MARK = "\ufeff"
COLUMNS = (
    *("case_id", "opened_at", "agent", "tool", "status", "ending", "risk_score", "classification", "round"),
    *("decision", "reviewer", "reason", "decided_at", "finished_at", "detail", "is_tool_error"),
    *("arguments_sha256", "version"),
)
# Where a cell begins, also for a program that takes another sign for the end of a cell.
_FORMULA = re.compile(r"""((?:^|[;,|\t])[\s"']*)(?=[=+\-@＝＋－＠])""")
Values = dict[str, Any]


def values_of(line: Line, remark: Remark) -> Values:
    """What a file says of a case: all that the list knows, and not its arguments."""
    return {
        "case_id": line.case_id,
        "opened_at": _at(line.opened_at),
        "agent": line.principal,
        "tool": line.tool_name,
        "status": line.status.value,
        "ending": told_of(line, remark).sentence,
        "risk_score": line.risk_score,
        "classification": line.classification,
        "round": line.round_number,
        "decision": line.decision.value if line.decision else None,
        "reviewer": line.reviewer,
        "reason": remark.reason,
        "decided_at": _at(line.decided_at),
        "finished_at": _at(line.finished_at),
        "detail": remark.detail,
        "is_tool_error": remark.is_tool_error,
        "arguments_sha256": line.arguments_sha256,
        "version": line.version,
    }


def _at(value: datetime | None) -> str | None:
    return None if value is None else instant_text(value)


def as_csv(rows: list[Values]) -> str:
    """Lines of CSV."""
    text = io.StringIO()
    csv.writer(text, quoting=csv.QUOTE_ALL).writerows([map(harmless, row.values()) for row in rows])
    return text.getvalue()


def harmless(value: object) -> str:
    """A cell that no spreadsheet takes for a formula, and that hides nothing."""
    if value is None or isinstance(value, bool):
        return "" if value is None else str(value).lower()
    text = str(value)
    return _FORMULA.sub(r"\1'", seen_plain(text, len(text)))


def as_json_lines(rows: list[Values]) -> str:
    """Lines of JSON; a half of a character, which UTF-8 cannot say, is escaped."""
    return "".join(json.dumps(row) + "\n" for row in rows)


Writes = Callable[[list[Values]], str]
FORMATS: dict[str, tuple[str, Writes, str]] = {  # by name: media type, writer, and what stands first
    "csv": ("text/csv; charset=utf-8", as_csv, MARK + as_csv([dict(zip(COLUMNS, COLUMNS, strict=True))])),
    "jsonl": ("application/jsonl; charset=utf-8", as_json_lines, ""),
}


async def pieces(
    database: Database, asked: Filter, name: str, sent: Callable[[int], None]
) -> AsyncGenerator[bytes]:
    """The file in pieces of some lines; `sent` hears how many lines each has had."""
    _, write, first = FORMATS[name]
    if first:
        yield first.encode()
    async for lines in all_lines(database, asked):
        for begin in range(0, len(lines), AT_ONCE):
            pairs = await with_remarks(database, lines[begin : begin + AT_ONCE])
            rows = [values_of(*pair) for pair in pairs]
            yield (await asyncio.to_thread(write, rows)).encode()  # agents do not wait for long texts
            sent(len(pairs))
