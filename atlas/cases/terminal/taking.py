"""In a terminal: `claim`, `assign` and `not-now` of `python -m atlas.cases`."""

import argparse
import json
import sys
from datetime import timedelta
from typing import Any

from atlas.cases.terminal.printing import visible
from atlas.cases.terminal.remote import Gateway
from atlas.instants import instant_text, now

SPANS = {"15m": timedelta(minutes=15), "1h": timedelta(hours=1), "4h": timedelta(hours=4)}
SPANS |= {"1d": timedelta(days=1)}
VERBS = ("claim", "assign", "not-now")


def add_verbs(verbs: Any, shared: argparse.ArgumentParser) -> None:
    """Add the three commands."""
    claim = verbs.add_parser("claim", parents=[shared], help="take a case for five minutes; it blocks no one")
    claim.add_argument("--release", action="store_true", help="give it back")
    assign = verbs.add_parser("assign", parents=[shared], help="give a case to a person; for supervisors")
    aside = verbs.add_parser("not-now", parents=[shared], help="put a case aside for yourself")
    for one in (claim, assign, aside):
        one.add_argument("case_id", metavar="REF", help="the reference, evt_…")
    assign.add_argument("person", metavar="NAME")
    aside.add_argument("--for", dest="lasts", choices=list(SPANS), help="without it, the case comes back now")


def run(gateway: Gateway, said: argparse.Namespace) -> int:
    """Run one of them, and say what holds now."""
    told = gateway.take(said.case_id, *_asked(said))
    line = json.dumps(told, indent=2) if said.json else visible(_line(said, told))
    sys.stdout.write(f"{line}\n")
    return 0


def _asked(said: argparse.Namespace) -> tuple[str, dict[str, Any]]:
    if said.verb == "claim":
        return "claim", {"release": said.release}
    if said.verb == "assign":
        return "assign", {"person": said.person}
    return "snooze", {"until": instant_text(now() + SPANS[said.lasts]) if said.lasts else None}


def _line(said: argparse.Namespace, told: dict[str, Any]) -> str:
    if said.verb == "assign":
        return f"{told['case_id']} is given to {told['person']}."
    if said.verb == "claim" and told["claim"]:
        return f"{told['case_id']} is taken until {told['claim']['ends_at']}."
    if said.verb == "claim":
        return f"{told['case_id']} is given back."
    return f"{told['case_id']} is put aside until {told['until']}." if told["until"] else "It is back."
