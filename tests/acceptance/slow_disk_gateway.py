"""The gateway with tools that talk, where the disk is slow to note that an agent gets an ending."""

import runpy
import time
from pathlib import Path
from typing import Any

from atlas.agents import receipt
from atlas.cases.store import mark_collected

SECONDS = 2.5  # more than a stop waits for streams that are open


def slowly(*call: Any, **named: Any) -> Any:
    """Note it, after a while."""
    time.sleep(SECONDS)
    return mark_collected(*call, **named)


receipt.mark_collected = slowly

if __name__ == "__main__":
    runpy.run_path(str(Path(__file__).with_name("gateway_with_tools.py")), run_name="__main__")
