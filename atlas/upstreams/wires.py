"""What is noticed on the way to an upstream: whether a call was sent at all, and how a connection ended."""

import asyncio
from contextvars import ContextVar
from typing import Any, cast

from mcp import ClientSession
from mcp.shared.dispatcher import CallOptions
from mcp.shared.jsonrpc_dispatcher import JSONRPCDispatcher
from mcp.types import DiscoverResult, InitializeResult
from mcp_types import CLIENT_CAPABILITIES_META_KEY

from atlas.upstreams.relays import agent_capabilities
from atlas.upstreams.results import mended, put_back, set_aside

LONGEST_ANSWER = (
    16 * 1024 * 1024
)  # bytes of one message; more is not read, so that no upstream fills the memory
TOO_LONG = f"its answer is longer than {LONGEST_ANSWER // 1024 // 1024} MB"


# The numbers of the calls that were sent, noted where a call may have to be stopped.
sent_calls: ContextVar[list[int] | None] = ContextVar("sent_calls", default=None)


class Wire:
    """The notes on one connection; the first of each kind counts."""

    def __init__(self) -> None:
        self.unsent: str | None = None  # why nothing reached the upstream
        self.broken: str | None = None  # why an answer can no longer be had
        self.status = 0  # of the HTTP answer to the request of the call that is open
        self.is_answered = False  # an answer to that request began: what is posted now is another one
        self.ended = asyncio.Event()  # nothing more will come

    def begin(self) -> None:
        """Another call is made on it."""
        self.status, self.is_answered = 0, False

    def note_unsent(self, reason: str) -> None:
        """What was to be sent did not leave."""
        self.unsent = self.unsent or reason
        self.ended.set()

    def note_broken(self, reason: str) -> None:
        """The connection, or the answer on it, is lost."""
        self.broken = self.broken or reason
        self.ended.set()

    def close(self) -> None:
        """It ended, for the reason that was noted, or because no one needs it any more."""
        self.ended.set()

    @property
    def reason(self) -> str:
        """Why it ended."""
        return self.unsent or self.broken or "the connection ended"

    @property
    def is_sound(self) -> bool:
        """Whether it can be used again."""
        return not self.ended.is_set()


class RelaySession(ClientSession):
    """A session that passes results on as they are; whether they fit their schema is for the agent to say."""

    async def stop_calls(self, numbers: list[int]) -> None:
        """Tell the server that calls of the handshake era are stopped; it may answer them all the same."""
        for number in numbers:
            params = {"requestId": number, "reason": "The agent stopped the call."}
            await self._dispatcher.notify("notifications/cancelled", params)

    async def validate_tool_result(self, name: str, result: Any) -> None:
        """Accept what the upstream answers."""

    async def send_request(self, request: Any, *expected: Any, **options: Any) -> Any:
        """The result, with structured content of any kind in every era."""
        aside: list[Any] = []
        token = set_aside.set(aside)
        try:
            return put_back(await super().send_request(request, *expected, **options), aside)
        finally:
            set_aside.reset(token)

    async def read_list(self, method: str, cursor: str | None) -> dict[str, Any]:
        """A page of a list as the upstream wrote it: one thing that is odd must not cost the others."""
        data: dict[str, Any] = {"method": method} | ({"params": {"cursor": cursor}} if cursor else {})
        options: CallOptions = {}
        self._stamp(data, options)
        return await self._dispatcher.send_raw_request(method, data.get("params"), options)

    def adopt(self, result: InitializeResult | DiscoverResult) -> None:
        """Settle the era; in the stateless one each request says what its agent can be asked."""
        super().adopt(result)
        self._mend_results()
        stamp = self._stamp

        def stamp_with_number(data: dict[str, Any], options: CallOptions) -> None:
            stamp(data, options)
            sent = sent_calls.get()
            if sent is not None and data["method"] == "tools/call":
                number = cast(JSONRPCDispatcher[Any], self._dispatcher)._allocate_id()
                options["request_id"] = number
                sent.append(number)

        if not isinstance(result, DiscoverResult):
            self._stamp = stamp_with_number
            return

        def stamp_for_agent(data: dict[str, Any], options: CallOptions) -> None:
            stamp(data, options)
            capabilities = agent_capabilities()
            if capabilities is not None:
                data["params"]["_meta"][CLIENT_CAPABILITIES_META_KEY] = capabilities

        self._stamp = stamp_for_agent

    def _mend_results(self) -> None:
        send = self._dispatcher.send_raw_request

        async def send_raw_request(method: str, *rest: Any, **options: Any) -> dict[str, Any]:
            return mended(method, await send(method, *rest, **options))

        self._dispatcher.send_raw_request = send_raw_request  # type: ignore[method-assign]
