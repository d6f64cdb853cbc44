"""The gateway as a reviewer's terminal sees it: over HTTP, with the reviewer's key from the environment."""

from hashlib import sha256
from typing import Any
from urllib.parse import quote

import httpx

from atlas.errors import AtlasError
from atlas.grounds.seen import digest_of_parts
from atlas.proxies import proxy_of
from atlas.settings import Settings, named_keys, variables

SECONDS = 30.0


class NoAnswer(AtlasError):
    """The gateway at {url} did not answer ({reason}). {then}"""


class Refused(AtlasError):
    """{detail}"""


class KeyUnclear(AtlasError):
    """{reason}"""


class NotAsShown(AtlasError):
    """What the gateway sent of case {case_id} has not the digest that it names; nothing was approved."""


def url_of_settings() -> str:
    """Where the gateway of these settings is reached from its own machine."""
    settings = Settings.read()
    host = "127.0.0.1" if settings.atlas_host in ("0.0.0.0", "::", "localhost") else settings.atlas_host  # noqa: S104
    return f"http://{f'[{host}]' if ':' in host else host}:{settings.atlas_port}"


def key_and_name(wanted: str | None) -> tuple[str | None, str | None]:
    """The reviewer's key, and the name that a decision bears where the key has none; raises KeyUnclear."""
    keys = named_keys(variables().get("ATLAS_REVIEWER_KEY", ""))
    if not keys:  # open mode
        return None, wanted
    named = {name: key for name, key in keys if name}
    if len(keys) == 1 and not named:
        return keys[0][1], wanted
    if wanted is None and len(named) == 1:
        return next(iter(named.values())), None
    if wanted not in named:
        names = ", ".join(named)
        raise KeyUnclear(reason=f"ATLAS_REVIEWER_KEY has keys of {names}. Say which is yours: --as NAME.")
    return named[wanted], None


class Gateway:
    """Reads and decides; raises Refused, NoAnswer and NotAsShown."""

    def __init__(self, url: str, *, key: str | None) -> None:
        self._url = url.rstrip("/")
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        try:
            way = httpx.HTTPTransport(proxy=proxy_of(url, variables()))
            self._client = httpx.Client(
                base_url=self._url, headers=headers, transport=way, timeout=SECONDS, trust_env=False
            )
        except (httpx.InvalidURL, ValueError) as error:
            said = f"{url} is no address of a gateway, such as http://127.0.0.1:8000."
            raise Refused(detail=said) from error

    def cases(self, **asked: Any) -> dict[str, Any]:
        """One page of cases."""
        given = {name: value for name, value in asked.items() if value not in (None, [], False)}
        return self._answer("GET", "/cases", params=given, then="Is it running? See --url.")

    def case(self, case_id: str) -> dict[str, Any]:
        """One case, whose digests are those of what was sent; raises NotAsShown."""
        case = self._answer("GET", f"/cases/{quote(case_id, safe='')}", then="Is it running? See --url.")
        if case["seen_sha256"] != _digest(case):
            raise NotAsShown(case_id=case["case_id"])
        return case

    def decide(self, **decision: Any) -> dict[str, Any]:
        """The receipt of a decision."""
        said = {name: value for name, value in decision.items() if value is not None}
        then = "It may have the decision: run this again, the same decision is taken once."
        return self._answer("POST", "/webhook/approval", json=said, then=then)

    def decide_many(self, decisions: list[dict[str, Any]], *, idempotency_key: str) -> dict[str, Any]:
        """One result for each decision."""
        then = "It may have the decisions: run this again, the same decision is taken once."
        sent = {"json": {"decisions": decisions}, "headers": {"Idempotency-Key": idempotency_key}}
        return self._answer("POST", "/webhook/approvals", then=then, **sent)

    def take(self, case_id: str, what: str, said: dict[str, Any]) -> dict[str, Any]:
        """What holds after a claim, an assignment or a snooze."""
        path = f"/cases/{quote(case_id, safe='')}/{what}"
        return self._answer("POST", path, json=said, then="Run this again: it changes nothing twice.")

    def plans(self) -> dict[str, Any]:
        """The plans, and what is used up of them."""
        return self._answer("GET", "/plans", then="Is it running? See --url.")

    def make_plan(self, **plan: Any) -> dict[str, Any]:
        """The plan that was made."""
        said = {name: value for name, value in plan.items() if value is not None}
        return self._answer("POST", "/plans", json=said, then="It may have made the plan: see `list`.")

    def stop_plan(self, plan_id: str) -> dict[str, Any]:
        """The plan, which is stopped now."""
        then = "It may have stopped the plan: run this again."
        return self._answer("POST", f"/plans/{quote(plan_id, safe='')}/stop", then=then)

    def _answer(self, method: str, path: str, *, then: str, **sent: Any) -> dict[str, Any]:
        if "//" in path or path.endswith("/"):
            raise Refused(detail="A reference is empty. Nothing was asked.")
        try:
            answer = self._client.request(method, path, **sent)
            told: dict[str, Any] = answer.json()
        except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
            raise NoAnswer(url=self._url, reason=type(error).__name__, then=then) from error
        if answer.is_success:
            return told
        raise Refused(detail=told.get("detail", f"The answer is {answer.status_code}."))


def _digest(case: dict[str, Any]) -> str:
    """The digest of what is in the answer itself."""
    judged = case["assessment"] or {}
    return digest_of_parts(
        case_id=case["case_id"],
        round_number=case["round"],
        arguments_sha256=sha256(case["canonical"].encode()).hexdigest(),
        definition_sha256=case["definition"]["definition_sha256"],
        policy_sha256=judged.get("policy_sha256"),
        risk_score=judged.get("risk_score"),
    )
