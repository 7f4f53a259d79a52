"""From a folder of YAML to settings, or to everything that is wrong with it.

Law: ``load`` returns a whole, linted configuration or raises ConfigError with all faults, each at its place. A fault
does not hide others: what is faulty is left out, and the rest is checked on.
"""

from __future__ import annotations

import json
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from proxy.config.compare_lint import compare_warnings
from proxy.config.comparing import MIN_KEY
from proxy.config.lint import ABSENT, lint
from proxy.config.model import Settings
from proxy.config.positions import Loc, Node, locate, plain_value, read_yaml
from proxy.config.sources import yaml_files
from proxy.config.wording import fault_of, place_of
from proxy.errors import ConfigError, Fault

MAX_FILE_BYTES = 4 * 1024**2
MAX_USERS_FILE_BYTES = 8 * 1024**2
"""About half a million identities; the document with them must fit a message between processes."""
MAX_KEYS_FILE_BYTES = 64 * 1024
_MAPPINGS = ("upstreams", "cohorts")
"""Keys that may be spread over files, besides ``routes``."""


@dataclass(frozen=True)
class Loaded:
    """A valid configuration. ``document`` is what the other processes get; ``files`` is all that was read."""

    settings: Settings
    document: bytes
    """The merged document as JSON, before defaults, with variables, users files and the keys file put in."""
    files: tuple[Path, ...]
    root: Node
    """Where everything of the document stands."""
    warnings: tuple[Fault, ...] = ()
    """What is valid and should not be so."""


def load(path: Path, environ: Mapping[str, str]) -> Loaded:
    """Read a folder (its ``*.yaml`` and ``*.yml``) or one file. Raises ConfigError with all faults, by place."""
    faults: list[Fault] = []
    files = yaml_files(path)
    if not files:
        raise ConfigError([_nothing_there(path)])
    documents: list[Node] = []
    whole = True
    for file in files:
        nodes, read_to_end = _read(file, faults)
        documents += nodes
        whole = whole and read_to_end
    root = _merged(str(files[0]), documents, faults)
    document: dict[str, Any] = plain_value(root, environ, faults)
    users_files = _inline_users(document, root, faults)
    warnings: list[Fault] = []
    keys_files = _inline_keys(document, root, faults, warnings)
    settings = _validated(document, root, faults, judge_references=whole)
    if faults or settings is None:
        raise ConfigError(sorted(set(faults)))
    warnings += compare_warnings(settings, root)
    return Loaded(settings, json.dumps(document).encode(), (*files, *users_files, *keys_files), root, tuple(warnings))


def _nothing_there(path: Path) -> Fault:
    cure = "write one (docs/configuration.md begins with the smallest), or name another PATH"
    if not path.exists():
        return Fault(str(path), 1, 1, "there is no such file or folder", cure)
    return Fault(str(path), 1, 1, "the folder holds no *.yaml file", cure)


def _read(file: Path, faults: list[Fault]) -> tuple[list[Node], bool]:
    """The documents of a file, and whether they are all; if not, what refers to the rest cannot be judged."""
    try:
        if file.stat().st_size > MAX_FILE_BYTES:
            faults.append(Fault(str(file), 1, 1, f"the file is larger than {MAX_FILE_BYTES // 1024**2} MiB"))
            return [], False
        raw = file.read_bytes()
    except OSError as error:
        faults.append(Fault(str(file), 1, 1, f"cannot be read: {error.strerror or error}"))
        return [], False
    documents, found, whole = read_yaml(str(file), raw)
    faults += found
    return documents, whole


def _merged(first_file: str, documents: list[Node], faults: list[Fault]) -> Node:
    """One mapping of all documents; keys that may not be repeated keep their first value."""
    root = Node("map", first_file, 1, 1)
    for document in documents:
        if document.kind != "map":
            faults.append(document.fault("a file is a mapping of keys like upstreams: and routes:"))
            continue
        for name, (key, value) in document.entries.items():
            known = root.entries.get(name)
            if known is None:
                # A copy, so that merging does not reach into a node that an alias shares.
                copy = Node(value.kind, value.file, value.line, value.column, value.text, value.plain)
                copy.items, copy.entries = list(value.items), dict(value.entries)
                root.entries[name] = (key, copy)
            elif name in _MAPPINGS and value.kind == known[1].kind == "map":
                _merge_entries(known[1], value, name, faults)
            elif name == "routes" and value.kind == known[1].kind == "list":
                known[1].items += value.items
            elif name in (*_MAPPINGS, "routes"):
                # Of two kinds at most one is right; pydantic will name the wrong one if it is the first.
                wanted = "list" if name == "routes" else "map"
                wrong = value if value.kind != wanted else known[1]
                if wrong is value:
                    faults.append(wrong.fault(f"{name} must be a {'list' if wanted == 'list' else 'mapping'}"))
            else:
                faults.append(key.fault(f"the key {name!r} may be set once, and is already at {known[0].place}"))
    return root


def _merge_entries(into: Node, other: Node, name: str, faults: list[Fault]) -> None:
    for entry, (key, value) in other.entries.items():
        if entry in into.entries:
            first = into.entries[entry][0]
            faults.append(key.fault(f"{name}.{entry} stands twice; first at {first.place}"))
        else:
            into.entries[entry] = (key, value)


def _inline_users(document: dict[str, Any], root: Node, faults: list[Fault]) -> list[Path]:
    """Put each cohort's users file into its ``users``, so that other processes need not read it."""
    found: list[Path] = []
    cohorts = document.get("cohorts")
    for name, cohort in cohorts.items() if isinstance(cohorts, dict) else ():
        if not isinstance(cohort, dict) or not isinstance(cohort.get("users_file"), str):
            continue
        node = locate(root, ("cohorts", name, "users_file"))
        file = Path(node.file).parent / cohort["users_file"]
        found.append(file)
        users = _lines(file, node, "users", MAX_USERS_FILE_BYTES, faults)
        known = cohort.get("users", [])
        if users is not None and isinstance(known, list):
            cohort["users"] = [*known, *(user for _, user in users)]
    return found


def _lines(file: Path, node: Node, what: str, limit: int, faults: list[Fault]) -> list[tuple[int, str]] | None:
    """The lines of a file that ``node`` names, numbered, without empty ones and comments; None if it cannot be read."""
    try:
        if file.stat().st_size > limit:
            size = f"{limit // 1024**2} MiB" if limit >= 1024**2 else f"{limit // 1024} KiB"
            faults.append(node.fault(f"{file} is larger than {size}"))
            return None
        lines = file.read_text("utf-8-sig").splitlines()
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or "it is not UTF-8 text"
        faults.append(node.fault(f"the {what} file {file} cannot be read: {why}", "it is relative to this file"))
        return None
    return [(n, text) for n, line in enumerate(lines, 1) if (text := line.strip()) and not text.startswith("#")]


def _inline_keys(document: dict[str, Any], root: Node, faults: list[Fault], warnings: list[Fault]) -> list[Path]:
    """Put the keys of ``redaction.keys_file`` into ``redaction.keys``, after those. No fault shows a key."""
    redaction = document.get("redaction")
    if not isinstance(redaction, dict) or not isinstance(redaction.get("keys_file"), str):
        return []
    node = locate(root, ("redaction", "keys_file"))
    file = Path(node.file).parent / redaction["keys_file"]
    lines = _lines(file, node, "keys", MAX_KEYS_FILE_BYTES, faults)
    if lines is None:
        return [file]
    if not lines:
        faults.append(node.fault(f"the keys file {file} holds no key", "write one a line, or leave keys_file out"))
    short = [number for number, key in lines if len(key) < MIN_KEY]
    what, hint = f"a redaction key has at least {MIN_KEY} characters", "make one with: openssl rand -hex 32"
    faults += [Fault(str(file), number, 1, what, hint) for number in short]
    known = redaction.get("keys", [])
    if isinstance(known, list):
        redaction["keys"] = [*known, *(key for number, key in lines if number not in short)]
    if _is_open(file):
        warnings.append(node.fault(f"every user of this machine can read the keys file {file}", f"chmod 600 {file}"))
    return [file]


def _is_open(file: Path) -> bool:
    try:
        return bool(file.stat().st_mode & stat.S_IROTH)
    except OSError:
        return False


def _validated(document: dict[str, Any], root: Node, faults: list[Fault], *, judge_references: bool) -> Settings | None:
    """The settings, if they are whole; else None, with the faults of all that can be judged."""
    known = {fault[:3] for fault in faults}
    try:
        settings = Settings.model_validate(document)
    except ValidationError as error:
        errors = error.errors(include_url=False)
        for detail in errors:
            fault = fault_of(detail, root)
            absent = not judge_references and detail["type"] == "missing" and len(detail["loc"]) == 1
            if fault[:3] not in known and not absent:
                faults.append(fault)
        rest = _without(document, errors)
        if judge_references and rest is not None:
            faults += lint(rest[0], root, rest[1])
        return None
    if judge_references:
        faults += lint(settings, root, list(range(len(settings.routes))))
    return settings


def _without(document: dict[str, Any], errors: list[ErrorDetails]) -> tuple[Settings, list[int]] | None:
    """The settings without what is faulty, and which routes are left, so that lint can look at the rest.

    First the faulty values go (from a route's ``match`` the whole route, for it would match something else); if that
    breaks what they belonged to, it goes too. None if even then nothing valid is left.
    """
    document = json.loads(json.dumps(document))
    routes = document.get("routes")
    kept: dict[int, Any] = dict(enumerate(routes)) if isinstance(routes, list) else {}
    for thorough in (False, True):
        for error in errors:
            _drop(document, kept, place_of(error), error["type"], thorough=thorough)
        indexes = sorted(kept)
        document["routes"] = [kept[index] for index in indexes]
        try:
            return Settings.model_validate(document), indexes
        except ValidationError as error:
            # Places in the shortened list, brought back to places in the whole one.
            errors = error.errors(include_url=False)
            for detail in errors:
                place = detail["loc"]
                if len(place) > 1 and place[0] == "routes" and isinstance(place[1], int):
                    detail["loc"] = ("routes", indexes[place[1]], *place[2:])
    return None


def _drop(document: dict[str, Any], kept: dict[int, Any], loc: Loc, kind: str, *, thorough: bool) -> None:
    if len(loc) > 1 and loc[0] == "routes":
        in_match = len(loc) > 2 and loc[2] in ("id", "match")
        if thorough or in_match or kind == "missing" or len(loc) == 2:
            kept.pop(int(loc[1]), None)
        elif int(loc[1]) in kept:
            _delete(kept[int(loc[1])], loc[2:])
    elif loc == ("routes",):
        kept.clear()
    elif kind == "missing" and len(loc) == 1:
        document[str(loc[0])] = {} if loc[0] == "upstreams" else ABSENT
    elif len(loc) > 1 and loc[0] in _MAPPINGS and (thorough or kind == "missing"):
        _delete(document, loc[:2])
    else:
        _delete(document, loc)


def _delete(value: Any, loc: Loc) -> None:
    """Delete what is at ``loc``, or the nearest part of it that exists."""
    for depth, step in enumerate(loc):
        if isinstance(value, dict):
            key = str(step)
            inner = value.get(key)
            if depth == len(loc) - 1 or not isinstance(inner, dict):
                value.pop(key, None)
                return
            value = inner
