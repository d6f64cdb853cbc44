"""Calls of functions: accepted, run in this process or handed to a container, fetched, cancelled."""

import asyncio
import contextlib
import inspect

from google.protobuf.empty_pb2 import Empty
from modal._serialization import (
    deserialize_data_format,
    pickle_exception,
    pickle_traceback,
    serialize_data_format,
)
from modal_proto import api_pb2

from modal_loopback.containers import ensure_container
from modal_loopback.state import Call, Input, Raw, State, new_id, not_found

Result = api_pb2.GenericResult


def _enqueue(state: State, call: Call, item: api_pb2.FunctionPutInputsItem, invocation_type: int) -> Input:
    new = Input(new_id("in"), item.idx, call, item.input, invocation_type)
    call.inputs[item.idx] = state.inputs[new.input_id] = new
    if call.function.handler is not None:
        new.task = state.spawn(_run(state, new))
    else:
        call.function.queue.put_nowait(new)
        state.spawn(ensure_container(state, call.function))
    return new


async def _run(state: State, item: Input) -> None:
    """Run a registered function in this process, and answer in the format of its arguments."""
    state.start_clock(item)
    proto = item.proto
    data = state.blobs[proto.args_blob_id] if proto.args_blob_id else proto.args
    try:
        arguments, named = deserialize_data_format(data, proto.data_format, None)
        handler = item.call.function.handler
        if inspect.iscoroutinefunction(handler):
            value = await handler(*arguments, **named)
        else:
            value = await asyncio.to_thread(handler, *arguments, **named)
        if isinstance(value, Raw):
            result = Result(status=value.status, data=value.data, exception=value.exception)
            state.finish(item, result, value.data_format)
        else:
            answer = serialize_data_format(value, proto.data_format)
            state.finish(item, Result(status=Result.GENERIC_STATUS_SUCCESS, data=answer), proto.data_format)
    except Exception as error:
        state.finish(item, _failure(error, proto.data_format), proto.data_format)


def _failure(error: Exception, data_format: int) -> Result:
    result = Result(status=Result.GENERIC_STATUS_FAILURE, exception=repr(error))
    if data_format == api_pb2.DATA_FORMAT_PICKLE:
        result.data = pickle_exception(error)
        result.serialized_tb, result.tb_line_cache = pickle_traceback(error, "ta-loopback")
    return result


class Calls:
    """RPCs of a caller."""

    state: State

    async def FunctionMap(self, request):
        function = self.state.functions.get(request.function_id)
        if function is None:
            raise not_found(f"Function {request.function_id} not found")
        call = Call(new_id("fc"), function)
        self.state.calls[call.call_id] = call
        response = api_pb2.FunctionMapResponse(
            function_call_id=call.call_id, function_call_jwt=call.call_id, max_inputs_outstanding=1000
        )
        for item in request.pipelined_inputs:
            new = _enqueue(self.state, call, item, request.function_call_invocation_type)
            response.pipelined_inputs.add(idx=item.idx, input_id=new.input_id, input_jwt=new.input_id)
        return response

    async def FunctionGetOutputs(self, request):
        call = self._call(request.function_call_id)
        first = request.start_idx if request.HasField("start_idx") else 0
        last = request.end_idx if request.HasField("end_idx") else first
        items = [call.inputs[index] for index in range(first, last + 1) if index in call.inputs]
        if items and not any(item.done.is_set() for item in items):
            waits = [asyncio.ensure_future(item.done.wait()) for item in items]
            await asyncio.wait(waits, timeout=request.timeout, return_when=asyncio.FIRST_COMPLETED)
            for wait in waits:
                wait.cancel()
        outputs = [item.output for item in items if item.done.is_set()]
        return api_pb2.FunctionGetOutputsResponse(
            outputs=outputs,
            idxs=[output.idx for output in outputs],
            last_entry_id="0-0",
            num_unfinished_inputs=sum(not item.done.is_set() for item in call.inputs.values()),
        )

    async def FunctionCallFromId(self, request):
        call = self._call(request.function_call_id)
        return api_pb2.FunctionCallFromIdResponse(function_call_id=call.call_id, num_inputs=len(call.inputs))

    async def FunctionCallCancel(self, request):
        call = self._call(request.function_call_id)
        self.state.cancelled.append(call.call_id)
        for item in call.inputs.values():
            if item.task:
                item.task.cancel()
            ended = Result(status=Result.GENERIC_STATUS_TERMINATED, exception="Input was cancelled")
            self.state.finish(item, ended)
        return Empty()

    async def BlobCreate(self, request):
        blob_id = new_id("bl")
        urls = api_pb2.UploadUrlList(items=[f"{self.state.blob_url}/{blob_id}"])
        return api_pb2.BlobCreateResponse(blob_id=blob_id, blob_ids=[blob_id], upload_urls=urls)

    async def BlobGet(self, request):
        return api_pb2.BlobGetResponse(download_url=f"{self.state.blob_url}/{request.blob_id}")

    def _call(self, call_id: str) -> Call:
        with contextlib.suppress(KeyError):
            return self.state.calls[call_id]
        raise not_found(f"Function call {call_id} not found")
