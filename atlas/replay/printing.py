"""The report as lines for a terminal."""

from collections.abc import Iterator

from atlas.models import plain_text
from atlas.replay.report import Change, Report, Share
from atlas.replay.sentences import compared, decided, heading, load, notes
from atlas.replay.verdicts import Verdict

MOST_SHOWN = 20  # lines of one table; --json has more


def text_of(report: Report) -> str:
    """The whole report."""
    return "\n".join(
        [
            f"Policy     {plain_text(report.policy_name)}, SHA-256 {report.policy_sha256}",
            f"Threshold  {report.threshold}",
            f"Calls      {compared(report)}",
            "",
            *_table(report),
            "",
            "What people have to decide",
            f"    then            {load(report.people_then)}",
            f"    by this policy  {load(report.people_now)}",
            *(line for change in report.changes for line in ["", *_change(change)]),
            "",
            *(f"- {note}" for note in notes(report)),
            *(
                f"- {share.calls:,} times: {plain_text(share.name)}"
                for share in report.notes.failures[:MOST_SHOWN]
            ),
        ]
    )


def _table(report: Report) -> list[str]:
    names = [verdict.value for verdict in Verdict]
    lines = [f"{'then':12}" + "".join(f"{name + ' now':>16}" for name in names)]
    for name in names:
        lines.append(f"{name:12}" + "".join(f"{report.verdicts[name][other]:>16,}" for other in names))
    return lines


def _change(change: Change) -> Iterator[str]:
    yield f"{heading(change)}."
    if said := decided(change):
        yield f"    {said}"
    for title, shares in (
        ("by tool", change.tools),
        ("by rule of this policy", change.rules),
        ("by rule that matched then", change.rules_before),
    ):
        yield f"    {title}"
        yield from _lines(shares)


def _lines(shares: tuple[Share, ...]) -> Iterator[str]:
    for share in shares[:MOST_SHOWN]:
        yield f"        {share.calls:>8,}  {plain_text(share.name)}  {' '.join(share.references)}".rstrip()
    if len(shares) > MOST_SHOWN:
        yield f"        and {len(shares) - MOST_SHOWN} more lines, with --json"
