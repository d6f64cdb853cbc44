"""The command `python -m atlas.assessors.evaluate FILE…`."""

import argparse
import asyncio
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from atlas.assessors import Assessor
from atlas.assessors.evaluate.chosen import NAMES, choose
from atlas.assessors.evaluate.contexts import Context
from atlas.assessors.evaluate.judged import Judged, judge_all
from atlas.assessors.evaluate.labelled import LabelledCall, read_labelled
from atlas.assessors.evaluate.shares import PARTS
from atlas.errors import AtlasError

MISSING = "{name} is not installed: pip install -r requirements-evaluate.txt"


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the figures; 2 where a file, a policy or a library is not as it has to be."""
    options = _parser().parse_args(arguments)
    try:
        sets = {
            _name(path, options.files): read_labelled(path, limit=options.limit, without=options.without)
            for path in options.files
        }
        assessor = choose(options.assessor, policy=options.policy, threshold=options.threshold)
        judged = asyncio.run(_judge(assessor, sets, options))
        print(_report(assessor.name, judged, options), flush=True)  # noqa: T201
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("atlas"):
            raise
        print(MISSING.format(name=(error.name or "A library").partition(".")[0]), file=sys.stderr)  # noqa: T201
        return 2
    except BrokenPipeError:  # the reader of the output has read enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (AtlasError, OSError) as error:
        print(error, file=sys.stderr)  # noqa: T201
        return 2
    return _warn_of_failures(list({id(one): one for each in judged.values() for one in each}.values()))


def _warn_of_failures(judged: Sequence[Judged]) -> int:
    """Say how many calls the assessor failed on; 1 where it was all of them, which is no result."""
    failures = sum(one.is_failure for one in judged)
    if failures:
        sentence = f"The assessor failed on {failures} of {len(judged)} calls; each counts as 100."
        print(sentence, file=sys.stderr)  # noqa: T201
    return 1 if failures == len(judged) else 0


def _name(path: Path, files: Sequence[Path]) -> str:
    """The name of a file's set: short where no other file has the same."""
    return path.stem if sum(other.stem == path.stem for other in files) == 1 else str(path)


async def _judge(
    assessor: Assessor, sets: dict[str, list[LabelledCall]], options: argparse.Namespace
) -> dict[str, list[Judged]]:
    """Every set by its name; where the calls are judged alone as well, once more under another name."""
    known = Context.CLAIMS if options.claims else Context.SESSION
    contexts = {"on": [known], "off": [Context.ALONE], "both": [known, Context.ALONE]}[options.context]
    judged: dict[str, list[Judged]] = {}
    try:
        for context in contexts:
            of = ", call alone" if context is Context.ALONE and len(contexts) > 1 else ""
            for name, calls in sets.items():
                judged[name + of] = await judge_all(
                    assessor, calls, at_once=options.at_once, seconds=options.seconds, context=context
                )
            if len(sets) > 1:
                judged["together" + of] = [one for name in sets for one in judged[name + of]]
        return judged
    finally:
        await assessor.close()


def _report(assessor: str, judged: dict[str, list[Judged]], options: argparse.Namespace) -> str:
    from atlas.assessors.evaluate import figures, plot, tables  # they need what the gateway does not

    found = [
        figures.figures_of(name, each, threshold=options.threshold, risky_share=options.risky_share / 100)
        for name, each in judged.items()
    ]
    if options.plot is not None:
        title = f"{assessor}, threshold {options.threshold}"
        plot.plot(options.plot, list(zip(found, judged.values(), strict=True)), title=title)
    if options.json:
        return json.dumps({"assessor": assessor, "sets": [each.model_dump() for each in found]}, indent=2)
    if options.markdown and options.by:
        return tables.markdown_of_parts(found, options.by)
    return tables.markdown(found) if options.markdown else tables.text(assessor, found)


def _count(text: str) -> int:
    value = int(text) if text.isascii() and text.isdigit() else 0
    if value < 1:
        raise argparse.ArgumentTypeError("it is a whole number from 1 on")
    return value


def _percentage(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < 100:
        raise argparse.ArgumentTypeError("it is a number of per cent between 0 and 100")
    return value


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m atlas.assessors.evaluate",
        description="Say how good an assessor is on labelled calls, one JSON object a line.",
    )
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE")
    parser.add_argument("--assessor", choices=NAMES, default="policy", help="default: policy")
    parser.add_argument("--policy", type=Path, metavar="FILE", help="default: the shipped policy")
    parser.add_argument("--threshold", type=int, choices=range(1, 101), metavar="1-100", default=70)
    parser.add_argument("--limit", type=_count, metavar="N", help="the first N calls of each file")
    parser.add_argument(
        "--without", action="append", default=[], metavar="KIND", help="leave out calls of that kind"
    )
    parser.add_argument(
        "--context", choices=("on", "off", "both"), default="on", help="what came before a call; default: on"
    )
    parser.add_argument(
        "--claims", action="store_true", help="take what the user says for a claim of the agent"
    )
    parser.add_argument(
        "--risky-share",
        type=_percentage,
        metavar="PERCENT",
        default=1.0,
        help="of all calls, for the load of people; default: 1",
    )
    parser.add_argument("--at-once", type=_count, metavar="N", default=1, help="calls judged at once")
    parser.add_argument("--seconds", type=_count, metavar="S", default=30, help="deadline of each call")
    output = parser.add_mutually_exclusive_group()
    output.add_argument("--json", action="store_true", help="one JSON object")
    output.add_argument("--markdown", action="store_true", help="the rows of the documentation's table")
    parser.add_argument("--by", choices=PARTS, help="with --markdown: the table of the parts of each set")
    parser.add_argument("--plot", type=Path, metavar="OUT.png", help="ROC and reliability")
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
