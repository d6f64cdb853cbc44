"""How a person shows who they are: by a reviewer's key, by the password of an account, or by a link."""

from collections.abc import Callable, Mapping

from sqlalchemy.engine import Connection

from atlas.agents.digests import digest_of_key
from atlas.database.database import Database
from atlas.errors import LinkVoid, PersonRefused, SignInRefused, TooManyAttempts
from atlas.people.accounts import accounts, attempts, links
from atlas.people.accounts.attempts import Attempt
from atlas.people.accounts.passwords import Passwords, check_new
from atlas.people.person import Person, Way
from atlas.people.records.profiles import ENDED, has_ended
from atlas.settings import Settings, as_seen

SARAH = "Sarah"  # the name of a person of whom no name is known
WRONG_PASSWORD = "The name and the password do not belong together."  # noqa: S105  (no password)
TWO_WAYS = (
    "{name} is the name of an account and of a key in ATLAS_REVIEWER_KEY, so the record could not show who "
    "decides. An operator ends one of the two."
)


class SigningIn:
    """Each way raises SignInRefused, TooManyAttempts or LinkVoid, or says who the person is."""

    def __init__(self, settings: Settings, database: Database, refuse_agent: Callable[..., None]) -> None:
        self._database = database
        self._refuse_agent = refuse_agent
        self._passwords = Passwords()
        # The name of each key by its digest, to which a session is bound: it ends when the key leaves the
        # settings, or changes its name.
        self.names: Mapping[bytes, str | None] = {
            digest_of_key(key): name for key, name in settings.reviewer_keys.items()
        }
        self._seen_names = {as_seen(name) for name in settings.reviewers}

    @property
    def asks_for_name(self) -> bool:
        """Whether a key has no name, so that its holder says one."""
        return None in self.names.values()

    async def has_accounts(self) -> bool:
        """Whether there is any account."""
        return await self._database.read(accounts.are_there_any)

    async def by_key(self, key: str, claimed: str, *, address: str) -> tuple[Person, bytes]:
        """The person of a reviewer's key, and what the session is bound to."""
        key, claimed = key.strip(), claimed.strip()
        self._refuse_agent(key)
        attempt = Attempt(Way.KEY.value, address)
        counted = await self._count(attempt)
        digest = digest_of_key(key)
        if digest not in self.names:
            await self._refused(attempt, counted)
            raise SignInRefused(reason="This is no key of ATLAS_REVIEWER_KEY. Copy it as it stands in .env.")
        await self._succeeded(attempt)
        named = self.names[digest]
        if named is None:
            await self._check_claim(claimed)
        elif await self._database.read(lambda connection: has_ended(connection, named)):
            raise SignInRefused(reason=ENDED.format(name=named))
        return Person(name=named or claimed, way=Way.KEY, is_signed=named is not None), digest

    async def _check_claim(self, claimed: str) -> None:
        if not claimed:
            raise SignInRefused(reason="This key has no name. Say who you are: decisions are kept under it.")
        try:
            accounts.check_text(claimed)
        except PersonRefused as error:
            raise SignInRefused(reason=str(error)) from error
        if await self._database.read(lambda connection: accounts.is_taken(connection, claimed)):
            raise SignInRefused(
                reason="An account has this name. Sign in with that account, or use another name."
            )

    async def by_password(self, name: str, password: str, *, address: str) -> Person:
        """The person of an account."""
        name = name.strip()
        self._refuse_agent(name, password)
        attempt = Attempt(Way.ACCOUNT.value, address, name)
        counted = await self._count(attempt)
        account = await self._database.read(lambda connection: accounts.find(connection, name))
        kept = account.password_hash if account else None
        if not await self._passwords.is_right(kept, password) or account is None:
            await self._refused(attempt, counted, account=account.name if account else None)
            raise SignInRefused(reason=WRONG_PASSWORD)
        await self._succeeded(attempt)
        if self.has_two_ways(account.name):
            raise SignInRefused(reason=TWO_WAYS.format(name=account.name))
        return Person(name=account.name, groups=account.groups, way=Way.ACCOUNT)

    def has_two_ways(self, account: str) -> bool:
        """Whether a key that came later has the name of an account."""
        return as_seen(account) in self._seen_names

    async def by_link(self, code: str) -> tuple[Person, bytes]:
        """The owner who ran ./setup.sh, as the key of the same name."""

        def used(connection: Connection) -> tuple[Person, bytes]:
            name = links.use(connection, links.Kind.ENTER, code)
            if has_ended(connection, name):
                raise SignInRefused(reason=ENDED.format(name=name))
            for digest, named in self.names.items():
                if (named or SARAH) == name:
                    return Person(name=name, way=Way.LINK, is_signed=named is not None), digest
            raise LinkVoid(reason=f"ATLAS_REVIEWER_KEY has no key of {name} any more.")

        return await self._database.write(used)

    async def by_first_password(self, code: str, password: str) -> Person:
        """The person of an account, who has just set the password."""
        self._refuse_agent(password)
        check_new(password)
        if digest_of_key(password.strip()) in self.names:
            raise SignInRefused(
                reason="This is a reviewer's key. Choose a password that stands nowhere else."
            )
        name = await self._database.read(lambda connection: links.look(connection, links.Kind.PASSWORD, code))
        if self.has_two_ways(name):
            raise SignInRefused(reason=TWO_WAYS.format(name=name))
        made = await self._passwords.hash(password)
        account = await self._database.write(lambda connection: accounts.set_password(connection, code, made))
        return Person(name=account.name, groups=account.groups, way=Way.ACCOUNT)

    async def _count(self, attempt: Attempt) -> attempts.Counted:
        """Count an attempt before it is made; raises TooManyAttempts."""
        counted = await self._database.write(lambda connection: attempts.count(connection, attempt))
        if counted.wait is not None:
            raise TooManyAttempts(minutes=max(1, -(-int(counted.wait.total_seconds()) // 60)))
        return counted

    async def _refused(
        self, attempt: Attempt, counted: attempts.Counted, *, account: str | None = None
    ) -> None:
        await self._database.write(
            lambda connection: attempts.refused(connection, attempt, counted, account=account)
        )

    async def _succeeded(self, attempt: Attempt) -> None:
        await self._database.write(lambda connection: attempts.succeeded(connection, attempt))
