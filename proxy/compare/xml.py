"""XML documents (XML 1.0, Namespaces in XML 1.0) as documents for the walk.

Law: two bodies give equal documents if and only if they say the same: prefixes, the order of attributes, white space
between elements, CDATA sections, character references, comments and the encoding do not matter, everything else does.
A document that declares entities or has an internal DTD is not read at all, and nothing outside is ever asked for.

White space is insignificant only in elements that have children and no other text, and not under
``xml:space="preserve"``.
"""

from __future__ import annotations

from collections.abc import Callable
from pyexpat import ExpatError, ParserCreate
from typing import Any

from proxy.compare.result import Budget, Incomparable
from proxy.compare.secret_names import Secret
from proxy.compare.trees import Element, documents

_WELL_KNOWN = {
    "http://www.w3.org/XML/1998/namespace": "xml",
    "http://www.w3.org/2001/XMLSchema-instance": "xsi",
    "http://www.w3.org/1999/xlink": "xlink",
}
_SPACE = " \t\r\n"  # what XML calls white space
_SEPARATOR = "\n"  # in no name and in no namespace: attribute values are normalised


class NotXmlError(ValueError):
    """The body is not well-formed XML."""


class Tree:
    """A parsed document: its root, and what it says besides."""

    def __init__(self, root: Element) -> None:
        self.root = root
        self.processing: list[str] = []
        self.doctype = ""


class _Builder:
    """Makes the tree of one document out of the parser's events; its depth and size are bounded."""

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self._nodes = 0
        self._open: list[Element] = []
        self._kept: list[bool] = [False]  # of each open element: is its white space to be kept?
        self._tree: Tree | None = None
        self._processing: list[str] = []
        self._doctype = ""
        self.parser = parser = ParserCreate(encoding="utf-8", namespace_separator=_SEPARATOR)
        parser.buffer_text = True
        parser.ordered_attributes = True
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._text
        parser.ProcessingInstructionHandler = self._instruction
        parser.StartDoctypeDeclHandler = self._doctype_begins
        parser.EntityDeclHandler = self._refuse
        parser.SkippedEntityHandler = self._refuse
        parser.ExternalEntityRefHandler = self._refuse

    def read(self, body: bytes) -> Tree:
        self.parser.Parse(body, True)
        if self._tree is None:
            raise NotXmlError("no element")
        self._tree.processing, self._tree.doctype = self._processing, self._doctype
        return self._tree

    def _start(self, name: str, attributes: list[str]) -> None:
        self._nodes += 1 + len(attributes) // 2
        if self._nodes > self._budget.nodes:
            raise Incomparable("too-many-nodes")
        if len(self._open) >= self._budget.depth:
            raise Incomparable("too-deep")
        space, _, local = name.rpartition(_SEPARATOR)
        element = Element(local, space)
        keep = self._kept[-1]
        for key, value in sorted(zip(attributes[::2], attributes[1::2], strict=True)):
            uri, _, own = key.rpartition(_SEPARATOR)
            if uri:
                own = _prefixed(uri, own, element.attributes)
                if own == "xml:space":
                    keep = value == "preserve"
            element.attributes[f"@{own}"] = value
        if self._open:
            self._open[-1].children.append(element)
        else:
            self._tree = Tree(element)
        self._open.append(element)
        self._kept.append(keep)

    def _end(self, _: str) -> None:
        element = self._open.pop()
        kept = self._kept.pop()
        children = element.children
        if len(children) > 1 and not kept:
            texts = [child for child in children if isinstance(child, str)]
            if texts and not any(text.strip(_SPACE) for text in texts):
                element.children = [child for child in children if not isinstance(child, str)]

    def _text(self, text: str) -> None:
        self._open[-1].add_text(text)

    def _instruction(self, target: str, data: str) -> None:
        self._processing.append(f"{target} {data}")

    def _doctype_begins(self, name: str, system: str | None, public: str | None, internal: bool) -> None:
        if internal:
            raise Incomparable("entity-declarations")
        self._doctype = " ".join(filter(None, (name, public, system)))

    def _refuse(self, *_: object) -> int:
        raise Incomparable("entity-declarations")


def parse_xml(body: bytes, budget: Budget) -> Tree:
    """Read one document (UTF-8, whatever its declaration says).

    Raises NotXmlError and Incomparable ("too-deep", "too-many-nodes", "entity-declarations").
    """
    try:
        return _Builder(budget).read(body)
    except (ExpatError, UnicodeError, ValueError) as error:
        raise NotXmlError(str(error)) from None


def xml_documents(legacy: Tree, candidate: Tree, is_secret: Callable[[str], Secret]) -> tuple[Any, Any]:
    """The documents of a pair of trees."""
    made = documents(legacy.root, candidate.root, is_secret)
    for tree, document in zip((legacy, candidate), made, strict=True):
        if tree.processing:
            document["#processing"] = tree.processing
        if tree.doctype:
            document["#doctype"] = tree.doctype
    return made


def _prefixed(uri: str, own: str, attributes: dict[str, str]) -> str:
    """The key of an attribute in a namespace: named by the end of it, which says the same whatever the prefix was."""
    known = _WELL_KNOWN.get(uri)
    if known is not None:
        return f"{known}:{own}"
    short = uri.rstrip("/#").replace("#", "/").rpartition("/")[2] or "ns"
    name, number = short, 1
    while attributes.get(f"@xmlns:{name}", uri) != uri:
        number += 1
        name = f"{short}{number}"
    attributes[f"@xmlns:{name}"] = uri
    return f"{name}:{own}"
