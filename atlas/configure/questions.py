"""The questions of `./setup.sh`, in the order in which they are asked."""

import re
import secrets
from collections.abc import Callable, Mapping

from atlas.assessors.choose import OLLAMA_MODEL, OPENAI_MODEL, OPENAI_URL
from atlas.assessors.modal_function import parse_function_name
from atlas.configure.person import Person
from atlas.settings import Settings
from atlas.settings.as_written import plain
from atlas.settings.models import AssessorKind

ASKED = (
    *("MODAL_FUNCTION_NAME", "OPENAI_API_KEY", "OPENAI_BASE_URL", "OPENAI_MODEL", "OLLAMA_HOST"),
    *("INNGEST_EVENT_KEY", "INNGEST_SIGNING_KEY", "MODAL_TOKEN_ID", "MODAL_TOKEN_SECRET", "ATLAS_MCP_CONFIG"),
    *("ATLAS_AGENT_KEY", "ATLAS_REVIEWER_KEY"),
)
MODAL_FUNCTION = Settings.model_fields["modal_function_name"].default
OLLAMA_URL = "http://127.0.0.1:11434"
URL = re.compile(r"https?://[A-Za-z0-9.-]+(:[0-9]+)?(/.*)?")
PATH = re.compile(r"[A-Za-z0-9._~:/+=@% -]*")  # Claude Desktop keeps its file in a folder with a blank

Check = Callable[[str], object]  # raises ValueError, a sentence, where an answer cannot be right


class Questions:
    """Asks for what has no right default; `answers` holds what `.env` has, then what was answered."""

    def __init__(self, stored: Mapping[str, str], person: Person) -> None:
        self.answers = {name: stored.get(name, "") for name in ASKED}
        self._stored = stored
        self._person = person

    def ask_all(self) -> None:
        """Ask every question, and make the keys that are not there."""
        self._ask_modal_function()
        self._ask_backend()
        self._ask_inngest()
        self._ask_modal_token()
        self._person.tell(
            "MCP servers behind the gateway: "
            "the path of a file with the mcpServers of Claude Desktop or Cursor."
        )
        self.ask_mcp_config()
        for name in ("ATLAS_AGENT_KEY", "ATLAS_REVIEWER_KEY"):
            self.answers[name] = self.answers[name] or secrets.token_hex(32)

    def ask_mcp_config(self) -> None:
        """Ask for the file of the servers behind the gateway; whether it is there is not looked at here."""
        current = self.answers["ATLAS_MCP_CONFIG"] or "none"
        self._ask("ATLAS_MCP_CONFIG", f"MCP servers file [{current}]", path)

    def _ask_modal_function(self) -> None:
        self._person.tell("A function on Modal judges calls beside the policy, if you give its token below.")
        self._ask_with_default("MODAL_FUNCTION_NAME", "Modal function", MODAL_FUNCTION, modal_function)

    def _ask_backend(self) -> None:
        self._person.tell(
            "AI backend, which judges calls beside the policy: 1 OpenAI or a server like it, 2 Ollama, 3 none"
        )
        current = self._current_backend()
        backend = self._answer("AI backend", f"AI backend [{current}]", current, one_of_three)
        if backend != current:
            self._forget_backends_but(backend)
        if backend == "1":
            self._ask_openai()
        if backend == "2":
            self._ask_with_default("OLLAMA_HOST", "Ollama host", OLLAMA_URL, url)
            self._ask_with_default("OPENAI_MODEL", "Model", OLLAMA_MODEL, model)

    def _ask_openai(self) -> None:
        self._ask_with_default("OPENAI_BASE_URL", "Its URL", OPENAI_URL, url)
        self._ask_with_default("OPENAI_MODEL", "Model", OPENAI_MODEL, model)
        self._ask_secret("OPENAI_API_KEY", "OpenAI API key", self._openai_key)

    def _openai_key(self, answer: str) -> None:
        plain(answer)
        if not answer and self.answers["OPENAI_BASE_URL"] == OPENAI_URL:
            raise ValueError("OpenAI needs it.")

    def _current_backend(self) -> str:
        if self.answers["OPENAI_API_KEY"] or self.answers["OPENAI_BASE_URL"]:
            return "1"
        return "2" if self.answers["OLLAMA_HOST"] else "3"

    def _forget_backends_but(self, backend: str) -> None:
        # The gateway uses the backend that it finds in .env, so the one that was not chosen leaves it.
        self.answers["OPENAI_MODEL"] = ""
        if backend != "1":
            self.answers |= {"OPENAI_API_KEY": "", "OPENAI_BASE_URL": ""}
        if backend != "2":
            self.answers["OLLAMA_HOST"] = ""

    def _ask_inngest(self) -> None:
        if self._stored.get("INNGEST_DEV"):
            print("INNGEST_DEV is set in .env, and nothing is signed then: no Inngest keys are asked for.")
            return
        self._person.tell("Inngest runs the workflow; without its keys an engine inside the gateway does.")
        self._ask_pair(
            "The Inngest event key and signing key belong together: give both, or neither.",
            ("INNGEST_EVENT_KEY", "Inngest event key"),
            ("INNGEST_SIGNING_KEY", "Inngest signing key"),
        )

    def _ask_modal_token(self) -> None:
        self._ask_pair(
            "The Modal token id and token secret belong together: give both, or neither.",
            ("MODAL_TOKEN_ID", "Modal token id"),
            ("MODAL_TOKEN_SECRET", "Modal token secret"),
        )

    def _ask_pair(self, sentence: str, *pair: tuple[str, str]) -> None:
        while True:
            for name, prompt in pair:
                self._ask_secret(name, prompt, rule_of(name))
            given = [bool(self.answers[name]) for name, _ in pair]
            if all(given) or not any(given):
                return
            self._person.complain(pair[0][0], sentence)

    def _ask_secret(self, name: str, prompt: str, check: Check) -> None:
        hint = "Enter keeps the one there is, - removes it" if self.answers[name] else "none"
        self._ask(name, f"{prompt} [{hint}]", check, is_secret=True)

    def _ask_with_default(self, name: str, prompt: str, default: str, check: Check) -> None:
        self.answers[name] = self.answers[name] or default
        self._ask(name, f"{prompt} [{self.answers[name]}]", check)

    def _ask(self, name: str, prompt: str, check: Check, *, is_secret: bool = False) -> None:
        self.answers[name] = self._answer(name, prompt, self.answers[name], check, is_secret=is_secret)

    def _answer(self, name: str, prompt: str, current: str, check: Check, *, is_secret: bool = False) -> str:
        """What was typed, or what is there where Enter was pressed; asked for until it can be right."""
        while True:
            answer = current
            if self._person.is_there:
                answer = self._person.hear(f"{prompt}: ", is_secret=is_secret) or current
            answer = "" if answer == "-" else answer
            try:
                check(answer)
            except ValueError as error:
                self._person.complain(name, str(error))
            else:
                return answer


def rule_of(name: str) -> Check:
    """The gateway's own rule for a setting."""
    return lambda answer: Settings.check_value(name, answer)


def modal_function(answer: str) -> None:
    """Raise ValueError where no function on Modal can be meant; an example says more than every form."""
    try:
        parse_function_name(answer)
    except ValueError:
        raise ValueError(f"A Modal function is written app/function, for example {MODAL_FUNCTION}.") from None


def one_of_three(answer: str) -> None:
    """Raise ValueError for another answer."""
    if answer not in ("1", "2", "3"):
        raise ValueError("Please answer 1, 2 or 3.")


def url(answer: str) -> None:
    """Raise ValueError where a host has no scheme: whether it is encrypted should be seen."""
    plain(answer)
    if not URL.fullmatch(answer):
        raise ValueError(f"The host is written as a URL, for example {OLLAMA_URL}.")


def model(answer: str) -> None:
    """Raise ValueError where a model has no name."""
    plain(answer)
    if not answer:
        raise ValueError("A model needs a name.")


def path(answer: str) -> None:
    """Raise ValueError where a path cannot be given to Docker."""
    if not PATH.fullmatch(answer):
        raise ValueError("Only letters, digits, blanks and . _ ~ : / + = @ % - can stand in this path.")


def judges(settings: Settings) -> str:
    """What judges calls, in a sentence: as the gateway chooses, where ATLAS_ASSESSOR leaves it the choice."""
    if settings.atlas_assessor is not AssessorKind.AUTO:
        return f"Calls are judged as ATLAS_ASSESSOR={settings.atlas_assessor.value} in .env says."
    if settings.assessor_kind is AssessorKind.MODAL:
        instead = (
            "; ATLAS_ASSESSOR=openai in .env takes the AI backend instead" if settings.has_openai else ""
        )
        return f"Calls are judged by the policy and Modal{instead}."
    backend = settings.assessor_kind is AssessorKind.OPENAI
    return (
        "Calls are judged by the policy and the AI backend."
        if backend
        else "Calls are judged by the policy alone."
    )
