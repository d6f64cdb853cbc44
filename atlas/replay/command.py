"""`python -m atlas.assessors.policy replay FILE`: what a policy would have said of the calls on record."""

import argparse
import sys
from datetime import datetime, timedelta, timezone
from pathlib import Path

from atlas.assessors.policy import Policy
from atlas.database.choose import beside
from atlas.errors import DatabaseUnusable, PolicyInvalid
from atlas.instants import now
from atlas.replay.span import Span
from atlas.settings.as_written import read_duration

BEGINNING = datetime(2000, 1, 1, tzinfo=timezone.utc)
LONGEST = timedelta(days=365)
BUDGET = timedelta(minutes=10)
DONE, NOT_ALL, CANNOT = 0, 1, 2
WRONG_INSTANT = (
    'it is a duration before now from "1s" to "365d", such as "30d", or a date, such as "2026-11-01"'
)


def add_to(parser: argparse.ArgumentParser) -> None:
    """The options of the command."""
    parser.add_argument("policy", type=Path, metavar="FILE", help="the policy to try; it is not put in force")
    parser.add_argument(
        "--since", type=instant, metavar="30d", help="how long ago, or a date (UTC); default: all calls"
    )
    parser.add_argument(
        "--until", type=instant, metavar="1d", help="how long ago, or a date (UTC); default: now"
    )
    parser.add_argument("--threshold", type=threshold, metavar="SCORE", help="else ATLAS_RISK_THRESHOLD")
    parser.add_argument(
        "--data-dir", type=Path, metavar="DIR", help="of a SQLite file; else what the settings name"
    )
    parser.add_argument(
        "--time", type=_duration, default=BUDGET, metavar="10m", help="after which it reports what it has"
    )
    parser.add_argument(
        "--workers", type=_workers, metavar="N", help="processes, at most one a core; default: as many as pay"
    )
    parser.add_argument("--json", action="store_true", help="print the report as JSON")


def run(options: argparse.Namespace) -> int:
    """Print the report; returns the exit status."""
    from atlas.replay.printing import text_of  # FastMCP, which takes a second
    from atlas.replay.run import replay, workers_for
    from atlas.replay.workers import WorkerEnded

    until = options.until or now()
    span = Span(since=options.since or BEGINNING, until=until, budget=options.time, idle=options.idle)
    if span.since >= span.until:
        return _say("--since is not before --until, so there is no time between them.", CANNOT)
    try:
        policy = Policy(options.policy, threshold=options.threshold)
        workers = options.workers or workers_for(options.location, span)
        report = replay(options.location, policy, span, workers=workers)
    except (PolicyInvalid, DatabaseUnusable, WorkerEnded) as error:
        return _say(str(error), CANNOT)
    if not report.calls and not report.left_out and not report.notes.not_judged:
        return _say(f"There is no case in {beside(options.location).place} in this span of time.", NOT_ALL)
    text = report.model_dump_json(indent=2) if options.json else text_of(report)
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()
    return NOT_ALL if report.left_out else DONE


def _say(sentence: str, code: int) -> int:
    sys.stderr.write(f"{sentence}\n")
    return code


def instant(text: str) -> datetime:
    """A moment as an option says it: so long ago, or a date, at whose beginning it is."""
    try:
        length = read_duration(text)
        if isinstance(length, timedelta):
            if not timedelta(0) < length <= LONGEST:
                raise ValueError
            return now() - length
        moment = datetime.fromisoformat(text.strip().replace("Z", "+00:00"))
    except (ValueError, OverflowError):
        raise argparse.ArgumentTypeError(WRONG_INSTANT) from None
    return moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)


def _duration(text: str) -> timedelta:
    length = read_duration(text)
    if not isinstance(length, timedelta) or not timedelta(0) < length <= LONGEST:
        raise argparse.ArgumentTypeError('it is a duration, such as "90s" or "10m"')
    return length


def _workers(text: str) -> int:
    if not text.isdecimal() or len(text) > 4 or int(text) < 1:
        raise argparse.ArgumentTypeError("it is a whole number from 1 on")
    return int(text)


def threshold(text: str) -> int:
    """A score from which a person decides, as it is typed."""
    if not text.isdecimal() or len(text) > 3 or not 1 <= int(text) <= 100:
        raise argparse.ArgumentTypeError("it is a whole number from 1 to 100")
    return int(text)
