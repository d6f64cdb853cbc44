"""Completions of the arguments of prompts and resource templates: the upstream suggests what it knows."""

import logging

import mcp.types as mcp
from fastmcp import FastMCP
from mcp import MCPError

from atlas.errors import AtlasError
from atlas.upstreams.offered import UpstreamPrompt, UpstreamTemplate
from atlas.upstreams.upstream import Upstream

Reference = mcp.PromptReference | mcp.ResourceTemplateReference

logger = logging.getLogger(__name__)


def add_completions(server: FastMCP) -> None:
    """Answer completion/complete with what the upstream of a prompt or a template suggests."""

    async def complete(
        ref: Reference, argument: mcp.CompletionArgument, context: mcp.CompletionContext | None
    ) -> mcp.Completion | None:
        found = await _there(server, ref)
        if found is None:
            return None
        upstream, ref_there = found
        known = context.arguments if context and context.arguments else {}
        try:
            return await upstream.complete(ref_there, argument, known)
        except (AtlasError, MCPError) as error:
            if isinstance(error, MCPError) and error.error.code != mcp.METHOD_NOT_FOUND:
                raise  # it is the answer, with code and data
            # A suggestion less: the server is missing, or has none to give.
            logger.info("The server %s suggests nothing: %s", upstream.name, type(error).__name__)
            return None

    server.add_completion_handler(complete)


async def _there(server: FastMCP, ref: Reference) -> tuple[Upstream, Reference] | None:
    """The upstream of a prompt or a template, and what it is called there; None if no upstream has it."""
    if isinstance(ref, mcp.PromptReference):
        prompt = await server.get_prompt(ref.name)
        if isinstance(prompt, UpstreamPrompt):
            return prompt.upstream, mcp.PromptReference(type="ref/prompt", name=prompt.name_there)
        return None
    for template in await server.list_resource_templates():
        if isinstance(template, UpstreamTemplate) and template.uri_template == ref.uri:
            uri = template.upstream.config.uri_there(ref.uri)
            return template.upstream, mcp.ResourceTemplateReference(type="ref/resource", uri=uri)
    return None
