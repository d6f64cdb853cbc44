"""The body of what a person's program sends: it is read as it stands there, or not at all."""

from fastapi import Request

from atlas.errors import RequestInvalid
from atlas.reviews.exact import Inexact, read_exactly


async def check_body(request: Request) -> None:
    """Raise RequestInvalid for JSON that would be read as something else; no JSON is refused later."""
    try:
        read_exactly(await request.body())
    except Inexact as error:
        raise RequestInvalid(reason=f"{error} Nothing was done.") from error
    except RecursionError as error:
        raise RequestInvalid(reason="The body has too many levels. Nothing was done.") from error
    except ValueError:  # none, or no JSON: the route says what it wants
        return
