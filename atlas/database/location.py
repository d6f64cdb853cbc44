"""Where a gateway keeps its cases, as a command or another process is told it."""

from pathlib import Path

from pydantic import Field

from atlas.frozen import Frozen
from atlas.settings import Settings


class Location(Frozen):
    """A PostgreSQL database, or without a URL the SQLite file of a data directory."""

    directory: Path
    url: str | None = Field(default=None, repr=False)  # with its password

    @classmethod
    def of(cls, settings: Settings) -> "Location":
        """Where the settings say."""
        url = settings.atlas_database_url
        return cls(directory=settings.atlas_data_dir, url=None if url is None else url.get_secret_value())
