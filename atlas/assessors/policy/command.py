"""`python -m atlas.assessors.policy`: what a policy says of a call or of the past, and if it can be used."""

import argparse
import asyncio
import json
import os
import re
import sys
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, NoReturn

from atlas.assessors import Earlier, Question, ToolFacts
from atlas.assessors.policy import Policy, putting
from atlas.assessors.policy.explain import explain
from atlas.assessors.policy.session_file import SessionInvalid, read_session
from atlas.database.location import Location
from atlas.errors import AtlasError
from atlas.origins.tracing import trace
from atlas.people.records.named import members_of_groups
from atlas.replay import command as replay
from atlas.settings import Settings

CANNOT_EXPLAIN = 2


def main(arguments: list[str] | None = None) -> None:
    """Run one command, and leave the process with their exit code."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # for what the terminal cannot show
    options = _parser().parse_args(arguments)
    try:
        if options.command == "replay":
            raise SystemExit(_replay(options))
        print(_said(options), flush=True)  # noqa: T201
    except AtlasError as error:
        _leave(str(error), code=CANNOT_EXPLAIN if options.command == "explain" else 1)
    except BrokenPipeError:  # the reader of the output has read enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _said(options: argparse.Namespace) -> str:
    match options.command:
        case "check":
            return _check(options)
        case "put":
            return putting.put_in_force(options, _settings())
        case "show":
            return putting.show(_settings())
    return _explain(options)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m atlas.assessors.policy", description="The policy of ATLAS."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    asked = commands.add_parser("explain", help="say what the policy says of a call, and why")
    asked.add_argument("tool")
    asked.add_argument("arguments", nargs="?", default="{}", help="the call's arguments, as a JSON object")
    asked.add_argument("--policy", type=Path, metavar="FILE", help="else ATLAS_POLICY")
    asked.add_argument("--principal", default="agent", metavar="NAME", help="the agent that calls")
    asked.add_argument("--intent", metavar="TEXT", help="what the agent says the call is for")
    asked.add_argument("--user-request", metavar="TEXT", help="what the agent says its user asked for")
    asked.add_argument(
        "--trusts-request",
        action="store_true",
        help="take --user-request for the user's, as ATLAS_TRUST_USER_REQUEST does",
    )
    asked.add_argument(
        "--session",
        type=Path,
        metavar="FILE",
        help="earlier calls, one JSON object a line: tool, arguments, result, outside",
    )
    asked.add_argument("--threshold", type=replay.threshold, metavar="SCORE", help="1 to 100")
    asked.add_argument("--description", metavar="TEXT", help="what the tool says of itself")
    asked.add_argument(
        "--definition",
        type=_digest,
        metavar="sha256:…",
        help="the digest of its definition, as in the ledger",
    )
    asked.add_argument(
        "--trust", choices=("outside", "inside"), help="what the servers file says of the tool's server"
    )
    for name in ("read-only", "destructive", "open-world"):
        asked.add_argument(f"--{name}", action=argparse.BooleanOptionalAction, help=f"whether it says {name}")
    check = commands.add_parser("check", help="say whether a policy file can be used (exit code 0 or 1)")
    check.add_argument("policy", type=Path, nargs="?", metavar="FILE", help="else ATLAS_POLICY")
    check.add_argument(
        "--reviewers", metavar="NAMES", help="the reviewers that there are, with commas between"
    )
    putting.add_to(commands)
    replay.add_to(commands.add_parser("replay", help="say what a policy would have said of the past"))
    return parser


def _digest(text: str) -> str:
    if not re.fullmatch("sha256:[0-9a-f]{64}", text):
        raise argparse.ArgumentTypeError('it is "sha256:" and 64 hex digits')
    return text.removeprefix("sha256:")


def _check(options: argparse.Namespace) -> str:
    policy = Policy(options.policy or _settings().atlas_policy, threshold=100)
    if options.reviewers is not None:
        policy.check_reviewers([name.strip() for name in options.reviewers.split(",") if name.strip()])
    count = len(policy.file.rules)
    said = (
        f"{policy.file.path} can be used: {count} rule{'' if count == 1 else 's'}, SHA-256 {policy.sha256}."
    )
    members = _members()
    return "\n".join([said, *(policy.file.too_small(members) if members is not None else ())])


def _members() -> Mapping[str, Collection[str]] | None:
    """Who belongs to which group in the data directory of the settings, if there are any here."""
    try:
        return members_of_groups(_settings())
    except SystemExit:  # a file can be checked where no gateway is set up
        return None


def _explain(options: argparse.Namespace) -> str:
    threshold = options.threshold or _settings().atlas_risk_threshold
    policy = Policy(options.policy or _settings().atlas_policy, threshold=threshold)
    question = Question(
        tool=asyncio.run(_facts(options)),
        arguments=_arguments(options.arguments),
        principal=options.principal,
        intent=options.intent,
        user_request=options.user_request,
        earlier=_earlier(options.session),
    )
    traced = trace(question, trusts_request=options.trusts_request)
    question = question.model_copy(update={"trace": traced})
    settings = _settings()
    members = members_of_groups(settings)
    return explain(policy, question, usual=settings.atlas_review_timeout, members=members)


def _earlier(path: Path | None) -> tuple[Earlier, ...]:
    try:
        return () if path is None else read_session(path)
    except SessionInvalid as error:
        _leave(str(error), code=CANNOT_EXPLAIN)


def _replay(options: argparse.Namespace) -> int:
    settings = _settings()
    options.location = Location(directory=options.data_dir) if options.data_dir else Location.of(settings)
    options.threshold = options.threshold or settings.atlas_risk_threshold
    options.idle = settings.atlas_session_idle
    return replay.run(options)


def _settings() -> Settings:
    try:
        return Settings.read()
    except SystemExit as error:
        _leave(str(error), code=CANNOT_EXPLAIN)


def _leave(sentence: str, *, code: int) -> NoReturn:
    print(sentence, file=sys.stderr)  # noqa: T201
    raise SystemExit(code)


def _arguments(text: str) -> dict[str, Any]:
    try:
        arguments = json.loads(text)
        json.dumps(arguments, allow_nan=False)
    except (ValueError, RecursionError) as error:
        _leave(f"The arguments are no JSON: {error}.", code=CANNOT_EXPLAIN)
    if not isinstance(arguments, dict):
        _leave('The arguments are no JSON object, such as {"amount": 900}.', code=CANNOT_EXPLAIN)
    return arguments


async def _facts(options: argparse.Namespace) -> ToolFacts:
    """What the tool of this name among the built-in ones says of itself, or what the options say of it."""
    from atlas.grounds.present import as_it_is, facts_of  # FastMCP, which takes a second
    from atlas.welfare import built_in_tools

    tools = await built_in_tools()
    said = {
        "description": options.description,
        "is_read_only": options.read_only,
        "is_destructive": options.destructive,
        "is_open_world": options.open_world,
        "trust": options.trust,
        "definition_sha256": options.definition,
    }
    facts = facts_of(as_it_is(tools.get(options.tool)), options.tool)
    return facts.model_copy(update={name: value for name, value in said.items() if value is not None})
