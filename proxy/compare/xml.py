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

from proxy.compare.meter import Meter
from proxy.compare.result import Incomparable
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

    def __init__(self, meter: Meter) -> None:
        self._meter = meter
        self._open: list[Element] = []
        self._kept: list[bool] = [False]  # of each open element: is its white space to be kept?
        self._tree: Tree | None = None
        self._processing: list[str] = []
        self._doctype = ""
        self._spaces: dict[str, list[str]] = {}  # prefix -> the namespaces that it stands for, the innermost at the end
        self.parser = parser = ParserCreate(encoding="utf-8", namespace_separator=_SEPARATOR)
        parser.buffer_text = True
        parser.ordered_attributes = True
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._text
        parser.ProcessingInstructionHandler = self._instruction
        parser.StartNamespaceDeclHandler = self._declared
        parser.EndNamespaceDeclHandler = self._undeclared
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
        self._meter.spend(1 + len(attributes) // 2)
        if len(self._open) >= self._meter.depth:
            raise Incomparable("too-deep")
        space, _, local = name.rpartition(_SEPARATOR)
        element = Element(local, space)
        keep = self._kept[-1]
        prefixes = None
        for key, value in sorted(zip(attributes[::2], attributes[1::2], strict=True)):
            uri, _, own = key.rpartition(_SEPARATOR)
            if uri:
                prefixes = prefixes or _Prefixes()
                own = f"{prefixes.name(uri, element.attributes)}:{own}"
                if own == "xml:space":
                    keep = value == "preserve"
                elif own == "xsi:type":
                    value = self._qualified(value)
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
        if not self._open:
            self._processing.append(f"{target} {data}")
            return
        self._meter.spend()
        instruction = Element(f"?{target}")
        instruction.add_text(data)
        self._open[-1].children.append(instruction)

    def _declared(self, prefix: str | None, uri: str | None) -> None:
        self._spaces.setdefault(prefix or "", []).append(uri or "")

    def _undeclared(self, prefix: str | None) -> None:
        self._spaces[prefix or ""].pop()

    def _qualified(self, value: str) -> str:
        """A name in a value, with its namespace instead of a prefix (XML Schema part 1, section 2.6.1)."""
        prefix, _, name = value.strip(_SPACE).rpartition(":")
        spaces = self._spaces.get(prefix)
        return f"{{{spaces[-1]}}}{name}" if spaces else value

    def _doctype_begins(self, name: str, system: str | None, public: str | None, internal: bool) -> None:
        _no_declarations(name, system, public, internal)
        self._doctype = " ".join(filter(None, (name, public, system)))

    def _refuse(self, *_: object) -> int:
        raise Incomparable("entity-declarations")


def parse_xml(body: bytes, meter: Meter) -> Tree:
    """Read one document (UTF-8, whatever its declaration says).

    Raises NotXmlError and Incomparable ("too-deep", "too-many-nodes", "budget", "entity-declarations").
    """
    try:
        return _Builder(meter.begin()).read(body)
    except (ExpatError, UnicodeError, ValueError) as error:
        raise NotXmlError(str(error)) from None


def is_well_formed(text: str) -> bool:
    """Whether a text is one XML document. Raises Incomparable ("entity-declarations")."""
    parser = ParserCreate(encoding="utf-8", namespace_separator=_SEPARATOR)
    parser.StartDoctypeDeclHandler = _no_declarations
    try:
        parser.Parse(text.encode("utf-8", "surrogatepass"), True)
    except (ExpatError, ValueError):
        return False
    return True


def _no_declarations(_name: str, _system: str | None, _public: str | None, internal: bool) -> None:
    if internal:
        raise Incomparable("entity-declarations")


def xml_documents(legacy: Tree, candidate: Tree, meter: Meter, is_secret: Callable[[str], Secret]) -> tuple[Any, Any]:
    """The documents of a pair of trees. Raises Incomparable ("budget")."""
    made = documents(legacy.root, candidate.root, meter, is_secret)
    for tree, document in zip((legacy, candidate), made, strict=True):
        if tree.processing:
            document["#processing"] = tree.processing
        if tree.doctype:
            document["#doctype"] = tree.doctype
    return made


class _Prefixes:
    """Names of namespaces in the keys of one element's attributes: their ends, which say the same whatever the prefixes
    were; numbered if two end alike."""

    def __init__(self) -> None:
        self._names: dict[str, str] = dict(_WELL_KNOWN)
        self._ends = dict.fromkeys(_WELL_KNOWN.values(), 1)

    def name(self, uri: str, attributes: dict[str, str]) -> str:
        """The name of a namespace; what it stands for is one more attribute. Call it in the order of the URIs."""
        known = self._names.get(uri)
        if known is None:
            end = uri.rstrip("/#").replace("#", "/").rpartition("/")[2] or "ns"
            number = self._ends[end] = self._ends.get(end, 0) + 1
            known = self._names[uri] = end if number == 1 else f"{end}#{number}"
            attributes[f"@xmlns:{known}"] = uri
        return known
