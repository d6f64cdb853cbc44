"""As a process: `python -m modal_loopback --function app/fn=module:callable --token id:secret`."""

import argparse
import asyncio
import importlib
import inspect
import json
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

from modal_loopback.server import LoopbackModal


def main() -> None:
    """Run until SIGTERM; the first line of the output says where."""
    parser = argparse.ArgumentParser(prog="modal_loopback")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--token", action="append", help="id:secret, repeatable; without it all may come in")
    parser.add_argument("--function", action="append", default=[], help="app/function=module:callable")
    parser.add_argument("--seconds", type=float, default=0, help="how long a function takes")
    parser.add_argument("--until", type=Path, help="file that is there when a function may answer")
    parser.add_argument("--calls", type=Path, help="file with a line of JSON for each call of a function")
    asyncio.run(_serve(parser.parse_args()))


async def _serve(options: argparse.Namespace) -> None:
    tokens = dict(token.split(":", 1) for token in options.token) if options.token else None
    async with LoopbackModal(port=options.port, tokens=tokens) as modal:
        for entry in options.function:
            name, _, target = entry.partition("=")
            app_name, _, function_name = name.partition("/")
            handler = _watched(_load(target), name, options)
            modal.register(app_name, function_name, handler)
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        print(modal.url, flush=True)
        await stop.wait()


def _load(target: str) -> Callable[..., Any]:
    module, _, name = target.partition(":")
    return getattr(importlib.import_module(module), name)


def _watched(handler: Callable[..., Any], name: str, options: argparse.Namespace) -> Callable[..., Any]:
    async def watched(*arguments: Any) -> Any:
        if options.calls:
            with options.calls.open("a", encoding="utf-8") as file:
                file.write(json.dumps({"function": name, "arguments": arguments}, default=str) + "\n")
        await asyncio.sleep(options.seconds)
        while options.until and not options.until.exists():  # noqa: ASYNC110  (another process makes it)
            await asyncio.sleep(0.02)
        value = handler(*arguments)
        return await value if inspect.isawaitable(value) else value

    return watched


if __name__ == "__main__":
    main()
