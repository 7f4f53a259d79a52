"""HTML and XML: trees, written in many ways that say the same, and changed in one place.

Law: spaces are only put where no reader sees them: between blocks, within tags, and, in HTML, beside spaces that stand
in a text already.
"""

from __future__ import annotations

from typing import NamedTuple

from tests.fuzz.dice import Dice
from tests.fuzz.words import changed_word, token

TEXTS = (
    "one",
    "two",
    "three words here",
    "Zürich",
    "17.50",
    "a & b",
    "1 < 2",
    "it's",
    'say "hi"',
    "\U0001f333",
    "2024-01-01",
)
BLOCKS = ("div", "section", "article", "main", "ul")
LEAVES = ("p", "h1", "h2", "td", "li", "span", "b", "a")
ATTRIBUTES = ("id", "class", "href", "title", "data-x", "lang", "alt")
VALUES = ("x", "main nav", "/a?b=1&c=2", 'q"q', "it's", "é", "17", "", "a>b")
TAGS = ("order", "item", "price", "name", "Address", "x-y", "_z", "größe")


class Node(NamedTuple):
    """An element; a leaf has a text and no children."""

    tag: str
    attributes: dict[str, str]
    children: list[Node]
    text: str = ""


class Page(NamedTuple):
    """A tree and how it is written."""

    root: Node
    html: bool


def make_html(dice: Dice, secrets: list[str]) -> Page:
    """A page with a head, a title, blocks and leaves; a form may carry a secret."""
    body = _block("body", dice, 3)
    if dice.chance(6):
        hidden = {"type": "hidden", "name": "csrf_token", "value": token(dice, secrets)}
        form = Node("form", {"action": "/x"}, [Node("input", hidden, [])])
        body = body._replace(children=[form, *body.children])
    if dice.chance(8):
        body = body._replace(children=[*body.children, Node("script", {}, [], "var a = 1 < 2 && 'x';")])
    if dice.chance(8):
        body = body._replace(children=[*body.children, Node("pre", {}, [], "a\n  b\n")])
    head = Node("head", {}, [Node("title", {}, [], dice.pick(TEXTS))])
    return Page(Node("html", {"lang": "en"}, [head, body]), html=True)


def _block(tag: str, dice: Dice, depth: int) -> Node:
    children = [
        _block(dice.pick(BLOCKS), dice, depth - 1)
        if depth and dice.chance(3)
        else Node(dice.pick(("p", "h1", "h2")), _attributes(dice), [], dice.pick(TEXTS))
        for _ in range(dice.below(5))
    ]
    if tag == "ul":
        children = [Node("li", _attributes(dice), [], dice.pick(TEXTS)) for _ in children]
    return Node(tag, _attributes(dice), children)


def _attributes(dice: Dice) -> dict[str, str]:
    return {dice.pick(ATTRIBUTES): dice.pick(VALUES) for _ in range(dice.pick((0, 0, 1, 2, 3)))}


def make_xml(dice: Dice, secrets: list[str]) -> Page:
    """A document of elements that hold either elements or text."""
    return Page(_element(dice, 3, secrets), html=False)


def _element(dice: Dice, depth: int, secrets: list[str]) -> Node:
    if dice.chance(20):
        return Node("Password", {}, [], token(dice, secrets))
    attributes = {name: dice.pick(VALUES) for name in dice.shuffled(("id", "ref", "x-y", "lang"))[: dice.below(3)]}
    if depth and dice.below(3):
        children = [_element(dice, depth - 1, secrets) for _ in range(dice.below(5))]
        return Node(dice.pick(TAGS), attributes, children)
    return Node(dice.pick(TAGS), attributes, [], dice.pick((*TEXTS, "")))


VOID = frozenset({"input", "meta", "br", "img"})
RAW = frozenset({"script", "style"})


def write_html(page: Page, dice: Dice | None) -> tuple[bytes, bytes]:
    """The page and its media type."""
    doctype = (
        "<!DOCTYPE html>" if dice is None else dice.pick(("<!DOCTYPE html>", "<!doctype html>\n", "<!DOCTYPE HTML >"))
    )
    return (doctype + _html(page.root, dice)).encode(), b"text/html; charset=utf-8"


def _html(node: Node, dice: Dice | None) -> str:
    tag = node.tag.upper() if dice is not None and dice.chance(8) else node.tag
    start = f"<{tag}{_written_attributes(node, dice, html=True)}{_inner_gap(dice)}"
    if node.tag in VOID:
        return start + (" />" if dice is not None and dice.chance(3) else ">")
    if node.tag in RAW or node.tag == "pre":
        text = node.text if node.tag in RAW else _escaped(node.text, None, html=True)
        return f"{start}>{text}</{tag}>"
    if node.text:
        text = _escaped(node.text, dice, html=True)
        if dice is not None and dice.chance(4):
            text = text.replace(" ", dice.pick(("\n   ", "  ", "\t")))
        return f"{start}>{_gap(dice)}{text}{_gap(dice)}</{tag}{_inner_gap(dice)}>"
    inside = _gap(dice) + "".join(_html(child, dice) + _gap(dice) for child in node.children)
    return f"{start}>{inside}</{tag}>"


def write_xml(page: Page, dice: Dice | None) -> tuple[bytes, bytes]:
    """The document and its media type."""
    head = "" if dice is None else dice.pick(("", '<?xml version="1.0"?>\n', "<?xml version='1.0' encoding='UTF-8'?>"))
    media = b"application/xml" if dice is None else dice.pick((b"application/xml", b"Application/XML"))
    return (head + _xml(page.root, dice)).encode(), media


def _xml(node: Node, dice: Dice | None) -> str:
    start = f"<{node.tag}{_written_attributes(node, dice, html=False)}{_inner_gap(dice)}"
    if not node.text and not node.children and dice is not None and dice.chance(2):
        return start + "/>"
    if node.text:
        if dice is not None and dice.chance(4) and "]]>" not in node.text:
            return f"{start}><![CDATA[{node.text}]]></{node.tag}>"
        return f"{start}>{_escaped(node.text, dice, html=False)}</{node.tag}{_inner_gap(dice)}>"
    if not node.children:
        return f"{start}></{node.tag}>"
    inside = _gap(dice) + "".join(_xml(child, dice) + _gap(dice) for child in node.children)
    return f"{start}>{inside}</{node.tag}>"


def _written_attributes(node: Node, dice: Dice | None, *, html: bool) -> str:
    items = list(node.attributes.items())
    if dice is not None:
        items = dice.shuffled(items)
    out = []
    for name, value in items:
        quote = '"' if dice is None else dice.pick(('"', "'"))
        text = _escaped(value, dice, html=html).replace(quote, "&#34;" if quote == '"' else "&#39;")
        gap = " " if dice is None else dice.pick((" ", "  ", "\n"))
        if html and dice is not None and value.isalnum() and value.isascii() and dice.chance(3):
            out.append(f"{gap}{name}={value}")
        elif html and dice is not None and not value and dice.chance(3):
            out.append(f"{gap}{name}")
        else:
            out.append(f"{gap}{name}={quote}{text}{quote}")
    return "".join(out) + (" " if dice is not None and dice.chance(8) else "")


def _escaped(text: str, dice: Dice | None, *, html: bool) -> str:
    out = []
    for c in text:
        if c in "&<>":
            out.append({"&": "&amp;", "<": "&lt;", ">": "&gt;"}[c])
        elif dice is not None and not c.isspace() and dice.chance(12):
            number = ord(c)
            ways = [f"&#{number};", f"&#x{number:x};"]
            if html and c == "ü":
                ways.append("&uuml;")
            out.append(dice.pick(ways))
        else:
            out.append(c)
    return "".join(out)


def _gap(dice: Dice | None) -> str:
    return "" if dice is None else dice.pick(("", "", "\n", "\n    ", " "))


def _inner_gap(dice: Dice | None) -> str:
    return " " if dice is not None and dice.chance(10) else ""


def change(page: Page, dice: Dice) -> Page:
    """One element, attribute or text more, less or other; what is secret stays as it is."""
    found: list[tuple[int, ...]] = []
    _walk(page.root, (), found)
    at = dice.pick(found) if found else ()  # the root alone is secret
    return page._replace(root=_changed(page.root, at, dice, html=page.html))


def _walk(node: Node, at: tuple[int, ...], found: list[tuple[int, ...]]) -> None:
    if node.tag in ("input", "script", "pre", "Password", "form", "head"):
        return
    if node.tag != "html":
        found.append(at)
    for number, child in enumerate(node.children):
        _walk(child, (*at, number), found)


def _changed(node: Node, at: tuple[int, ...], dice: Dice, *, html: bool) -> Node:
    if at:
        children = list(node.children)
        children[at[0]] = _changed(children[at[0]], at[1:], dice, html=html)
        return node._replace(children=children)
    way = dice.below(6)
    if way == 1 and node.attributes:
        name = dice.pick(list(node.attributes))
        return node._replace(attributes={**node.attributes, name: changed_word(node.attributes[name], dice)})
    if way == 2 and node.attributes:
        name = dice.pick(list(node.attributes))
        return node._replace(attributes={key: value for key, value in node.attributes.items() if key != name})
    if way == 3:
        return node._replace(attributes={**node.attributes, "data-fresh" if html else "fresh": "1"})
    if node.text and way != 4:
        return node._replace(text=changed_word(node.text, dice))
    if node.children and way == 5:
        gone = dice.below(len(node.children))
        if node.children[gone].tag not in ("form", "script", "pre"):
            return node._replace(children=[child for number, child in enumerate(node.children) if number != gone])
    if not node.text:
        fresh = Node("p" if html else "fresh", {}, [], "fresh text")
        if node.tag == "ul":
            fresh = fresh._replace(tag="li")
        return node._replace(children=[*node.children, fresh])
    return node._replace(text=changed_word(node.text, dice))
