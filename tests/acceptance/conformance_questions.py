"""The tools and the prompt of the conformance fixture that ask the client something before they answer.

In the handshake era a server sends a request of its own; since 2026-07-28 it answers that it needs input.
"""

import json
from typing import Any

import mcp.types as mt
from fastmcp import Context, FastMCP
from mcp.shared.exceptions import MCPError

STATE = "the state of the first round"
ENUMS: dict[str, Any] = {
    "untitledSingle": {"type": "string", "enum": ["option1", "option2", "option3"]},
    "titledSingle": {
        "type": "string",
        "oneOf": [
            {"const": "value1", "title": "First Option"},
            {"const": "value2", "title": "Second Option"},
            {"const": "value3", "title": "Third Option"},
        ],
    },
    "legacyEnum": {
        "type": "string",
        "enum": ["opt1", "opt2", "opt3"],
        "enumNames": ["Option One", "Option Two", "Option Three"],
    },
    "untitledMulti": {
        "type": "array",
        "items": {"type": "string", "enum": ["option1", "option2", "option3"]},
    },
    "titledMulti": {
        "type": "array",
        "items": {
            "anyOf": [
                {"const": "value1", "title": "First Choice"},
                {"const": "value2", "title": "Second Choice"},
                {"const": "value3", "title": "Third Choice"},
            ]
        },
    },
}
DEFAULTS: dict[str, Any] = {
    "name": {"type": "string", "default": "John Doe"},
    "age": {"type": "integer", "default": 30},
    "score": {"type": "number", "default": 95.5},
    "status": {"type": "string", "enum": ["active", "inactive", "pending"], "default": "active"},
    "verified": {"type": "boolean", "default": True},
}
PERSON: dict[str, Any] = {
    "username": {"type": "string", "description": "User's response"},
    "email": {"type": "string", "description": "User's email address"},
}


async def elicited(ctx: Context, message: str, properties: dict[str, Any], *required: str) -> str:
    """What the client's user answers to a form, as text."""
    schema = {"type": "object", "properties": properties, "required": list(required)}
    answer = await ctx.session.elicit_form(message, schema, related_request_id=ctx.request_id)
    return f"action={answer.action}, content={json.dumps(answer.content or {})}"


def user_message(text: str) -> mt.SamplingMessage:
    """What a user says to a model."""
    return mt.SamplingMessage(role="user", content=mt.TextContent(type="text", text=text))


def add_requests(server: FastMCP) -> None:
    """Tools of the handshake era."""

    @server.tool
    async def test_sampling(prompt: str, ctx: Context) -> str:
        """Have the client's model answer."""
        messages = [user_message(prompt)]
        answer = await ctx.session.create_message(messages, max_tokens=100, related_request_id=ctx.request_id)
        return f"LLM response: {getattr(answer.content, 'text', '')}"

    @server.tool
    async def test_elicitation(message: str, ctx: Context) -> str:
        """Have the client's user fill in a form."""
        return f"User response: {await elicited(ctx, message, PERSON, *PERSON)}"

    @server.tool
    async def test_elicitation_sep1034_defaults(ctx: Context) -> str:
        """Have a form filled in that has defaults."""
        return f"Elicitation completed: {await elicited(ctx, 'Please check', DEFAULTS)}"

    @server.tool
    async def test_elicitation_sep1330_enums(ctx: Context) -> str:
        """Have a form filled in that has choices."""
        return f"Elicitation completed: {await elicited(ctx, 'Please choose', ENUMS)}"


def form(message: str, **properties: str) -> mt.ElicitRequest:
    """A request for a form, of which every field is required."""
    fields = {name: {"type": kind} for name, kind in properties.items()}
    schema = {"type": "object", "properties": fields, "required": list(fields)}
    return mt.ElicitRequest(params=mt.ElicitRequestFormParams(message=message, requested_schema=schema))


def sample(text: str, *, max_tokens: int = 100) -> mt.CreateMessageRequest:
    """A request for a model's answer."""
    params = mt.CreateMessageRequestParams(messages=[user_message(text)], max_tokens=max_tokens)
    return mt.CreateMessageRequest(params=params)


def ask(state: str | None = None, **requests: Any) -> mt.InputRequiredResult:
    """Answer that input is required."""
    return mt.InputRequiredResult(input_requests=requests, request_state=state)


def content_of(ctx: Context, key: str) -> dict[str, Any]:
    """What the client's user filled in for a request, or nothing."""
    answer = (ctx.input_responses or {}).get(key)
    return dict(answer.content or {}) if isinstance(answer, mt.ElicitResult) else {}


def add_single_questions(server: FastMCP) -> None:
    """Tools of 2026-07-28 that ask one thing."""

    @server.tool(output_schema=None)
    async def test_input_required_result_elicitation(ctx: Context) -> Any:
        """Greet the one who fills in the form."""
        name = content_of(ctx, "user_name").get("name")
        return f"Hello, {name}!" if name else ask(user_name=form("What is your name?", name="string"))

    @server.tool(output_schema=None)
    async def test_input_required_result_sampling(ctx: Context) -> Any:
        """Repeat what the client's model said."""
        answer = (ctx.input_responses or {}).get("capital_question")
        if not isinstance(answer, mt.CreateMessageResult):
            return ask(capital_question=sample("What is the capital of France?"))
        return getattr(answer.content, "text", "")

    @server.tool(output_schema=None)
    async def test_input_required_result_list_roots(ctx: Context) -> Any:
        """Repeat the client's roots."""
        answer = (ctx.input_responses or {}).get("client_roots")
        if not isinstance(answer, mt.ListRootsResult):
            return ask(client_roots=mt.ListRootsRequest(params=mt.RequestParams()))
        return f"Roots: {', '.join(str(root.uri) for root in answer.roots)}"

    @server.tool(output_schema=None)
    async def test_streaming_elicitation(ctx: Context) -> Any:
        """Report progress, and then ask."""
        await ctx.report_progress(1, 2)
        name = content_of(ctx, "user_name").get("name")
        return f"Hello, {name}!" if name else ask(user_name=form("What is your name?", name="string"))


def add_stateful_questions(server: FastMCP) -> None:
    """Tools of 2026-07-28 that have a state carried back to them."""

    def confirmed(ctx: Context) -> Any:
        if ctx.request_state == STATE and content_of(ctx, "confirm").get("ok"):
            return "state-ok"
        return ask(STATE, confirm=form("Please confirm", ok="boolean"))

    @server.tool(output_schema=None)
    async def test_input_required_result_request_state(ctx: Context) -> Any:
        """Check that the state came back."""
        return confirmed(ctx)

    @server.tool(output_schema=None)
    async def test_input_required_result_tampered_state(ctx: Context) -> Any:
        """Check that the state came back as it was."""
        return confirmed(ctx)

    @server.tool(output_schema=None)
    async def test_input_required_result_multi_round(ctx: Context) -> Any:
        """Ask twice."""
        name = content_of(ctx, "step1").get("name")
        color = content_of(ctx, "step2").get("color")
        if color and ctx.request_state:
            return f"{ctx.request_state} likes {color}."
        if name and ctx.request_state == STATE:
            return ask(name, step2=form("Step 2: What is your favorite color?", color="string"))
        return ask(STATE, step1=form("Step 1: What is your name?", name="string"))


def add_capability_questions(server: FastMCP) -> None:
    """Tools of 2026-07-28 that ask for several things, or only for what the client can do."""

    @server.tool(output_schema=None)
    async def test_input_required_result_multiple_inputs(ctx: Context) -> Any:
        """Ask for three things at once."""
        requests = {
            "user_name": form("What is your name?", name="string"),
            "greeting": sample("Generate a greeting", max_tokens=50),
            "client_roots": mt.ListRootsRequest(params=mt.RequestParams()),
        }
        if ctx.request_state == STATE and requests.keys() <= (ctx.input_responses or {}).keys():
            return f"All is there for {content_of(ctx, 'user_name').get('name')}."
        return ask(STATE, **requests)

    @server.tool(output_schema=None)
    async def test_input_required_result_capabilities(ctx: Context) -> Any:
        """Ask for what the client declares."""
        declared = ctx.session.client_capabilities or mt.ClientCapabilities()
        requests: dict[str, Any] = {}
        if declared.sampling is not None:
            requests["greeting"] = sample("Generate a greeting")
        if declared.elicitation is not None:
            requests["user_name"] = form("What is your name?", name="string")
        return ask(**requests) if requests else "The client declares nothing."

    @server.tool
    async def test_missing_capability(ctx: Context) -> str:
        """Refuse a client that cannot sample."""
        declared = ctx.session.client_capabilities
        if declared is not None and declared.sampling is not None:
            return "The client can sample."
        raise MCPError(
            code=mt.MISSING_REQUIRED_CLIENT_CAPABILITY,
            message="This tool needs the capability to sample.",
            data={"requiredCapabilities": {"sampling": {}}},
        )


def add_questions(server: FastMCP) -> None:
    """All tools that ask, and the prompt that asks."""
    add_requests(server)
    add_single_questions(server)
    add_stateful_questions(server)
    add_capability_questions(server)

    @server.prompt
    async def test_input_required_result_prompt(ctx: Context) -> Any:
        """A prompt that asks for its context."""
        context = content_of(ctx, "user_context").get("context")
        asked = form("What context should the prompt use?", context="string")
        return f"Use this context: {context}" if context else ask(user_context=asked)
