"""Which agents and tools there are cases of: a step along an index for each name, not one for each case."""

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from atlas.cases.tables import UNDECIDED, WAITING, cases
from atlas.database.database import Database

MOST_NAMES = 500  # in a list to choose from


async def names_of_cases(database: Database) -> tuple[list[str], list[str]]:
    """The names of agents and of tools, in alphabetical order, of very many the first."""

    def read(connection: Connection) -> tuple[list[str], list[str]]:
        agents, tools = (cases.c.principal, cases.c.tool_name)
        return distinct(connection, agents, most=MOST_NAMES), distinct(connection, tools, most=MOST_NAMES)

    return await database.look(read)


def names_of_waiting(connection: Connection, *, most: int) -> tuple[list[str], list[str]]:
    """The tools and the agents of what waits, in alphabetical order, of very many the first."""
    tools = distinct(connection, cases.c.tool_name, WAITING, most=most)
    # By the index of what no one has decided, in which a call that is being judged stands for a moment.
    return tools, distinct(connection, cases.c.principal, UNDECIDED, most=most)


def distinct(
    connection: Connection, column: sa.ColumnElement[str], *of: sa.TextClause, most: int | None = None
) -> list[str]:
    """The values of a column that begins an index of such rows, in order; of more than `most` the first."""
    first = sa.select(sa.func.min(column).label("name")).where(*of).cte("names", recursive=True)
    following = sa.select(sa.func.min(column)).where(*of, column > first.c.name).scalar_subquery()
    names = first.union_all(sa.select(following).where(first.c.name.is_not(None)))
    query = sa.select(names.c.name).where(names.c.name.is_not(None)).limit(most)
    return [str(row[0]) for row in connection.execute(query)]
