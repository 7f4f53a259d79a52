"""Server-sent events as documents for the walk (HTML, section 9.2).

Law: two streams give equal documents if and only if a client is told the same: line endings, comments (heartbeats) and
the spaces after colons do not matter; events, their ids and ``retry`` do. An event that the stream did not end is one,
too, so that a stream that broke off is not taken for one that ended.

``data`` that is a JSON object or list is read as such; anything else is the text that it is.
"""

from __future__ import annotations

from typing import Any

from proxy.compare.document import DuplicateKeyError, NotJsonError, parse_json
from proxy.compare.result import Budget, Incomparable


def parse_events(text: str, budget: Budget) -> list[dict[str, Any]]:
    """The events of a stream: objects with those of ``event``, ``id``, ``data`` and ``retry`` that are there, and
    one with ``unfinished`` alone for what has no end, which clients never get to see.

    Raises Incomparable ("too-many-nodes", "too-deep", "duplicate-keys").
    """
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    if len(lines) > budget.nodes:
        raise Incomparable("too-many-nodes")
    events: list[dict[str, Any]] = []
    event: dict[str, Any] = {}
    data: list[str] = []
    last = lines.pop()
    for line in lines:
        if line:
            _field(line, event, data)
        elif event or data:
            events.append(_event(event, data, budget))
            event, data = {}, []
    _field(last, event, data)
    if event or data:
        events.append({"unfinished": _event(event, data, budget)})
    return events


def _field(line: str, event: dict[str, Any], data: list[str]) -> None:
    name, _, value = line.partition(":")
    value = value.removeprefix(" ")
    if name == "data":
        data.append(value)
    elif name in ("event", "id") or (name == "retry" and value.isascii() and value.isdigit()):
        event[name] = value


def _event(event: dict[str, Any], data: list[str], budget: Budget) -> dict[str, Any]:
    if not data:
        return event
    text = "\n".join(data)
    value: Any = text
    if text[:1] in ("{", "["):
        try:
            value = parse_json(text.encode("utf-8", "surrogatepass"), budget, guarded=True)
        except NotJsonError:
            pass
        except DuplicateKeyError:
            raise Incomparable("duplicate-keys") from None
    return {**event, "data": value}
