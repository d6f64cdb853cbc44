"""The one argument of a benchmark: how many calls it measures."""

import argparse


def how_many(said: str | None, *, usual: int) -> int:
    """What stands in the command line, or the usual number; `said` is the docstring, which --help prints."""
    parser = argparse.ArgumentParser(description=said, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("calls", nargs="?", type=_number, default=usual, help=f"how many; {usual} without it")
    return int(parser.parse_args().calls)


def _number(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text} is no number of calls from 1 on.")
    return int(text)
