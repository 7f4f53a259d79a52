"""HTML text as a tree of elements (a part of HTML, section 13.2.6, that cannot be made slow).

Law: linear in time and memory, and no information is lost: optional tags are put in, so that pages with and without
them have one tree; every other tag that is missing, stray or crossed leaves a mark in the tree. A whole HTML parser
would copy formatting elements into every paragraph, so that 20 kB of hostile text become a gigabyte.
"""

from __future__ import annotations

from proxy.compare.html_tokens import SPACE, Doctype, Tag, tokens
from proxy.compare.meter import Meter
from proxy.compare.result import Incomparable
from proxy.compare.trees import Element

VOID = frozenset(
    {
        "area", "base", "basefont", "bgsound", "br", "col", "embed", "frame", "hr", "img", "input", "keygen", "link",
        "meta", "param", "source", "track", "wbr"
    }
)  # fmt: skip
_SINGLETONS = frozenset({"html", "head", "body"})
_HEAD = frozenset({"base", "basefont", "bgsound", "link", "meta", "noscript", "script", "style", "template", "title"})
_CLOSES_P = frozenset(
    {
        "address", "article", "aside", "blockquote", "center", "details", "dialog", "dir", "div", "dl", "fieldset",
        "figcaption", "figure", "footer", "form", "h1", "h2", "h3", "h4", "h5", "h6", "header", "hgroup", "hr", "main",
        "menu", "nav", "ol", "p", "pre", "search", "section", "summary", "table", "ul", "li", "dd", "dt"
    }
)  # fmt: skip
_OPTIONAL_END = frozenset(
    {
        "p", "li", "dt", "dd", "rt", "rp", "optgroup", "option", "colgroup", "caption", "thead", "tbody", "tfoot", "tr",
        "td", "th"
    }
)  # fmt: skip
"""Elements whose end tag may be left out (HTML, section 13.1.2.4)."""

_CELLS = frozenset({"td", "th", "caption"})
_SECTIONS = frozenset({"thead", "tbody", "tfoot"})
_TABLE_PARTS = _CELLS | _SECTIONS | {"table", "tr", "col", "colgroup"}
_WALLS = frozenset({"applet", "button", "caption", "html", "marquee", "object", "table", "td", "template", "th"})
"""What closes nothing outside of them: an end tag in a cell never ends the table's surroundings."""

_CLOSED_BY: dict[str, tuple[frozenset[str], frozenset[str]]] = {
    "li": (frozenset({"li"}), frozenset({"ul", "ol", "menu", "dir"})),
    "dt": (frozenset({"dt", "dd"}), frozenset({"dl"})),
    "dd": (frozenset({"dt", "dd"}), frozenset({"dl"})),
    "option": (frozenset({"option"}), frozenset({"select", "datalist", "optgroup"})),
    "optgroup": (frozenset({"option", "optgroup"}), frozenset({"select"})),
    "rt": (frozenset({"rt", "rp"}), frozenset({"ruby"})),
    "rp": (frozenset({"rt", "rp"}), frozenset({"ruby"})),
    "td": (frozenset({"td", "th"}), frozenset({"tr", "table"})),
    "th": (frozenset({"td", "th"}), frozenset({"tr", "table"})),
    "tr": (frozenset({"td", "th", "tr", "caption", "colgroup"}), frozenset({"table", *_SECTIONS})),
    **{
        name: (frozenset({"td", "th", "tr", "caption", "colgroup", *_SECTIONS}), frozenset({"table"}))
        for name in _SECTIONS
    },
    "colgroup": (frozenset({"caption", "colgroup"}), frozenset({"table"})),
    "col": (frozenset({"caption"}), frozenset({"table", "colgroup"})),
}
"""Start tag -> (open elements that it ends if only such with optional end tags are in between, where looking ends)."""

_ENDS_OTHERS = _CLOSES_P | _CLOSED_BY.keys()
"""Start tags that may end what is open, or begin something else before."""

_LOOKED_UP = 64
"""Open elements that an end tag is compared with: what is further up it does not end, and it is stray."""


class _Builder:
    def __init__(self, meter: Meter, *, xhtml: bool) -> None:
        self._meter = meter
        self.spend = meter.spend
        self._xhtml = xhtml
        self.root = Element("html")
        self._head = Element("head")
        self._body = Element("body")
        self.root.children += [self._head, self._body]
        self._open: list[Element] = [self._head]  # the current one at the end; the first is head or body
        self._foreign = 0  # open svg and math elements
        self._paragraphs = 0  # open p elements
        self._body_begun = False

    def doctype(self, text: str) -> None:
        self.root.attributes.setdefault("#doctype", text)

    def text(self, text: str) -> None:
        if not self._body_begun and len(self._open) == 1:
            if not text.strip(SPACE):
                return
            self._begin_body()
        self.spend(1)
        self._open[-1].add_text(text)

    def start(self, tag: Tag) -> None:
        self.spend(1 + len(tag.attributes))
        name = tag.name
        if name in _SINGLETONS:
            self._singleton(name, tag.attributes)
            return
        if not self._body_begun and len(self._open) == 1 and name not in _HEAD:
            self._begin_body()
        if not self._foreign and (name in _ENDS_OTHERS or self._open[-1].name == "colgroup"):
            self._close_implied(name)
        element = Element(name, "", tag.attributes)
        self._open[-1].children.append(element)
        if name in VOID or (tag.closed and (self._foreign or self._xhtml or name in ("svg", "math"))):
            return
        if len(self._open) >= self._meter.depth:
            raise Incomparable("too-deep")
        self._open.append(element)
        self._foreign += name in ("svg", "math")
        self._paragraphs += name == "p"

    def end(self, name: str) -> None:
        if name in ("html", "body"):
            return
        if name == "head":
            if not self._body_begun and len(self._open) == 1:
                return
            self._mark(f"/{name}")
            return
        if self._open[-1].name == name:
            self._pop(1)
            return
        for up in range(1, min(len(self._open), _LOOKED_UP + 1)):
            element = self._open[-up]
            if element.name == name:
                self._pop(up)
                return
            if element.name in _WALLS and not (name in _TABLE_PARTS and element.name in (*_CELLS, "table")):
                break
            if element.name == "table" and name != "table" and name in _TABLE_PARTS:
                break
        self._mark(f"/{name}")

    def _mark(self, what: str) -> None:
        """Leave a mark for a tag that does not fit, so that a page with it is another page than one without."""
        self.spend(1)
        self._open[-1].children.append(Element(f"#{what}"))

    def finish(self) -> None:
        """The text has ended, and with it what is still open."""
        self._pop(len(self._open) - 1, ended=0)

    def _pop(self, count: int, *, ended: int = 1) -> None:
        """Close the ``count`` innermost elements, of which only the last ``ended`` have an end tag or need none."""
        for number in range(count):
            element = self._open.pop()
            self._foreign -= element.name in ("svg", "math")
            self._paragraphs -= element.name == "p"
            if number < count - ended and element.name not in _OPTIONAL_END:
                self.spend(1)
                element.children.append(Element("#unclosed"))

    def _singleton(self, name: str, attributes: dict[str, str]) -> None:
        if name == "body" and not self._body_begun and len(self._open) == 1:
            self._begin_body()
        target = {"html": self.root, "head": self._head, "body": self._body}[name]
        for key, value in attributes.items():
            target.attributes.setdefault(key, value)

    def _begin_body(self) -> None:
        self._body_begun = True
        self._open = [self._body]

    def _close_implied(self, name: str) -> None:
        """End what this start tag ends without an end tag, and begin what it begins without a start tag."""
        ended = _CLOSED_BY.get(name)
        if ended is not None:
            self._end_up_to(*ended)
        if self._paragraphs and name in _CLOSES_P:
            for up in range(1, min(len(self._open), _LOOKED_UP + 1)):
                above = self._open[-up].name
                if above == "p":
                    self._pop(up)
                    break
                if above in _WALLS:
                    break
        parent = self._open[-1].name
        if name == "tr" and parent == "table":
            self._imply("tbody")
        elif name in ("td", "th") and parent in ("table", *_SECTIONS):
            if parent == "table":
                self._imply("tbody")
            self._imply("tr")
        elif name == "col" and parent == "table":
            self._imply("colgroup")
        elif parent == "colgroup" and name not in ("col", "template"):
            self._pop(1)

    def _end_up_to(self, names: frozenset[str], limits: frozenset[str]) -> None:
        deepest = 0
        for up in range(1, min(len(self._open), _LOOKED_UP + 1)):
            above = self._open[-up].name
            if above in limits or (above in _WALLS and above not in names):
                break
            if above in names:
                deepest = up
            elif above not in _OPTIONAL_END:
                break
        if deepest:
            self._pop(deepest)

    def _imply(self, name: str) -> None:
        self.spend(1)
        element = Element(name)
        self._open[-1].children.append(element)
        self._open.append(element)


def parse_html(text: str, meter: Meter, known: dict[str, Tag], *, xhtml: bool = False) -> Element:
    """The ``html`` element of a page, which always holds a ``head`` and a ``body``. ``known``: see ``tokens``. Elements
    whose tags are written alike share their attributes.

    Raises Incomparable ("too-many-nodes", "too-deep", "budget").
    """
    builder = _Builder(meter.begin(), xhtml=xhtml)
    for token in tokens(text, known, xhtml=xhtml):
        if type(token) is Tag:
            if token.ends:
                builder.end(token.name)
            else:
                builder.start(token)
        elif type(token) is str:
            builder.text(token)
        elif type(token) is Doctype:
            builder.doctype(token.text)
    builder.finish()
    return builder.root
