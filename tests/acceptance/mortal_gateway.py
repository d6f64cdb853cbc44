"""The gateway, with one moment of the path at which the process kills itself as a power failure would.

The moment is named by ATLAS_TEST_DIE: `before` or `after`, the class or module, and its function.
"""

import functools
import importlib
import inspect
import os
import signal
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any


def die() -> None:
    """End without a goodbye."""
    os.kill(os.getpid(), signal.SIGKILL)


def mortal(function: Callable[..., Any], when: str) -> Callable[..., Any]:
    """The function, with death before its first line or after its last."""

    @functools.wraps(function)
    async def asynchronous(*args: Any, **kwargs: Any) -> Any:
        if when == "before":
            die()
        result = await function(*args, **kwargs)
        die()
        return result

    @functools.wraps(function)
    def synchronous(*args: Any, **kwargs: Any) -> Any:
        if when == "before":
            die()
        result = function(*args, **kwargs)
        die()
        return result

    return asynchronous if inspect.iscoroutinefunction(function) else synchronous


def arm(description: str) -> None:
    """Arm `before atlas.agents.calling ToolCaller.call`, or the same with a function of the module."""
    when, module_name, path = description.split()
    *owners, name = path.split(".")
    owner: Any = importlib.import_module(module_name)
    for part in owners:
        owner = getattr(owner, part)
    function = getattr(owner, name)
    for place in (owner, *modules_with(name, function)):
        setattr(place, name, mortal(function, when))


def modules_with(name: str, function: Any) -> list[ModuleType]:
    """The modules that have imported a function by its name."""
    ours = [module for path, module in sys.modules.items() if path.startswith("atlas.")]
    return [module for module in ours if module.__dict__.get(name) is function]


if __name__ == "__main__":
    arm(os.environ["ATLAS_TEST_DIE"])
    from atlas.operate.serving import serve
    from gateway import app, settings

    serve(app, settings, app.state.banner)
