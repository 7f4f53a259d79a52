"""Cells of the coverage: which kinds of request there are.

Law: a cell is made of names, never of data: ids, dates and hashes in paths and parameters collapse to ``{}``. Whatever
clients send, a route has at most ``MAX_CELLS`` cells in a worker, and one more for everything that found no place; each
request is counted in exactly one of them.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple
from urllib.parse import unquote_to_bytes

from proxy.config.model import Match

KNOWN_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
"""Values of the label ``method``; every other one counts as ``other``."""

MAX_CELLS: Final = 200
"""Of one route in one worker. A route with more kinds of request than this is better split than read."""

FREE_CELLS: Final = 100
"""Up to here a kind of request has a cell of its own from the first time; above only what comes ``PROVEN`` times, so
that a scanner's requests, each another, do not take the places of users'."""

PROVEN: Final = 3
MAX_UNPROVEN: Final = 500
MAX_PARAMETERS: Final = 12
"""Names in one set; the others are one ``…``."""
MAX_NAME: Final = 40
"""Characters of a segment or parameter that is a name; what is longer is data."""
MAX_SEGMENTS: Final = 12
MAX_FAN_OUT: Final = 40
"""Names that may follow one another's place in a path; above, they are data: slugs, user names, titles."""
MAX_NODES: Final = 400
MAX_PARAMETER_NAMES: Final = 64
"""Of one route; above, names are data."""

DATA: Final = "{}"
REST: Final = "…"
NO_BODY: Final = "none"
"""The media family of an answer without a body, whatever type it names."""

_FIELD: Final = "\x1e"
_ITEM: Final = "\x1d"
_MEMO_ENTRIES: Final = 1024
_MEMO_BYTES: Final = 512
"""Longer paths, queries and media types are worked out anew each time."""

_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")
_SEGMENT: Final = re.compile(r"[^\W\d][^\W\d]*(?:[.~-][^\W\d]+)*\d{0,2}|v\d{1,2}(?:\.\d{1,2}){0,2}")
"""Words, which may be joined by ``-``, ``.`` or ``_`` and end in two digits, and versions."""
_WORD: Final = re.compile(r"[A-Z]?[^\W\d_A-Z]+|[A-Z]+")
MAX_WORD: Final = 20
"""Letters of one word of a name: what goes on for longer is a token."""
_SHORT: Final = 12
_LETTERS_A_WORD: Final = 3
"""Names of more than 12 characters that join words by capitals have at least so many letters to each; tokens have
less."""
_PARAMETER: Final = re.compile(r"([$@]?[^\W\d][\w.:-]*)((?:\[[\w.:-]{0,40}\]){0,4})")
_PARTS: Final = re.compile(r"[\[\].:]+")
_INDEX: Final = re.compile(r"\[\d*\]")
_DIGITS: Final = re.compile(r"\d{5}|(?=[a-fA-F]*\d)\b[0-9a-fA-F]{8,}\b")


class Cell(NamedTuple):
    """One kind of request with one kind of answer."""

    method: str
    """One of KNOWN_METHODS, or ``other``."""
    status: int
    """Of legacy's answer; 0 in OTHER."""
    endpoint: str
    """A path template: the route's, or one learned from paths."""
    parameters: tuple[str, ...]
    """Names of query parameters, sorted, each once."""
    cohorts: tuple[str, ...]
    """The configured cohorts that the user belongs to, sorted."""
    media: str
    """The family of the answer's media type; NO_BODY without a body."""


def cell_key(cell: Cell) -> str:
    """The cell as one text, which :func:`parse_cell` reads. No field may hold control characters."""
    return _FIELD.join(
        (
            cell.method,
            str(cell.status),
            cell.endpoint,
            _ITEM.join(cell.parameters),
            _ITEM.join(cell.cohorts),
            cell.media,
        )
    )


def parse_cell(key: str) -> Cell:
    """The fields of a key. Raises ValueError for what is no key."""
    parts = key.split(_FIELD)
    if len(parts) != 6 or not parts[1].isdigit():
        raise ValueError(f"{key[:200]!r} is no cell of the coverage")
    method, status, endpoint, parameters, cohorts, media = parts
    return Cell(
        method,
        int(status),
        endpoint,
        tuple(parameters.split(_ITEM)) if parameters else (),
        tuple(cohorts.split(_ITEM)) if cohorts else (),
        media,
    )


OTHER: Final = cell_key(Cell("other", 0, "*", ("*",), ("*",), "*"))
"""The cell of everything that found no place."""


class CellCount:
    """One cell of a route in a worker, with its figures."""

    __slots__ = ("equal", "key", "seen", "sent")

    def __init__(self, key: str) -> None:
        self.key = key
        self.seen = 0
        """Requests that legacy answered to the client, or as the reverse shadow."""
        self.equal = 0
        """Of these, how many were found equal to an answer of the candidate's."""
        self.sent = 0
        """Of these, how many went to the comparator, which knows whether they were compared."""

    @property
    def look_at_unpaired(self) -> bool:
        """The next answer without a candidate's beside it is one of those that are looked at."""
        return due(self.seen - self.equal - self.sent)

    @property
    def look_at_paired(self) -> bool:
        """The next equal pair is one of those that are looked at."""
        return due(self.equal)


LOOKS_FIRST: Final = 20
LOOK_EVERY: Final = 128
"""Of each cell the first 20 answers are looked at for their shape, and then 1 of 128."""


def due(number: int) -> bool:
    """Whether, after ``number`` of a kind, the next one is looked at."""
    return number < LOOKS_FIRST or number % LOOK_EVERY == 0


class CellTable:
    """The cells of one route in one worker; they outlive reloads."""

    __slots__ = ("_bodies", "_cells", "_keys", "_names", "_parameters", "_paths", "_unproven", "other", "quick")

    def __init__(self) -> None:
        self._cells: dict[tuple[str, int, str, str, str, str], CellCount] = {}
        self._unproven: dict[tuple[str, int, str, str, str, str], int] = {}
        self._keys: dict[str, CellCount] = {}
        self._paths = LearnedPaths()
        self._parameters: dict[tuple[bytes, ...], str] = {}
        self._names: set[str] = set()
        self._bodies: dict[tuple[str, str], int] = {}
        self.quick: dict[tuple[str, int, str | bytes, bytes], CellCount] = {}
        """What whoever is in a hurry has found by other facts (see dataplane.cells); bounded by :meth:`remember`."""
        self.other = CellCount(OTHER)

    def find(
        self, method: str, status: int, endpoint: str, path: bytes, query: bytes, cohorts: str, media: str
    ) -> CellCount:
        """The cell of a request and its answer; ``other`` if there are too many.

        ``endpoint`` is the route's template, empty if it is to be learned from the path; ``cohorts`` comes from
        :func:`cohort_key`, ``media`` from :func:`media_family`.
        """
        facts = (
            method,
            status,
            endpoint or self._paths.template(path),
            self._parameter_key(query) if query else "",
            cohorts,
            media,
        )
        cell = self._cells.get(facts)
        return self._new(facts) if cell is None else cell

    def remember(self, key: tuple[str, int, str | bytes, bytes], cell: CellCount) -> None:
        """Find ``cell`` by ``key`` the next time. ``other`` is never remembered: what is in it may yet get a cell."""
        if cell is self.other or len(key[2]) + len(key[3]) > _MEMO_BYTES:
            return
        if len(self.quick) >= _MEMO_ENTRIES:
            self.quick.clear()
        self.quick[key] = cell

    def keeps_body(self, method: str, endpoint: str, path: bytes) -> bool:
        """Whether the body of a request is kept for the record, long before its cell is known: as often as answers are
        looked at, of each method and endpoint."""
        key = (method if method in KNOWN_METHODS else "other", endpoint or self._paths.template(path))
        number = self._bodies.get(key, 0)
        if number or len(self._bodies) < MAX_CELLS:
            self._bodies[key] = number + 1
            return due(number)
        return False

    def counts(self) -> dict[str, list[int]]:
        """Key -> [seen, equal], of the cells that were seen."""
        found = {key: [cell.seen, cell.equal] for key, cell in self._keys.items() if cell.seen}
        if self.other.seen:
            found[OTHER] = [self.other.seen, self.other.equal]
        return found

    def _new(self, facts: tuple[str, int, str, str, str, str]) -> CellCount:
        method, status, endpoint, parameters, cohorts, media = facts
        if method not in KNOWN_METHODS:  # its spelling is the client's, so it is no key of the table
            facts = ("other", status, endpoint, parameters, cohorts, media)
            cell = self._cells.get(facts)
            if cell is not None:
                return cell
        if len(self._cells) >= MAX_CELLS or not self._proven(facts):
            return self.other
        key = _FIELD.join((facts[0], str(status), endpoint, parameters, cohorts, media))
        cell = self._cells[facts] = self._keys[key] = CellCount(key)
        return cell

    def _proven(self, facts: tuple[str, int, str, str, str, str]) -> bool:
        if len(self._cells) < FREE_CELLS:
            return True
        times = self._unproven.pop(facts, 0) + 1
        if times >= PROVEN:
            return True
        if len(self._unproven) >= MAX_UNPROVEN:
            self._unproven.clear()
        self._unproven[facts] = times
        return False

    def _parameter_key(self, query: bytes) -> str:
        names = tuple([pair.partition(b"=")[0] for pair in query.split(b"&", MAX_PARAMETERS * 4)])
        known = self._parameters.get(names)
        if known is not None:
            return known
        found = {self._parameter(name) for name in names if name}
        if len(found) > MAX_PARAMETERS:
            found = {*sorted(found)[:MAX_PARAMETERS], REST}
        text = _ITEM.join(sorted(found))
        if len(query) <= _MEMO_BYTES:
            if len(self._parameters) >= _MEMO_ENTRIES:
                self._parameters.clear()
            self._parameters[names] = text
        return text

    def _parameter(self, raw: bytes) -> str:
        name = parameter_name(raw)
        if name not in self._names:
            if len(self._names) >= MAX_PARAMETER_NAMES:
                return DATA
            self._names.add(name)
        return name


class LearnedPaths:
    """Path templates learned from the paths of one route: a tree of names, bounded in depth, breadth and size."""

    __slots__ = ("_memo", "_nodes", "_root")

    def __init__(self) -> None:
        self._memo: dict[bytes, str] = {}
        self._root = _Node()
        self._nodes = 0

    def template(self, path: bytes) -> str:
        """``/shop/42/items`` -> ``/shop/{}/items``; a name beyond the bounds is data too."""
        known = self._memo.get(path)
        if known is not None:
            return known
        made = self._made(path)
        if len(path) <= _MEMO_BYTES:
            if len(self._memo) >= _MEMO_ENTRIES:
                self._memo.clear()
            self._memo[path] = made
        return made

    def _made(self, path: bytes) -> str:
        segments = path.split(b"/", MAX_SEGMENTS + 1)[1:]
        if not segments:
            return "*"  # of OPTIONS, see RFC 9110 section 9.3.7
        node = self._root
        made: list[str] = []
        for segment in segments[:MAX_SEGMENTS]:
            name = segment_name(segment)
            below = node.below.get(name)
            if below is None:
                if name not in ("", DATA):
                    node.names += 1
                    if node.names > MAX_FAN_OUT:
                        name = DATA
                if self._nodes >= MAX_NODES:
                    made.append(REST)
                    break
                below = node.below.get(name)
                if below is None:
                    below = node.below[name] = _Node()
                    self._nodes += 1
            made.append(name)
            node = below
        if len(segments) > MAX_SEGMENTS:
            made.append(REST)
        return "/" + "/".join(made)


class _Node:
    __slots__ = ("below", "names")

    def __init__(self) -> None:
        self.below: dict[str, _Node] = {}
        self.names = 0


def segment_name(segment: bytes) -> str:
    """A segment of a path if it is a name, else DATA."""
    text = unquote_to_bytes(segment[: 3 * MAX_NAME + 1]).decode("utf-8", "replace")
    if not text:
        return ""
    return text if len(text) <= MAX_NAME and _SEGMENT.fullmatch(text) and not _is_token(text) else DATA


def _is_token(text: str) -> bool:
    if len(text) <= _SHORT:
        return False
    words = _WORD.findall(text.lower() if text.isupper() else text)
    humps = len(words) - sum(text.count(separator) for separator in "-_.~")
    return max(map(len, words), default=0) > MAX_WORD or sum(map(len, words)) < _LETTERS_A_WORD * humps


def parameter_name(raw: bytes) -> str:
    """The name of a query parameter, indices left out (``ids[3]`` -> ``ids[]``), if it is a name, else DATA."""
    text = unquote_to_bytes(raw[: 3 * MAX_NAME + 1].replace(b"+", b" ")).decode("utf-8", "replace")
    match = _PARAMETER.fullmatch(text)
    if match is None or len(text) > MAX_NAME or _DIGITS.search(text) or any(map(_is_token, _PARTS.split(text))):
        return DATA
    return match[1] + _INDEX.sub("[]", match[2])


def fixed_endpoint(match: Match) -> str:
    """The template of a route that names its paths whole; empty if what it matches has to be learned."""
    if match.path is None or match.path.endswith("/**"):
        return ""
    return _CONTROL.sub("?", match.path)


def cohort_key(names: list[str]) -> str:
    """Cohorts as they stand in a cell."""
    return _ITEM.join(sorted(_CONTROL.sub("?", name) for name in names))


_families: Final[dict[bytes, str]] = {b"": "unnamed"}


def media_family(content_type: bytes) -> str:
    """The family of a Content-Type value (RFC 9110 section 8.3): one of a fixed list."""
    family = _families.get(content_type)
    if family is None:
        family = _family(content_type.partition(b";")[0].strip().lower().decode("latin-1"))
        if len(_families) < _MEMO_ENTRIES and len(content_type) <= _MEMO_BYTES:
            _families[content_type] = family
    return family


def _family(media: str) -> str:
    top, _, sub = media.partition("/")
    if sub == "json" or sub.endswith(("+json", "ndjson", "json-seq", "jsonlines")):
        return "json"
    if sub in ("html", "xhtml+xml"):
        return "html"
    if sub == "xml" or sub.endswith("+xml"):
        return "xml"
    if sub == "event-stream":
        return "events"
    if top == "multipart" or sub == "x-www-form-urlencoded":
        return "form"
    if sub in ("javascript", "x-javascript", "csv", "yaml", "graphql"):
        return "text"
    if top in ("text", "image", "audio", "video", "font"):
        return top
    return "bytes" if sub else "unnamed"
