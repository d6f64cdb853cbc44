"""What can go wrong, one class for each situation that a caller can act on."""

from typing import Any


class AtlasError(Exception):
    """Something went wrong in the gateway."""

    def __init__(self, **fields: Any) -> None:
        """Of `at_desk` are the fields that tell a person at the desk something else than a program."""
        self.fields = fields
        super().__init__(str(self))

    def __str__(self) -> str:
        return self._said(self.fields)

    @property
    def said_at_desk(self) -> str:
        """The message for a person who presses buttons, and writes no JSON."""
        return self._said(self.fields | self.fields.get("at_desk", {}))

    def _said(self, fields: dict[str, Any]) -> str:
        return (self.__doc__ or "").strip().format_map(fields)


class CaseNotFound(AtlasError):
    """There is no case {case_id}."""


class StoreUnavailable(AtlasError):
    """The case store cannot be read or written; nothing was changed."""


class RecordUnknown(AtlasError):
    """It is not known whether all of this was recorded: the store failed. Look before you do it again."""


class AssessmentLost(AtlasError):
    """The assessment of case {case_id} did not get to the disk; it was not executed."""


class CaseFinished(AtlasError):
    """Case {case_id} is finished ({status}); nothing more can be decided on it."""


class CallChanged(AtlasError):
    """{reason} Case {case_id} waits; nothing was approved. {then}"""


class AlreadyDecided(AtlasError):
    """Case {case_id} was already {decision} by {reviewer} at {at}; nothing was changed."""


class ContraryDecision(AtlasError):
    """Case {case_id} was {decision} by {reviewer} at {at}; another decision does not change that."""


class TakeBackRefused(AtlasError):
    """The approval of case {case_id} was not taken back. {reason}"""


class KeyUsed(AtlasError):
    """The idempotency key {key} stands for another decision, on case {case_id}; nothing was changed."""


class NoQuestion(AtlasError):
    """No person asks anything of case {case_id} now. No one was told."""


class RequestInvalid(AtlasError):
    """{reason}"""


class ReviewExpired(AtlasError):
    """The time to decide on case {case_id} ended at {expires_at}."""


class Stopped(AtlasError):
    """Case {case_id} waits, and was not approved: {said}"""


class StopNotFound(AtlasError):
    """There is no stop {stop_id}."""


class TargetUnknown(AtlasError):
    """The gateway knows no {scope} with the name {target}, and nothing was stopped. {known}"""


class ReasonUnfit(AtlasError):
    """A stop and its lift need a reason of 1 to {longest} characters; nothing was changed."""


class PlanRefused(AtlasError):
    """{reason} No plan was made."""


class ClaimedByAnother(AtlasError):
    """{person} has taken case {case_id}, until {until}. You can decide on it all the same."""


class NotNow(AtlasError):
    """Case {case_id} can be put aside until {latest} at the latest: nine tenths of its time. It stays."""


class PlanNotFound(AtlasError):
    """There is no plan {plan_id}."""


class TransitionRefused(AtlasError):
    """Case {case_id} is {status} and cannot become {to}."""


class ExecutionRefused(AtlasError):
    """Case {case_id} may not be executed: {reason}."""


class NotAuthenticated(AtlasError):
    """This endpoint wants the {whose} key as a bearer token."""


class HostNotServed(AtlasError):
    """The host of this request, "{host}", is not one of the gateway: name it in ATLAS_ALLOWED_HOSTS."""


class NotPermitted(AtlasError):
    """{reason}"""


class RuleRefuses(NotPermitted):
    """{reason} Nothing was approved."""


class PasskeyRefused(NotPermitted):
    """{reason}"""


class AskedAgain(AtlasError):
    """{reason} Nothing is decided yet. Say it once more to decide."""


class ProviderUnusable(AtlasError):
    """The OpenID provider {issuer} (ATLAS_OIDC_ISSUER) cannot be used now: {reason}."""


class FormRefused(AtlasError):
    """This form was not taken, and nothing was done. {reason}"""


class SignInRefused(AtlasError):
    """{reason}"""


class TooManyAttempts(AtlasError):
    """Too many sign-ins failed. Nothing more is tried for now: wait {minutes} min, then sign in again."""


class LinkVoid(AtlasError):
    """{reason}"""


class PersonRefused(AtlasError):
    """{reason}"""


class WronglySigned(AtlasError):
    """The signature of this request is not over the body as it was sent; nothing was done."""


class SignatureRefused(AtlasError):
    """The signature of this request does not count, and nothing was done. {reason}"""


class StaleRequest(AtlasError):
    """The signature of this request is missing, unreadable or older than {seconds} seconds."""


class PolicyInvalid(AtlasError):
    """The policy {path} cannot be used: {reason}"""


class PolicyNotTaken(AtlasError):
    """{reason}"""


class PolicyReplaced(AtlasError):
    """Another policy has been put in force since the call was judged."""


class AssessorInvalid(AtlasError):
    """The assessor cannot be used: {reason}."""


class AssessorFailed(AtlasError):
    """{reason}"""


class QuestionUnfit(AssessorFailed):
    """{reason}"""


class UpstreamsInvalid(AtlasError):
    """The MCP configuration {path} cannot be used: {reason}"""


class ProxyUnusable(AtlasError):
    """The proxy for {host} cannot be used: HTTP_PROXY, HTTPS_PROXY and ALL_PROXY hold a URL with http:// or https://."""


class UpstreamMissing(AtlasError):
    """{reason}"""


class CallRefused(AtlasError):
    """{reason}"""


class AnswerLost(AtlasError):
    """{reason}"""


class NotCalled(AtlasError):
    """{reason}"""


class DataDirectoryInUse(AtlasError):
    """Another gateway works on the data directory {path}; one directory serves one gateway."""


class DataDirectoryUnusable(AtlasError):
    """The data directory {path} cannot be used: {reason}."""


class DatabaseUnusable(AtlasError):
    """The database {path} cannot be used: {reason}"""


class CopyRefused(AtlasError):
    """{reason} Nothing was copied."""


class ProcessGivenUp(AtlasError):
    """This gateway was silent for too long, and others have taken over its work. Start it again."""


class HintsNotHeard(AtlasError):
    """The database takes LISTEN, but tells nothing. Set ATLAS_DATABASE_LISTEN_URL to its own address."""


class LedgerBroken(AtlasError):
    """Ledger entry {seq} does not verify: {reason}"""


class ChannelUnusable(AtlasError):
    """{name} cannot be used: {reason}. Write it as docs/how-to/notices.md shows."""


class NotDelivered(AtlasError):
    """The receiver did not take a notice: {reason}."""

    @property
    def reason(self) -> str:
        """What it said, in a few words without its address."""
        return str(self.fields["reason"])

    @property
    def is_final(self) -> bool:
        """Whether another attempt is pointless."""
        return bool(self.fields.get("is_final", False))
