"""Every page of the documentation can be found, its links lead somewhere, and what it names exists."""

import re
from pathlib import Path

import pytest
from documentation import PAGES, ROOT, Page, files, page

from atlas.settings import Settings

LONGEST_README = 200
NOT_THE_GATEWAYS = {
    *("ATLAS_SCORER", "OLLAMA_CONTEXT_LENGTH"),  # what `modal deploy` and Ollama read
    *(f"ATLAS_TEST_INNGEST_{name}" for name in ("URL", "EVENT_KEY", "SIGNING_KEY")),
}
# Turns of phrase for which there is a plain word; text for people is written for every reader of English.
HARD_WORDS = re.compile(
    r"\b(?:nobody|whoever|whatever|whichever one|whomever|anew|anybody|somebody|be it|by itself)\b", re.I
)
# Blocks that are no program: each is checked by the test that asks for it by its name.
CHECKED = {
    "claude-desktop",
    "credentials",
    "cursor",
    "nginx",
    "nginx-settings",
    "origins",
    "policy",
    "policy-in-short",
    "prompt",
    "script",
    "upstreams",
}
CHECKED |= {"nginx", "nginx-settings", "origins"}  # tests/acceptance/test_proxy.py and test_pages.py
CHECKED |= {"openid-settings", "proxy-settings"}  # tests/people/test_openid_claims.py
CHECKED |= {"policy-session"}  # tests/assessors/test_policy_session.py
CHECKED |= {"policy-escalate", "policy-undo"}  # tests/reviews/test_deadlines_page.py
CHECKED |= {"prometheus", "state-line"}  # tests/telemetry/test_alerts.py and test_json_log.py
CHECKED |= {"sms"}  # tests/test_docs_tables.py
CHECKED |= {"nginx-auth"}  # tests/people/test_proxy_headers.py
CHECKED |= {"chart-values"}  # tests/deploy/test_chart.py
CHECKED |= {"balancer-settings"}  # tests/support/office_of_gateways.py
FRAMEWORKS = ("ai_sdk", "crewai_agent", "google_adk", "langchain_agent", "openai_agents", "pydantic_ai_agent")
CHECKED |= {f"framework {name}" for name in FRAMEWORKS}  # tests/acceptance/test_framework_snippets.py

each_page = pytest.mark.parametrize("one", PAGES, ids=lambda one: one.name)


def test_the_readme_is_short() -> None:
    """A stranger reads it in minutes."""
    assert len(page("README.md").text.splitlines()) <= LONGEST_README


def test_each_page_is_reached_from_the_readme() -> None:
    """By links, over any number of pages."""
    pages = {one.path: one for one in PAGES}
    found, front = set(), {page("README.md").path}
    while front:
        found |= front
        front = {file for path in front for file, _ in pages[path].links if file in pages} - found
    assert found == pages.keys()


@each_page
def test_each_link_leads_to_a_file_and_a_heading(one: Page) -> None:
    """Of this repository; what is elsewhere cannot be tested here."""
    for file, anchor in one.links:
        assert file.exists() and file.is_relative_to(ROOT), f"{one.name} links to {file}"
        assert not anchor or anchor in Page(file).anchors, f"{one.name} links to {file.name}#{anchor}"


@each_page
def test_each_file_folder_and_module_that_a_page_names_exists(one: Page) -> None:
    """But for those that the reader is told to make."""
    text = re.sub(r"\]\([^)]*\)", "]", one.text)
    named = set(re.findall(r"(?<![\w/.:-])(?:[\w.-]+/)*[\w.-]+\.(?:py|toml|sh|md)\b", text))
    named |= set(re.findall(r"\.env\.example\b", text))
    named |= set(re.findall(r"`((?:[\w.-]+/)+)`", text))
    missing = [name for name in named - files().keys() - {"policy.toml"} if not (ROOT / name).exists()]
    modules = {name.replace(".", "/") for name in re.findall(r"python -m ([\w.]+)", text)}
    missing += [name for name in modules if not list((ROOT / name).parent.glob(f"{Path(name).name}*"))]
    assert not missing


@each_page
def test_each_setting_that_a_page_names_exists(one: Page) -> None:
    """No name of a setting is left over from another time."""
    named = set(re.findall(r"\b(?:ATLAS(?!_TEST_)|INNGEST|MODAL|OPENAI|OLLAMA)_[A-Z_]+\b", one.text))
    assert named - NOT_THE_GATEWAYS <= {name.upper() for name in Settings.model_fields}


@each_page
def test_a_page_uses_the_common_word(one: Page) -> None:
    """One sentence says one fact, in words that a reader with a third language knows."""
    assert not HARD_WORDS.findall(one.prose)


@each_page
def test_each_block_is_run_or_checked_or_excused_with_a_reason(one: Page) -> None:
    """Nothing escapes by being overlooked."""
    assert one.text.count("```") == 2 * len(one.blocks)
    for before, block in zip([None, *one.blocks], one.blocks, strict=False):
        is_told = (
            block.is_excused
            or block.language == "mermaid"
            or block.noted("checked") in CHECKED
            or bool(block.noted("file"))
            or (block.note == "printed" and before is not None and before.is_run)
            or block.is_run
        )
        assert is_told, f"{one.name}, line {block.line}: how is this block tested?"
    for block, expected in one.runs():
        assert expected, f"{one.name}, line {block.line}: what does it print?"


def test_each_checked_block_is_there_once() -> None:
    """A test asks for it by its name."""
    names = [block.noted("checked") for one in PAGES for block in one.blocks]
    assert sorted(filter(None, names)) == sorted(CHECKED)
