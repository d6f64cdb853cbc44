"""What the commands share that ask the running gateway: their common options, and how they end."""

import argparse
import sys
from collections.abc import Callable

from atlas.cases.terminal.printing import visible
from atlas.cases.terminal.remote import KeyUnclear, NoAnswer, NotAsShown, Refused
from atlas.errors import RequestInvalid


def shared_options(*, name: str) -> argparse.ArgumentParser:
    """The options of every verb; `name` says what `--as` names."""
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument("--url", help="the gateway; default: on this machine, at the port of the settings")
    shared.add_argument("--as", dest="name", metavar="NAME", help=name)
    shared.add_argument("--json", action="store_true", help="print what the gateway answers, as JSON")
    return shared


def exit_status(work: Callable[[], int], *, then: str) -> int:
    """Do the work and return its exit status; what went wrong is printed, and has a status of its own.

    `then` is what a person does who interrupted it.
    """
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    try:
        return work()
    except (Refused, NotAsShown, RequestInvalid) as error:
        sys.stderr.write(f"{visible(str(error))}\n")
        return 1
    except KeyUnclear as error:
        sys.stderr.write(f"{error}\n")
        return 2
    except NoAnswer as error:
        sys.stderr.write(f"{error}\n")
        return 3
    except KeyboardInterrupt:
        sys.stderr.write(f"\nInterrupted. {then}\n")
        return 130
    except BrokenPipeError:  # the reader of a long list has seen enough
        sys.stderr.close()
        return 0
