"""`python -m atlas.plans make|list|stop`: a reviewer approves calls beforehand in a terminal.

It asks the running gateway over HTTP, with the reviewer's key that stands in ATLAS_REVIEWER_KEY or `.env`.
The exit status is 0; 1 if the gateway refused; 2 for a wrong command; 3 if there is no answer.
"""

import argparse
import json
import re
import sys
from datetime import timedelta
from typing import Any

from atlas.cases.terminal.command import exit_status, shared_options
from atlas.cases.terminal.printing import visible
from atlas.cases.terminal.remote import Gateway, key_and_name, url_of_settings
from atlas.instants import instant_text, now
from atlas.texts import words_of

UNITS = {"m": "minutes", "h": "hours", "d": "days"}


def _lasting(text: str) -> timedelta:
    """How long a plan holds; raises ValueError."""
    found = re.fullmatch(r"([1-9][0-9]{0,4})([mhd])", text)
    if found is None:
        raise ValueError
    return timedelta(**{UNITS[found[2]]: int(found[1])})


_lasting.__name__ = "a time such as 30m, 8h or 7d"  # argparse names it in its error


def _condition(text: str) -> str:
    """A condition; an empty one, as of a variable that is not set, would let all calls pass."""
    if not text.strip():
        raise argparse.ArgumentTypeError("it is empty: leave it out where all calls are meant")
    return text


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m atlas.plans",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    verbs = parser.add_subparsers(dest="verb", required=True)
    shared = shared_options(name="whose key")
    make = verbs.add_parser("make", parents=[shared], help="approve calls of a tool beforehand")
    make.add_argument("tool", metavar="TOOL")
    make.add_argument("--agent", help="whose calls; default: those of every agent")
    when = "a condition over args; default: all calls of the tool"
    make.add_argument("--when", type=_condition, metavar="CEL", help=when)
    make.add_argument("--calls", type=int, required=True, metavar="N", help="how many calls at most")
    make.add_argument("--for", dest="lasts", type=_lasting, required=True, metavar="TIME", help="30m, 8h, 7d")
    make.add_argument("--reason", required=True)
    verbs.add_parser("list", parents=[shared], help="the plans, and what is used up of them")
    stop = verbs.add_parser("stop", parents=[shared], help="stop a plan")
    stop.add_argument("plan_id", metavar="ID", help="plan_…")
    return parser


def _run(said: argparse.Namespace) -> int:
    key, _ = key_and_name(said.name)
    gateway = Gateway(said.url or url_of_settings(), key=key)
    if said.verb == "list":
        told = gateway.plans()
        lines = [_standing(one) for one in told["plans"]] or ["There is no plan."]
    elif said.verb == "stop":
        told = gateway.stop_plan(said.plan_id)
        lines = [f"{told['plan_id']} is stopped, by {told['stopped_by']}."]
    else:
        told = gateway.make_plan(
            tool=said.tool,
            agent=said.agent,
            condition=said.when,
            most_calls=said.calls,
            ends_at=instant_text(now() + said.lasts),
            reason=said.reason,
        )
        lines = [f"{told['plan_id']} lets {told['most_calls']} calls pass until {told['ends_at']}."]
    _print([json.dumps(told, indent=2)] if said.json else [visible(line) for line in lines])
    return 0


def _standing(one: dict[str, Any]) -> str:
    plan = one["plan"]
    state = "in force" if one["is_in_force"] else f"not in force: {one['why_not']}"
    parts = (
        plan["plan_id"],
        plan["tool_name"],
        plan["principal"] or "every agent",
        plan["condition"] or "all calls",
        f"{plan['used']} of {plan['most_calls']} used",
        f"until {plan['ends_at']}",
        f"by {plan['made_by']}",
        state,
    )
    return "  ".join(parts)


def _print(lines: list[str]) -> None:
    for line in lines:
        sys.stdout.write(f"{line}\n")


def main(arguments: list[str] | None = None) -> int:
    """Do what is asked; returns the exit status."""
    said = _parser().parse_args(words_of(arguments))
    return exit_status(lambda: _run(said), then="`list` says which plans there are.")


if __name__ == "__main__":
    sys.exit(main())
