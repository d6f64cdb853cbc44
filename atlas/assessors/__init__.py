"""The judges of a call: a family of interchangeable parts that answer with a risk score from 0 to 100."""

from typing import Annotated, Any, Literal, Protocol, runtime_checkable

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StrictInt, StrictStr

from atlas.models import Frozen, plain_text
from atlas.traces import NO_TRACE, Trace

# Whether what a tool answers comes from third parties, or from the house alone.
Trust = Literal["outside", "inside"]


class ToolFacts(Frozen):
    """What a tool says of itself: description, MCP annotations (None where it says nothing), tags."""

    name: str
    description: str = ""
    is_read_only: bool | None = None
    is_destructive: bool | None = None
    is_idempotent: bool | None = None
    is_open_world: bool | None = None
    definition_sha256: str | None = None  # of all that it says; None where there is no such tool
    upstream: str | None = None  # the server behind the gateway that offers it; None for a built-in tool
    tags: tuple[str, ...] = ()
    trust: Trust | None = None  # what the servers file says of its server; None where it says nothing


class Earlier(Frozen):
    """An earlier call of the same agent, with what it read in answer."""

    case_id: str | None = None  # None: it has no case, as in labelled data
    tool_name: str
    upstream: str | None = None
    arguments: dict[str, Any] = Field(default_factory=dict)
    result: str = ""  # the texts of the answer, as far as they are compared; empty where there is none yet
    is_partly_read: bool = False  # whether the answer holds more than `result`
    is_outside: bool = False  # whether the tool speaks for third parties
    is_other_session: bool = False
    user_request: str | None = None


class Question(Frozen):
    """What is judged: one call, and what the agent claims that it is for (claims can be false)."""

    tool: ToolFacts
    arguments: dict[str, Any]  # with what the agent answers to what the tool asked for
    answers_as: str | None = None  # the name under which these answers are there; None: there are none
    principal: str
    intent: str | None = None  # the agent's claim, from `_meta` of the call
    user_request: str | None = None  # the agent's claim, from `_meta` of the call
    earlier: tuple[Earlier, ...] = ()  # what the agent did and read before, the oldest first
    knows_session: bool = True  # whether `earlier` is all of the session
    read_unrecorded: bool = False  # whether the session read text from outside that is not in `earlier`
    trace: Trace | None = NO_TRACE  # None: it could not be made, so that a person decides


Words = Annotated[StrictStr, AfterValidator(plain_text)]  # a model's; they are shown to people


class ModelAnswer(BaseModel):
    """What a model has to answer; nothing is converted, so that 70.5 or "70" is no score."""

    model_config = ConfigDict(extra="forbid")

    risk_score: StrictInt = Field(ge=0, le=100)
    classification: Words = Field(max_length=200)
    action: Words = Field(max_length=200)
    rationale: Words = Field(max_length=4000)
    model: Words | None = Field(default=None, max_length=200)
    version: Words | None = Field(default=None, max_length=200)  # of prompt or weights, where they say it


class Assessor(Protocol):
    """A model that judges calls. If it raises, answers wrongly or answers late, a person decides."""

    name: str  # for start-up, /readyz and the record, such as "modal nislam-mics/ATLAS-NIST-Measure"
    model: str | None
    prompt_version: str | None

    async def judge(self, question: Question) -> Any:
        """Give what `ModelAnswer` accepts; raises AssessorFailed with a sentence, or anything.

        It sets no deadline of its own: the caller cancels it.
        """

    async def close(self) -> None:
        """Give back connections."""


@runtime_checkable
class DurableAssessor(Assessor, Protocol):
    """An assessor whose answer can be fetched by another process than the one that asked."""

    async def ask(self, question: Question) -> str:
        """Begin to judge, and say under which reference the answer can be fetched."""

    async def fetch(self, reference: str) -> Any:
        """Wait for the answer to a question that was asked; raises as `judge` does."""

    async def cancel(self, reference: str) -> None:
        """Stop the work on a question whose answer no one waits for any more."""
