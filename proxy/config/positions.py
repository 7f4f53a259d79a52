"""YAML with places: every key and value knows its file, line and column.

Law: reading is bounded (bytes, depth, nodes with aliases written out) and never raises for what is in a file: it gives
nodes and faults. Scalars mean what YAML 1.2 says: ``true`` and ``false``, plain decimal numbers, ``null``; everything
else, ``on``, ``no``, ``010`` and ``1:30`` included, is text.

``${NAME}`` may stand in any value, also inside ``{…}`` and ``[…]``, where YAML would take its braces for a mapping.
Therefore its characters are lifted to a private range before parsing, one for one so that columns stay true, and put
back in the scalars.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import yaml

from proxy.errors import Fault

MAX_DEPTH = 40
MAX_NODES = 200_000
"""Of one file, aliases written out: about ten thousand routes."""

_PRIVATE = 0xE000
_PLACEHOLDER = re.compile(r"\$\{[^}\n]*\}")
_LOWER = {_PRIVATE + code: chr(code) for code in range(128)}
_VARIABLE = re.compile(r"\$(\$\{)|\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}|\$\{")
_UNPRINTABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ue000-\ue07f\ufffe\uffff]")
_PATH_TO_QUOTE = re.compile(r"(?<!['\"])\$[\w.$@#-]*[\[*]|(?:^|[\s\[{,])\*[.\s]")
"""A compare rule's path, or the beginning of one, that YAML takes for a list or an alias."""
_INTEGER = re.compile(r"[-+]?(?:0|[1-9][0-9]{0,17})")
_DECIMAL = re.compile(r"[-+]?(?:0|[1-9][0-9]{0,17})\.[0-9]{1,18}(?:[eE][-+]?[0-9]{1,2})?")
_CONSTANTS: dict[str, object] = {
    "": None, "~": None, "null": None, "Null": None, "NULL": None,
    "true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False,
}  # fmt: skip

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

Loc = tuple[str | int, ...]
"""A way down from the root: keys and indexes, as pydantic's errors give it."""


@dataclass(slots=True, eq=False)
class Node:
    """A value in a file. ``line`` and ``column`` are 1-based. Only the fields of its kind are set."""

    kind: Literal["scalar", "list", "map"]
    file: str
    line: int
    column: int
    text: str = ""
    plain: bool = False
    items: list[Node] = field(default_factory=list)
    entries: dict[str, tuple[Node, Node]] = field(default_factory=dict)
    size: int = 1

    def fault(self, what: str, hint: str = "") -> Fault:
        """A fault at this place."""
        return Fault(self.file, self.line, self.column, what, hint)

    @property
    def place(self) -> str:
        """``file:line:column``."""
        return f"{self.file}:{self.line}:{self.column}"


def locate(root: Node, loc: Loc, *, key: bool = False) -> Node:
    """The node at ``loc``, or the nearest above it; with ``key`` the key that leads to it, where there is one."""
    node = root
    mark = root
    for step in loc:
        if node.kind == "map" and str(step) in node.entries:
            mark, node = node.entries[str(step)]
        elif node.kind == "list" and isinstance(step, int) and step < len(node.items):
            node = mark = node.items[step]
        else:
            break
    return mark if key else node


def read_yaml(file: str, raw: bytes) -> tuple[list[Node], list[Fault], bool]:
    """The documents of one file, what is wrong with it, and whether it was read to its end.

    Empty documents are left out.
    """
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = raw[: error.start].decode("utf-8", "replace")
        return [], [Fault(file, *_line_column(before), "the file is not UTF-8")], False
    if bad := _UNPRINTABLE.search(text):
        where = _line_column(text[: bad.start()])
        return [], [Fault(file, *where, f"the character U+{ord(bad[0]):04X} may not stand in a YAML file")], False
    reader = _Reader(file)
    protected = _PLACEHOLDER.sub(lambda match: _lifted(match[0]), text)
    try:
        reader.read(yaml.parse(protected, Loader=_LOADER))
    except _StopReadingError:
        return reader.documents, reader.faults, False
    except yaml.MarkedYAMLError as error:
        return reader.documents, [*reader.faults, _syntax_fault(file, text, error)], False
    except yaml.YAMLError as error:
        fault = Fault(file, 1, 1, f"not YAML: {str(error).splitlines()[0]}")
        return reader.documents, [*reader.faults, fault], False
    return reader.documents, reader.faults, True


def _lifted(placeholder: str) -> str:
    return "$" + "".join(chr(_PRIVATE + ord(c)) if ord(c) < 128 else c for c in placeholder[1:])


def _line_column(before: str) -> tuple[int, int]:
    return before.count("\n") + 1, len(before) - before.rfind("\n")


def _syntax_fault(file: str, text: str, error: yaml.MarkedYAMLError) -> Fault:
    mark = error.problem_mark or error.context_mark
    line, column = (mark.line, mark.column) if mark else (0, 0)
    lines = text.splitlines()
    indent = re.match(r"[ \t]*", lines[line] if line < len(lines) else "")
    if indent and "\t" in indent[0]:
        return Fault(file, line + 1, indent[0].index("\t") + 1, "a tab; YAML is indented with spaces")
    problem = (error.problem or "it cannot be read").translate(_LOWER)
    written = lines[line] if line < len(lines) else ""
    hint = ""
    if "escape character" in problem:
        hint = "write an expression with a backslash in single quotes"
    elif _PATH_TO_QUOTE.search(written):
        hint = "put a path with [ or * in single quotes: '$.items[*].etag'"
    return Fault(file, line + 1, column + 1, f"not YAML: {problem}", hint)


class _StopReadingError(Exception):
    """A bound was reached; the fault is recorded."""


class _Reader:
    """Builds nodes from events with a stack of its own: nesting costs no recursion."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.documents: list[Node] = []
        self.faults: list[Fault] = []
        self._anchors: dict[str, Node] = {}
        self._stack: list[Node] = []
        self._keys: list[Node | None] = []  # for each open mapping the key that waits for its value
        self._named: list[str | None] = []
        self._count = 0

    def read(self, events: Iterator[Any]) -> None:
        for event in events:
            match event:
                case yaml.DocumentStartEvent():
                    self._anchors.clear()
                case yaml.AliasEvent():
                    self._alias(event)
                case yaml.ScalarEvent():
                    plain = bool(event.implicit[0]) and event.style in (None, "")
                    node = self._node("scalar", event)
                    node.text, node.plain = event.value.translate(_LOWER), plain
                    self._anchor(event.anchor, node)
                    self._place(node)
                case yaml.MappingStartEvent() | yaml.SequenceStartEvent():
                    node = self._node("map" if isinstance(event, yaml.MappingStartEvent) else "list", event)
                    if len(self._stack) >= MAX_DEPTH:
                        self._stop(node, f"nested deeper than {MAX_DEPTH} levels")
                    self._stack.append(node)
                    self._keys.append(None)
                    self._named.append(event.anchor)
                case yaml.MappingEndEvent() | yaml.SequenceEndEvent():
                    node = self._stack.pop()
                    self._keys.pop()
                    # Only now: an alias to an open node would be a circle.
                    self._anchor(self._named.pop(), node)
                    self._place(node)

    def _node(self, kind: Literal["scalar", "list", "map"], event: Any) -> Node:
        node = Node(kind, self.file, event.start_mark.line + 1, event.start_mark.column + 1)
        if event.tag not in (None, "!"):
            self.faults.append(node.fault("YAML tags are not accepted", "leave it out; quotes make text of a number"))
        self._grow(1, node)
        return node

    def _grow(self, size: int, node: Node) -> None:
        self._count += size
        if self._count > MAX_NODES:
            self._stop(node, f"more than {MAX_NODES} values, aliases written out")

    def _stop(self, node: Node, what: str) -> None:
        self.faults.append(node.fault(what, "split the file or write it more simply"))
        raise _StopReadingError

    def _anchor(self, name: str | None, node: Node) -> None:
        if name is not None:
            self._anchors[name] = node

    def _alias(self, event: Any) -> None:
        here = Node("scalar", self.file, event.start_mark.line + 1, event.start_mark.column + 1, plain=True)
        node = self._anchors.get(event.anchor)
        if node is None:
            self.faults.append(here.fault(f"the alias *{event.anchor} has no anchor &{event.anchor} before it"))
            node = here
        self._grow(node.size, here)
        self._place(node)

    def _place(self, node: Node) -> None:
        """Put a finished node where it belongs: document, item, key or value."""
        if not self._stack:
            if node.kind != "scalar" or node.text or not node.plain:
                self.documents.append(node)
            return
        parent = self._stack[-1]
        parent.size += node.size
        if parent.kind == "list":
            parent.items.append(node)
            return
        key = self._keys[-1]
        if key is None:
            self._keys[-1] = node
            return
        self._keys[-1] = None
        if key.kind != "scalar":
            self.faults.append(key.fault("a key must be text"))
        elif key.text == "<<" and key.plain:
            self.faults.append(key.fault("merge keys (<<) are not accepted", "write the settings out"))
        elif key.text in parent.entries:
            first = parent.entries[key.text][0]
            self.faults.append(key.fault(f"the key {key.text!r} stands here twice; first at line {first.line}"))
        else:
            parent.entries[key.text] = (key, node)


def plain_value(node: Node, environ: Mapping[str, str], faults: list[Fault]) -> Any:
    """The node as dicts, lists and scalars, variables put in from ``environ``; what is missing goes to ``faults``."""
    if node.kind == "map":
        return {name: plain_value(value, environ, faults) for name, (_, value) in node.entries.items()}
    if node.kind == "list":
        return [plain_value(item, environ, faults) for item in node.items]
    text = _substituted(node, environ, faults) if "${" in node.text else node.text
    if not node.plain:
        return text
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    if _INTEGER.fullmatch(text):
        return int(text)
    return float(text) if _DECIMAL.fullmatch(text) else text


def _substituted(node: Node, environ: Mapping[str, str], faults: list[Fault]) -> str:
    def value(match: re.Match[str]) -> str:
        escaped, name, default = match[1], match[2], match[3]
        if escaped:
            return escaped
        if not name:
            faults.append(node.fault("'${' without a name", "write ${NAME}, ${NAME:-default}, or $${ for a plain ${"))
            return ""
        if name in environ and (environ[name] or default is None):
            return environ[name]
        if default is None:
            faults.append(node.fault(f"the environment has no {name}", f"set it, or write ${{{name}:-default}}"))
            return ""
        return default

    return _VARIABLE.sub(value, node.text)
