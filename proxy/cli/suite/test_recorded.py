"""Requests that a monolith was asked, asked of the service that is to take over.

What an answer has to look like stands in recorded.json. Of a JSON body that is the recorded value, with patterns at
places where it may differ; a pattern is an object with one key that begins with ``$``:

- ``{"$any": true}``: whatever stands there;
- ``{"$type": "string"}``: any value of this type ("object", "list", "string", "number", "boolean", "null");
- ``{"$near": [12.5, 0.01]}``: a number that differs by at most so much;
- ``{"$match": "ord-[0-9]+"}``: a text that fits a regular expression as a whole;
- ``{"$optional": pattern}``: may be absent;
- ``{"$unordered": [patterns]}``: a list in any order;
- ``{"$keyed": ["id", [patterns]]}``: the same, of objects that are told apart by a member;
- ``{"$open": {name: pattern}}``: an object that may have more members than these;
- ``{"$object": {name: pattern}}``: an object whose own name begins with ``$``.
"""

import gzip
import hashlib
import http.client
import json
import os
import re
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import urlsplit

import pytest

RECORDED = Path(__file__).parent / "recorded.json"
TIMEOUT_SECONDS = 30
ABSENT = object()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """One test for each recorded request."""
    cases = read(RECORDED.read_bytes())["cases"]
    metafunc.parametrize("case", cases, ids=[case["name"] for case in cases])


def test_the_service_answers_as_the_monolith_did(case: dict[str, Any], base_url: str) -> None:
    """Status, compared headers and body are those that were recorded."""
    found = list(differences(case["expected"], *ask(base_url, case["request"])))
    if found and (unset := [name for _, pieces in case["request"]["headers"] for name in missing(pieces)]):
        found.append(f"(sent without what was masked when it was recorded; set {', '.join(unset)})")
    if found:
        pytest.fail("\n".join(found), pytrace=False)


# -- asking -----------------------------------------------------------------------------------------------------------


def missing(pieces: list[str | dict[str, str]]) -> list[str]:
    """The variables that a recorded text needs and the environment does not have."""
    return [piece["variable"] for piece in pieces if isinstance(piece, dict) and piece["variable"] not in os.environ]


def value(pieces: list[str | dict[str, str]]) -> str:
    """A recorded text; what was masked in it is taken from the environment."""
    if unset := missing(pieces):
        pytest.skip(f"masked when it was recorded; set {', '.join(unset)}")
    return "".join(piece if isinstance(piece, str) else os.environ[piece["variable"]] for piece in pieces)


def ask(base_url: str, request: dict[str, Any]) -> tuple[int, http.client.HTTPMessage, bytes]:
    """Send a recorded request; status, headers and body of the answer. A header that was masked is left out unless the
    environment has it. Redirects are not followed."""
    base = urlsplit(base_url)
    kind = http.client.HTTPSConnection if base.scheme == "https" else http.client.HTTPConnection
    connection = kind(base.hostname or "", base.port, timeout=TIMEOUT_SECONDS)
    headers = {name: value(pieces).encode() for name, pieces in request["headers"] if not missing(pieces)}
    headers["X-Banyan-Shadow"] = b"1"
    body = value(request["body"]).encode(request["charset"]) or None
    try:
        connection.request(request["method"], base.path + value(request["target"]), body, headers)
        answer = connection.getresponse()
        content = answer.read()
    except (OSError, http.client.HTTPException) as error:
        pytest.fail(f"{base_url} does not answer: {error or type(error).__name__}", pytrace=False)
    finally:
        connection.close()
    if content and answer.headers.get("content-encoding", "").lower() == "gzip":
        content = gzip.decompress(content)
    return answer.status, answer.headers, content


# -- judging ----------------------------------------------------------------------------------------------------------


def differences(expected: dict[str, Any], status: int, headers: http.client.HTTPMessage, body: bytes) -> Iterator[str]:
    """Where an answer is not as expected, in words."""
    wanted = expected["status"]
    if wanted not in (str(status), f"{status // 100}xx"):
        yield f"status: expected {wanted}, got {status}"
        if wanted[0] != str(status)[0]:  # of another class: the rest is about something else
            yield f"body: {shown(body)}"
            return
    for name, texts in expected["headers"].items():
        got = [text.encode("latin-1").decode("utf-8", "replace") for text in headers.get_all(name, [])]
        if texts is None and not got:
            yield f"header {name}: expected, got none"
        elif texts is not None and [spelled(name, text) for text in texts] != [spelled(name, text) for text in got]:
            yield f"header {name}: expected {texts}, got {got}"
    cookies = {text.partition(";")[0].partition("=")[0].strip() for text in headers.get_all("set-cookie", [])}
    yield from (f"cookie {name}: expected, not set" for name in expected["cookies"] if name not in cookies)
    yield from of_body(expected["kind"], expected["body"], headers, body)


def spelled(name: str, text: str) -> object:
    """A field's value without what makes no difference: of a media type the case, the order of parameters, a charset
    that JSON always has, the boundary between parts."""
    if name != "content-type":
        return text
    media, *rest = (part.strip().lower().replace('"', "") for part in text.split(";"))
    plain = "charset=utf-8" if media.endswith(("json", "event-stream")) else ""
    return media, {part for part in rest if part and part != plain and not part.startswith("boundary=")}


def of_body(kind: str, expected: Any, headers: http.client.HTTPMessage, body: bytes) -> Iterator[str]:
    """Where a body is not as expected. ``kind`` says how far it is looked into."""
    if kind == "json":
        try:
            document = read(body)
        except (ValueError, RecursionError) as error:
            yield f"$: expected JSON, got {shown(body)} ({error})"
            return
        yield from mismatches(expected, document)
    elif kind == "text":
        text = text_of(headers, body)
        if text != expected:
            lines = zip([*expected.split("\n"), None], [*text.split("\n"), None], strict=False)
            number, (one, two) = next((n, pair) for n, pair in enumerate(lines, 1) if pair[0] != pair[1])
            yield f"body, line {number}: expected {shown(one)}, got {shown(two)}"
    elif kind == "bytes":
        length, digest = expected
        if len(body) != length:
            yield f"body: expected {length} bytes, got {len(body)}"
        elif digest and hashlib.sha256(body).hexdigest() != digest:
            yield f"body: {length} bytes as expected, but other ones"
    elif kind == "none" and body:
        yield f"body: expected none, got {shown(body)}"
    elif kind == "presence" and not body:
        yield "body: expected one, got none"


def text_of(headers: http.client.HTTPMessage, body: bytes) -> str:
    """A body in the charset that it says, UTF-8 if Python does not know it."""
    try:
        return body.decode(headers.get_content_charset("utf-8"), "replace")
    except LookupError:
        return body.decode("utf-8", "replace")


class Exact:
    """A number that Python has no room for: equal only as it is written."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Exact) and self.text == other.text

    def __hash__(self) -> int:
        return hash(self.text)

    def __repr__(self) -> str:
        return f"number {self.text}"


def read(text: bytes) -> Any:
    """A JSON document with every digit. Raises ValueError for what is none, or says one name twice."""

    def whole(text: str) -> int | Exact:
        return int(text) if len(text) < 4000 and text != "-0" else Exact(text)

    def fraction(text: str) -> Decimal | Exact:
        try:
            return Decimal(text)
        except ArithmeticError:
            return Exact(text)

    def members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if len(dict(pairs)) < len(pairs):
            raise ValueError("an object says one name twice")
        return dict(pairs)

    def constant(text: str) -> NoReturn:
        raise ValueError(f"{text} is not JSON")

    return json.loads(text, parse_int=whole, parse_float=fraction, parse_constant=constant, object_pairs_hook=members)


def mismatches(pattern: Any, value: Any, path: str = "$") -> list[str]:
    """Where ``value`` does not fit, in words."""
    if isinstance(pattern, dict):
        if len(pattern) == 1:
            (word, inner), *_ = pattern.items()
            if word.startswith("$"):
                return special(word, inner, value, path)
        return objects(pattern, value, path, may_have_more=False)
    if isinstance(pattern, list):
        return lists(pattern, value, path)
    if value is ABSENT or not equal(pattern, value):
        return [f"{path}: expected {shown(pattern)}, got {shown(value)}"]
    return []


def equal(one: Any, two: Any) -> bool:
    """Whether two scalars say the same: 1, 1.0, true and "1" do not, nor do 0.0 and -0.0."""
    if type(one) is not type(two) or one != two:
        return False
    return not isinstance(one, Decimal) or one.is_signed() == two.is_signed()


def special(word: str, inner: Any, value: Any, path: str) -> list[str]:
    """The patterns."""
    if word == "$any" or (word == "$optional" and value is ABSENT):
        return []
    if word == "$optional":
        return mismatches(inner, value, path)
    if word in ("$object", "$open"):
        return objects(inner, value, path, may_have_more=word == "$open")
    if word == "$unordered":
        return unordered(inner, value, path)
    if word == "$keyed":
        return keyed(inner[0], inner[1], value, path)
    got = f"got {shown(value)}"
    if word == "$type":
        return [] if type_of(value) == inner else [f"{path}: expected a {inner}, {got}"]
    if word == "$match":
        fits = type_of(value) == "string" and re.fullmatch(inner, value)
        return [] if fits else [f"{path}: expected a text like {inner}, {got}"]
    number, tolerance = (Decimal(str(each)) for each in inner)
    near = isinstance(value, int | Decimal) and type_of(value) == "number" and abs(value - number) <= tolerance
    return [] if near else [f"{path}: expected {number} within {tolerance}, {got}"]


def objects(pattern: dict[str, Any], value: Any, path: str, *, may_have_more: bool) -> list[str]:
    """Objects by their names."""
    if not isinstance(value, dict):
        return [f"{path}: expected an object, got {shown(value)}"]
    found = []
    for name, inner in pattern.items():
        found += mismatches(inner, value.get(name, ABSENT), f"{path}.{name}")
    if not may_have_more:
        unknown = sorted(value.keys() - pattern.keys())
        found += [f"{path}.{name}: not expected, got {shown(value[name])}" for name in unknown]
    return found


def lists(pattern: list[Any], value: Any, path: str) -> list[str]:
    """Lists item by item."""
    if not isinstance(value, list):
        return [f"{path}: expected a list, got {shown(value)}"]
    found = [] if len(pattern) == len(value) else [f"{path}: expected {len(pattern)} items, got {len(value)}"]
    for number, (inner, item) in enumerate(zip(pattern, value, strict=False)):
        found += mismatches(inner, item, f"{path}[{number}]")
    return found


def unordered(pattern: list[Any], value: Any, path: str) -> list[str]:
    """Lists in any order: each pattern takes an item of its own, and gives it up if it fits another one, too."""
    if not isinstance(value, list):
        return [f"{path}: expected a list, got {shown(value)}"]
    taken: dict[int, int] = {}  # item -> pattern
    same: dict[str, list[int]] = {}
    for at, item in enumerate(value):
        same.setdefault(written(item), []).append(at)
    left = []
    for number, inner in enumerate(pattern):  # what is the same needs no trying
        text = written(inner)
        if '"$' not in text and (places := same.get(text)):
            taken[places.pop()] = number
        else:
            left.append(number)
    fits: dict[tuple[int, int], bool] = {}

    def place(number: int, tried: set[int]) -> bool:
        for at, item in enumerate(value):
            if at in tried:
                continue
            if (number, at) not in fits:
                fits[number, at] = not mismatches(pattern[number], item)
            if fits[number, at]:
                tried.add(at)
                if at not in taken or place(taken[at], tried):
                    taken[at] = number
                    return True
        return False

    found = [f"{path}: no item like {shown(pattern[number])}" for number in left if not place(number, set())]
    return found + [f"{path}: not expected: {shown(item)}" for at, item in enumerate(value) if at not in taken]


def written(value: Any, number: Callable[[Any], str] = repr) -> str:
    """A value as text: the same text is only of the same value."""
    if isinstance(value, dict):
        inner = (f"{json.dumps(name, ensure_ascii=False)}: {written(value[name], number)}" for name in sorted(value))
        return "{" + ", ".join(inner) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(written(item, number) for item in value) + "]"
    return number(value) if isinstance(value, Decimal | Exact) else json.dumps(value, ensure_ascii=False)


def keyed(key: str, pattern: list[Any], value: Any, path: str) -> list[str]:
    """Lists of objects in any order, which are told apart by a member."""
    if not isinstance(value, list):
        return [f"{path}: expected a list, got {shown(value)}"]
    items = {repr(item.get(key)) if isinstance(item, dict) else f"item {n}": item for n, item in enumerate(value)}
    if len(items) < len(value):
        return [f"{path}: two items have the same {key}"]
    found = []
    for inner in pattern:
        name = repr(inner[key])
        if name in items:
            found += mismatches(inner, items.pop(name), f"{path}[{key}={inner[key]}]")
        else:
            found.append(f"{path}: no item with {key} {shown(inner[key])}")
    return found + [f"{path}: not expected: {shown(item)}" for item in items.values()]


def type_of(value: Any) -> str:
    """The JSON type of a value."""
    if isinstance(value, Exact | Decimal):
        return "number"
    for kind, name in ((bool, "boolean"), (int, "number"), (str, "string"), (list, "list"), (dict, "object")):
        if isinstance(value, kind):
            return name
    return "null" if value is None else "nothing"


def shown(value: Any) -> str:
    """A value for a message, on one line and short."""
    if value is ABSENT:
        return "nothing"
    text = repr(value) if isinstance(value, bytes) else written(value, str)
    text = "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)
    return text if len(text) <= 120 else text[:117] + "..."
