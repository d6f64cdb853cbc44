"""A gateway that tells which modules it has loaded, and cannot load those that ATLAS_TEST_WITHOUT names."""

import os
import sys


def main() -> None:
    """Serve, with /modules beside what a gateway has."""
    sys.modules.update(dict.fromkeys(os.environ.get("ATLAS_TEST_WITHOUT", "").split()))
    import gateway  # first, as in a start: it keeps modules from being loaded before it loads any other
    from atlas.operate.serving import serve

    app, settings = gateway.app, gateway.settings

    @app.get("/modules")
    async def modules() -> list[str]:
        return sorted(name for name, module in sys.modules.items() if module is not None)

    serve(app, settings, app.state.banner)


if __name__ == "__main__":
    main()
