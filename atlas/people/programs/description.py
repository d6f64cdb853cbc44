"""The description of what people's programs use, as OpenAPI: /openapi.json, without FastAPI's pages."""

from typing import Any

from fastapi import FastAPI
from fastapi.routing import APIRoute

from atlas import __version__
from atlas.operate.error_shape import ErrorTold

DESCRIPTION_PATH = "/openapi.json"
PEOPLE = "people"  # the tag of the routes that are described


def add_description(app: FastAPI) -> None:
    """Serve it to everyone: it is the same for all gateways, and holds no secret."""
    made: dict[str, Any] = {}

    @app.api_route(DESCRIPTION_PATH, methods=["GET", "HEAD"], include_in_schema=False)
    async def description() -> dict[str, Any]:
        """What can be asked, and what is answered."""
        if not made:
            made.update(_described(app))
        return made


def _described(app: FastAPI) -> dict[str, Any]:
    from fastapi.openapi.utils import get_openapi

    routes = [route for route in app.routes if isinstance(route, APIRoute) and PEOPLE in route.tags]
    told = get_openapi(
        title="ATLAS Governance Gateway: for people's programs", version=__version__, routes=routes
    )
    told["components"]["securitySchemes"] = {"reviewer": {"type": "http", "scheme": "bearer"}}
    told["security"] = [{"reviewer": []}]
    told["components"]["schemas"]["Error"] = ErrorTold.model_json_schema()
    for operation in _operations(told):
        operation["responses"] |= {"default": _ERROR}
        operation["responses"].pop("422", None)  # FastAPI's own shape, which is not ours
    for name in ("HTTPValidationError", "ValidationError"):
        told["components"]["schemas"].pop(name, None)
    return told


_ERROR = {
    "description": "What went wrong, in a sentence.",
    "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}},
}


def _operations(told: dict[str, Any]) -> list[dict[str, Any]]:
    return [operation for path in told["paths"].values() for operation in path.values()]
