"""`python -m atlas.stop everything|agent NAME|tool NAME|server NAME`, `list` and `lift ID`.

It writes into the database itself, so it works while the gateway runs, and while it does not. The reviewers
are told by the gateway that runs, or by the next one.
"""

import argparse
import asyncio
import getpass
import sys
from collections.abc import Sequence
from pathlib import Path

from atlas.database.beside import NO_GATEWAY
from atlas.database.location import Location
from atlas.database.sharing import Shared, shared
from atlas.errors import AtlasError
from atlas.instants import now
from atlas.models import Scope, Stop, plain_text
from atlas.people.notices import Notifier
from atlas.settings import Settings, variables
from atlas.settings.as_written import postgresql_url
from atlas.stop.known import Known
from atlas.stop.stops import Stops
from atlas.stop.words import told, told_of_lift
from atlas.texts import words_of
from atlas.upstreams.config import UpstreamConfig, read_upstreams

NAMING = (Scope.AGENT.value, Scope.TOOL.value, Scope.SERVER.value)
ANYWAY = "A name that is right all the same is stopped with --even-if-unknown."


def main(arguments: Sequence[str] | None = None) -> int:
    """Stop, lift or list; the exit status is 0, or 1 where nothing was changed."""
    options = _parser().parse_args(words_of(arguments))
    try:
        asyncio.run(_run(options, _settings_for(options)))
    except AtlasError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m atlas.stop", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    for scope in Scope:
        about = "all calls" if scope is Scope.EVERYTHING else f"the calls of one {scope.value}"
        command = commands.add_parser(scope.value, help=f"stop {about}")
        if scope is not Scope.EVERYTHING:
            command.add_argument("target", metavar="NAME")
            command.add_argument("--even-if-unknown", action="store_true", help="take any name")
        command.add_argument("--reason", required=True, help="agents and reviewers read it")
    commands.add_parser("list", help="print what is stopped")
    lift = commands.add_parser("lift", help="lift a stop")
    lift.add_argument("stop_id", metavar="ID")
    lift.add_argument("--reason", required=True)
    return parser


def _settings_for(options: argparse.Namespace) -> Settings | Location:
    """The settings; where one is wrong that has nothing to do with it, a stop needs the store alone."""
    try:
        return Settings.read()
    except SystemExit as wrong:
        if options.command in NAMING and not getattr(options, "even_if_unknown", False):
            raise
        try:
            said = variables()
            url = said.get("ATLAS_DATABASE_URL") or None
            where = None if url is None else str(postgresql_url(url))
        except (OSError, ValueError):
            raise wrong from None
        sys.stderr.write(f"{wrong}\n")
        usual = Settings.model_fields["atlas_data_dir"].default
        return Location(directory=Path(said.get("ATLAS_DATA_DIR") or usual), url=where)


async def _run(options: argparse.Namespace, settings: Settings | Location) -> None:
    store = shared(settings if isinstance(settings, Location) else Location.of(settings))
    known = None
    if isinstance(settings, Settings) and options.command in NAMING:  # names alone are looked up
        known = _known(settings, store, read_upstreams(settings.atlas_mcp_config, variables()))
    stops = Stops(store, known=known, tell=Notifier().tell_of_stop)
    for line in await _act(options, stops):
        sys.stdout.write(f"{line}\n")
    sys.stdout.flush()
    if store.is_new:
        sys.stderr.write(f"{NO_GATEWAY.format(place=store.place)} This stops no gateway that runs.\n")


async def _act(options: argparse.Namespace, stops: Stops) -> list[str]:
    if options.command == "list":
        return [_line(stop) for stop in await stops.in_force()] or ["Nothing is stopped."]
    asked_at = now()
    operator = f"operator:{getpass.getuser()}"  # no reviewer of ATLAS_REVIEWER_KEY has a name with a colon
    if options.command == "lift":
        lifted = await stops.lift(options.stop_id, reason=options.reason, person_name=operator)
        is_old = lifted.lifted_at is not None and lifted.lifted_at < asked_at
        return [("It was lifted before. " if is_old else "") + _lifted(lifted)]
    stop = await stops.stop(
        Scope(options.command),
        getattr(options, "target", ""),
        reason=options.reason,
        person_name=operator,
        even_if_unknown=getattr(options, "even_if_unknown", False),
    )
    before = "" if stop.stopped_at >= asked_at else "It is stopped already. "
    return [before + _line(stop), f'To lift it: python -m atlas.stop lift {stop.stop_id} --reason "…"']


def _line(stop: Stop) -> str:
    return plain_text(f"{stop.stop_id}: {told(stop, by=stop.stopped_by)}")


def _lifted(stop: Stop) -> str:
    return plain_text(f"{stop.stop_id}: {told_of_lift(stop)}")


def _known(settings: Settings, store: Shared, configs: Sequence[UpstreamConfig]) -> Known:
    """What can be known without the servers; the names of their tools begin with their prefix."""

    async def office() -> set[str]:
        from atlas.welfare import built_in_tools, is_offered  # FastMCP, which takes a second

        return set(await built_in_tools()) if is_offered(settings, configs) else set()

    return Known(
        settings,
        store,
        servers=[config.name for config in configs],
        offered=office,
        beginnings=tuple(f"{config.prefix}_" for config in configs if config.prefix),
        anyway=ANYWAY,
    )
