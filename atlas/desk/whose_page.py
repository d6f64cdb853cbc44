"""For whom a page was made: a part of one never comes into the page of a person who was signed in before.

Its script sends the mark of the page along, and the cookie says who is signed in now.
"""

from hashlib import sha256

from fastapi import Request, Response

from atlas.people.person import Person

HEADER = "Desk-Person"
ANOTHER = "Another person has signed in in this browser since the page was opened."


def mark_of(person: Person) -> str:
    """The mark of a person's pages; a name itself may have letters that no header takes."""
    checked = "checked" if person.is_signed else "not checked"
    return sha256(f"{checked} {person.name}".encode()).hexdigest()[:16]


def is_of_another(request: Request) -> bool:
    """Whether a page asks that was made for another person than the one who is signed in now."""
    mark = request.headers.get(HEADER)
    return mark is not None and mark != mark_of(request.state.person)


def load_again() -> Response:
    """Have such a page loaded again as a whole."""
    return Response(status_code=409, headers={"HX-Refresh": "true"})
