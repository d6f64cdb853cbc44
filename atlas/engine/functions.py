"""The functions an app registers: what of their configuration is supported, and what is refused by name."""

import dataclasses
from typing import Any

from atlas.engine.errors import ConfigurationRefused, ExpressionInvalid
from atlas.engine.expressions import Scope, evaluate, parse_expression, value_key
from atlas.engine.times import parse_wait

_SUPPORTED = {"id", "name", "triggers", "steps", "idempotency", "concurrency", "cancel"}
_MOST = {"triggers": 10, "cancel": 5, "concurrency": 1}
_MOST_RETRIES = 20
_DEFAULT_RETRIES = 4


@dataclasses.dataclass(frozen=True)
class Trigger:
    """The event that starts a run if the expression holds; a trailing `*` stands for any ending."""

    event: str
    expression: str


@dataclasses.dataclass(frozen=True)
class Cancel:
    """The event that ends a run, if the expression holds, within a time in milliseconds of its start."""

    event: str
    expression: str
    timeout: int | None


@dataclasses.dataclass(frozen=True)
class Function:
    """A function as the engine needs it; concurrency_limit is of calls in flight per value of the key."""

    function_id: str
    name: str
    url: str
    max_attempts: int
    triggers: tuple[Trigger, ...]
    cancels: tuple[Cancel, ...]
    idempotency: str
    concurrency_limit: int | None
    concurrency_key: str

    def is_triggered_by(self, event: dict[str, Any]) -> bool:
        """Whether the event starts a run."""
        scope: Scope = {"event": event}
        return any(
            is_named(trigger.event, event["name"])
            and (not trigger.expression or parse_expression(trigger.expression).is_match(scope))
            for trigger in self.triggers
        )

    def lane(self, event: dict[str, Any]) -> str:
        """The name under which the calls of a run are counted against the concurrency limit."""
        if not self.concurrency_key:
            return self.function_id
        return self.function_id + " " + value_key(evaluate(self.concurrency_key, {"event": event}))


def is_named(pattern: str, name: str) -> bool:
    """Whether a trigger's event name covers the name of an event."""
    return name == pattern or (pattern.endswith("*") and name.startswith(pattern[:-1]))


def parse_function(configuration: dict[str, Any]) -> Function:
    """The function of a configuration; raises ConfigurationRefused with the field that isn't supported."""
    function_id = configuration.get("id")
    if not isinstance(function_id, str) or not function_id:
        raise ConfigurationRefused("A function without an id can't be registered.")
    try:
        _check_fields(configuration)
        limit, key = _parse_concurrency(configuration.get("concurrency") or [])
        step = configuration["steps"]["step"]
        return Function(
            function_id=function_id,
            name=str(configuration.get("name") or function_id),
            url=_parse_url(step["runtime"]),
            max_attempts=_parse_retries(step.get("retries") or {}) + 1,
            triggers=tuple(_parse_trigger(trigger) for trigger in configuration["triggers"]),
            cancels=tuple(_parse_cancel(cancel) for cancel in configuration.get("cancel") or []),
            idempotency=_checked(configuration.get("idempotency") or ""),
            concurrency_limit=limit,
            concurrency_key=_checked(key),
        )
    except (ConfigurationRefused, ExpressionInvalid) as error:
        raise ConfigurationRefused(f"Function {function_id}: {error}") from error
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise ConfigurationRefused(
            f"Function {function_id} has a malformed configuration: {error!r}."
        ) from error


def _check_fields(configuration: dict[str, Any]) -> None:
    for field, value in configuration.items():
        if field not in _SUPPORTED and value:
            raise ConfigurationRefused(f"{field} is not supported by this engine.")
    for field, most in _MOST.items():
        if len(configuration.get(field) or []) > most:
            raise ConfigurationRefused(f"{field} may have at most {most} entries.")
    if set(configuration["steps"]) != {"step"}:
        raise ConfigurationRefused("steps must hold exactly one step, named step.")
    if not configuration["triggers"]:
        raise ConfigurationRefused("triggers must not be empty.")


def _parse_url(runtime: dict[str, Any]) -> str:
    if runtime["type"] != "http" or not runtime["url"].startswith(("http://", "https://")):
        raise ConfigurationRefused("steps must have a runtime of type http (Connect is not supported).")
    return str(runtime["url"])


def _parse_retries(retries: dict[str, Any]) -> int:
    attempts = int(retries.get("attempts", _DEFAULT_RETRIES))
    if not 0 <= attempts <= _MOST_RETRIES:
        raise ConfigurationRefused(f"retries must be between 0 and {_MOST_RETRIES}.")
    return attempts


def _parse_trigger(trigger: dict[str, Any]) -> Trigger:
    if unsupported := [field for field in trigger if field not in {"event", "expression"} and trigger[field]]:
        raise ConfigurationRefused(f"triggers with {unsupported[0]} are not supported by this engine.")
    return Trigger(event=_parse_name(trigger["event"]), expression=_checked(trigger.get("expression") or ""))


def _parse_cancel(cancel: dict[str, Any]) -> Cancel:
    if unsupported := [
        field for field in cancel if field not in {"event", "if", "timeout"} and cancel[field]
    ]:
        raise ConfigurationRefused(f"cancel with {unsupported[0]} is not supported by this engine.")
    timeout = parse_wait(cancel["timeout"]) if cancel.get("timeout") else None
    return Cancel(
        event=_parse_name(cancel["event"]), expression=_checked(cancel.get("if") or ""), timeout=timeout
    )


def _parse_name(name: Any) -> str:
    if not isinstance(name, str) or not name:
        raise ConfigurationRefused("an event name must be a text.")
    return name


def _parse_concurrency(concurrency: list[dict[str, Any]]) -> tuple[int | None, str]:
    if not concurrency:
        return None, ""
    (entry,) = concurrency
    if entry.get("scope") not in (None, "fn"):
        raise ConfigurationRefused("concurrency with a scope other than fn is not supported by this engine.")
    if int(entry["limit"]) < 0:
        raise ConfigurationRefused("concurrency must not have a negative limit.")
    return int(entry["limit"]) or None, entry.get("key") or ""


def _checked(expression: str) -> str:
    if expression:
        parse_expression(expression)
    return expression
