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
from collections.abc import Callable
from itertools import count
from typing import Any, NamedTuple

from proxy.compare.html_tree import VOID, parse_html
from proxy.compare.meter import Meter
from proxy.compare.paths import is_name
from proxy.compare.secret_names import Secret
from proxy.compare.trees import ORDER, TEXT, Element, Sequences, dropped, hide_named, joined

TOKEN = "#token"  # noqa: S105 - a member's name
_LANDMARKS = frozenset(
    {
        "article", "aside", "details", "dialog", "fieldset", "footer", "form", "header", "li", "main", "nav", "section",
        "select", "table", "tr", "video",
    }
)  # fmt: skip
_TICK = 500  # elements between two looks at the clock
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

_EXACT = frozenset({"pre", "listing", "plaintext", "xmp", "textarea", "script", "style"})
"""Elements in which every character of the text counts."""

_BOOLEAN = frozenset(
    {
        "@allowfullscreen", "@async", "@autofocus", "@autoplay", "@checked", "@controls", "@default", "@defer",
        "@disabled", "@formnovalidate", "@hidden", "@inert", "@ismap", "@itemscope", "@loop", "@multiple", "@muted",
        "@nomodule", "@novalidate", "@open", "@playsinline", "@readonly", "@required", "@reversed", "@selected"
    }
)  # fmt: skip
_SPACES = re.compile(r"[\t\n\f\r ]+")
_TOKEN_NAME = re.compile(r"(?i)csrf|xsrf|nonce|authenticity[_-]?token|verification[_-]?token|^_?_?token$")
_NO_TOKEN_NAME = re.compile(r"(?i)(?:param|parameter|header|name|field|cookie)$")
"""What tells where a token goes is no token: csrf-param, _csrf_header."""
_RUN = re.compile(r"\S{8,4096}")
_ID = re.compile(r"[A-Za-z_][\w-]{0,39}")
_CSP_NONCE = re.compile(r"'nonce-[A-Za-z0-9+/_=-]+'")


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
    one, two = (
        _Page(is_secret, meter).read(parse_html(text, meter, xhtml=strict))
        for text, strict in zip((legacy, candidate), xhtml, strict=True)
    )
    _settle(one, two)
    return one[0].members, two[0].members


class _Page:
    """Turns one tree into groups; ``_last`` is the piece of text that the next one may follow in the same line."""

    def __init__(self, is_secret: Callable[[str], Secret], meter: Meter) -> None:
        self._is_secret = is_secret
        self._meter = meter
        self._groups: list[_Group] = []
        self._texts: list[tuple[dict[str, Any], list[_Run]]] = []
        self._last: _Run | None = None
        self._in_line = False  # something of the current line has been shown, and it did not end in white space

    def read(self, root: Element) -> list[_Group]:
        self._walk(root)
        for members, runs in self._texts:
            shown = [run for run in runs if run.text]
            if shown:
                members[TEXT] = joined([run.text for run in shown])
            _hide(members, self._is_secret)
        for group in self._groups:
            order = [token for token in group.order if token]
            if order:
                group.members[ORDER] = order
        return self._groups

    def _walk(self, root: Element) -> None:
        top = _Group((), _attributes(root), [])
        self._groups.append(top)
        # (element, its group, its runs, whether its text is exact); an element again without group: it ends
        pending: list[tuple[Element | str, _Group, list[_Run], bool, str]] = []
        self._children(root, top, [], exact=False, pending=pending)
        for step in count():
            if not pending:
                return
            if step % _TICK == 0:
                self._meter.tick()
            child, group, runs, exact, ends = pending.pop()
            if isinstance(child, str):
                self._text(child, group, runs, exact=exact)
            elif ends:
                self._edge(child.name)
                if ends != "/":
                    group.order.append(ends)
            else:
                self._element(child, group, exact=exact, pending=pending)

    def _children(self, element: Element, group: _Group, runs: list[_Run], *, exact: bool, pending: list[Any]) -> None:
        pending += [(child, group, runs, exact, "") for child in reversed(element.children)]

    def _element(self, element: Element, group: _Group, *, exact: bool, pending: list[Any]) -> None:
        name = element.name
        if name.startswith("#"):  # a mark of the tree's
            group.order.append(f"<{name[1:]}>")
            return
        self._edge(name)
        members = _attributes(element)
        runs: list[_Run] = []
        self._texts.append((members, runs))
        style = members.get("@style", "")
        exact = exact or name in _EXACT or ("white-space" in style and "pre" in style)
        key = _landmark(element, group)
        name = name.replace("#", "##")  # so that no tag looks like one with an id
        if key:
            if key in ("head", "body") or "#" in key:
                group.members[key] = members
            else:
                group.members.setdefault(key, []).append(members)
            group.order.append(key)
            pending.append((element, group, runs, exact, "/"))
            group = _Group((*group.chain, key), members, [])
            self._groups.append(group)
        else:
            group.members.setdefault(name, []).append(members)
            group.order.append(name)
            pending.append((element, group, runs, exact, "/" if name in VOID else f"/{name}"))
        self._children(element, group, runs, exact=exact, pending=pending)

    def _edge(self, name: str) -> None:
        """A tag begins or ends: white space beside it shows, or does not."""
        if name in _BREAKS:
            self._end_line()
            self._in_line = False

    def _end_line(self) -> None:
        if self._last is not None:
            self._last.text = self._last.text.rstrip(" ")
            if not self._last.text:
                self._last.order[self._last.at] = ""
        self._last = None

    def _text(self, text: str, group: _Group, runs: list[_Run], *, exact: bool) -> None:
        if not exact:
            text = _SPACES.sub(" ", text)
            if not self._in_line:
                text = text.removeprefix(" ")
            if not text:
                return
        run = _Run(text, group.order, len(group.order))
        runs.append(run)
        group.order.append(TEXT)
        if not exact:
            self._last = run
            self._in_line = not text.endswith(" ")


def _landmark(element: Element, group: _Group) -> str:
    """The key of an element below which a path begins anew; '' of an ordinary one."""
    name = element.name
    if len(group.chain) >= _MAX_LANDMARKS:
        return ""
    if not group.chain:
        return name if name in ("head", "body") else ""
    own = element.attributes.get("@id", "")
    if _ID.fullmatch(own) and "#" not in name:
        key = f"{name}#{own}"
        if is_name(key) and key not in group.members:
            return key
    return name if name in _LANDMARKS else ""


def _attributes(element: Element) -> dict[str, Any]:
    members: dict[str, Any] = {}
    for key, value in element.attributes.items():
        if key == "@class":
            value = " ".join(value.split())
        elif key in _BOOLEAN and value.lower() == key[1:]:
            value = ""
        elif key == "@content" and "nonce-" in value:
            value = _CSP_NONCE.sub("'nonce-⋯'", value)
        members[key] = value
    return members


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
