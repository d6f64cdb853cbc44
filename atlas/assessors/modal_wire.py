"""What the gateway takes from inside the Modal SDK: CBOR both ways, and answers that are never unpickled.

The SDK's own `FunctionCall.get` unpickles every answer of an app that says it is a pickle, even if another
format was asked for: a compromised app could run code in the gateway. Here only `_read` reads an answer, and
it knows no pickle. Importing this module imports the SDK.
"""

import asyncio
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

import cbor2
import modal
import modal.config
from modal._utils.async_utils import synchronize_api
from modal._utils.grpc_utils import Retry
from modal.client import _Client
from modal.exception import NotFoundError
from modal_proto import api_pb2

from atlas.assessors.modal_function import ModalName
from atlas.errors import AssessorFailed, QuestionUnfit

POLL_SECONDS = 55.0  # as long as the SDK's own polls
MAX_ANSWER_BYTES = 64 * 1024  # an answer has at most 5 KiB of text; what is bigger is none
MAX_ANSWER_DEPTH = 8
THROTTLE_SECONDS = 10  # MODAL_MAX_THROTTLE_WAIT; without it the SDK obeys "come again later" for ever
EXCEPTION_TYPE = re.compile(r"([A-Za-z_][\w.]{0,79})\(")
UNFIT = "CallUnfit"  # of atlas/assessors/modal_app.py: another call may well be answered
TAGS = (*range(6), 25, 28, 29, 30, 35, 36, 37, 100, 256, 258, 260, 261, 1004, 43000)  # all that cbor2 decodes

Result = api_pb2.GenericResult
ENDINGS = {
    Result.GENERIC_STATUS_TIMEOUT: "The Modal function took longer than its own time limit.",
    Result.GENERIC_STATUS_TERMINATED: "The call of the Modal function was cancelled.",
    Result.GENERIC_STATUS_INIT_FAILURE: "The container of the Modal function did not start.",
    Result.GENERIC_STATUS_INTERNAL_FAILURE: "Modal failed while the function ran (internal failure).",
    Result.GENERIC_STATUS_KERNEL_OOM_KILL: "The container of the Modal function ran out of memory.",
}

_settings: Any = modal.config._SETTINGS
_settings["max_throttle_wait"] = _settings["max_throttle_wait"]._replace(default=THROTTLE_SECONDS)


class ModalWire:
    """One client and one handle of the function, kept for as long as they are good."""

    def __init__(self, client: modal.Client, target: ModalName) -> None:
        self._client = client
        self._target = target
        self._handle: Any = None
        self._looking_up = asyncio.Lock()

    @classmethod
    async def open(cls, target: ModalName, token: tuple[str, str]) -> "ModalWire":
        """Connect; a caller that gives up meanwhile leaves no attempt to connect behind."""
        return cls(await _connect_in_sdk.aio(token), target)

    async def spawn(self, content: dict[str, Any]) -> str:
        """Start the function; a stale handle, as after the app was deployed again, is rebuilt once."""
        kept = self._handle
        try:
            return await self._spawn(content)
        except NotFoundError:
            if kept is None:
                raise
            if self._handle is kept:  # else another call has rebuilt it
                self._handle = None
            return await self._spawn(content)

    async def fetch(self, call_id: str) -> Any:
        """The answer to a call, once there is one."""
        with _known_call():
            return await _fetch_in_sdk.aio(self._client, call_id)

    async def cancel(self, call_id: str) -> None:
        """End a call."""
        with _known_call():
            await modal.FunctionCall.from_id(call_id, client=self._client).cancel.aio()

    async def close(self) -> None:
        """Close the client."""
        await self._client.close.aio()

    async def _spawn(self, content: dict[str, Any]) -> str:
        async with self._looking_up:
            if self._handle is None:
                handle = self._look_up()
                await _limit_to_cbor_in_sdk.aio(handle)
                self._handle = handle
            handle = self._handle
        call = await handle.spawn.aio(content)
        return str(call.object_id)

    def _look_up(self) -> Any:
        target = self._target
        where: dict[str, Any] = {"environment_name": target.environment, "client": self._client}
        if target.class_name is None:
            return modal.Function.from_name(target.app, target.function, **where)
        return getattr(modal.Cls.from_name(target.app, target.class_name, **where)(), target.function)


@contextmanager
def _known_call() -> Iterator[None]:
    try:
        yield
    except NotFoundError:
        reason = "Modal does not know this call any more; it keeps answers for some days only."
        raise AssessorFailed(reason=reason) from None


async def _connect(token: tuple[str, str]) -> Any:
    """What `Client.from_credentials` does, which goes on connecting for a minute when it is cancelled."""
    modal.config._check_config()
    client: Any = _Client(modal.config.config["server_url"], api_pb2.CLIENT_TYPE_CLIENT, token)
    try:
        await client._open()
    except BaseException:
        await client.close()
        raise
    return client


async def _limit_to_cbor(function: Any) -> None:
    """Let the SDK believe that the function takes CBOR only, so that no setting makes it send a pickle."""
    await function.hydrate()
    formats = function._metadata.supported_input_formats
    if api_pb2.DATA_FORMAT_CBOR not in formats:
        raise AssessorFailed(reason="The Modal function was deployed with an SDK too old to answer in CBOR.")
    formats[:] = [api_pb2.DATA_FORMAT_CBOR]


async def _fetch(client: Any, call_id: str) -> Any:
    """Poll until the call has a result; it stays on Modal, so that it can be fetched again after a crash."""
    request = api_pb2.FunctionGetOutputsRequest(
        function_call_id=call_id, timeout=POLL_SECONDS, last_entry_id="0-0", start_idx=0, end_idx=0
    )
    while True:
        response = await client._stub.FunctionGetOutputs(
            request, retry=Retry(attempt_timeout=POLL_SECONDS + 5)
        )
        if response.outputs:
            return _read(response.outputs[0].result, response.outputs[0].data_format)


def _read(result: api_pb2.GenericResult, data_format: int) -> Any:
    """What the function answered; a failure is told by its reason only, and in it by the type at most."""
    if result.status != Result.GENERIC_STATUS_SUCCESS:
        raise _ending(result)
    if data_format != api_pb2.DATA_FORMAT_CBOR:
        name = "a pickle" if data_format == api_pb2.DATA_FORMAT_PICKLE else "another format than CBOR"
        reason = f"The Modal function answered in {name}, which is not read: reading it could run its code."
        raise AssessorFailed(reason=reason)
    if result.WhichOneof("data_oneof") == "data_blob_id" or len(result.data) > MAX_ANSWER_BYTES:
        raise AssessorFailed(reason="The answer of the Modal function is far too long to be one.")
    try:
        return cbor2.loads(
            result.data,
            max_depth=MAX_ANSWER_DEPTH,
            allow_duplicate_keys=False,
            strict_hashable_types=True,
            semantic_decoders=dict.fromkeys(TAGS, _refuse_tag),
        )
    except Exception as error:  # decoders and hooks can raise anything
        raise AssessorFailed(reason="The answer of the Modal function cannot be read as CBOR.") from error


def _refuse_tag(*_: Any) -> NoReturn:
    raise ValueError("an answer has no tagged values")


def _ending(result: api_pb2.GenericResult) -> AssessorFailed:
    if ending := ENDINGS.get(result.status):
        return AssessorFailed(reason=ending)
    raised = EXCEPTION_TYPE.match(result.exception)
    if raised is None:
        return AssessorFailed(reason="The container of the Modal function ended before it answered.")
    if raised[1] == UNFIT:
        return QuestionUnfit(reason="The call, or the answer to it, is too long for the model on Modal.")
    return AssessorFailed(reason=f"The Modal function raised {raised[1]}.")


# The SDK's connections belong to the event loop of its own thread.
_in_sdk: Any = synchronize_api
_connect_in_sdk = _in_sdk(_connect)
_fetch_in_sdk = _in_sdk(_fetch)
_limit_to_cbor_in_sdk = _in_sdk(_limit_to_cbor)
