"""Exported suites, status, fields and bodies that are no JSON: what is asked for is what the rules compare."""

from __future__ import annotations

from typing import Any

import pytest
from exported import found, material
from recorded import live, picture, said

from proxy.cli.exporting import cases
from proxy.messages import Answer


def test_another_status_is_a_failure_that_shows_the_body() -> None:
    failing = found(said({"id": 1}), said({"error": "no\x1b[2J"}, "application/json", 500))
    assert failing == ["status: expected 200, got 500", 'body: b\'{"error":"no\\\\u001b[2J"}\'']
    assert found(said({}), said({}, "application/json", 201)) == ["status: expected 200, got 201"]
    assert found(said({}), said({}, "application/json", 201), expected=[["status", "status"]]) == []
    assert found(said({}), said({}, "application/json", 400), expected=[["status", "status"]]) != []


def test_compared_fields_are_those_of_the_rules() -> None:
    one = said({}, "application/json", 200, (b"X-Total", b"1"), (b"X-Total", b"2"))
    two = said({}, "application/json", 200, (b"X-Total", b"1, 2"))
    assert found(one, two) == []
    (message,) = found(one, two, headers=["X-Total"])
    assert message == "header x-total: expected ['1', '2'], got ['1, 2']"
    assert found(one, two, headers=["x-total"], ignore=["header:x-total"]) == []
    assert found(one, two, headers=["x-total"], match={"header:x-total": "number"}) == []
    assert found(one, said({}), headers=["x-total"], match={"header:x-total": "number"}) == [
        "header x-total: expected, got none"
    ]
    assert found(one, two, headers=["x-total"], expected=[["header", "header:x-total"]]) == []
    moved = said({}, "application/json", 200, (b"Location", b"/x"))
    assert found(said({}), moved) == ["header location: expected [], got ['/x']"]
    assert found(said({}), moved, expected=[["redirect", "header:location"]]) == []


@pytest.mark.parametrize(
    ("one", "two", "same"),
    [
        ("application/json", "Application/JSON; charset=utf-8", True),
        ("text/html;charset=utf-8", 'text/html; charset="UTF-8"', True),
        ("text/html; charset=utf-8", "text/html", False),
        ("text/html", "text/plain", False),
    ],
)
def test_media_types_are_compared_as_they_are_live(one: str, two: str, same: bool) -> None:
    a, b = said("{}", one), said("{}", two)
    assert (found(a, b) == []) == same == (live(a, b).verdict == "matched")


def test_cookies_are_asked_for_by_name() -> None:
    sets = (b"Set-Cookie", b"sid=abc; Path=/"), (b"Set-Cookie", b"theme=dark")
    legacy = said({}, "application/json", 200, *sets)
    assert (
        found(legacy, said({}, "application/json", 200, (b"Set-Cookie", b"theme=x"), (b"Set-Cookie", b"sid=y"))) == []
    )
    half = said({}, "application/json", 200, sets[0])
    assert found(legacy, half) == ["cookie theme: expected, not set"]
    assert found(legacy, half, ignore=["cookie:theme"]) == []
    assert found(legacy, half, expected=[["cookie", "cookie:theme"]]) == []
    assert found(legacy, half, headers=[]) == []


def test_masked_and_undecodable_fields_only_have_to_be_there() -> None:
    one = said({}, "application/json", 302, (b"Location", b"/caf\xe9?token=abcdef012345"))
    two = said({}, "application/json", 302, (b"Location", b"/x?token=b"))
    assert found(one, two) == []
    assert found(one, said({}, "application/json", 302)) == ["header location: expected, got none"]
    accented = said({}, "application/json", 302, (b"Location", "/café".encode()))
    assert found(accented, accented) == []


# -- bodies that are no JSON ------------------------------------------------------------------------------------------


def kind_of(legacy: Answer, **more: Any) -> str:
    return str(cases(material(legacy, **more), safe_only=False)[0]["cases"][0]["expected"]["kind"])


def test_text_is_compared_line_by_line() -> None:
    a = said("one\ntwo\nthree", "text/plain; charset=iso-8859-1")
    assert kind_of(a) == "text"
    assert found(a, a) == []
    (message,) = found(a, said("one\nzwei\nthree", "text/plain; charset=iso-8859-1"))
    assert message == 'body, line 2: expected "two", got "zwei"'
    (longer,) = found(a, said("one\ntwo\nthree\nfour", "text/plain; charset=iso-8859-1"))
    assert longer == 'body, line 4: expected null, got "four"'
    latin = said("café".encode("latin-1"), "text/plain; charset=iso-8859-1")
    assert found(latin, latin) == []
    assert found(said("a", "text/x; charset=none"), said("a", "text/x; charset=none")) == []


def test_bytes_are_compared_by_length_and_open_digest() -> None:
    long, short = said(picture(9000), "image/png"), said(picture(90), "image/png")
    assert found(long, long) == found(short, short) == []
    assert found(long, said(picture(9000)[:-1] + b"\2", "image/png")) == [
        "body: 9010 bytes as expected, but other ones"
    ]
    assert found(short, said(picture(91), "image/png")) == ["body: expected 100 bytes, got 101"]
    assert found(short, said(picture(91), "image/png"), expected=[["digest", "body"]]) == []


@pytest.mark.parametrize(
    "media",
    ["text/html", "application/xml", "text/csv", "text/event-stream", "application/x-ndjson",
     "application/x-www-form-urlencoded", "multipart/form-data; boundary=b"],
)  # fmt: skip
def test_of_other_media_only_is_seen_that_there_is_a_body(media: str) -> None:
    a = said("id=1", media)
    assert kind_of(a) == "presence"
    assert found(a, said("something else", media)) == []
    assert found(a, said("", media)) == ["body: expected one, got none"]


def test_what_is_masked_or_was_not_read_is_not_compared() -> None:
    assert kind_of(said("password=hunter2", "text/plain")) == "presence"
    assert kind_of(said(b"caf\xe9", "text/plain")) == "presence"
    assert kind_of(said('{"a":1,"a":2}')) == "presence"
    coded = (b"Content-Encoding", b"unknown")
    assert kind_of(said(picture(9000), "image/png", 200, coded)) == "presence"


def test_nothing_is_nothing() -> None:
    none = said("", "", 204)
    assert found(none, none) == []
    assert found(none, said("x", "", 204)) == ["body: expected none, got b'x'"]
    assert kind_of(none, expected=[["extra", "body"]]) == "any"
    assert kind_of(said({}), expected=[["missing", "body"]]) == "any"
    assert kind_of(said({}), ignore=["$"]) == "any"
