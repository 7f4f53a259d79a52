"""Bodies that are not one JSON document: made, written in many ways that say the same, and changed in one place.

Law: as for JSON, ``write`` never changes what is said, ``change`` always does. What two readers may see differently
(runs of spaces, orders that mean something) is left alone.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, NamedTuple
from urllib.parse import quote, quote_plus

from tests.fuzz import documents, markup
from tests.fuzz.dice import Dice
from tests.fuzz.oracles import Finding
from tests.fuzz.words import WORDS, changed_word, token

FIELDS = ("id", "name", "price", "city", "q", "items[]", "a b", "größe", "note")


class Written(NamedTuple):
    """A body with its media type, which may carry a charset or a boundary."""

    body: bytes
    media: bytes


class Medium(NamedTuple):
    """One media type. ``make`` gets the dice and a list that it adds secrets to; ``write`` gets None for the plain
    spelling."""

    make: Callable[[Dice, list[str]], Any]
    write: Callable[[Any, Dice | None], Written]
    change: Callable[[Any, Dice], Any]


# Lists of JSON documents (NDJSON)


def make_lines(dice: Dice, secrets: list[str]) -> list[Any]:
    """Documents, one a line."""
    return [documents.make(dice, 2, secrets) for _ in range(1 + dice.below(5))]


def write_lines(lines: list[Any], dice: Dice | None) -> Written:
    """A line of JSON must not hold line ends between its tokens."""
    end = "\n" if dice is None else dice.pick(("\n", "\r\n"))
    texts = [documents.write(line) if dice is None else _one_line(documents.write(line, dice)) for line in lines]
    last = end if dice is None or not dice.chance(3) else ""
    return Written((end.join(texts) + last).encode(), b"application/x-ndjson")


def _one_line(text: str) -> str:
    return text.replace("\r\n", " ").replace("\n  ", " ")  # within strings both are escaped


def change_lines(lines: list[Any], dice: Dice) -> list[Any]:
    """One document more, less or other."""
    at = dice.below(len(lines))
    if dice.chance(5):
        return [*lines, {"a": "new"}]
    if len(lines) > 1 and dice.chance(5):
        return lines[:at] + lines[at + 1 :]
    return [*lines[:at], documents.change(lines[at], dice)[0], *lines[at + 1 :]]


# Tables (CSV, RFC 4180)


def make_table(dice: Dice, secrets: list[str]) -> list[list[str]]:
    """Rows of equal length under a head of names; a column may be secret."""
    names = dice.shuffled(FIELDS)[: 1 + dice.below(4)]
    rows = [[dice.pick(WORDS) for _ in names] for _ in range(dice.below(6))]
    if dice.chance(6):
        names = [*names, "password"]
        rows = [[*row, token(dice, secrets)] for row in rows]
    return [names, *rows]


def write_table(rows: list[list[str]], dice: Dice | None) -> Written:
    end = "\r\n" if dice is None else dice.pick(("\r\n", "\n"))
    lines = [",".join([_cell(cell, dice, alone=len(row) == 1) for cell in row]) for row in rows]
    last = end if dice is None or not dice.chance(3) else ""
    return Written((end.join(lines) + last).encode(), b"text/csv")


def _cell(text: str, dice: Dice | None, *, alone: bool) -> str:
    must = any(c in text for c in '",\r\n;') or (alone and not text)  # an empty line would be no row
    if must or (dice is not None and dice.chance(3)):
        return '"' + text.replace('"', '""') + '"'
    return text


def change_table(rows: list[list[str]], dice: Dice) -> list[list[str]]:
    """One cell other, one row more or less, or one column more."""
    way = dice.below(6)
    at = dice.below(len(rows))
    if way == 1 and len(rows) > 1 and at > 0:
        return rows[:at] + rows[at + 1 :]
    if way == 2:
        return [*rows, ["new"] * len(rows[0])]
    if way == 3:
        return [[*row, "more" if number else "column"] for number, row in enumerate(rows)]
    column = dice.below(len(rows[at]))
    if rows[0][column] == "password":
        column = 0  # without its name it would be no secret
    cell = changed_word(rows[at][column], dice)
    return [*rows[:at], [*rows[at][:column], cell, *rows[at][column + 1 :]], *rows[at + 1 :]]


# Server-sent events


def make_events(dice: Dice, secrets: list[str]) -> list[dict[str, str]]:
    """Events with a name, an id and data of one or more lines."""
    events = []
    for _ in range(1 + dice.below(5)):
        event = {"data": dice.pick(("1", "two", "a\nb", documents.write(documents.make(dice, 2)), "[DONE]"))}
        if dice.chance(6):
            event["data"] = json.dumps({"token": token(dice, secrets)})
        if dice.chance(2):
            event["event"] = dice.pick(("added", "removed"))
        if dice.chance(3):
            event["id"] = dice.pick(("1", "2", "abc"))
        events.append(event)
    return events


def write_events(events: list[dict[str, str]], dice: Dice | None) -> Written:
    end = "\n" if dice is None else dice.pick(("\n", "\r\n", "\r"))
    out = []
    for event in events:
        names = sorted(event) if dice is None else dice.shuffled(sorted(event))
        for name in names:
            for line in event[name].split("\n"):
                gap = " " if dice is None or line.startswith(" ") else dice.pick((" ", ""))
                out.append(f"{name}:{gap}{line}{end}")
            if dice is not None and dice.chance(6):
                out.append(f": keep-alive{end}")
        out.append(end)
    return Written("".join(out).encode(), b"text/event-stream")


def change_events(events: list[dict[str, str]], dice: Dice) -> list[dict[str, str]]:
    """One event more, less or with other data or another name."""
    at = dice.below(len(events))
    way = dice.below(5)
    if way == 1:
        return [*events, {"data": "new"}]
    if way == 2 and len(events) > 1:
        return events[:at] + events[at + 1 :]
    if way == 3:
        return [
            *events[:at],
            {**events[at], "event": changed_word(events[at].get("event", ""), dice)},
            *events[at + 1 :],
        ]
    return [*events[:at], {**events[at], "data": "X" + events[at]["data"]}, *events[at + 1 :]]


# Forms


def make_form(dice: Dice, secrets: list[str]) -> list[tuple[str, str]]:
    """Names and values; names may be repeated."""
    fields = [(dice.pick(FIELDS), dice.pick(WORDS)) for _ in range(1 + dice.below(5))]
    if dice.chance(6):
        fields.append(("password", token(dice, secrets)))
    return fields


def write_form(fields: list[tuple[str, str]], dice: Dice | None) -> Written:
    if dice is not None:
        fields = _regrouped(fields, dice)
    parts = [f"{_escaped(name, dice)}={_escaped(value, dice)}" for name, value in fields]
    return Written("&".join(parts).encode(), b"application/x-www-form-urlencoded")


def _regrouped(fields: list[tuple[str, str]], dice: Dice) -> list[tuple[str, str]]:
    """Another order of the names; the values of one name stay in theirs."""
    names = dice.shuffled(list(dict.fromkeys(name for name, _ in fields)))
    return [field for name in names for field in fields if field[0] == name]


def _escaped(text: str, dice: Dice | None) -> str:
    way = 0 if dice is None else dice.below(3)
    if way == 1:
        return quote(text, safe="")
    if way == 2:
        return "".join(f"%{byte:02x}" for byte in text.encode())
    return quote_plus(text)


def change_form(fields: list[tuple[str, str]], dice: Dice) -> list[tuple[str, str]]:
    at = dice.below(len(fields))
    way = dice.below(5)
    if way == 1:
        return [*fields, ("new", "1")]
    if way == 2 and len(fields) > 1:
        return fields[:at] + fields[at + 1 :]
    name, value = fields[at]
    return [*fields[:at], (name, changed_word(value, dice)) if way else ("other" + name, value), *fields[at + 1 :]]


def write_parts(fields: list[tuple[str, str]], dice: Dice | None) -> Written:
    """The same fields as multipart/form-data (RFC 7578); the boundary says nothing."""
    boundary = "b0undary" if dice is None else dice.pick(("b0undary", "----WebKitFormBoundary7MA4YWxk", "x'y-z"))
    if dice is not None:
        fields = _regrouped(fields, dice)
    out = []
    for name, value in fields:
        head = dice.pick(("Content-Disposition", "content-disposition")) if dice is not None else "Content-Disposition"
        shown = name.replace("\\", "\\\\").replace('"', '\\"')
        out.append(f'--{boundary}\r\n{head}: form-data; name="{shown}"\r\n\r\n{value}\r\n')
    quoted = f'"{boundary}"' if dice is None or dice.chance(2) or "'" in boundary else boundary
    return Written(("".join(out) + f"--{boundary}--\r\n").encode(), f"multipart/form-data; boundary={quoted}".encode())


# Plain text and bytes


def make_text(dice: Dice, secrets: list[str]) -> list[str]:
    lines = [dice.text((*WORDS, " "), 6) for _ in range(1 + dice.below(8))]
    if dice.chance(6):
        lines.insert(dice.below(len(lines)), f"api_key: {token(dice, secrets)}")
    return lines


def write_text(lines: list[str], dice: Dice | None) -> Written:
    del dice  # every byte of a text may mean something
    return Written("\n".join(lines).encode(), b"text/plain")


def change_text(lines: list[str], dice: Dice) -> list[str]:
    at = dice.below(len(lines))
    if lines[at].startswith("api_key"):
        return [*lines, "new"]  # without its name it would be no secret
    way = dice.below(4)
    if way == 1:
        return [*lines, "new"]
    if way == 2 and len(lines) > 1:
        return lines[:at] + lines[at + 1 :]
    return [*lines[:at], changed_word(lines[at], dice), *lines[at + 1 :]]


HEADS = (
    b"", b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x00\x00\x02\x00\x00\x00\x03", b"GIF89a\x01\x00\x02\x00",
    b"\xff\xd8\xff\xc0\x00\x11\x08\x00\x01\x00\x02\x03", b"%PDF-1.7\n", b"PK\x03\x04",
)  # fmt: skip


def make_bytes(dice: Dice, secrets: list[str]) -> bytes:
    del secrets  # bytes are never stored, so nothing in them can be shown
    return dice.pick(HEADS) + bytes(dice.below(256) for _ in range(1 + dice.below(40)))


def write_bytes(data: bytes, dice: Dice | None) -> Written:
    del dice
    return Written(data, b"application/octet-stream" if len(data) % 2 else b"image/png")


def change_bytes(data: bytes, dice: Dice) -> bytes:
    at = dice.below(len(data))
    return data[:at] + bytes([data[at] ^ (1 << dice.below(8))]) + data[at + 1 :]


def checked(medium: Medium, model: Any, dice: Dice) -> Any:
    """One change of a model, which is one that can be seen in the plain spelling."""
    before = medium.write(model, None)
    for _ in range(20):
        changed = medium.change(model, dice)
        if medium.write(changed, None) != before:
            return changed
    raise Finding("the fuzzer finds no change", repr(model)[:500])


MEDIA_TYPES: dict[str, Medium] = {
    "ndjson": Medium(make_lines, write_lines, change_lines),
    "csv": Medium(make_table, write_table, change_table),
    "sse": Medium(make_events, write_events, change_events),
    "form": Medium(make_form, write_form, change_form),
    "multipart": Medium(make_form, write_parts, change_form),
    "text": Medium(make_text, write_text, change_text),
    "binary": Medium(make_bytes, write_bytes, change_bytes),
    "html": Medium(markup.make_html, markup.write_html, markup.change),
    "xml": Medium(markup.make_xml, markup.write_xml, markup.change),
}
