"""A gateway that also tells at /modules which modules it has loaded."""

import sys

from atlas.operate.serving import serve
from gateway import app, settings


@app.get("/modules")
async def modules() -> list[str]:
    """Their names, as they are imported."""
    return sorted(sys.modules)


if __name__ == "__main__":
    serve(app, settings, app.state.banner)
