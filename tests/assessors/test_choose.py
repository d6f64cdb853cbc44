"""Which assessor the settings choose, and what is refused at start."""

from pathlib import Path
from typing import Any

import pytest
from store import settings_of_test

from atlas.assessors.choose import build_assessor
from atlas.errors import AssessorInvalid

MODAL = {"modal_token_id": "ak-1", "modal_token_secret": "as-1"}


@pytest.mark.parametrize(
    ("fields", "name", "model"),
    [
        ({}, None, None),
        (MODAL, "modal nislam-mics/ATLAS-NIST-Measure", None),
        (MODAL | {"modal_function_name": "office/Judge.judge"}, "modal office/Judge.judge", None),
        ({"openai_api_key": "k"}, "openai gpt-6-luna", "gpt-6-luna"),
        ({"openai_api_key": "k", "openai_model": "m"}, "openai m", "m"),
        ({"openai_base_url": "http://127.0.0.1:1/v1", "openai_model": "m"}, "openai m", "m"),
        ({"ollama_host": "127.0.0.1"}, "ollama llama3.2", "llama3.2"),
        ({"ollama_host": "127.0.0.1", "openai_api_key": "k"}, "openai gpt-6-luna", "gpt-6-luna"),
        (MODAL | {"atlas_assessor": "policy"}, None, None),
    ],
)
async def test_the_settings_choose_the_assessor(
    tmp_path: Path, fields: dict[str, Any], name: str | None, model: str | None
) -> None:
    """And its name says which it is."""
    assessor = build_assessor(settings_of_test(tmp_path, **fields))
    assert (assessor.name if assessor else None, assessor.model if assessor else None) == (name, model)
    if assessor:
        await assessor.close()


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        (MODAL | {"modal_function_name": "assess"}, "names no function of a Modal app"),
        (MODAL | {"modal_function_name": "a b/c"}, "can be no name on Modal"),
        ({"openai_api_key": "k\u00e9y"}, "characters that no header can hold"),
    ],
)
def test_a_setting_that_cannot_be_right_is_refused_at_start_with_a_sentence(
    tmp_path: Path, fields: dict[str, Any], reason: str
) -> None:
    """Not at the first call, and without the key."""
    with pytest.raises(AssessorInvalid, match=reason) as refused:
        build_assessor(settings_of_test(tmp_path, **fields))
    assert "k\u00e9y" not in str(refused.value)
