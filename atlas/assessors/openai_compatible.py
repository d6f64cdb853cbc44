"""A model behind an OpenAI-compatible API (OpenAI, Ollama, vLLM, llama.cpp) judges a call in one request.

Plain httpx instead of OpenAI's SDK: for one POST the SDK brings an HTTP stack of its own, reads the
environment behind the settings' back, tries three times by default and reads an answer of any length.
"""

import re
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

import httpx

from atlas.assessors import Question
from atlas.assessors.prompt import (
    ANSWER_SCHEMA,
    BOUNDED_SCHEMA,
    CONTEXT_TOKENS,
    PROMPT_VERSION,
    READ_CHARACTERS,
    messages,
    prepare,
    read_json,
)
from atlas.errors import AssessorFailed, QuestionUnfit
from atlas.outside.beginnings import beginning_of
from atlas.proxies import proxy_of
from atlas.settings import variables

MAX_ANSWER_BYTES = 1_000_000
ANSWER_TOKENS = 1_024  # a thinking model thinks within them, too
OPENAI_ANSWER_TOKENS = 4_096
LEAST_ANSWER_TOKENS = 256  # of the context; one that has less room for an answer may have cut the prompt
SEED = 70
ENDS = ("stop", "eos_token", "end_turn", None)  # of an answer that is complete
OPENAI_HOSTS = (".openai.com", ".openai.azure.com", ".services.ai.azure.com")
OPENAI_MODELS_THAT_SAMPLE = ("gpt-3.5", "gpt-4", "chatgpt-4o", "ft:gpt-3.5", "ft:gpt-4")
OLLAMA_PORT = 11434
BRACKETS = re.compile(r"[^\[\]]*|\[[^\[\]]*\](?::[^\[\]]*)?")  # none, or around an IPv6 address

REFUSALS = {
    400: "refused the request: perhaps the call is too long for its model, or the model knows no JSON schema",
    401: "refused the credentials",
    402: "wants to be paid first",
    403: "refused the credentials",
    404: "does not know the model {model}, or there is no such API at its address",
    413: "refused the request as too long",
    422: "refused the request: perhaps its model knows no JSON schema",
    429: "has too many requests, or the quota is used up",
}
REFUSALS_OF_THE_QUESTION = (400, 413, 422)  # another question may well be answered


class OpenAICompatible:
    """Asks for one completion that follows a JSON schema; nothing is tried twice."""

    prompt_version: str | None = PROMPT_VERSION

    def __init__(
        self,
        *,
        base_url: str,
        api_key: str | None,
        model: str,
        name: str,
        characters: int = READ_CHARACTERS,
        answer_tokens: int | None = None,
    ) -> None:
        """`base_url` ends before `/chat/completions`; `characters` of a call fit the model's context.

        Raises ValueError, a sentence without the address or the key, where one of them cannot be used.
        """
        self.name = name
        self.model: str | None = model
        self._host = _checked_host(base_url)
        self._url = f"{base_url.strip().rstrip('/')}/chat/completions"
        self._characters = characters
        self._parameters = _parameters(self._host, model, answer_tokens)
        self._client = httpx.AsyncClient(
            headers={"Accept-Encoding": "identity", **_authorization(api_key)},
            timeout=None,  # noqa: S113 - the caller sets the deadline
            transport=httpx.AsyncHTTPTransport(
                proxy=proxy_of(self._url, variables()),
                # A server may close an idle connection under a request, and nothing is tried twice.
                limits=httpx.Limits(max_keepalive_connections=0),
            ),
        )

    async def judge(self, question: Question) -> Any:
        """What the model answered, with the name by which the server calls it."""
        said = await prepare(messages, question, characters=self._characters)
        content = await self._post({"model": self.model, "messages": said, **self._parameters})
        completion = _parsed(content, "The model server's answer")
        _check_read(completion)
        answer = _answer(completion)
        served = completion.get("model")
        return answer | {"model": served[:200] if isinstance(served, str) and served else self.model}

    async def close(self) -> None:
        """Give back connections."""
        await self._client.aclose()

    async def _post(self, body: dict[str, Any]) -> bytes:
        try:
            async with self._client.stream("POST", self._url, json=body) as response:
                self._check(response)
                return await _read(response)
        except (httpx.ConnectError, httpx.ProxyError) as error:
            raise AssessorFailed(reason=f"The model server {self._host} cannot be reached.") from error
        except httpx.HTTPError as error:
            reason = f"The connection to the model server {self._host} broke off ({type(error).__name__})."
            raise AssessorFailed(reason=reason) from error

    def _check(self, response: httpx.Response) -> None:
        status = response.status_code
        if status != httpx.codes.OK:
            did = "failed" if status >= 500 else "gave an unexpected answer"
            said = REFUSALS.get(status, did).format(model=self.model)
            kind = QuestionUnfit if status in REFUSALS_OF_THE_QUESTION else AssessorFailed
            raise kind(reason=f"The model server {self._host} {said} (status {status}).")
        if response.headers.get("content-encoding", "identity") != "identity":
            raise AssessorFailed(
                reason="The model server compressed its answer, which it was asked not to do."
            )


def ollama_base_url(host: str) -> str:
    """The base URL for a value of OLLAMA_HOST, read as Ollama reads it (envconfig.Host in its source).

    An address to listen on (0.0.0.0) stands for this machine. Raises ValueError where it cannot be
    read.
    """
    text = host.strip().strip("\"'").strip()
    scheme, separator, rest = text.rpartition("://")
    port = {"http": 80, "https": 443}.get(scheme, OLLAMA_PORT) if separator else OLLAMA_PORT
    if text == "ollama.com":
        scheme, port = "https", 443
    authority, _, path = rest.partition("/")
    if not BRACKETS.fullmatch(authority):
        raise ValueError("OLLAMA_HOST cannot be read as the address of a server: its brackets do not match")
    name, port = _host_and_port(authority, port)
    path = path.strip("/").removesuffix("v1").rstrip("/")
    return f"{scheme or 'http'}://{name}:{port}/{path + '/' if path else ''}v1"


def _host_and_port(authority: str, port: int) -> tuple[str, int]:
    name, colon, number = authority.rpartition(":")
    if (
        not colon or authority.endswith("]") or (":" in name and not name.endswith("]"))
    ):  # an IPv6 address alone
        name, number = authority, ""
    if number.isascii() and number.isdigit() and int(number) <= 65535:
        port = int(number)
    name = name.strip("[]")
    try:
        address = ip_address(name or "127.0.0.1")
    except ValueError:
        return name, port
    if address.is_unspecified:
        address = ip_address("127.0.0.1" if address.version == 4 else "::1")
    return f"[{address}]" if address.version == 6 else str(address), port


def _checked_host(base_url: str) -> str:
    """The host of a base URL; raises ValueError without a word of it, because a key may be in it."""
    what = "The base URL of the model server"
    if "?" in base_url or "#" in base_url:
        raise ValueError(f"{what} has to end before ? and #, because /chat/completions is added to it")
    try:
        url = urlsplit(base_url.strip())
        host = url.hostname if url.port != 0 else None  # reading the port checks it
        httpx.URL(base_url.strip())
    except (ValueError, httpx.InvalidURL):
        raise ValueError(f"{what} cannot be read as an address") from None
    if url.scheme.lower() not in ("http", "https") or not host:
        raise ValueError(f"{what} has to name a server, as in http://127.0.0.1:8000/v1")
    return host


def _authorization(api_key: str | None) -> dict[str, str]:
    key = (api_key or "").strip()
    if not key.isascii() or not key.isprintable():
        raise ValueError("The API key of the model server has characters that no header can hold.")
    return {"Authorization": f"Bearer {key}"} if key else {}


def _parameters(host: str, model: str, answer_tokens: int | None) -> dict[str, Any]:
    """What every server takes, and what differs: OpenAI's newer models refuse what only others understand.

    They refuse `max_tokens` and any temperature of ours; Ollama ignores `max_completion_tokens`, and so did
    llama.cpp until February 2026 (ollama#7125, llama.cpp#19831).
    """
    sampling = {"temperature": 0, "seed": SEED}
    if not f".{host}".endswith(OPENAI_HOSTS):
        return {
            "response_format": _response_format(BOUNDED_SCHEMA),
            "max_tokens": answer_tokens or ANSWER_TOKENS,
            "stream": False,
            **sampling,
        }
    return {
        "response_format": _response_format(ANSWER_SCHEMA),
        "max_completion_tokens": answer_tokens or OPENAI_ANSWER_TOKENS,
        **(sampling if model.startswith(OPENAI_MODELS_THAT_SAMPLE) else {}),
    }


def _response_format(schema: dict[str, Any]) -> dict[str, Any]:
    named = {"name": "assessment", "strict": True, "schema": schema}
    return {"type": "json_schema", "json_schema": named}


async def _read(response: httpx.Response) -> bytes:
    content = await beginning_of(response.aiter_raw(), most=MAX_ANSWER_BYTES + 1)
    if len(content) > MAX_ANSWER_BYTES:
        raise AssessorFailed(reason="The model server's answer is longer than any judgement.")
    return content


def _check_read(completion: dict[str, Any]) -> None:
    """Raise QuestionUnfit where the prompt was so many tokens that the server may have cut it silently.

    How many they are is an estimate before: only the server has the words of its model.
    """
    usage = completion.get("usage")
    read = usage.get("prompt_tokens") if isinstance(usage, dict) else None
    if isinstance(read, int) and read > CONTEXT_TOKENS - LEAST_ANSWER_TOKENS:
        raise QuestionUnfit(reason=f"The call is too long for the model: its server read {read} tokens.")


def _answer(completion: dict[str, Any]) -> dict[str, Any]:
    """The JSON object that the model wrote as its whole message."""
    choices = completion.get("choices")
    choice = choices[0] if isinstance(choices, list) and len(choices) == 1 else None
    message = choice.get("message") if isinstance(choice, dict) else None
    if not isinstance(choice, dict) or not isinstance(message, dict):
        raise AssessorFailed(reason="The model server's answer holds no message of a model.")
    if message.get("refusal") or choice.get("finish_reason") == "content_filter":
        raise QuestionUnfit(reason="The model refused to judge this call.")
    if choice.get("finish_reason") == "length":
        raise QuestionUnfit(reason="The model's answer broke off, because it became too long.")
    if message.get("tool_calls") or message.get("function_call") or choice.get("finish_reason") not in ENDS:
        raise AssessorFailed(reason="The model did something else than to answer.")
    content = message.get("content")
    if not isinstance(content, str):
        raise AssessorFailed(reason="The model answered without a text.")
    answer = _parsed(content, "The model's answer")
    if not answer.keys() <= ANSWER_SCHEMA["properties"].keys():
        raise AssessorFailed(reason="The model's answer has fields that were not asked for.")
    return answer


def _parsed(text: str | bytes, what: str) -> dict[str, Any]:
    """A JSON object in which every name stands once; raises AssessorFailed without a word of the text."""
    try:
        value = read_json(text)
    except ValueError:
        raise AssessorFailed(reason=f"{what} is not the JSON that was asked for.") from None
    if not isinstance(value, dict):
        raise AssessorFailed(reason=f"{what} is not the JSON object that was asked for.")
    return value
