"""Containers: processes of Modal's own runtime with the files that were uploaded."""

import asyncio
import contextlib
import os
import signal
import sys
from pathlib import Path

from google.protobuf.empty_pb2 import Empty
from modal_proto import api_pb2

from modal_loopback.deploy import handle_of
from modal_loopback.state import App, Function, State, new_id

ENTRYPOINT = [sys.executable, "-m", "modal._container_entrypoint"]
POLL_SECONDS = 50


async def ensure_container(state: State, function: Function) -> None:
    """Start the one container of a function, unless it runs."""
    async with function.starting:
        if function.process is not None and function.process.returncode is None:
            return
        app = state.apps[function.app_id]
        task_id = new_id("ta")
        root = state.directory / task_id / "root"
        await asyncio.to_thread(_restore_files, state, function, root)
        arguments = api_pb2.ContainerArguments(
            task_id=task_id,
            function_id=function.function_id,
            app_id=app.app_id,
            function_def=function.definition,
            environment_name=app.environment,
            app_layout=_layout(state, app),
        )
        (root.parent / "arguments").write_bytes(arguments.SerializeToString())
        log = root.parent / "log"
        state.container_logs.append(log)
        with log.open("wb") as output:
            function.process = await asyncio.create_subprocess_exec(
                *ENTRYPOINT,
                cwd=root,
                env=_environ(state, function, app, task_id, root),
                stdout=output,
                stderr=asyncio.subprocess.STDOUT,
                start_new_session=True,  # so that what it starts can be ended with it
            )
        state.spawn(_watch(state, function, function.process))


async def stop_containers(state: State) -> None:
    """End every container."""
    running = [
        function.process
        for function in state.functions.values()
        if function.process and function.process.returncode is None
    ]
    for process in running:
        process.terminate()
    for process in running:
        try:
            await asyncio.wait_for(process.wait(), 3)
        except asyncio.TimeoutError:
            process.kill()
            await process.wait()
        _end_group(process)


def _end_group(process: asyncio.subprocess.Process) -> None:
    """End what a dead container leaves behind, as its end does on Modal."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def _restore_files(state: State, function: Function, root: Path) -> None:
    root.mkdir(parents=True)
    for mount_id in function.definition.mount_ids:
        for file in state.mounts.get(mount_id, []):
            path = root.parent / file.filename.lstrip("/")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(state.files[file.sha256_hex])


def _layout(state: State, app: App) -> api_pb2.AppLayout:
    layout = api_pb2.AppLayout(function_ids=app.functions, class_ids=app.classes)
    for function_id in app.functions.values():
        handle = handle_of(state.functions[function_id])
        layout.objects.add(object_id=function_id, function_handle_metadata=handle)
    for class_id in app.classes.values():
        layout.objects.add(object_id=class_id, class_handle_metadata=api_pb2.ClassHandleMetadata())
    dependencies = {
        dependency.object_id
        for function_id in app.functions.values()
        for dependency in state.functions[function_id].definition.object_dependencies
    }
    for object_id in sorted(dependencies - {known.object_id for known in layout.objects}):
        known = layout.objects.add(object_id=object_id)
        if object_id.startswith("vo-"):
            known.volume_metadata.CopyFrom(api_pb2.VolumeMetadata())
        elif object_id.startswith("mo-"):
            known.mount_handle_metadata.CopyFrom(api_pb2.MountHandleMetadata())
    return layout


def _environ(state: State, function: Function, app: App, task_id: str, root: Path) -> dict[str, str]:
    kept = {name: value for name, value in state.container_environ.items() if not name.startswith("MODAL_")}
    secrets = [state.secrets.get(secret_id, {}) for secret_id in function.definition.secret_ids]
    return {
        **kept,
        "MODAL_IS_REMOTE": "1",
        "MODAL_DISABLE_API_PROXY": "1",
        "MODAL_SERVER_URL": state.url,
        "MODAL_TASK_ID": task_id,
        "MODAL_ENVIRONMENT": app.environment,
        "MODAL_IMAGE_ID": function.definition.image_id,
        "MODAL_CONTAINER_ARGUMENTS_PATH": str(root.parent / "arguments"),
        "PYTHONPATH": str(root),
        "HOME": str(root),
        **_image_environ(state, function),
        **{name: value for secret in secrets for name, value in secret.items()},
    }


def _image_environ(state: State, function: Function) -> dict[str, str]:
    """What the image's ENV lines say: images are not built, so that these are all that is left of them."""
    image_id, lines = function.definition.image_id, []
    while image_id:
        image = state.images[image_id]
        lines = [*image.dockerfile_commands, *lines]
        image_id = image.base_images[0].image_id if image.base_images else ""
    pairs = [line.removeprefix("ENV ").partition("=") for line in lines if line.startswith("ENV ")]
    return {name: value.strip("'\"") for name, _, value in pairs if name.startswith(("ATLAS_", "MODAL_"))}


async def _watch(state: State, function: Function, process: asyncio.subprocess.Process) -> None:
    """What a dead container leaves behind fails."""
    code = await process.wait()
    _end_group(process)
    if code == 0 or function.process is not process:
        return
    status, message = api_pb2.GenericResult.GENERIC_STATUS_FAILURE, f"container exited with code {code}"
    for item in list(state.inputs.values()):
        if item.call.function is function:
            state.finish(item, api_pb2.GenericResult(status=status, exception=message))


class Containers:
    """RPCs of a container."""

    state: State

    async def ContainerHello(self, request):
        return Empty()

    async def ContainerHeartbeat(self, request):
        return api_pb2.ContainerHeartbeatResponse()

    async def ContainerLog(self, request):
        return Empty()

    async def TaskResult(self, request):
        return Empty()

    async def FunctionGetInputs(self, request):
        queue = self.state.functions[request.function_id].queue
        response = api_pb2.FunctionGetInputsResponse()
        try:
            item = await asyncio.wait_for(queue.get(), POLL_SECONDS)
        except asyncio.TimeoutError:
            return response
        if not item.done.is_set():
            self.state.start_clock(item)
            response.inputs.add(
                input_id=item.input_id,
                input=item.proto,
                function_call_id=item.call.call_id,
                function_call_invocation_type=item.invocation_type,
            )
        return response

    async def FunctionPutOutputs(self, request):
        for output in request.outputs:
            if item := self.state.inputs.get(output.input_id):
                self.state.finish(item, output.result, output.data_format)
        return Empty()

    async def FunctionGetDynamicConcurrency(self, request):
        return api_pb2.FunctionGetDynamicConcurrencyResponse(concurrency=request.target_concurrency or 1)
