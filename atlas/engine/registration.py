"""Registration: the functions of an app replace those it registered before."""

import dataclasses
import json
import sqlite3
from typing import Any

from atlas.engine.errors import ConfigurationRefused
from atlas.engine.functions import Function, parse_function
from atlas.engine.json_text import write_json


def register(connection: sqlite3.Connection, body: dict[str, Any]) -> tuple[str, bool]:
    """Keep the functions of an app; those it no longer names end their runs but start none.

    Returns the name of the app and whether that changed anything.
    """
    app, configurations = _parse_registration(body)
    before = connection.execute("SELECT * FROM functions ORDER BY function_id").fetchall()
    connection.execute("UPDATE functions SET is_archived = 1 WHERE app = ?", (app,))
    for function_id, configuration in configurations.items():
        connection.execute(
            "INSERT INTO functions (function_id, app, configuration, is_archived) VALUES (?, ?, ?, 0)"
            " ON CONFLICT (function_id) DO UPDATE SET app = excluded.app,"
            " configuration = excluded.configuration, is_archived = 0",
            (function_id, app, configuration),
        )
    return app, before != connection.execute("SELECT * FROM functions ORDER BY function_id").fetchall()


def load_functions(reader: sqlite3.Connection) -> dict[str, Function]:
    """The functions of all apps by id; those no longer registered have no trigger."""
    functions = {}
    for configuration, is_archived in reader.execute("SELECT configuration, is_archived FROM functions"):
        function = parse_function(json.loads(configuration))
        functions[function.function_id] = (
            dataclasses.replace(function, triggers=()) if is_archived else function
        )
    return functions


def _parse_registration(body: dict[str, Any]) -> tuple[str, dict[str, str]]:
    app = body.get("appname") or body.get("appName") or body.get("app_name")
    functions = body.get("functions")
    if not isinstance(app, str) or not app or not isinstance(functions, list):
        raise ConfigurationRefused("A registration must name its app and its functions.")
    if not all(isinstance(function, dict) for function in functions):
        raise ConfigurationRefused("A function must be an object.")
    return app, {parse_function(function).function_id: write_json(function) for function in functions}
