"""What pydantic found, in words for people, at its place in the files.

Law: one fault per mistake, at the key if the key is wrong and at the value if the value is; no fault shows the value of
a secret. The wording is ours: pydantic's speaks of Python's types.
"""

from __future__ import annotations

import difflib
import re
import types
import typing
from collections.abc import Iterable
from typing import Any

from pydantic import BaseModel, WithJsonSchema
from pydantic_core import ErrorDetails

from proxy.config.comparing import NAMED, TYPED
from proxy.config.model import Settings
from proxy.config.positions import Loc, Node, locate
from proxy.config.values import spelled
from proxy.errors import Fault

_KINDS = {
    "string_type": "text",
    "int_type": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "list_type": "a list",
    "dict_type": "a mapping",
    "model_type": "a mapping",
}
_BOUNDS = {
    "greater_than": ("must be more than {gt}", "gt"),
    "greater_than_equal": ("must be at least {ge}", "ge"),
    "less_than": ("must be less than {lt}", "lt"),
    "less_than_equal": ("must be at most {le}", "le"),
    "string_too_short": ("must have at least {min_length} characters", "min_length"),
    "too_short": ("needs at least {min_length} entry", "min_length"),
}
_PLAIN = re.compile(r"[$A-Za-z][\w.$@-]*", re.ASCII)


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """A hint with the closest of the known words, or all of them if they are few and none is close; or ""."""
    known = sorted(known)
    close = difflib.get_close_matches(word.lower(), known, n=1, cutoff=0.6)
    if close:
        return f"did you mean `{close[0]}`?"
    return f"there is {', '.join(known)}" if 0 < len(known) <= 8 else ""


def fault_of(error: ErrorDetails, root: Node) -> Fault:
    """One of pydantic's errors about the settings as a fault."""
    kind, context = error["type"], error.get("ctx", {})
    loc = place_of(error)
    at_key = "[key]" in error["loc"]
    if kind == "extra_forbidden":
        return _unknown_key(loc, root)
    if kind == "missing":
        return locate(root, loc[:-1]).fault(f"{_name(loc[:-1], root)} needs the key {str(loc[-1])!r}")
    node = locate(root, loc, key=at_key)
    name = _name(_written(loc, root), root)
    if kind in _KINDS:
        hint = _quotes(error) or _as_rule(loc, error["input"])
        return node.fault(f"{name} must be {_KINDS[kind]}, and is {_kind_of(error['input'])}", hint)
    if kind == "literal_error":
        expected = [word.strip("'") for word in str(context["expected"]).replace(" or ", ", ").split(", ")]
        hint = did_you_mean(error["input"], expected) if isinstance(error["input"], str) else ""
        hint = hint if hint.startswith("did") else str(context.get("hint", ""))
        if NAMED in error["loc"]:
            expected += ["{timestamp: 5s}", "{regex: '…'}"]
        return node.fault(f"{name} must be {' or '.join(expected)}", hint)
    if kind in _BOUNDS:
        text, bound = _BOUNDS[kind]
        if kind == "string_too_short" and context[bound] == 1:
            return node.fault(f"{name} must not be empty")
        value = _bound(loc, context[bound])
        return node.fault(f"{name} {text.format(**{bound: value})}")
    return node.fault(f"{name}: {error['msg'].removeprefix('Value error, ')}")


def place_of(error: ErrorDetails) -> Loc:
    """Where an error is, without the steps that stand in no file."""
    return tuple(step for step in error["loc"] if step not in ("[key]", NAMED, TYPED))


def _unknown_key(loc: Loc, root: Node) -> Fault:
    key = str(loc[-1])
    model = model_at(loc[:-1])
    hint = (_belongs(key, model) or did_you_mean(key, model.model_fields)) if model else ""
    return locate(root, loc, key=True).fault(f"unknown key {key!r} of {_name(loc[:-1], root)}", hint)


def _belongs(key: str, model: type[BaseModel]) -> str:
    """A hint that names the groups of ``model`` that have this key, or the groups within them if none has; or ""."""
    level = {name: part for name, info in model.model_fields.items() if (part := _model_in(info.annotation))}
    for _ in range(2):
        if owners := [name for name, part in level.items() if key in part.model_fields]:
            return f"it belongs under {' or '.join(f'{name}:' for name in owners)}"
        level = {
            f"{above}: {name}": part
            for above, group in level.items()
            for name, info in group.model_fields.items()
            if (part := _model_in(info.annotation))
        }
    return ""


def _as_rule(loc: Loc, value: object) -> str:
    """A hint with the right form of a path in ``ignore`` or of paths in ``unordered``, which are no secrets; or ""."""
    rule = loc[-1] if len(loc) > 1 and loc[-2] == "compare" else ""
    written = value if isinstance(value, list) else [value]
    paths = [path for path in written if isinstance(path, str) and 0 < len(path) <= 80]
    if len(paths) < len(written):
        return ""
    if rule == "ignore" and isinstance(value, str):
        return f"write [{in_yaml(value)}]"
    if rule == "unordered" and paths:
        return f"write {{{', '.join(f'{in_yaml(path)}: null' for path in paths)}}}"
    return ""


def in_yaml(text: str) -> str:
    """A path as it may stand within ``{…}`` and ``[…]``."""
    return text if _PLAIN.fullmatch(text) else "'" + text.replace("'", "''") + "'"


def _quotes(error: ErrorDetails) -> str:
    scalar = isinstance(error["input"], bool | int | float)
    return "put it in quotes" if error["type"] == "string_type" and scalar else ""


def _bound(loc: Loc, value: float) -> str:
    """A bound as it would be written there: seconds as a duration, bytes as a size."""
    model = model_at(loc[:-1])
    info = model.model_fields.get(str(loc[-1])) if model else None
    like = next((m.json_schema["examples"][0] for m in (info.metadata if info else ()) if _has_unit(m)), "")
    return spelled(value, like) if like else f"{value:g}"


def _has_unit(metadata: object) -> bool:
    return isinstance(metadata, WithJsonSchema) and "examples" in (metadata.json_schema or {})


def _written(loc: Loc, root: Node) -> Loc:
    """The part of ``loc`` that stands in the files: an endpoint written as text has no ``url``."""
    for depth in range(len(loc), 0, -1):
        if locate(root, loc[:depth]) is not locate(root, loc[: depth - 1]):
            return loc[:depth]
    return ()


def _kind_of(value: object) -> str:
    """What a value is; its content is not shown, for it may be a secret."""
    if value is None:
        return "empty"
    kinds = {bool: "true or false", int: "a number", float: "a number", str: "text", list: "a list", dict: "a mapping"}
    return kinds.get(type(value), "something else")


def _name(loc: Loc, root: Node) -> str:
    """``upstreams.orders.timeouts``; a route is named by its id, if it has one."""
    if not loc:
        return "the configuration"
    name = ""
    for depth, step in enumerate(loc):
        text = f"[{step}]" if isinstance(step, int) else f".{step}"
        if depth == 1 and loc[0] == "routes":
            node = locate(root, loc[:2])
            named = node.entries.get("id") if node.kind == "map" else None
            if named and named[1].kind == "scalar" and named[1].text:
                text = f".{named[1].text}"
        name += text
    return name.removeprefix(".")


def model_at(loc: Loc) -> type[BaseModel] | None:
    """The model that describes what is at ``loc``; None if it is no mapping with fixed keys."""
    here: Any = Settings
    for step in loc:
        if isinstance(here, type) and issubclass(here, BaseModel):
            info = here.model_fields.get(str(step))
            here = info.annotation if info else None
        else:
            arguments = typing.get_args(here)
            here = arguments[-1] if arguments else None
        here = _model_in(here) or here
    return here if isinstance(here, type) and issubclass(here, BaseModel) else None


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """The model that a value of this type is, or may be; None if it is a list, a scalar or a mapping with any keys."""
    if typing.get_origin(annotation) is typing.Annotated:
        return _model_in(typing.get_args(annotation)[0])
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        return next((found for part in typing.get_args(annotation) if (found := _model_in(part))), None)
    return annotation if isinstance(annotation, type) and issubclass(annotation, BaseModel) else None
