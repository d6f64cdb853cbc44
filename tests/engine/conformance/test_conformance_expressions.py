"""CEL in triggers and waits: which events an expression lets through."""

import pytest
from raw_app import done, step, step_id, steps

DATA = {
    "risk": 70,
    "ratio": 0.5,
    "tool": "pay",
    "ok": True,
    "none": None,
    "tags": ["a", "b"],
    "user": {"name": "Grüße", "ids": [1, 2]},
    "big": 2**53 - 1,
    "key with space": "x",
}
# Each is true of the data above.
TRUE = [
    "event.data.risk == 70",
    "event.data.risk == 70.0",
    "70 == event.data.risk",
    "event.data.risk >= 70",
    "event.data.risk > 69.5",
    "event.data.ratio < 1",
    "event.data.ratio == 0.5",
    "event.data.big == 9007199254740991",
    "event.data.tool == 'pay'",
    'event.data.tool == "pay"',
    "event.data.tool != 'refund'",
    "event.data.tool in ['pay', 'refund']",
    "'a' in event.data.tags",
    "event.data.tool.startsWith('p')",
    "event.data.tool.endsWith('ay')",
    "event.data.tool.contains('a')",
    "event.data.tool.matches('^p.y$')",
    "size(event.data.tags) == 2",
    "event.data.tags.size() > 1",
    "event.data.tags[1] == 'b'",
    "event.data.tags.exists(tag, tag == 'b')",
    "event.data.tags.all(tag, tag != 'c')",
    "event.data['key with space'] == 'x'",
    "event.data.user.name == 'Grüße'",
    "event.data.user.ids[0] == 1",
    "event.data.ok",
    "event.data.ok == true",
    "!(event.data.risk < 70)",
    "event.data.none == null",
    "has(event.data.risk)",
    "event.data.risk > 50 ? event.data.ok : false",
    "event.data.risk == 70 && event.data.tool == 'pay' && event.data.ok",
    "event.data.risk == 1 || event.data.tool == 'pay'",
    "(event.data.risk == 1 || event.data.ratio > 0.1) && event.data.tool == 'pay'",
    "event.name.endsWith('/go')",
    "event.ts > 0",
]
FALSE = [
    "event.data.risk == 71",
    "event.data.risk == '70'",
    "event.data.tool == 'Pay'",
    "event.data.tool == 'pay' && event.data.risk > 70",
    "event.data.tool == 'pay && true'",
    "event.data.ok == false",
    "'c' in event.data.tags",
    "event.data.tags.exists(tag, tag == 'c')",
    "event.data.ok == 'true'",
    "event.data.none == 'null'",
    "has(event.data.missing) && event.data.missing == 1",
]


async def test_an_expression_of_a_trigger_means_what_cel_says(raw, until):
    expressions = TRUE + FALSE
    raw.answer = lambda call: done()
    async with raw.running():
        trigger = {"event": raw.event("go")}
        functions = [
            raw.configuration(raw.url, name=f"f{n}", triggers=[{**trigger, "expression": expression}])
            for n, expression in enumerate(expressions)
        ]
        functions.append(raw.configuration(raw.url))
        answer = await raw.register(raw.url, functions=functions)
        assert answer.status_code == 200, answer.text
        await raw.send(data=DATA)
        await until(lambda: len(raw.calls) > len(TRUE))
        await raw.register(raw.url)
        await raw.run_of(await raw.send("go", {"n": "last"}))  # what is one too many was called by then
    called = {call.function_id.removeprefix(f"{raw.name}-") for call in raw.calls} - {"run"}
    assert [expressions[n] for n in range(len(expressions)) if f"f{n}" in called] == TRUE


MISSING = {
    "!has(event.data.missing)": True,
    "has(event.data.missing) == false": True,
    "event.data.missing == null": False,
    "event.data.missing != 'x'": False,
}


@pytest.mark.parametrize("expression", MISSING)
async def test_a_field_that_is_missing_is_equal_to_nothing(raw, differs, expression):
    """Only `has` can ask for it; what compares it is neither true nor false, and does not match."""
    differs("a comparison with a missing field")
    trigger = {"event": raw.event("go"), "expression": expression}
    async with raw.running():
        functions = [raw.configuration(raw.url, name="odd", triggers=[trigger]), raw.configuration(raw.url)]
        await raw.register(raw.url, functions=functions)
        event_id = await raw.send(data=DATA)
        runs = await raw.runs_of(event_id)
    assert (f"{raw.name}-odd" in {run["function_id"] for run in runs}) == MISSING[expression]


@pytest.mark.parametrize("is_literal", [True, False], ids=["literal", "of the event"])
async def test_a_wait_compares_every_kind_of_value(raw, until, is_literal):
    """Each wait is for another value; one event with all of them ends them all."""
    values = {
        "risk": "70",
        "ratio": "0.5",
        "tool": "'pay'",
        "ok": "true",
        "none": "null",
        "tags": "['a', 'b']",
    }

    def wait(field):
        right = values[field] if is_literal else f"event.data.{field}"
        options = {"if": f"async.data.{field} == {right}", "timeout": "1h"}
        return step(field, op="WaitForEvent") | {"name": raw.event("decided"), "opts": options}

    raw.answer = lambda call: done() if call.body["steps"] else steps(*map(wait, values))
    async with raw.running():
        event_id = await raw.send(data=DATA)
        await until(lambda: raw.calls)
        run = await raw.run_of(event_id, has_ended=False)
        await raw.poll(lambda: all_waits(raw, run["run_id"], values))
        await raw.send("decided", DATA)
        await raw.run_of(event_id)
    assert set(raw.calls[-1].body["steps"]) == {step_id(field) for field in values}


async def all_waits(raw, run_id, names):
    """Tells whether the server has kept a wait of each name."""
    return all([await raw.span_of(run_id, status="WAITING", name=name) for name in names])
