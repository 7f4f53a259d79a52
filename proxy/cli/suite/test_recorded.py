"""Requests that a monolith was asked, asked of the service that is to take over."""

import http.client
import json
import os
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from patterns import mismatches

SUITE = json.loads((Path(__file__).parent / "recorded.json").read_text(encoding="utf-8"))
EXTRA = None if SUITE["extra"] is None else frozenset(SUITE["extra"])
TIMEOUT_SECONDS = 30


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
    environment has it."""
    base = urlsplit(base_url)
    kind = http.client.HTTPSConnection if base.scheme == "https" else http.client.HTTPConnection
    connection = kind(base.hostname or "", base.port, timeout=TIMEOUT_SECONDS)
    try:
        headers = {name: value(pieces) for name, pieces in request["headers"] if not missing(pieces)}
        body = value(request["body"]).encode() or None
        connection.request(request["method"], base.path + value(request["target"]), body, headers)
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read()
    finally:
        connection.close()


@pytest.mark.parametrize("case", SUITE["cases"], ids=lambda case: case["name"])
def test_the_service_answers_as_the_monolith_did(case: dict[str, Any], base_url: str) -> None:
    """Status, compared headers and body are those that were recorded."""
    status, headers, body = ask(base_url, case["request"])
    expected = case["expected"]
    found = [] if status == expected["status"] else [f"status: expected {expected['status']}, got {status}"]
    for name, text in expected["headers"].items():
        if headers.get(name) != text:
            found.append(f"header {name}: expected {text!r}, got {headers.get(name)!r}")
    if status == expected["status"]:
        if expected["kind"] == "json":
            try:
                found += mismatches(expected["body"], json.loads(body), EXTRA)
            except ValueError:
                found.append(f"$: expected JSON, got {body[:120]!r}")
        elif expected["kind"] == "text" and body.decode("utf-8", "replace") != expected["body"]:
            found.append(f"body: expected {expected['body'][:120]!r}, got {body[:120]!r}")
        elif expected["kind"] == "none" and body:
            found.append(f"body: expected none, got {len(body)} bytes")
    if found and (unset := [name for _, pieces in case["request"]["headers"] for name in missing(pieces)]):
        found.append(f"(sent without what was masked when it was recorded; set {', '.join(unset)})")
    assert not found, "\n".join(found)
