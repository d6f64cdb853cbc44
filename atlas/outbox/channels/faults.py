"""Faults of a channel that are no refusal of a receiver."""

from pathlib import Path
from traceback import extract_tb


def fault_of(error: Exception) -> str:
    """What went wrong and in which line; without the words of the error, since a URL may be in them."""
    frames = extract_tb(error.__traceback__)
    place = f" in {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
    return f"a fault of the gateway: {type(error).__name__}{place}"
