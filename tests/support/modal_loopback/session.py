"""Who may come in, and what a client asks before anything else."""

import secrets

from google.protobuf.empty_pb2 import Empty
from grpclib import GRPCError, Status
from grpclib.events import RecvRequest
from modal_proto import api_pb2

from modal_loopback.state import State, new_id

IMAGE_BUILDER = "2025.06"


async def authenticate(state: State, event: RecvRequest) -> None:
    """Let in clients whose token is known, and containers."""
    metadata = {name: str(value) for name, value in event.metadata.items()}
    if int(metadata.get("x-modal-client-type", "0")) == api_pb2.CLIENT_TYPE_CONTAINER:
        return
    state.metadata = metadata
    if state.tokens is None:
        return
    known = state.tokens.get(metadata.get("x-modal-token-id", ""), "")
    if not known or not secrets.compare_digest(known, metadata.get("x-modal-token-secret", "")):
        raise GRPCError(Status.UNAUTHENTICATED, "Token ID is malformed or token validation failed")


class Session:
    """RPCs of the session."""

    state: State

    async def ClientHello(self, request):
        return api_pb2.ClientHelloResponse(image_builder_version=IMAGE_BUILDER)

    async def EnvironmentGetOrCreate(self, request):
        response = api_pb2.EnvironmentGetOrCreateResponse(environment_id=new_id("en"))
        response.metadata.name = request.deployment_name or "main"
        response.metadata.settings.image_builder_version = IMAGE_BUILDER
        return response

    async def WorkspaceNameLookup(self, request):
        return api_pb2.WorkspaceNameLookupResponse(username="loopback")

    async def AppHeartbeat(self, request):
        return Empty()

    async def AppClientDisconnect(self, request):
        return Empty()
