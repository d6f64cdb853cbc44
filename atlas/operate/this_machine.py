"""Open mode's last line: only this machine is served."""

from starlette.types import ASGIApp, Receive, Scope, Send

from atlas.errors import NotPermitted
from atlas.operate.error_shape import error_response
from atlas.settings import is_loopback


class ThisMachineOnly:
    """Serves only this machine, on any address on which the process listens: open mode's last line."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on what comes from loopback."""
        if scope["type"] == "http" and not is_loopback((scope.get("client") or [""])[0]):
            refusal = NotPermitted(reason="In open mode, without keys, only this machine is served.")
            await error_response(refusal, status=403)(scope, receive, send)
            return
        await self._app(scope, receive, send)
