"""What a client wants to read: a page, as browsers say, or JSON, as everything else does."""

PAGE = "text/html"


def wants_page(accept: str) -> bool:
    """Whether an Accept header puts a page before JSON (RFC 9110, 12.5.1); no wish is no wish for a page."""
    weights = dict(map(_weighed, accept.lower().split(",")))
    return _weight(weights, PAGE) > _weight(weights, "application/json")


def _weighed(part: str) -> tuple[str, float]:
    """One media range and its weight; a weight that cannot be read is none."""
    name, *parameters = (piece.strip() for piece in part.split(";"))
    given = [value.partition("=")[2] for value in parameters if value.startswith("q=")]
    try:
        return name, float(given[0]) if given else 1.0
    except ValueError:
        return name, 0.0


def _weight(weights: dict[str, float], name: str) -> float:
    """The weight of a type: of the most exact range that names it."""
    ranges = (name, f"{name.partition('/')[0]}/*", "*/*")
    return next((weights[one] for one in ranges if one in weights), 0.0)
