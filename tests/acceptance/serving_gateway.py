"""Serves the gateway in a process of its own, after a test's script has changed what it is made of."""

from collections.abc import Callable

from fastmcp import FastMCP

from atlas import welfare


def serve_gateway() -> None:
    """Serve the gateway, which is built only now; return when it is stopped."""
    from atlas.operate.serving import serve
    from gateway import app, settings

    serve(app, settings, app.state.banner)


def serve_with_tools(add: Callable[[FastMCP, welfare.WelfareOffice], None]) -> None:
    """Serve a gateway whose built-in tools are those that a function adds to its server."""
    welfare.add_welfare_tools = add
    serve_gateway()
