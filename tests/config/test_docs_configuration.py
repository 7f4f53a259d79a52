"""What the docs and the schema say about the configuration is whole."""

import re
import types
import typing
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from proxy.config.load import load
from proxy.config.model import STAGES, FallbackReason, Settings
from proxy.config.schema import json_schema
from proxy.core.stages import STAGE_RULES

DOCS = (Path(__file__).parents[2] / "docs" / "configuration.md").read_text()


def models(model: type[BaseModel] = Settings) -> set[type[BaseModel]]:
    found = {model}
    for info in model.model_fields.values():
        for part in _parts(info.annotation):
            if isinstance(part, type) and issubclass(part, BaseModel):
                found |= models(part)
    return found


def _parts(annotation: Any) -> list[Any]:
    if isinstance(annotation, types.GenericAlias | types.UnionType) or typing.get_origin(annotation):
        return [part for argument in typing.get_args(annotation) for part in _parts(argument)]
    return [annotation]


ALL = sorted(models(), key=lambda model: model.__name__)


@pytest.mark.parametrize("model", ALL, ids=lambda model: model.__name__)
def test_every_setting_is_documented(model: type[BaseModel]) -> None:
    words = set(re.findall(r"[a-z0-9_]+", " ".join(re.findall(r"`([^`\n]+)`", DOCS))))
    assert set(model.model_fields) - words == set()


@pytest.mark.parametrize("model", ALL, ids=lambda model: model.__name__)
def test_every_setting_has_a_description(model: type[BaseModel]) -> None:
    assert [name for name, info in model.model_fields.items() if not info.description] == []


def test_every_stage_and_fallback_reason_is_documented() -> None:
    for word in (*STAGES, *typing.get_args(FallbackReason)):
        assert f"`{word}`" in DOCS
    assert tuple(STAGE_RULES) == STAGES


def test_the_first_example_of_the_docs_is_valid(tmp_path: Path) -> None:
    example = re.search(r"```yaml\n(.*?)```", DOCS, re.DOTALL)
    assert example
    (tmp_path / "a.yaml").write_text(example[1])
    assert len(load(tmp_path, {}).settings.routes) == 1


def test_the_schema_has_every_setting_with_its_default_as_people_write_it() -> None:
    schema = json_schema()
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert set(schema["properties"]) == set(Settings.model_fields)
    definitions = schema["$defs"]
    assert definitions["Timeouts"]["properties"]["connect"]["default"] == "1s"
    assert definitions["Retention"]["properties"]["age"]["default"] == "14d"
    assert definitions["Shadow"]["properties"]["sample"]["default"] == "100%"
    assert definitions["Shadow"]["properties"]["max_body"]["default"] == "1MiB"
    assert definitions["Canary"]["properties"]["percent"]["default"] == "0%"
    assert schema["properties"]["shadow_memory"]["default"] == "64MiB"


def test_defaults_of_the_schema_are_valid_by_the_schemas_own_patterns() -> None:
    def walk(node: Any) -> None:
        if isinstance(node, dict):
            if "pattern" in node and "default" in node:
                assert re.search(node["pattern"], node["default"]), node
            for value in node.values():
                walk(value)
        elif isinstance(node, list):
            for value in node:
                walk(value)

    walk(json_schema())
