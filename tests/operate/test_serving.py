"""Serving: what the log keeps to itself."""

import logging

import pytest

from atlas.operate.serving import WithoutTraceback


@pytest.mark.parametrize(
    ("name", "keeps"), [("fastmcp.server", False), ("mcp.server", False), ("atlas.workflow.courier", True)]
)
def test_the_errors_of_tools_are_logged_by_their_type_alone(name: str, keeps: bool) -> None:
    """An exception of a tool may repeat its arguments; our own are needed to find mistakes."""
    try:
        raise ValueError("cannot pay to the account of a person")
    except ValueError as error:
        record = logging.LogRecord(name, logging.ERROR, "", 0, "Error calling tool %r", ("pay",), None)
        record.exc_info = (type(error), error, error.__traceback__)
    assert WithoutTraceback().filter(record)
    text = logging.Formatter().format(record)
    assert "Error calling tool 'pay'" in text and "ValueError" in text
    assert ("account of a person" in text) is keeps
