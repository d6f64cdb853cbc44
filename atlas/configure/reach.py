"""Tries the address and the database of a gateway that is to start, while the one before it still runs."""

from atlas.database.choose import beside_gateway
from atlas.operate.serving import bind, or_a_sentence
from atlas.settings import Settings


def reach(settings: Settings, *, port: int) -> None:
    """Leave with a sentence where the gateway could not listen, or not use its database; port 0 is any."""
    try:
        bind(settings.atlas_host, port).close()
    except SystemExit as error:
        raise SystemExit(str(error).replace(" port 0:", ":")) from None
    if settings.atlas_database_url is not None:
        with or_a_sentence():
            beside_gateway(settings).try_out()
