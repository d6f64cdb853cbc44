"""The trace of a call: where each of its arguments came from, and what its session had read before."""

from enum import Enum

from pydantic import Field

from atlas.frozen import Frozen


class How(str, Enum):
    """How a value of the arguments stood where it was found."""

    EXACT = "exact"  # the same characters
    NORMALISED = "normalised"  # another way to write the same: case, blanks, Unicode, number, date, IBAN, URL
    ASSEMBLED = "assembled"  # its parts stood there
    QUOTED = "quoted"  # a long text repeats a passage
    DECODED = "decoded"  # behind an encoding, such as base64


class Order(Frozen):
    """A passage in a text from outside that speaks to the agent."""

    kind: str  # such as "instruction", "authority", "urgency", "hidden"
    passage: str  # plain text, at most 200 characters
    case_id: str | None = None  # of the call that returned it
    # The text near it, in which it can name what it is about; it is not kept.
    around: str = Field(default="", exclude=True, repr=False)


class Found(Frozen):
    """One earlier result in which a value stood."""

    case_id: str | None  # None: it has no case, as in labelled data
    tool_name: str
    upstream: str | None = None  # the server behind the gateway
    is_outside: bool  # whether the tool speaks for third parties
    is_other_session: bool = False  # of the same agent
    how: How
    passage: str  # plain text around it, at most 200 characters
    gives_orders: bool = False  # whether it stands near words that speak to the agent


class Origin(Frozen):
    """Where one leaf of the arguments came from; from nowhere: the agent made it."""

    path: str  # such as `recipients[0].email`
    is_traced: bool = True  # False: too short or too common to say where it came from: `true`, `USD`
    is_target: bool = False  # whether it says to whom, where to or on what the call acts
    is_from_user: bool = False  # whether it stands in what the user asked for
    found: tuple[Found, ...] = ()  # the earliest first, at most three; one that is outside is never left out

    @property
    def is_outside(self) -> bool:
        """Whether it came from outside alone: neither the user nor a tool of the house said it first."""
        return bool(self.found) and self.found[0].is_outside and not self.is_from_user

    @property
    def is_made(self) -> bool:
        """Whether it stands nowhere, so that the agent made it."""
        return self.is_traced and not self.found and not self.is_from_user


class Trace(Frozen):
    """What a call looks like beside what its session read before and what the user asked for."""

    origins: tuple[Origin, ...] = ()
    deed: str = "unknown"  # as the general rules name it: reads, creates, changes, sends, pays, …
    is_request_known: bool = False  # whether the client, not the model, said what the user asked for
    is_asked: bool = False  # whether that request asks for such a deed; False where it is not known
    calls: int = Field(default=0, ge=0)  # of the session before this one
    read_outside: bool = False  # whether a tool that speaks for third parties answered before
    orders: tuple[Order, ...] = ()  # of what was read from outside, at most three
    is_complete: bool = True  # False: something that was read could not be compared, or not all of it
    # Whether it takes no address, passage or figure along of what was read, but names that its server listed.
    takes_only_entries: bool = False

    @property
    def acts(self) -> bool:
        """Whether the call does more than read."""
        return self.deed != "reads"

    @property
    def has_target_from_outside(self) -> bool:
        """Whether the call acts on, or sends to, what came from outside alone."""
        return any(origin.is_target and origin.is_outside for origin in self.origins)


NO_TRACE = Trace()
NO_ORIGINS = "Where the arguments came from could not be found out."  # how it is told that there is none
