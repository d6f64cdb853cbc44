"""The settings of what judges calls beside the policy: a function on Modal, or a server like OpenAI's."""

from enum import Enum
from functools import cached_property

from pydantic import Field, SecretStr, model_validator
from pydantic_settings import BaseSettings

from atlas.settings.as_written import PlainSecret


class AssessorKind(str, Enum):
    """What judges calls beside the policy."""

    AUTO = "auto"  # the first of those below that is configured
    MODAL = "modal"
    OPENAI = "openai"  # OpenAI, Ollama, or any server that speaks its chat completions
    POLICY = "policy"  # nothing: the policy alone


class Models(BaseSettings):
    """What an operator can set of the model that judges."""

    atlas_assessor: AssessorKind = Field(
        default=AssessorKind.AUTO,
        description="The model that judges beside the policy: `auto`, `modal`, `openai`, or `policy` "
        "for none.",
    )
    atlas_model_sees_session: bool = Field(
        default=False,
        description="`on`: the model is told earlier calls of the agent and what their tools answered, "
        "masked and cut. Else it is told only where each argument came from.",
    )
    modal_function_name: str = Field(
        default="nislam-mics/ATLAS-NIST-Measure",
        description="The Modal function: app/function, app/Class.method, or either behind environment/.",
    )
    modal_token_id: PlainSecret = Field(default=None, description="The token of the Modal workspace.")
    modal_token_secret: PlainSecret = Field(default=None, description="The secret of that token.")
    modal_environment: str | None = Field(
        default=None,
        description="The environment in the Modal workspace. Without one, the workspace's default.",
    )
    openai_api_key: SecretStr | None = Field(
        default=None, description="The key of OpenAI, or of a server that speaks its chat completions."
    )
    openai_base_url: str | None = Field(
        default=None, description="The URL of that server. Without one, `https://api.openai.com/v1`."
    )
    openai_model: str | None = Field(
        default=None, description="The model. Without one, `gpt-6-luna`, or `llama3.2` at Ollama."
    )
    ollama_host: str | None = Field(
        default=None, description="The URL of Ollama, for example `http://127.0.0.1:11434`."
    )

    @cached_property
    def assessor_kind(self) -> AssessorKind:
        """Which assessor is used: what ATLAS_ASSESSOR says, or the first that is configured."""
        if self.atlas_assessor is not AssessorKind.AUTO:
            return self.atlas_assessor
        if self.modal_token_id is not None:
            return AssessorKind.MODAL
        return AssessorKind.OPENAI if self.has_openai else AssessorKind.POLICY

    @property
    def has_openai(self) -> bool:
        """Whether a server that speaks OpenAI's chat completions is configured."""
        return any((self.openai_api_key, self.openai_base_url, self.ollama_host))

    @model_validator(mode="after")
    def _check_assessor(self) -> "Models":
        if (self.modal_token_id is None) != (self.modal_token_secret is None):
            raise ValueError("MODAL_TOKEN_ID and MODAL_TOKEN_SECRET belong together")
        if self.assessor_kind is AssessorKind.MODAL and self.modal_token_id is None:
            raise ValueError("ATLAS_ASSESSOR is modal, without MODAL_TOKEN_ID and MODAL_TOKEN_SECRET")
        if self.assessor_kind is AssessorKind.OPENAI and not self.has_openai:
            raise ValueError(
                "ATLAS_ASSESSOR is openai, without OPENAI_API_KEY, OPENAI_BASE_URL or OLLAMA_HOST"
            )
        if self.openai_base_url and not self.openai_base_url.startswith(("http://", "https://")):
            raise ValueError("OPENAI_BASE_URL begins with http:// or https://")
        for url in (self.openai_base_url, self.ollama_host):
            if "@" in (url or ""):
                raise ValueError("OPENAI_BASE_URL or OLLAMA_HOST holds a user name or password")
        return self
