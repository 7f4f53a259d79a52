"""Two bodies of one kind of media, read into documents that one walk can compare.

Law: a pair of documents is equal if and only if the bodies say the same. What a reader cannot read is said with the
side that it stands on; nothing is made up in its place.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

from proxy.compare import charsets
from proxy.compare.decode import content_type
from proxy.compare.document import (
    BOM,
    DuplicateKeyError,
    NotJsonError,
    has_duplicate_keys,
    is_risky,
    parse_json,
    parse_pair,
)
from proxy.compare.events import parse_events
from proxy.compare.forms import NotMultipartError, multipart_documents, parse_multipart, urlencoded_documents
from proxy.compare.html import html_documents
from proxy.compare.media import Reader, reader_of
from proxy.compare.meter import Meter
from proxy.compare.result import Budget, Incomparable
from proxy.compare.secret_names import Secret
from proxy.compare.tables import (
    NotATableError,
    Table,
    parse_table,
    same_columns_in_another_order,
    separator_of,
    table_documents,
)
from proxy.compare.xml import NotXmlError, is_well_formed, parse_xml, xml_documents
from proxy.messages import Fields

_Side = TypeVar("_Side")
_Read = TypeVar("_Read")


class Content(NamedTuple):
    """A decoded body and what its Content-Type says."""

    body: bytes
    media: str
    charset: str
    boundary: str
    reader: Reader


class Documents(NamedTuple):
    """What both sides say. ``doubtful`` raises Incomparable if a body said two things in one place, which the documents
    do not show; ``columns``: the columns of a table stand in another order; ``of_two``: the rows of a table have two
    fields, so that the first may be the name of the second."""

    legacy: Any
    candidate: Any
    doubtful: Callable[[], None] | None = None
    columns: tuple[str, str] | None = None
    of_two: bool = False


class UnreadableError(Exception):
    """A body is not what its media type says. ``side``: "legacy", "candidate" or "both"; ``what`` names its kind."""

    def __init__(self, side: str, what: str) -> None:
        self.side = side
        self.what = what
        super().__init__(f"{side}: not {what}")


def content(body: bytes, fields: Fields) -> Content:
    """A decoded body with its media type, and the reader for it."""
    media, charset, boundary = content_type(fields)
    return Content(body, media, charset, boundary, reader_of(media))


def read_pair(
    a: Content, b: Content, budget: Budget, now: Callable[[], float], is_secret: Callable[[str], Secret]
) -> Documents:
    """Read two bodies of one structured kind.

    Raises UnreadableError, and Incomparable ("too-deep", "too-many-nodes", "duplicate-keys", "entity-declarations").
    """
    reader = a.reader
    match reader:
        case "json":
            return _json(a, b, budget)
        case "lines":
            return _lines(a, b, budget, Meter(budget, now))
        case "multipart":
            parts = _both("multipart", (a, b), lambda side: parse_multipart(side.body, side.boundary, budget))
            return Documents(*multipart_documents(*parts, form=a.media == b.media == "multipart/form-data"))
        case "xml":
            meter = Meter(budget, now)
            trees = _both("XML", _as_utf8(a, b), lambda body: parse_xml(body, meter))
            return Documents(*xml_documents(*trees, meter, is_secret))
    texts = charsets.texts(a.body, b.body, (a.charset, b.charset), (a.media, b.media))
    if texts[0] is None or texts[1] is None:
        side = "both" if texts == (None, None) else "legacy" if texts[0] is None else "candidate"
        raise UnreadableError(side, f"text in {(a if side != 'candidate' else b).charset[:40] or 'UTF-8'}")
    x, y = texts[0], texts[1]
    match reader:
        case "html":
            xhtml = (a.media.endswith("xml"), b.media.endswith("xml"))
            if any(xhtml):
                _well_formed(x, y, xhtml)
            return Documents(*html_documents(x, y, Meter(budget, now), is_secret, xhtml=xhtml))
        case "form":
            return Documents(*urlencoded_documents(x, y, budget))
        case "events":
            return _events(x, y, budget)
        case "tsv":
            return _tables("TSV", x, y, "\t", budget, is_secret)
        case _:
            return _tables("CSV", x, y, ",", budget, is_secret)


def _both(what: str, sides: tuple[_Side, _Side], read: Callable[[_Side], _Read]) -> tuple[_Read, _Read]:
    """What ``read`` makes of both sides; raises UnreadableError with the side that it cannot read as ``what``."""
    made: list[_Read] = []
    faulty: list[str] = []
    for name, side in zip(("legacy", "candidate"), sides, strict=True):
        try:
            made.append(read(side))
        except (NotJsonError, NotXmlError, NotATableError, NotMultipartError):
            faulty.append(name)
        except DuplicateKeyError:
            raise Incomparable("duplicate-keys") from None
    if faulty:
        raise UnreadableError("both" if len(faulty) == 2 else faulty[0], what)
    return made[0], made[1]


def _well_formed(x: str, y: str, xhtml: tuple[bool, bool]) -> None:
    """XHTML that is not well-formed XML is not shown to anybody (XHTML 1.0, section 3.2); if neither page is, they are
    compared all the same. Raises UnreadableError."""
    faulty = [strict and not is_well_formed(text) for text, strict in zip((x, y), xhtml, strict=True)]
    if faulty[0] != faulty[1]:
        raise UnreadableError("legacy" if faulty[0] else "candidate", "well-formed XHTML")


def _as_utf8(a: Content, b: Content) -> tuple[bytes, bytes]:
    """Both bodies in UTF-8; a body in an unknown or wrong charset becomes none."""
    texts = charsets.texts(a.body, b.body, (a.charset, b.charset), (a.media, b.media))
    one, two = (b"" if text is None else text.encode("utf-8", "surrogatepass") for text in texts)
    return one, two


def _json_bytes(side: Content) -> tuple[bytes, bool]:
    """A JSON body in UTF-8, and whether it is in another encoding of Unicode without saying so: clients that only know
    UTF-8 (RFC 8259 section 8.1) cannot read it then."""
    body = side.body
    if side.charset in ("", "utf-8") and body[:1] in (b"{", b"[") and body[1:2] != b"\x00":
        return body, False  # nearly always
    wide = not side.charset and charsets.charset_of(body, "").codec.startswith(("utf-16", "utf-32"))
    return charsets.utf8(body, side.charset), wide


def _json(a: Content, b: Content, budget: Budget) -> Documents:
    (one, wide_a), (two, wide_b) = _json_bytes(a), _json_bytes(b)
    if wide_a != wide_b:
        raise UnreadableError("legacy" if wide_a else "candidate", "JSON")
    try:
        x, y = parse_pair(one, two, budget)
    except NotJsonError as error:
        raise UnreadableError(error.args[1], "JSON") from None

    def doubtful() -> None:
        if has_duplicate_keys(one, x, budget) or has_duplicate_keys(two, y, budget):
            raise Incomparable("duplicate-keys")

    return Documents(x, y, doubtful)


def _events(x: str, y: str, budget: Budget) -> Documents:
    one, two = parse_events(x, budget), parse_events(y, budget)
    if not one and not two and (_talks(x) or _talks(y)):
        raise UnreadableError("both", "events")  # a page of an error, say, that is not one event either
    return Documents(one, two)


def _talks(stream: str) -> bool:
    """Whether a stream has more than comments."""
    return any(line.strip() and not line.startswith(":") for line in stream.splitlines())


def _lines(a: Content, b: Content, budget: Budget, meter: Meter) -> Documents:
    """One JSON document a line (also with RFC 7464's separators). Empty lines say nothing."""

    def read(lines: list[bytes]) -> list[Any]:
        meter.begin()
        return [_line(line, budget, meter, guarded=guarded) for line in lines]

    bodies = (_json_bytes(a)[0], _json_bytes(b)[0])
    guarded = any(map(is_risky, bodies))
    sides = (_split(bodies[0], budget), _split(bodies[1], budget))
    x, y = _both("NDJSON", sides, read)

    def doubtful() -> None:
        for lines, values in zip(sides, (x, y), strict=True):
            meter.begin()
            for line, value in zip(lines, values, strict=True):
                meter.spend()
                if b'"' in line and has_duplicate_keys(line, value, budget):
                    raise Incomparable("duplicate-keys")

    return Documents(x, y, doubtful)


def _split(body: bytes, budget: Budget) -> list[bytes]:
    body = body.removeprefix(BOM).replace(b"\x1e", b"\n")
    if body.count(b"\n") > 2 * budget.nodes:
        raise Incomparable("too-many-nodes")
    lines = [line for line in body.split(b"\n") if line.strip(b" \t\r")]
    if len(lines) > budget.nodes:
        raise Incomparable("too-many-nodes")
    return lines


def _line(line: bytes, budget: Budget, meter: Meter, *, guarded: bool) -> Any:
    meter.spend()
    if line.startswith(BOM):
        raise NotJsonError("a byte order mark within the body")
    return parse_json(line, budget, guarded=guarded)


def _of_two(table: Table) -> bool:
    return bool(table) and len(table[0]) == 2


def _tables(what: str, x: str, y: str, sign: str, budget: Budget, is_secret: Callable[[str], Secret]) -> Documents:
    if sign == ",":
        signs = {separator_of(x), separator_of(y)}
        sign = signs.pop() if len(signs) == 1 else ","
    one, two = _both(what, (x, y), lambda text: parse_table(text, sign, budget, quoted=what == "CSV"))
    columns = None
    if same_columns_in_another_order(one, two):
        columns = (", ".join(one[0]), ", ".join(two[0]))
    documents = table_documents(one, two, is_secret)
    return Documents(*documents, None, columns if type(documents[0]) is list else None, any(map(_of_two, (one, two))))
