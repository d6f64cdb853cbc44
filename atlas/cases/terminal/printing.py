"""Cases as lines of a terminal: what others wrote obeys nothing there, and hides nothing."""

import json
from collections.abc import Iterable, Iterator
from typing import Any

from atlas.desk.seen import seen_plain
from atlas.desk.words import ago, instant, left
from atlas.instants import read_instant
from atlas.origins.saying import UNKNOWN

BY_SCORE = "decide.auto_approved"  # of the ledger, which this command does not load
FOLDED = 2_000  # characters of a text that are shown without --full


def visible(value: Any) -> str:
    """A text within a line, with a mark for each character that shows nothing or that a terminal obeys."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if text.isascii() and text.isprintable() else seen_plain(text, most=len(text))


def folded(text: str, *, is_full: bool) -> Iterator[str]:
    """The lines of a text; of a long one the beginning, and how much is left out."""
    shown = text if is_full else text[:FOLDED]
    yield from (visible(line) for line in shown.split("\n"))
    if len(shown) < len(text):
        yield f"… {len(text) - len(shown):,} more characters: --full shows them"


def line_of(case: dict[str, Any]) -> str:
    """A case in a list."""
    score = "  -" if case["risk_score"] is None else f"{case['risk_score']:3}"
    again = f", round {case['round_number']}" if case["round_number"] > 1 else ""
    what = f"{visible(case['tool_name'])} by {visible(case['principal'])}"
    mark = ", target from outside" if case["has_target_from_outside"] else ""
    return f"{case['case_id']}  {score}  {what}  {_when(case)}{again}{mark}"


def _when(case: dict[str, Any]) -> str:
    if case["frozen_at"] is not None:
        return f"{case['status']}, stopped"
    if case["finished_at"] is not None:
        by = f" by {visible(case['reviewer'])}" if case["reviewer"] else ""
        return f"{case['status']}{by}, {ago(read_instant(case['finished_at']))} ago"
    end = f", {left(read_instant(case['expires_at']))} left" if case["expires_at"] else ""
    return f"{case['status']}, {ago(read_instant(case['opened_at']))} old{end}"


def text_of(case: dict[str, Any], *, is_full: bool) -> Iterator[str]:
    """All of a case that a person needs for a decision."""
    end = f", until {instant(read_instant(case['expires_at']))}" if case["expires_at"] else ""
    stopped = ", stopped: its time does not run" if case["frozen_at"] else ""
    yield f"{case['case_id']}  {case['status']}, round {case['round']}{end}{stopped}"
    for name, lines in _parts(case, is_full=is_full):
        for number, line in enumerate(lines):
            yield f"  {name if number == 0 else '':12} {line}"
    yield f"  {'seen':12} {case['seen_sha256']}"


def _parts(case: dict[str, Any], *, is_full: bool) -> Iterator[tuple[str, list[str]]]:
    said = json.dumps(json.loads(case["canonical"]), indent=2, ensure_ascii=False)
    tool = " - ".join(filter(None, (case["tool"], case["definition"]["title"])))
    server = case["definition"]["server"]
    yield "tool", [visible(tool) + (f" (of the server {visible(server)})" if server else "")]
    if case["definition"]["description"]:
        yield "it says", [*folded(case["definition"]["description"], is_full=is_full)]
    yield "agent", [visible(case["agent"])]
    yield "arguments", [*folded(said, is_full=is_full), f"SHA-256 {case['arguments_sha256']}"]
    if case["edit"]:
        edit = case["edit"]
        head = f"by {visible(edit['edited_by'])}, {instant(read_instant(edit['edited_at']))}"
        yield "changed", [head, *lines_of_changes(edit["changes"])]
    if case["stop"]:
        stop = case["stop"]
        yield "stopped", [f"by {visible(stop['stopped_by'])}: {visible(stop['reason'])}"]
    if case["not_checked"]:
        yield "not checked", [", ".join(map(visible, case["not_checked"]))]
    yield from _origins(case)
    for name, text in case["agent_claims"].items():
        yield "claim", [f"{name}: {line}" for line in folded(text, is_full=is_full)]
    yield from _judged(case)
    yield from _people(case)
    if case["outcome"]:
        result = json.dumps(case["outcome"]["result"], indent=2, ensure_ascii=False)
        yield "outcome", [*folded(case["outcome"]["detail"] or result, is_full=is_full)]
    yield "ledger", [_entry(entry) for entry in case["timeline"]]


def lines_of_changes(changes: Iterable[dict[str, Any]]) -> Iterator[str]:
    """A line for each argument that a person changed."""
    for change in changes:
        before, after = (json.dumps(change[name], ensure_ascii=False) for name in ("before", "after"))
        yield f"{visible(change['path'])}: {visible(before)} -> {visible(after)}"


def _origins(case: dict[str, Any]) -> Iterator[tuple[str, list[str]]]:
    """Where the arguments came from, each with the passage in which it stands."""
    trace = case["trace"]
    if trace is None:
        if case["assessment"]:
            yield "from where", [UNKNOWN]
        return
    orders = [f"{visible(one['said'])} “{visible(one['passage'])}”" for one in trace["orders"]]
    if orders:
        yield "WARNING", orders
    lines = [line for origin in trace["origins"] for line in _origin(origin)]
    if lines or trace["said"]:
        yield "from where", [*lines, *trace["said"]]


def _origin(origin: dict[str, Any]) -> Iterator[str]:
    mark = "target from outside: " if origin["is_target"] and origin["is_outside"] else ""
    yield f"{mark}{visible(origin['said'])}"
    yield from (f"  “{visible(found['passage'])}”" for found in origin["found"])


def _judged(case: dict[str, Any]) -> Iterator[tuple[str, list[str]]]:
    judged = case["assessment"]
    if judged is None:
        return
    if judged["is_hidden"]:
        yield "score", ["hidden: it is shown when you have made a first choice"]
    else:
        score = f"{judged['risk_score']}, and a person decides from {judged['threshold']}"
        yield "score", [f"{score}; {visible(judged['classification'])}"]
        yield "because", [visible(judged["rationale"])]
    if judged["rules"]:
        yield "rules", [visible(rule) for rule in judged["rules"]]
    if judged["legal_basis"]:
        yield "legal basis", [visible(judged["legal_basis"])]
    if judged["policy_sha256"]:
        yield "policy", [f"SHA-256 {judged['policy_sha256']}"]
    if judged["reopened_because"]:
        yield "judged again", [visible(judged["reopened_because"])]


def _people(case: dict[str, Any]) -> Iterator[tuple[str, list[str]]]:
    ruling, decision = case["ruling"], case["decision"]
    passed = None if decision else _passed_without(case)
    if passed is None:
        who = ", ".join(map(visible, ruling["reviewers"])) or "every reviewer"
        given = ", ".join(map(_by, ruling["given"])) or "none"
        yield "who decides", [f"{who}; approvals: {ruling['approvals']} needed, given: {given}"]
    else:
        yield "approved", [passed]
    if you := case["you"]:
        for_whom = f", for {visible(you['on_behalf_of'])}" if you["on_behalf_of"] else ""
        yield "you", [f"may approve it{for_whom}" if you["may_approve"] else visible(you["why_not"])]
    if ruling["may_edit"] and not decision:
        yield "may change", [", ".join(map(visible, ruling["may_edit"]))]
    if case["waiting_before"]:
        yield "waited", [f"{', '.join(case['waiting_before'])} of the same agent and tool"]
    if decision:
        at = instant(read_instant(decision["decided_at"]))
        reason = f": {visible(decision['reason'])}" if decision["reason"] else ""
        yield "decided", [f"{decision['decision']} by {_by(decision)}, {at}{reason}"]
    for one in case["questions"]:
        yield "question", [f"{visible(one['asked_by'])}: {visible(one['question'])}"]
        said = "no answer" if one["answer"] is None else f"the agent says (a claim): {visible(one['answer'])}"
        yield "answer", [said]
    for comment in case["comments"]:
        yield "comment", [f"{visible(comment['author'])}: {visible(comment['text'])}"]


def _passed_without(case: dict[str, Any]) -> str | None:
    """What approved a call on which no person decided; None where nothing did, or a person still has to."""
    if case["plan"]:
        plan = case["plan"]
        return f"by the plan {plan['plan_id']} of {visible(plan['made_by'])}: {visible(plan['reason'])}"
    actions = [entry["action"] for entry in case["timeline"] if entry["action"].startswith("decide.")]
    is_by_score = actions[-1:] == [BY_SCORE]
    return "by the score: no person was asked" if is_by_score else None


def _by(said: dict[str, Any]) -> str:
    """Who approved or rejected, and for whom."""
    for_whom = f" for {visible(said['on_behalf_of'])}" if said["on_behalf_of"] else ""
    through = f", through {visible(said['way'])}" if said["way"] else ""
    return f"{visible(said['reviewer'])}{for_whom}{through}"


def _entry(entry: dict[str, Any]) -> str:
    what = f"{entry['seq']} {entry['at'][:19]}Z {entry['action']} by {visible(entry['actor'])}"
    return f"{what} {entry['entry_hash'][:12]}"
