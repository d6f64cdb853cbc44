"""The tables of the documentation equal the code."""

from pathlib import Path

import pytest

from atlas.settings import Settings
from docs import generate


@pytest.mark.parametrize("path", generate.GENERATED, ids=lambda path: path.name)
def test_a_page_that_is_made_from_the_code_is_what_the_code_says(path: Path) -> None:
    """Else `python docs/generate.py` writes it."""
    assert path.read_text() == generate.page_text(path)


def test_every_setting_is_described() -> None:
    """In the class, where the page gets it from."""
    assert all(field.description for field in Settings.model_fields.values())
