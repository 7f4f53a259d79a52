"""The configuration as a JSON Schema, for editors: made from the model, so it cannot lag behind.

Law: it describes one file as people write it, before variables are replaced; so defaults are shown in that spelling
too, and nothing is required, for a file may hold a part only.
"""

from __future__ import annotations

from typing import Any

from proxy.config.model import Settings
from proxy.config.values import spelled

_DIALECT = "https://json-schema.org/draft/2020-12/schema"


def json_schema() -> dict[str, Any]:
    """The schema (draft 2020-12). Every property has a description."""
    schema = Settings.model_json_schema()
    schema.pop("required", None)
    schema = {"$schema": _DIALECT, **schema, "title": "Banyan configuration"}
    _spell_defaults(schema)
    return schema


def _spell_defaults(node: Any) -> None:
    if isinstance(node, list):
        for item in node:
            _spell_defaults(item)
    elif isinstance(node, dict):
        default = node.get("default")
        if "$ref" in node or (isinstance(default, dict) and default):
            node.pop("default", None)  # the default of a whole group is that of its fields
        elif "examples" in node and isinstance(default, int | float):
            node["default"] = spelled(float(default), str(node["examples"][0]))
        for value in node.values():
            _spell_defaults(value)
