"""Which tests can reach a store: what their module or a fixture of theirs imports leads to `kept`."""

import inspect
import sys
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

TESTS = Path(__file__).parents[1]


def reaches_store(item: pytest.Item) -> bool:
    """Whether a test can look into a store, or start what has one."""
    if not isinstance(item, pytest.Function):
        return True
    fixtures = [one.func for several in item._fixtureinfo.name2fixturedefs.values() for one in several]
    return _leads_there(item.module) or any(map(_leads_there, {*map(_function, fixtures)}))


def _function(fixture: Any) -> Any:
    return inspect.unwrap(fixture)


@cache
def _leads_there(begin: Any) -> bool:
    seen, coming = set(), [begin]
    while coming:
        one = coming.pop()
        if one in seen:
            continue
        seen.add(one)
        if isinstance(one, ModuleType) and one.__name__.rpartition(".")[2] == "kept":
            return True
        coming += _modules(vars(one).values() if isinstance(one, ModuleType) else _named(one))
    return False


def _named(function: Any) -> Iterator[Any]:
    """What a function names of its module."""
    code = getattr(function, "__code__", None)
    return (function.__globals__.get(name) for name in code.co_names) if code else iter(())


def _modules(values: Iterable[Any]) -> Iterator[ModuleType]:
    """The modules of the tests from which some values come."""
    for value in values:
        name = value.__name__ if isinstance(value, ModuleType) else getattr(value, "__module__", None)
        module = sys.modules.get(name or "")
        file = Path(getattr(module, "__file__", None) or "/")
        if module is not None and file.is_relative_to(TESTS) and file.name != "conftest.py":
            yield module
