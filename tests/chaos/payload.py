"""What is sent and answered in a chaos run, all of it a function of an id.

Law: nobody stores a body. The client, the services and the checks work out the same bytes from the request's id, its
size and the side that answers, so that a lost, doubled or mixed-up byte shows wherever it is looked at.
"""

from __future__ import annotations

import hashlib
import json
import re
import zlib
from typing import Literal

Side = Literal["legacy", "candidate"]
Style = Literal["own", "twin", "diff"]
"""How the two sides' answers to one request differ: in every byte, not at all, in one member of a JSON document."""

DIFF_PATHS = 500
"""Members that may be the one that differs. Each is a fingerprint of its own, of which a store keeps 1,000 samples:
enough for every pair of a long run."""

_ID = re.compile(r"c(\d+)w(\d+)n(\d+)")
_FILL = "chaos is a ladder "


def make_id(cycle: int, client: int, number: int) -> str:
    """The id of one request. Its digits stand apart, so that no redaction takes it for a card number."""
    return f"c{cycle}w{client}n{number}"


def cycle_of(request: str) -> int:
    """The cycle that an id was made in; -1 if it is none of ours."""
    match = _ID.fullmatch(request)
    return int(match[1]) if match else -1


def request_body(request: str, size: int) -> bytes:
    """What a client sends."""
    return hashlib.shake_128(f"request {request}".encode()).digest(size)


def answer_body(style: Style, side: Side, request: str, size: int) -> bytes:
    """What a side answers to a request that succeeds."""
    if style == "diff":
        return _document(side, request, size)
    voice = side if style == "own" else "both"
    return hashlib.shake_128(f"{voice} {request}".encode()).digest(size)


def error_body(side: Side, request: str, status: int) -> bytes:
    """What a side answers when it fails."""
    return f"{side} fails {request} with {status}".encode()


def content_type(style: Style) -> str:
    """The media type of a style's answers."""
    return "application/json" if style == "diff" else "application/octet-stream"


def _document(side: Side, request: str, size: int) -> bytes:
    member = f"m{zlib.crc32(request.encode()) % DIFF_PATHS}"
    fill = (_FILL * (size // len(_FILL) + 1))[:size]
    return json.dumps({"id": request, member: 1 if side == "legacy" else 2, "fill": fill}).encode()
