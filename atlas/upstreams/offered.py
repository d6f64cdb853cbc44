"""A tool, resource, template or prompt of an upstream, as FastMCP offers it to agents."""

import base64
import logging
import re
from collections.abc import Iterator
from typing import Any

import mcp.types as mcp
from fastmcp.exceptions import ResourceError, ToolError
from fastmcp.prompts import Message, Prompt, PromptResult
from fastmcp.prompts.base import InputRequiredPromptResult, PromptArgument
from fastmcp.resources import Resource, ResourceTemplate
from fastmcp.resources.base import InputRequiredResourceResult, ResourceContent, ResourceResult
from fastmcp.tools import InputRequiredToolResult, Tool, ToolResult
from mcp import MCPError
from pydantic import Field

from atlas.agents.client_errors import ProtocolError
from atlas.agents.dialects import usable
from atlas.agents.keys import caller
from atlas.agents.results import as_it_came
from atlas.cases.definitions import LONGEST_DEFINITION, definition_of
from atlas.errors import AnswerLost, CallRefused, UpstreamMissing
from atlas.models import TRUST_META, UPSTREAM_META, plain_text
from atlas.upstreams.addresses import EVERYONE, content_here, meta_here
from atlas.upstreams.lists import LONGEST_NAMED
from atlas.upstreams.templates import LONGEST, match_template
from atlas.upstreams.upstream import Upstream

# What only the gateway says in `_meta`, and what describes one connection and not the next.
RESERVED = ("io.atlas/", "io.modelcontextprotocol/serverInfo")
FRAMEWORKS = ("fastmcp", "_fastmcp")  # keys that FastMCP reads and fills itself
GATEWAY_SCHEME = "atlas://"  # the resources of the gateway
LONGEST_NAME = 128  # of a tool, as the specification has it
COMMON_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")  # which every model's provider takes

logger = logging.getLogger(__name__)


class UpstreamTool(Tool):
    """A tool of an upstream, under the name by which agents know it."""

    upstream: Any = Field(exclude=True, repr=False)
    as_offered: Any = Field(exclude=True, repr=False)  # as the upstream describes it

    async def run(self, arguments: dict[str, Any]) -> ToolResult:
        """Call it, once. The cause of a ToolError that is not the upstream's answer is one of our errors:
        UpstreamMissing and CallRefused if nothing was done, AnswerLost if no one knows what was done."""
        try:
            return await self._answer(arguments)
        except MCPError as error:
            raise ProtocolError(error.error) from error
        except (UpstreamMissing, CallRefused, AnswerLost) as error:
            raise ToolError(str(error)) from error
        except Exception as error:
            # A mistake of ours, before the call was sent or after it was answered.
            logger.exception("A call of %s could not be carried to its end", self.upstream.name)
            what = f"its answer could not be taken ({type(error).__name__}): it may have done it, or not"
            lost = AnswerLost(reason=f"The server {self.upstream.name} may have got the call, and {what}.")
            raise ToolError(str(lost)) from lost

    async def _answer(self, arguments: dict[str, Any]) -> ToolResult:
        answer = await self.upstream.call_tool(self.as_offered, arguments)
        if isinstance(answer, mcp.InputRequiredResult):
            return InputRequiredToolResult(answer)
        changed = {
            "content": content_here(self.upstream, answer.content, caller.get()),
            "meta": _theirs(self.upstream, answer.meta, caller.get()) or None,
        }
        return as_it_came(answer.model_copy(update=changed))


class UpstreamResource(Resource):
    """A resource of an upstream."""

    upstream: Any = Field(exclude=True, repr=False)
    uri_there: str = Field(exclude=True)

    async def read(self) -> ResourceResult:
        """Read it."""
        return await _read(self.upstream, self.uri_there)


class UpstreamTemplate(ResourceTemplate):
    """A family of resources of an upstream."""

    upstream: Any = Field(exclude=True, repr=False)

    def matches(self, uri: str) -> dict[str, Any] | None:
        """The variables of a URI that it stands for; never of one of the gateway's own."""
        return None if is_ours(uri) else match_template(self.uri_template, uri)

    async def _read(self, uri: str, params: dict[str, Any]) -> ResourceResult:
        return await _read(self.upstream, self.upstream.config.uri_there(uri))


class UpstreamPrompt(Prompt):
    """A prompt of an upstream."""

    upstream: Any = Field(exclude=True, repr=False)
    name_there: str = Field(exclude=True)

    async def render(self, arguments: dict[str, Any] | None = None) -> PromptResult:
        """Have the upstream render it."""
        answer = await self.upstream.get_prompt(self.name_there, arguments or {})
        if isinstance(answer, mcp.InputRequiredResult):
            return InputRequiredPromptResult(answer)
        messages = [
            _message(message.role, content_here(self.upstream, [message.content])[0])
            for message in answer.messages
        ]
        return PromptResult(
            messages=messages,
            description=answer.description,
            meta=_theirs(self.upstream, answer.meta) or None,
        )


def build_tool(upstream: Upstream, offered: mcp.Tool) -> UpstreamTool:
    """A tool; ValueError says why agents do not get it."""
    if not 0 < len(offered.name) <= LONGEST_NAME or plain_text(offered.name) != offered.name:
        raise ValueError(f"name: it is over {LONGEST_NAME} characters, or people could not read it")
    tool = UpstreamTool(
        as_offered=offered,
        parameters=offered.input_schema,
        output_schema=offered.output_schema,
        annotations=offered.annotations,
        **_as_offered(upstream, offered),
    )
    # The exact form takes its time, and is needed only where it may be too long.
    if len(offered.model_dump_json()) > LONGEST_DEFINITION // 4:
        here = tool.model_copy(update={"name": upstream.config.name_of(offered.name)})
        if definition_of(here).is_too_long:
            raise ValueError(f"its definition is longer than {LONGEST_DEFINITION // 1024} KB")
    return tool


def remarks_on(upstream: Upstream, tool: UpstreamTool) -> Iterator[str]:
    """A sentence for each thing of a tool that works in another way than expected."""
    here, there = upstream.config.name_of(tool.name), tool.name[:LONGEST_NAMED]
    if not COMMON_NAME.fullmatch(here):
        yield (
            f"its tool {there} has the name {here}, which Claude and OpenAI refuse: "
            "they take 64 letters, digits, _ and -. A shorter prefix is set in the file"
        )
    unusable = usable(tool.parameters).unusable
    if unusable:
        yield (
            f"its tool {there} has a schema that cannot be used as a whole. "
            f"The server alone checks {', '.join(unusable)}"
        )


def build_resource(upstream: Upstream, offered: mcp.Resource) -> UpstreamResource:
    """A resource; ValueError says why agents do not get it."""
    if is_ours(str(offered.uri)):
        raise ValueError(f"uri: {GATEWAY_SCHEME} is the gateway's own")
    resource = UpstreamResource(
        uri_there=offered.uri,
        uri="x://x",
        mime_type=offered.mime_type or "text/plain",
        annotations=offered.annotations,
        **_as_offered(upstream, offered),
    )
    # As it is written there: FastMCP would write it in another way, or refuse a relative one.
    return resource.model_copy(update={"uri": offered.uri})


def build_template(upstream: Upstream, offered: mcp.ResourceTemplate) -> UpstreamTemplate:
    """A family of resources; ValueError says why agents do not get it."""
    if is_ours(offered.uri_template) or len(offered.uri_template) > LONGEST:
        raise ValueError(
            f"uriTemplate: {GATEWAY_SCHEME} is the gateway's own, and {LONGEST} characters are the most"
        )
    return UpstreamTemplate(
        uri_template=offered.uri_template,
        mime_type=offered.mime_type or "text/plain",
        annotations=offered.annotations,
        parameters={},
        **_as_offered(upstream, offered),
    )


def build_prompt(upstream: Upstream, offered: mcp.Prompt) -> UpstreamPrompt:
    """A prompt."""
    arguments = [
        PromptArgument(name=one.name, description=one.description, required=bool(one.required))
        for one in offered.arguments or ()
    ]
    return UpstreamPrompt(
        name_there=offered.name,
        arguments=arguments,
        **_as_offered(upstream, offered),
    )


def _message(role: Any, block: Any) -> Message:
    """A message as the upstream wrote it: FastMCP would make a text of a link."""
    return Message(content="", role=role).model_copy(update={"content": block})


def _as_offered(
    upstream: Upstream, offered: mcp.Tool | mcp.Resource | mcp.ResourceTemplate | mcp.Prompt
) -> dict[str, Any]:
    """What everything that an upstream offers has in common."""
    return {
        "upstream": upstream,
        "name": offered.name,
        "title": offered.title,
        "description": offered.description,
        "icons": offered.icons,
        "meta": _meta(upstream, offered.meta),
    }


def is_ours(uri: str) -> bool:
    """Whether it is an address of the gateway's own."""
    return uri.lower().startswith(GATEWAY_SCHEME)


def _meta(upstream: Upstream, said: dict[str, Any] | None) -> dict[str, Any]:
    """What the upstream says beside it, with its name set by us, so that it cannot pose as another."""
    trust = {TRUST_META: upstream.config.trust} if upstream.config.trust else {}
    return _theirs(upstream, said, EVERYONE) | {UPSTREAM_META: upstream.name} | trust


def _theirs(upstream: Upstream, said: dict[str, Any] | None, reader: str | None = None) -> dict[str, Any]:
    theirs = {
        key: value
        for key, value in (said or {}).items()
        if not key.startswith(RESERVED) and key not in FRAMEWORKS
    }
    return meta_here(upstream, theirs, reader)


async def _read(upstream: Upstream, uri: str) -> ResourceResult:
    try:
        answer = await upstream.read_resource(uri)
    except (UpstreamMissing, CallRefused, AnswerLost) as error:
        raise ResourceError(str(error)) from error
    if isinstance(answer, mcp.InputRequiredResult):
        return InputRequiredResourceResult(answer)
    contents = [
        ResourceContent(
            content=item.text if isinstance(item, mcp.TextResourceContents) else base64.b64decode(item.blob),
            mime_type=item.mime_type,
            meta=_theirs(upstream, item.meta) or None,
        )
        for item in answer.contents
    ]
    return ResourceResult(contents=contents)
