"""The policy that holds at a gateway: its file, or what is in force for all gateways of its store."""

import hashlib
import logging
import threading
from collections.abc import Awaitable, Callable, Collection, Mapping
from pathlib import Path

from atlas.assessors import Question, ToolFacts, Trust
from atlas.assessors.policy import Policy, why_person
from atlas.errors import PolicyInvalid, PolicyNotTaken
from atlas.models import Ruling

OTHER_FILE = (
    "The policy {path} is not the one in force for all gateways, and this gateway does not judge by it."
    " To put it in force: python -m atlas.assessors.policy put {path}"
)

logger = logging.getLogger(__name__)


class PolicyInForce:
    """The policy that holds now: read again on request, and kept when the file cannot be used any more.

    Where gateways share a store, the one that is in force there holds, and the file is compared with it. A
    gateway that cannot use that one refuses to judge.
    """

    def __init__(
        self,
        path: Path,
        *,
        threshold: int,
        reviewers: Callable[[], Collection[str] | None] = lambda: None,
        members: Callable[[], Mapping[str, Collection[str]] | None] = lambda: None,
    ) -> None:
        """Read a policy file; raises PolicyInvalid, also if it asks for other reviewers than there are.

        `reviewers` says who has a name now, each time the file is read, and `members` who belongs to which
        group; None is that it cannot be known.
        """
        self._path = path
        self._threshold = threshold
        self._reviewers = reviewers
        self._members = members
        self.problem: str | None = None  # why the file was not taken when it was last read
        self.refusal: str | None = None  # why nothing can be judged: another policy is in force for all
        self._look: Callable[[], Awaitable[None]] | None = None  # into the store that gateways share
        self._is_asked = False  # to be read again, since it was last begun to be read
        self._reading = threading.Lock()
        self.policy = self._read()

    @property
    def name(self) -> str:
        """The name of the policy that holds, such as `policy 0a1b2c3d4e5f`."""
        return self.policy.name

    @property
    def sha256(self) -> str:
        """The digest of the file that holds, which may not be the one on disk."""
        return self.policy.sha256

    def reviewers(self) -> Collection[str] | None:
        """Who has a name now, for whom a rule can ask; None: it cannot be known."""
        return self._reviewers()

    @property
    def path(self) -> Path:
        """The file of this gateway."""
        return self._path

    async def rule(self, question: Question) -> Ruling:
        """Rule on a call by the policy that holds at its beginning; raises PolicyNotTaken."""
        self._require()
        return await self.policy.rule(question)

    async def renew(self) -> None:
        """Take what is in force for all gateways, if it is another one by now; raises PolicyNotTaken."""
        if self._look is not None:
            await self._look()
        self._require()

    def follow(self, look: Callable[[], Awaitable[None]]) -> None:
        """From now on the policy of a store holds, which `look` takes or refuses."""
        self._look = look

    def take(self, content: bytes, *, place: Path) -> None:
        """Judge by a policy of the store; raises PolicyInvalid, with `place` for people."""
        self.policy = self._checked(Policy(place, threshold=self._threshold, content=content))
        self.refusal = None
        self._compare()

    def refuse(self, reason: str) -> None:
        """Judge nothing until one is taken that can be used."""
        self.refusal = reason

    def _require(self) -> None:
        if self.refusal is not None:
            raise PolicyNotTaken(reason=self.refusal)

    def _compare(self) -> None:
        """Note whether the file is what is in force for all."""
        try:
            is_same = hashlib.sha256(self._path.read_bytes()).hexdigest() == self.sha256
        except OSError:
            is_same = False
        said = None if is_same else OTHER_FILE.format(path=self._path)
        if said is not None:
            logger.warning("%s", said)
        self.problem = said

    def trust_of(self, tool: ToolFacts) -> Trust | None:
        """For whom a tool speaks by the rules that hold now; None where they do not say it."""
        if self.refusal is not None:
            return "outside"  # the rules that hold are not known here
        rule = self.policy.marks(tool)
        return rule.trust if rule else None

    def ruling_at_worst(self, question: Question, *, reason: str) -> Ruling:
        """What holds when the conditions were not evaluated, in time for instance."""
        return self.policy.ruling_at_worst(question, reason=reason)

    def reload(self) -> None:
        """Read the file again; one that cannot be used changes nothing but `problem`, and nothing is raised.

        It can be called from any thread and from a signal handler, while calls are ruled on. One caller reads
        at a time. A caller that comes meanwhile does not wait: it has the first one read once more. So the
        file that is in force in the end is as it was when it was last asked for.
        """
        self._is_asked = True
        while self._is_asked and self._reading.acquire(blocking=False):
            try:
                self._is_asked = False
                self._read_again()
            finally:
                self._reading.release()

    def _require_the_file_of_that_name(self) -> None:
        # A container keeps the file that it was given, also when an editor puts another one in its place.
        if self._path.exists() and not self._path.stat().st_nlink:
            reason = "another file has taken its place outside this container: restart the container."
            raise PolicyInvalid(path=self._path, reason=reason)

    def _read_again(self) -> None:
        if self._look is not None:
            self._compare()
            return
        try:
            self._require_the_file_of_that_name()
            policy = self._read()
        except PolicyInvalid as error:
            self.problem = str(error)
            logger.error("The policy %s stays in force: %s", self.sha256[:12], error)
        except Exception as error:  # after any error the policy that holds is better than none
            self.problem = str(PolicyInvalid(path=self._path, reason=f"{type(error).__name__}."))
            logger.exception("The policy %s stays in force: %s", self.sha256[:12], self.problem)
        else:
            self.policy, self.problem = policy, None
            logger.info("The policy %s is in force.", self.sha256[:12])

    def _read(self) -> Policy:
        return self._checked(Policy(self._path, threshold=self._threshold))

    def _checked(self, policy: Policy) -> Policy:
        reviewers = self._reviewers()
        if reviewers is not None:
            policy.check_reviewers(reviewers)
        members = self._members()
        for warning in () if members is None else policy.file.too_small(members):
            logger.warning("%s", warning)
        for rule in policy.file.rules:
            if rule.floor and rule.floor < self._threshold and why_person([rule]) is None:
                what = (
                    "The floor of the rule %s is %s, below the threshold of %s: a model can approve its calls"
                )
                logger.warning(what, rule.title, rule.floor, self._threshold)
        return policy
