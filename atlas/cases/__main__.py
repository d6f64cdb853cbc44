"""`python -m atlas.cases list|show|approve|reject|…`: a person sees and decides in a terminal.

It asks the running gateway over HTTP, with the reviewer's key that stands in ATLAS_REVIEWER_KEY or `.env`.
The exit status is 0; 1 if the gateway refused or nothing was approved; 2 for a wrong command; 3 if there is
no answer.
"""

import argparse
import json
import secrets
import sys
from collections.abc import Iterable
from typing import Any

from atlas.cases.lists.filters import Order
from atlas.cases.terminal import taking
from atlas.cases.terminal.changing import changed_arguments, changes_shown
from atlas.cases.terminal.command import exit_status, shared_options
from atlas.cases.terminal.printing import line_of, lines_of_changes, text_of, visible
from atlas.cases.terminal.remote import (
    Gateway,
    Refused,
    key_and_name,
    url_of_settings,
)
from atlas.models import Status
from atlas.texts import words_of

PAGE = 50
MOST_AT_ONCE = 200  # decisions of a request
TAKES_THE_DESK = (
    "To approve case {case_id} takes your passkey: decide it at the desk, on the page of the case. "
    "Nothing was approved."
)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m atlas.cases",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    verbs = parser.add_subparsers(dest="verb", required=True)
    shared = shared_options(name="whose key, or the name to sign with")
    _add_list(verbs.add_parser("list", parents=[shared], help="what waits, or what was"))
    show = verbs.add_parser("show", parents=[shared], help="one case, with all that is known of it")
    approve = verbs.add_parser("approve", parents=[shared], help="show a case, ask, and approve it")
    approve.add_argument("--for", dest="whom", metavar="NAME", help="for whom, where a delegation lets you")
    approve.add_argument("--seen", metavar="SHA256", help="approve without a question what `show` named so")
    approve.add_argument(
        "--set",
        dest="changes",
        action="append",
        default=[],
        metavar="PATH=VALUE",
        help="approve with this argument changed, where the policy lets you",
    )
    reject = verbs.add_parser("reject", parents=[shared], help="reject one case, or several with one reason")
    back = verbs.add_parser(
        "take-back", parents=[shared], help="take your approval back, before the call begins"
    )
    ask = verbs.add_parser("ask", parents=[shared], help="ask the agent of a call that waits")
    for one in (show, approve, back, ask):
        one.add_argument("case_id", metavar="REF", help="the reference, evt_…")
    reject.add_argument("case_ids", metavar="REF", nargs="+", help="one or several references, evt_…")
    for one in (show, approve):
        one.add_argument("--full", action="store_true", help="print long texts to their end")
    ask.add_argument("question", metavar="QUESTION", help="what the agent reads")
    for one in (approve, reject):
        one.add_argument("--reason", help="what the ledger and the agent are told")
    back.add_argument("--reason", help="what the ledger is told")
    taking.add_verbs(verbs, shared)
    return parser


def _add_list(parser: argparse.ArgumentParser) -> None:
    states = ", ".join(status.value for status in Status)
    parser.add_argument("--status", action="append", type=str.upper, help=f"all, or {states}")
    parser.add_argument("--order", choices=[order.value for order in Order], default=Order.NEWEST.value)
    parser.add_argument("--limit", type=int, default=PAGE, help=f"how many lines at most; default: {PAGE}")
    for name, what in (
        ("tool", "of this tool"),
        ("agent", "of this agent"),
        ("reviewer", "decided by this person"),
        ("q", "with this text in it"),
        ("score", "with at least this risk score"),
        ("after", "the cursor of the page before"),
    ):
        parser.add_argument(f"--{name}", help=what)
    parser.add_argument("--assigned", action="store_true", help="only what a supervisor gave to you")
    parser.add_argument("--mine", action="store_true", help="only what the policy lets you decide")


def list_cases(gateway: Gateway, said: argparse.Namespace) -> int:
    """Print the lines that were asked for, from as many pages as that takes."""
    asked = {
        name: getattr(said, name)
        for name in ("tool", "agent", "reviewer", "q", "score", "mine", "assigned", "order")
    }
    status = [] if said.status == ["ALL"] else said.status or [Status.PENDING_REVIEW.value]
    lines: list[dict[str, Any]] = []
    cursor = said.after
    while True:
        limit = min(200, said.limit - len(lines))
        page = gateway.cases(**asked, status=status, after=cursor, limit=limit)
        lines += page["cases"]
        cursor = page["next_cursor"]
        if cursor is None or len(lines) >= said.limit:
            break
    if said.json:
        return _print_json({"cases": lines, "next_cursor": cursor})
    _print(map(line_of, lines) if lines else ["There is no such case."])
    if cursor is not None:
        _print([f"There may be more: --after {cursor}"])
    return 0


def show(gateway: Gateway, said: argparse.Namespace) -> int:
    """Print one case."""
    case = gateway.case(said.case_id)
    return _print_json(case) if said.json else _print(text_of(case, is_full=said.full))


def approve(gateway: Gateway, said: argparse.Namespace, name: str | None) -> int:
    """Approve what the person sees now, or saw before under the digest that they say."""
    case = gateway.case(said.case_id)
    if case["ruling"]["passkey"]:
        raise Refused(detail=TAKES_THE_DESK.format(case_id=said.case_id))
    arguments = changed_arguments(case, said.changes)
    if said.seen is None and not _is_confirmed(case, said, arguments):
        return 1
    receipt = gateway.decide(
        decision="APPROVED",
        event_id=said.case_id,
        round=case["round"],
        seen_sha256=said.seen or case["seen_sha256"],
        on_behalf_of=said.whom,
        reason=said.reason,
        reviewer=name,
        idempotency_key=secrets.token_hex(16),
        arguments=arguments,
    )
    return _print_receipt(receipt, said)


def _is_confirmed(case: dict[str, Any], said: argparse.Namespace, arguments: dict[str, Any] | None) -> bool:
    if not sys.stdin.isatty():
        sys.stderr.write(
            "No terminal: say --seen with the digest that `show` prints. Nothing was approved.\n"
        )
        return False
    _print(text_of(case, is_full=said.full), to=sys.stderr)
    if arguments is not None:
        _print(lines_of_changes(changes_shown(case["arguments"], arguments)), to=sys.stderr)
    how = "as it is shown" if arguments is None else "with these changes"
    sys.stderr.write(f"Approve it {how}? Type yes: ")
    sys.stderr.flush()
    if sys.stdin.readline().strip().lower() == "yes":
        return True
    sys.stderr.write("Nothing was approved.\n")
    return False


def reject(gateway: Gateway, said: argparse.Namespace, name: str | None) -> int:
    """Reject calls, however they were judged; several are rejected each for itself."""
    case_ids = list(dict.fromkeys(said.case_ids))
    if len(case_ids) > 1:
        return _reject_many(gateway, said, name, case_ids)
    receipt = gateway.decide(
        decision="REJECTED",
        event_id=case_ids[0],
        reason=said.reason,
        reviewer=name,
        idempotency_key=secrets.token_hex(16),
    )
    return _print_receipt(receipt, said)


def _reject_many(gateway: Gateway, said: argparse.Namespace, name: str | None, case_ids: list[str]) -> int:
    """One result for each; the exit status is 1 if one of them was not rejected."""
    if not (said.reason or "").strip():
        sys.stderr.write("Several are rejected with one reason: say --reason. Nothing was done.\n")
        return 2
    results: list[dict[str, Any]] = []
    # A request has 64 KiB at most, and each decision carries the reason.
    size = max(1, min(MOST_AT_ONCE, 50_000 // (200 + len(json.dumps(said.reason)))))
    for begin in range(0, len(case_ids), size):
        one = {"decision": "REJECTED", "reason": said.reason} | ({"reviewer": name} if name else {})
        some = [one | {"event_id": case_id} for case_id in case_ids[begin : begin + size]]
        results += gateway.decide_many(some, idempotency_key=secrets.token_hex(16))["results"]
    if said.json:
        _print_json({"results": results})
    else:
        _print(map(_result, results))
    return 0 if all(one["status"] == 200 for one in results) else 1


def _result(one: dict[str, Any]) -> str:
    if one["status"] == 200 and "detail" not in one:
        return f"{one['event_id']} is {one['decision'].lower()}."
    return f"{one['event_id']}: {visible(one['detail'])}"


def take_back(gateway: Gateway, said: argparse.Namespace, name: str | None) -> int:
    """Take an approval back; the call waits again."""
    receipt = gateway.decide(
        decision="TAKEN_BACK",
        event_id=said.case_id,
        reason=said.reason,
        reviewer=name,
        idempotency_key=secrets.token_hex(16),
    )
    if said.json:
        return _print_json(receipt)
    return _print([f"The approval of {said.case_id} is taken back. The call waits again."])


def ask(gateway: Gateway, said: argparse.Namespace, name: str | None) -> int:
    """Ask the agent; the call waits meanwhile."""
    receipt = gateway.decide(
        decision="INFORMATION_REQUESTED", event_id=said.case_id, reason=said.question, reviewer=name
    )
    if said.json:
        return _print_json(receipt)
    return _print([f"The agent of {receipt['event_id']} is asked. `show` has its answer."])


def _print_receipt(receipt: dict[str, Any], said: argparse.Namespace) -> int:
    if said.json:
        return _print_json(receipt)
    line = f"{receipt['event_id']} is {receipt['decision'].lower()}"
    if given := receipt.get("approvals"):
        line = f"{receipt['event_id']}: your approval counts, {given['given']} of {given['needed']}"
    if before := receipt.get("decided_before"):
        line = f"{line} already, by {visible(before['reviewer'])} at {before['at']}"
    revealed = [visible(receipt["revealed"])] if receipt.get("revealed") else []
    return _print([f"{line}.", *revealed])


def _print(lines: Iterable[str], *, to: Any = None) -> int:
    for line in lines:
        (to or sys.stdout).write(line + "\n")
    return 0


def _print_json(value: Any) -> int:
    # In ASCII: a terminal obeys and hides none of it.
    return _print([json.dumps(value, indent=2)])


def _run(said: argparse.Namespace) -> int:
    key, name = key_and_name(said.name)
    gateway = Gateway(said.url or url_of_settings(), key=key)
    deciding = {"approve": approve, "reject": reject, "take-back": take_back, "ask": ask}
    if said.verb in taking.VERBS:
        return taking.run(gateway, said)
    if said.verb in deciding:
        return deciding[said.verb](gateway, said, name)
    return (list_cases if said.verb == "list" else show)(gateway, said)


def main(arguments: list[str] | None = None) -> int:
    """Do what is asked; returns the exit status."""
    said = _parser().parse_args(words_of(arguments))
    return exit_status(lambda: _run(said), then="`show` says what was decided.")


if __name__ == "__main__":
    sys.exit(main())
