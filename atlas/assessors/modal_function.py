"""The Modal assessor: a function of a Modal app judges the call.

A question is spawned and its answer is fetched by the id of the call, so that another process can fetch it.
The SDK tells Modal the name of this host, its platform and Python (headers `x-modal-node`, `-platform`,
`-python-version`). It goes through the proxy of HTTPS_PROXY unless MODAL_DISABLE_API_PROXY is set. Except for
the token it reads what no MODAL_ variable says in the active profile of `~/.modal.toml`.
"""

import asyncio
import importlib
import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from atlas.assessors import Question
from atlas.assessors.prompt import PROMPT_VERSION, payload, prepare
from atlas.errors import AssessorFailed

if TYPE_CHECKING:
    from atlas.assessors.modal_wire import ModalWire

CANCEL_SECONDS = 5  # for a call that no one waits for any more
OBJECT_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")  # as modal._utils.name_utils has it
FUNCTION_NAME = re.compile(r"[A-Za-z0-9_-]{1,128}")
APP_ID = re.compile(r"ap-[A-Za-z0-9]{22}")
FORMS = "app/function, app/Class.method, or either with environment/ before it"

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ModalName:
    """What MODAL_FUNCTION_NAME names: a function of an app, or a method of a class of it."""

    app: str
    function: str  # the method, where a class is named
    class_name: str | None = None
    environment: str | None = None  # None is the default environment of the workspace

    def __str__(self) -> str:
        where = f" in environment {self.environment}" if self.environment else ""
        if self.class_name:
            return f"method {self.function} of class {self.class_name} of app {self.app}{where}"
        return f"function {self.function} of app {self.app}{where}"


def parse_function_name(text: str) -> ModalName:
    """Read `app/function`, `app/Class.method` or either after `environment/`; raises ValueError, a sentence.

    No app has a slash in its name, and the workspace is the token's: what is before the slash is an app.
    """
    parts = [part.strip() for part in text.strip().split("/")]
    if len(parts) not in (2, 3) or not all(parts):
        raise ValueError(f"{text!r} names no function of a Modal app: write {FORMS}")
    *owners, function = parts
    for name in owners:
        if not OBJECT_NAME.fullmatch(name) or APP_ID.fullmatch(name):
            raise ValueError(f"{name!r} can be no name on Modal, which has letters, digits, - _ and . only")
    names = function.split(".")
    if len(names) > 2 or not all(FUNCTION_NAME.fullmatch(name) for name in names):
        raise ValueError(f"{function!r} can be no function or Class.method of a Modal app: write {FORMS}")
    return ModalName(
        app=owners[-1],
        function=names[-1],
        class_name=names[0] if len(names) == 2 else None,
        environment=owners[0] if len(owners) == 2 else None,
    )


class ModalFunction:
    """A function on Modal as an assessor; nothing is imported, opened or sent before the first question."""

    model: str | None = None  # the answer says which
    prompt_version: str | None = PROMPT_VERSION

    def __init__(
        self, *, function_name: str, token_id: str, token_secret: str, environment: str | None = None
    ) -> None:
        named = parse_function_name(function_name)
        self._target = replace(named, environment=named.environment or environment or None)
        self._token = (token_id.strip(), token_secret.strip())
        self.name = f"modal {function_name.strip()}"
        self._wire: ModalWire | None = None
        self._opening = asyncio.Lock()
        self._background: set[asyncio.Task[None]] = set()

    async def judge(self, question: Question) -> Any:
        """Ask and fetch; when the caller gives up, the function stops too."""
        reference = await self.ask(question)
        try:
            return await self.fetch(reference)
        except asyncio.CancelledError:
            task = asyncio.create_task(self._abandon(reference))
            self._background.add(task)
            task.add_done_callback(self._background.discard)
            raise

    async def ask(self, question: Question) -> str:
        """Start the function on the masked question; answers the id of the call."""
        with self._reasons():
            wire = await self._open()
            return await wire.spawn(await prepare(payload, question))

    async def fetch(self, reference: str) -> Any:
        """Wait for the answer to a call, for as long as the function may take."""
        with self._reasons():
            wire = await self._open()
            return await wire.fetch(reference)

    async def cancel(self, reference: str) -> None:
        """Stop a call whose answer no one waits for."""
        with self._reasons():
            wire = await self._open()
            await wire.cancel(reference)

    async def close(self) -> None:
        """Give back the connection, once abandoned calls are cancelled, within seconds."""
        await asyncio.gather(*self._background, return_exceptions=True)
        wire, self._wire = self._wire, None
        if wire is not None:
            await wire.close()

    async def _open(self) -> "ModalWire":
        if not all(self._token):
            raise AssessorFailed(reason="MODAL_TOKEN_ID and MODAL_TOKEN_SECRET are not both set.")
        async with self._opening:
            if self._wire is None:
                # Half a second and 36 MB, which a gateway without Modal is spared, and the event loop too.
                await asyncio.to_thread(importlib.import_module, "atlas.assessors.modal_wire")
                from atlas.assessors.modal_wire import ModalWire

                self._wire = await ModalWire.open(self._target, self._token)
            return self._wire

    @contextmanager
    def _reasons(self) -> Iterator[None]:
        """Turn every error into a sentence for the reviewer."""
        try:
            yield
        except AssessorFailed:
            raise
        except Exception as error:
            log.warning("Modal did not judge: %s", type(error).__name__)
            raise AssessorFailed(reason=_reason(error, self._target)) from error

    async def _abandon(self, reference: str) -> None:
        try:
            await asyncio.wait_for(self.cancel(reference), CANCEL_SECONDS)
        except Exception as error:  # no one waits for it; the function ends by its own time limit
            log.warning("A call on Modal was not cancelled: %s", type(error).__name__)


# By the name of the SDK's exception, so that reading this table imports no SDK.
REASONS = {
    "AuthError": "Modal did not accept MODAL_TOKEN_ID and MODAL_TOKEN_SECRET.",
    "PermissionDeniedError": "Modal does not let this token call the {target}.",
    "ConnectionError": "Modal could not be reached.",
    "ServiceError": "Modal did not answer as it should (service error).",
    "InternalError": "Modal did not answer as it should (internal error).",
    "ResourceExhaustedError": "Modal accepts no more calls at the moment.",
    "ClientClosed": "The connection to Modal was closed while the answer was awaited.",
    "InvalidError": "Modal or its settings (MODAL_ variables, ~/.modal.toml) refuse to call the {target}.",
}


def _reason(error: Exception, target: ModalName) -> str:
    """One sentence on an exception of the SDK; its own text stays out, because it may hold anything."""
    kind = type(error).__name__
    if kind == "NotFoundError":
        return _not_found(target, "modal.Cls" in str(error))
    return REASONS.get(kind, f"The call of the {{target}} failed ({kind}).").format(target=target)


def _not_found(target: ModalName, is_class: bool) -> str:
    if is_class:
        return (
            f"{target.function} of Modal app {target.app} is a class: MODAL_FUNCTION_NAME has to name a "
            f"method of it, as in {target.app}/{target.function}.method."
        )
    return (
        f"Modal knows no {target}. MODAL_FUNCTION_NAME was read as app {target.app} and function "
        f"{target.function}; if {target.app} is meant as the workspace and {target.function} as the app, "
        f"name the function, as in {target.function}/function: the workspace is the one of the token."
    )
