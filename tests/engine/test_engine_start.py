"""`python -m atlas.engine`: apps named at its start are synced, and what few need is not loaded."""

import contextlib
import subprocess
import sys

import pytest


async def test_an_app_that_is_named_at_the_start_is_synced(start_server, make_app, served, draw_keys, until):
    keys = draw_keys()
    server = start_server(keys=keys)
    app = make_app(base_url=server.url, keys=keys)

    @app.function()
    async def run(ctx):
        app.log.append("ran")

    async with served(app.serve()) as url:
        server.stop()
        server.arguments += ["-u", f"{url}/api/inngest"]
        server.start()
        for _ in range(100):  # nothing tells an app when its server has kept its functions
            await app.send()
            with contextlib.suppress(AssertionError):
                return await until(lambda: "ran" in app.log, seconds=0.2)
    pytest.fail("the app was not synced")


def test_the_library_for_queries_is_loaded_at_the_first_query_only():
    code = "import sys, atlas.engine, atlas.engine.queries; sys.exit('graphql' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_engine_takes_of_the_gateway_only_what_it_names():
    """It knows nothing of governance, nor of the libraries that only the case store needs."""
    code = "import sys, atlas.engine, atlas.engine.__main__, atlas.engine.queries; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    ours = {name for name in loaded if name.startswith("atlas.") and not name.startswith("atlas.engine")}
    assert ours == {
        "atlas.canonical",
        "atlas.database",
        "atlas.database.sqlite",
        "atlas.database.sqlite.files",
        "atlas.database.sqlite.transactions",
        "atlas.database.writer",
        "atlas.door",
        "atlas.door.bodies",
        "atlas.door.connections",
        "atlas.door.lingering",
        "atlas.door.protocol",
        "atlas.door.refusals",
        "atlas.instants",
    }
    assert not {"sqlalchemy", "alembic", "pydantic", "fastmcp", "inngest"} & set(loaded)
