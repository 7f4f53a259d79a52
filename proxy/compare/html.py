"""HTML pages as documents for the walk.

Law: two pages give equal documents if and only if they say the same: the order of attributes, white space that is not
shown, comments, character references and optional tags do not matter, everything else does.

A page is cut at its landmarks: ``nav``, ``main``, ``section``, ``form``, ``table``, its rows, items of lists and the
like, and whatever has an ``id`` that is a name. Below a landmark elements stand side by side by their tags, so that
paths stay short however deep a page nests: ``$.body.main[*].table#cart.tr[*].td[*].#text``. ``#order`` holds how they
nest and follow one another; tags of which one side has more are left out of it: what is missing or extra has been said
then.

Nonces and CSRF tokens stand under ``@nonce`` and ``#token``, other secret values under ``#secret``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from proxy.compare.html_tokens import SPACE, Tag
from proxy.compare.html_tree import VOID, parse_html
from proxy.compare.meter import Meter
from proxy.compare.paths import is_name
from proxy.compare.secret_names import LABEL, Secret
from proxy.compare.trees import ORDER, TEXT, Element, Sequences, dropped, hide_named, joined

TOKEN = "#token"  # noqa: S105 - a member's name
_LANDMARKS = frozenset(
    {
        "article", "aside", "details", "dialog", "fieldset", "footer", "form", "header", "li", "main", "nav", "section",
        "select", "table", "tr", "video",
    }
)  # fmt: skip
_MAX_LANDMARKS = 7
"""Landmarks inside one another that a path names; deeper ones are ordinary elements."""

_BREAKS = frozenset(
    {
        "html", "head", "body", "title", "address", "article", "aside", "blockquote", "br", "caption", "center", "col",
        "colgroup", "dd", "details", "dialog", "dir", "div", "dl", "dt", "fieldset", "figcaption", "figure", "footer",
        "form", "frame", "frameset", "h1", "h2", "h3", "h4", "h5", "h6", "header", "hgroup", "hr", "legend", "li",
        "main", "menu", "nav", "noframes", "ol", "optgroup", "option", "p", "pre", "listing", "search", "section",
        "summary", "table", "tbody", "td", "tfoot", "th", "thead", "tr", "ul", "audio", "button", "canvas", "embed",
        "iframe", "img", "input", "meter", "object", "picture", "progress", "select", "svg", "math", "textarea", "video"
    }
)  # fmt: skip
"""Elements beside which, and at whose edges, white space does not show: blocks, and what is a block within a line
(pictures and controls, where it is a gap of some pixels). In all other elements white space is part of a text."""

_UNSEEN = frozenset({"script", "style"})
"""Elements whose text does not stand in a line."""

_EXACT = frozenset({"pre", "listing", "plaintext", "xmp", "textarea", "script", "style"})
"""Elements in which every character of the text counts."""

_GAPS = re.compile(r"[\t\n\f\r][\t\n\f\r ]*| [\t\n\f\r ]+")
"""White space that is not one space."""
_TOKEN_NAME = re.compile(r"(?i)csrf|xsrf|nonce|authenticity[_-]?token|verification[_-]?token|^_?_?token$")
_NO_TOKEN_NAME = re.compile(r"(?i)(?:param|parameter|header|name|field|cookie)$")
"""What tells where a token goes is no token: csrf-param, _csrf_header."""
_RUN = re.compile(r"\S{8,4096}")
_ID = re.compile(r"[A-Za-z_][\w-]{0,39}")


class _Group(NamedTuple):
    """A landmark with what stands in it; ``chain`` says which landmarks lead to it."""

    chain: tuple[str, ...]
    members: dict[str, Any]
    order: list[str]


class _Run:
    """One piece of text: ``owner`` is the element that it stands in, ``order`` and ``at`` its place in the order."""

    __slots__ = ("at", "order", "text")

    def __init__(self, text: str, order: list[str], at: int) -> None:
        self.text = text
        self.order = order
        self.at = at


def html_documents(
    legacy: str,
    candidate: str,
    meter: Meter,
    is_secret: Callable[[str], Secret],
    *,
    xhtml: tuple[bool, bool] = (False, False),
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Both pages as documents. Raises Incomparable ("too-many-nodes", "too-deep", "budget")."""
    known: dict[str, Tag] = {}
    one, two = (
        _Page(is_secret, meter).read(parse_html(text, meter, known, xhtml=strict))
        for text, strict in zip((legacy, candidate), xhtml, strict=True)
    )
    _settle(one, two)
    return one[0].members, two[0].members


_Frame = tuple[str, dict[str, Any], Iterator[Element | str], _Group, list[_Run], bool, str]
"""An element whose content is being read: its name, its members, what is left of its content, the group that this goes
to, its pieces of text, whether they are exact, and what stands in the order at its end ('' for nothing)."""


class _Page:
    """Turns one tree into groups; ``_last`` is the piece of text that the next one may follow in the same line."""

    def __init__(self, is_secret: Callable[[str], Secret], meter: Meter) -> None:
        self._is_secret = is_secret
        self._meter = meter
        self._groups: list[_Group] = []
        self._texts: list[tuple[str, dict[str, Any], list[_Run]]] = []
        """Elements with text, or with something to hide, in the order of their ends."""
        self._last: _Run | None = None
        self._in_line = False  # something of the current line has been shown, and it did not end in white space

    def read(self, root: Element) -> list[_Group]:
        self._meter.begin()
        self._walk(root)
        term, said = False, ""  # in a list of terms: what the last one says of its descriptions
        for name, members, runs in self._texts:
            shown = [run.text for run in runs if run.text]
            if shown:
                members[TEXT] = joined(shown)
                said = shown[0]
            _hide(members, self._is_secret)
            if name in ("dt", "dl"):
                term = name == "dt" and self._names_a_secret(said)
            elif term:
                for key in members.keys() & {TEXT, "@value"}:
                    members["#secret" if key == TEXT else "#secret-value"] = members.pop(key)
        for group in self._groups:
            self._hide_row(group)
            order = [token for token in group.order if token]
            if order:
                group.members[ORDER] = order
        return self._groups

    def _names_a_secret(self, label: str) -> bool:
        return LABEL.fullmatch(label) is not None and self._is_secret(label) is True

    def _hide_row(self, group: _Group) -> None:
        """Of a row what stands behind its heading, or behind a name in one of two cells, goes where the walk sees that
        it is secret; of a list to choose from that is called so all goes there."""
        row = group.chain[-1].partition("#")[0] if group.chain else ""
        members, kept = group.members, ""
        if row == "tr":
            cells = [token for token in group.order if token in ("td", "th")]
            if "td" not in cells[1:] or (cells[0] == "td" and len(cells) != 2):
                return
            kept = cells[0]
            texts = (cell[TEXT] for cells in members.values() if type(cells) is list for cell in cells if TEXT in cell)
            label = next(texts, "")
            if type(label) is not str or not self._names_a_secret(label):
                return
        elif row != "select" or not self._is_secret(members.get("@name", "")):
            return
        hidden = {key: members.pop(key) for key in [*members] if key[0] != "@" and key != kept}
        if kept and members[kept][1:]:
            hidden[kept] = members[kept][1:]
            members[kept] = members[kept][:1]
        members["#secret"] = hidden

    def _walk(self, root: Element) -> None:
        top = _Group((), dict(root.attributes), [])
        self._groups.append(top)
        frames: list[_Frame] = [("", {}, iter(root.children), top, [], False, "")]
        while frames:
            name, members, children, group, runs, exact, ends = frames[-1]
            for child in children:
                if type(child) is str:
                    self._text(child, name, group, runs, exact=exact)
                elif type(child) is Element:
                    below = self._element(child, group, exact=exact)
                    if below is not None:
                        frames.append(below)
                        break
            else:
                frames.pop()
                if name in _BREAKS:
                    self._edge()
                if runs or not _NAMED.isdisjoint(members) or name in ("dt", "dl"):
                    self._texts.append((name, members, runs))
                if ends:
                    group.order.append(ends)

    def _element(self, element: Element, group: _Group, *, exact: bool) -> _Frame | None:
        """Put an element where it belongs; None of what has no content."""
        self._meter.spend()
        name = element.name
        if name[0] == "#":  # a mark of the tree's
            group.order.append(f"<{name[1:]}>")
            return None
        if name in _BREAKS:
            self._edge()
        members: dict[str, Any] = dict(element.attributes)
        style = members.get("@style", "")
        exact = exact or name in _EXACT or ("white-space" in style and "pre" in style)
        key = _landmark(name, members, group)
        if key:
            if key in ("head", "body") or "#" in key:
                group.members[key] = members
            else:
                group.members.setdefault(key, []).append(members)
            group.order.append(key)
            group = _Group((*group.chain, key), members, [])
            self._groups.append(group)
            return name, members, iter(element.children), group, [], exact, ""
        tag = name.replace("#", "##")  # so that no tag looks like one with an id
        group.members.setdefault(tag, []).append(members)
        group.order.append(tag)
        return name, members, iter(element.children), group, [], exact, "" if name in VOID else f"/{tag}"

    def _edge(self) -> None:
        """A line begins or ends: white space beside it does not show."""
        last = self._last
        if last is not None:
            last.text = last.text.rstrip(" ")
            if not last.text:
                last.order[last.at] = ""
            self._last = None
        self._in_line = False

    def _text(self, text: str, name: str, group: _Group, runs: list[_Run], *, exact: bool) -> None:
        if not exact:
            if not self._in_line:
                text = text.lstrip(SPACE)
            if not text:
                return
            text = _GAPS.sub(" ", text)
        run = _Run(text, group.order, len(group.order))
        runs.append(run)
        group.order.append(TEXT)
        if not exact:
            self._last = run
            self._in_line = not text.endswith(" ")
        elif name not in _UNSEEN:
            self._last = None
            self._in_line = True


def _landmark(name: str, attributes: dict[str, str], group: _Group) -> str:
    """The key of an element below which a path begins anew; '' of an ordinary one."""
    if not group.chain:
        return name if name in ("head", "body") else ""
    if len(group.chain) >= _MAX_LANDMARKS:
        return ""
    own = attributes.get("@id")
    if own is not None and _ID.fullmatch(own) and "#" not in name:
        key = f"{name}#{own}"
        if is_name(key) and key not in group.members:
            return key
    return name if name in _LANDMARKS else ""


_NAMED = frozenset({"@name", "@key", "@id", "@property", "@http-equiv", "@content", "@value", "@data-value"})
"""Without any of them there is nothing to hide."""


def _hide(members: dict[str, Any], is_secret: Callable[[str], Secret]) -> None:
    """Tokens and secrets go where rules and the walk find them."""
    key = "@content" if "@content" in members else "@value"
    if key in members:
        names = [members.get(name, "") for name in ("@name", "@id", "@property", "@http-equiv")]
        hidden = key == "@content" or members.get("@type", "").lower() == "hidden"
        named = any(_TOKEN_NAME.search(name) and not _NO_TOKEN_NAME.search(name) for name in names)
        if hidden and named and _like_a_token(members[key]):
            members[TOKEN] = members.pop(key)
        elif members.get("@type", "").lower() == "password":
            members["#secret"] = members.pop(key)
    hide_named(members, is_secret)


def _like_a_token(value: str) -> bool:
    """Whether a value may be a token. An empty one may: a token that is gone is one of another format."""
    if not value or _RUN.fullmatch(value) is None:
        return not value
    return any(c.isdigit() for c in value) or (value.lower() != value != value.upper())


def _settle(one: list[_Group], two: list[_Group]) -> None:
    """Leave out of every order what one side has more of."""
    sequences: dict[tuple[str, ...], Sequences] = {}
    by_chain: dict[tuple[str, ...], list[_Group]] = {}
    for side, groups in enumerate((one, two)):
        for group in groups:
            by_chain.setdefault(group.chain, []).append(group)
            order = tuple(group.members.get(ORDER, ()))
            sequences.setdefault(group.chain, {}).setdefault(order, [0, 0])[side] += 1
    for chain, here in sequences.items():
        # Of marks there is no other sign than the order, and an end is left out with its beginning.
        names = {name for name in dropped(here) if not name.startswith(("/", "<"))}
        if not names:
            continue
        for group in by_chain[chain]:
            kept = [token for token in group.members.pop(ORDER, ()) if token.removeprefix("/") not in names]
            if kept:
                group.members[ORDER] = kept
