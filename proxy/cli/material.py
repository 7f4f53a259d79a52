"""The recorded requests of a route with what is needed to judge new answers: from a running Banyan, or from a file.

Law: what is no such record is refused in one line that says where it is wrong; what comes after may trust its shape.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec

from proxy.cli.client import Client, segment
from proxy.errors import CommandLineError, UnreachableError
from proxy.telemetry.visible import visible

MAX_FILE_BYTES = 256 * 1024 * 1024


class _Body(msgspec.Struct):
    kind: str
    bytes: int
    text: str | None
    cut: bool

    def __post_init__(self) -> None:
        if self.text is None and self.kind != "bytes":
            raise ValueError("a body without its text")


class _Request(msgspec.Struct):
    method: str
    target: str
    headers: list[tuple[str, str]]
    body: _Body


class _Answer(msgspec.Struct):
    status: int
    failure: str
    seconds: float
    headers: list[tuple[str, str]]
    body: _Body


class _Recorded(msgspec.Struct):
    at: str
    request: _Request
    legacy: _Answer
    redaction_key: str = ""
    cell: str = ""
    shape: str = ""


class _Counted(msgspec.Struct):
    requests: int
    kinds: int
    answered: int


class _Material(msgspec.Struct):
    route: str
    compare: dict[str, Any]
    redaction: dict[str, Any]
    expected: list[tuple[str, str]]
    requests: list[_Recorded]
    no_room: int = 0
    recorded: _Counted | None = None


def of_banyan(route: str, limit: int, admin: str) -> dict[str, Any]:
    """What the Banyan at ``admin`` has recorded of a route. Raises BanyanError."""
    try:
        material = Client(admin).get(f"/api/routes/{segment(route)}/replay", limit=limit)
    except ValueError:
        raise UnreachableError(f"{visible(admin, 200)} does not answer as a Banyan of this release does") from None
    return checked(material, route, admin)


def of_file(path: Path, route: str, limit: int) -> dict[str, Any]:
    """What ``banyan replay --save`` has written. Raises CommandLineError."""
    try:
        with path.open("rb") as file:
            text = file.read(MAX_FILE_BYTES)
    except OSError as error:
        raise CommandLineError(f"{path} cannot be read: {error.strerror or error}") from None
    try:
        material = json.loads(text)
    except (ValueError, RecursionError):
        raise CommandLineError(f"{path} is not JSON; banyan replay --save writes such a file") from None
    material = checked(material, route, str(path))
    material["requests"] = material["requests"][:limit]
    return material


def checked(material: Any, route: str, where: str) -> dict[str, Any]:
    """The material, if it has the shape of such a record and is of ``route``. Raises CommandLineError."""
    try:
        msgspec.convert(material, _Material)
    except msgspec.ValidationError as error:
        raise CommandLineError(
            f"{visible(where, 200)} holds no recorded requests of a route: {visible(str(error), 200)}"
        ) from None
    if material["route"] != route:
        raise CommandLineError(
            f"{visible(where, 200)} holds requests of the route {visible(material['route'], 80)!r}, not of {route!r}"
        )
    return dict(material)
