"""`modal deploy`: files are stored, images recorded, functions and classes kept by name."""

import hashlib
import sys
import time

from google.protobuf.empty_pb2 import Empty
from grpclib import GRPCError, Status
from modal_proto import api_pb2

from modal_loopback.state import App, Function, State, new_id, not_found

FORMATS = [api_pb2.DATA_FORMAT_PICKLE, api_pb2.DATA_FORMAT_CBOR]


def handle_of(function: Function) -> api_pb2.FunctionHandleMetadata:
    """What a client is told of a function: formats, kind, methods."""
    definition = function.definition
    handle = _handle(function, function.name, definition)
    handle.class_parameter_info.CopyFrom(definition.class_parameter_info)
    for name, method in definition.method_definitions.items():
        handle.method_handle_metadata[name].CopyFrom(_handle(function, method.function_name, method))
        handle.method_handle_metadata[name].is_method = True
        handle.method_handle_metadata[name].use_method_name = name
    return handle


def _handle(function, name, definition):
    handle = api_pb2.FunctionHandleMetadata(
        function_name=name,
        function_type=definition.function_type or api_pb2.Function.FUNCTION_TYPE_FUNCTION,
        definition_id=function.function_id.replace("fu-", "de-"),
        app_id=function.app_id,
        supported_input_formats=definition.supported_input_formats or FORMATS,
        supported_output_formats=definition.supported_output_formats or FORMATS,
    )
    if definition.HasField("function_schema"):
        handle.function_schema.CopyFrom(definition.function_schema)
    return handle


def _data_of(definition: api_pb2.Function) -> api_pb2.FunctionData:
    ranked = api_pb2.FunctionData.RankedFunction(rank=0, function=definition)
    return api_pb2.FunctionData(
        module_name=definition.module_name,
        function_name=definition.function_name,
        function_type=definition.function_type,
        timeout_secs=definition.timeout_secs,
        is_class=definition.is_class,
        method_definitions=definition.method_definitions,
        class_parameter_info=definition.class_parameter_info,
        ranked_functions=[ranked],
    )


class Deploy:
    """RPCs of a deployment, and the look-up of what was deployed."""

    state: State

    async def AppGetByDeploymentName(self, request):
        key = (request.environment_name or "main", request.name)
        return api_pb2.AppGetByDeploymentNameResponse(app_id=self.state.app_ids.get(key, ""))

    async def AppCreate(self, request):
        app = App(new_id("ap"), request.description, request.environment_name or "main")
        self.state.apps[app.app_id] = app
        url = f"{self.state.url}/{app.app_id}"
        return api_pb2.AppCreateResponse(app_id=app.app_id, app_page_url=url, app_logs_url=url)

    async def AppGetLayout(self, request):
        app = self.state.apps[request.app_id]
        layout = api_pb2.AppLayout(function_ids=app.functions, class_ids=app.classes)
        for function_id in app.functions.values():
            handle = handle_of(self.state.functions[function_id])
            layout.objects.add(object_id=function_id, function_handle_metadata=handle)
        return api_pb2.AppGetLayoutResponse(app_layout=layout)

    async def AppPublish(self, request):
        app = self.state.apps[request.app_id]
        app.name = request.name or app.name
        app.functions, app.classes = dict(request.function_ids), dict(request.class_ids)
        self.state.app_ids[(app.environment, app.name)] = app.app_id
        return api_pb2.AppPublishResponse(url=f"{self.state.url}/{app.name}", deployed_at=time.time())

    async def MountBatchedCheckExistence(self, request):
        missing = [digest for digest in request.sha256_hex_hashes if digest not in self.state.files]
        return api_pb2.MountBatchedCheckExistenceResponse(missing_sha256_hex_hashes=missing)

    async def MountPutFile(self, request):
        by_blob = request.WhichOneof("data_oneof") == "data_blob_id"
        data = self.state.blobs[request.data_blob_id] if by_blob else request.data
        if hashlib.sha256(data).hexdigest() != request.sha256_hex:
            raise GRPCError(Status.DATA_LOSS, "sha256 mismatch")
        self.state.files[request.sha256_hex] = data
        return api_pb2.MountPutFileResponse(exists=True)

    async def MountGetOrCreate(self, request):
        mount_id = new_id("mo")
        self.state.mounts[mount_id] = list(request.files)
        response = api_pb2.MountGetOrCreateResponse(mount_id=mount_id)
        parts = sorted(file.SerializeToString() for file in request.files)
        response.handle_metadata.content_checksum_sha256_hex = hashlib.sha256(b"".join(parts)).hexdigest()
        return response

    async def ImageGetOrCreate(self, request):
        digest = hashlib.sha256(request.image.SerializeToString(deterministic=True)).hexdigest()
        image_id = f"im-{digest[:22]}"
        self.state.images[image_id] = request.image
        result = api_pb2.GenericResult(status=api_pb2.GenericResult.GENERIC_STATUS_SUCCESS)
        response = api_pb2.ImageGetOrCreateResponse(image_id=image_id, result=result)
        response.metadata.python_version_info = "{}.{}.{}".format(*sys.version_info[:3])
        response.metadata.image_builder_version = request.builder_version
        return response

    async def VolumeGetOrCreate(self, request):
        ids = {name: volume_id for volume_id, name in self.state.volumes.items()}
        volume_id = ids.get(request.deployment_name) or new_id("vo")
        self.state.volumes[volume_id] = request.deployment_name
        response = api_pb2.VolumeGetOrCreateResponse(volume_id=volume_id)
        response.metadata.name = request.deployment_name
        return response

    async def VolumeCommit(self, request):
        return api_pb2.VolumeCommitResponse()

    async def VolumeReload(self, request):
        return Empty()

    async def SecretGetOrCreate(self, request):
        if not request.env_dict:
            raise not_found(f"Secret '{request.deployment_name}' not found")
        secret_id = new_id("st")
        self.state.secrets[secret_id] = dict(request.env_dict)
        return api_pb2.SecretGetOrCreateResponse(secret_id=secret_id)

    async def FunctionPrecreate(self, request):
        function_id = request.existing_function_id or new_id("fu")
        definition = api_pb2.Function(
            function_name=request.function_name,
            function_type=request.function_type,
            function_schema=request.function_schema,
            supported_input_formats=request.supported_input_formats,
            supported_output_formats=request.supported_output_formats,
        )
        for name, method in request.method_definitions.items():
            definition.method_definitions[name].CopyFrom(method)
        function = Function(function_id, request.app_id, request.function_name, definition)
        self.state.functions.setdefault(function_id, function).definition = definition
        handle = handle_of(self.state.functions[function_id])
        return api_pb2.FunctionPrecreateResponse(function_id=function_id, handle_metadata=handle)

    async def FunctionCreate(self, request):
        function_id = request.existing_function_id or new_id("fu")
        definition = request.function
        if request.HasField("function_data") and request.function_data.ranked_functions:  # gpu=[...]
            definition = request.function_data.ranked_functions[0].function
        new = Function(function_id, request.app_id, definition.function_name, definition)
        function = self.state.functions.setdefault(function_id, new)
        function.name, function.definition, function.handler = definition.function_name, definition, None
        return api_pb2.FunctionCreateResponse(
            function_id=function_id,
            function=definition,
            handle_metadata=handle_of(function),
            function_data=_data_of(definition),
        )

    async def ClassCreate(self, request):
        class_id = request.existing_class_id or new_id("cs")
        return api_pb2.ClassCreateResponse(class_id=class_id, handle_metadata=api_pb2.ClassHandleMetadata())

    async def FunctionGet(self, request):
        app = self.state.find_app(request.app_name, request.environment_name)
        function_id = app.functions.get(request.object_tag)
        if function_id is None:
            message = f"Function '{request.object_tag}' not found in app '{request.app_name}'."
            reason = api_pb2.FunctionLookupError.REASON_CLASS_NAME_USED
            is_class = request.object_tag in app.classes
            raise not_found(message, [api_pb2.FunctionLookupError(reason=reason)] if is_class else None)
        function = self.state.functions[function_id]
        return api_pb2.FunctionGetResponse(
            function_id=function_id,
            handle_metadata=handle_of(function),
            function=_data_of(function.definition),
        )

    async def ClassGet(self, request):
        app = self.state.find_app(request.app_name, request.environment_name)
        class_id = app.classes.get(request.object_tag)
        if class_id is None:
            raise not_found(f"Class '{request.object_tag}' not found in app '{request.app_name}'.")
        return api_pb2.ClassGetResponse(class_id=class_id, handle_metadata=api_pb2.ClassHandleMetadata())
