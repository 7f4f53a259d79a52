"""XML: written otherwise it is the same, and any change of what it says is found."""

import copy
import random
from collections.abc import Callable
from typing import Any
from xml.sax.saxutils import escape, quoteattr

import pytest
from bodies import found, merged, shared
from hypothesis import given
from hypothesis import strategies as st

from proxy.compare.meter import Meter
from proxy.compare.result import Budget, Incomparable, Result
from proxy.compare.xml import NotXmlError, parse_xml, xml_documents
from proxy.messages import Answer, Fields

Compare = Callable[..., Result]
MakeAnswer = Callable[..., Answer]
XML: Fields = [(b"Content-Type", b"application/xml")]


@pytest.fixture
def documents(compare: Compare, make_answer: MakeAnswer) -> Callable[..., Result]:
    def documents(legacy: str | bytes, candidate: str | bytes, **rules: Any) -> Result:
        one, two = (body.encode() if isinstance(body, str) else body for body in (legacy, candidate))
        return compare(make_answer(one, XML), make_answer(two, XML), **rules)

    return documents


@pytest.mark.parametrize(
    ("legacy", "candidate"),
    [
        ('<a x="1" y="2"/>', "<a y='2' x='1'></a>"),
        ("<a><b>1</b><c/></a>", '<?xml version="1.0" encoding="UTF-8"?>\n<a>\n  <b>1</b>\n  <c></c>\n</a>\n'),
        ("<a>x &lt; y</a>", "<a><![CDATA[x < y]]></a>"),
        ("<a>x</a>", "<a>x<!-- made by hand --></a>"),
        ("<a>\u00e9</a>", "<a>&#xE9;</a>"),
        ('<s:a xmlns:s="urn:s"><s:b/></s:a>', '<a xmlns="urn:s"><t:b xmlns:t="urn:s"/></a>'),
        ('<a xmlns:x="urn:x" x:id="1"/>', '<a y:id="1" xmlns:y="urn:x"/>'),
        ("<a>1\n2</a>", "<a>1\r\n2</a>"),
        ("<a>\u00e9</a>", '<?xml version="1.0" encoding="iso-8859-1"?><a>\u00e9</a>'.encode("latin-1")),
        ("<a>\u00e9</a>", "\ufeff<a>\u00e9</a>".encode("utf-16-le")),
    ],
)
def test_the_same_written_otherwise_is_matched(
    documents: Callable[..., Result], legacy: str, candidate: str | bytes
) -> None:
    assert documents(legacy, candidate) == documents(candidate, legacy) == Result("matched")


@pytest.mark.parametrize(
    ("legacy", "candidate", "expected"),
    [
        ("<o><total>1</total></o>", "<o><total>2</total></o>", [("value", "$.o.total")]),
        ('<o><total cur="EUR">1</total></o>', "<o><total>1</total></o>", [("missing", "$.o.total.@cur")]),
        ("<o><total>1</total></o>", '<o><total cur="EUR">2</total></o>',
         [("value", "$.o.total.#text"), ("extra", "$.o.total.@cur")]),
        ('<o><line id="1"/><line id="2"/></o>', '<o><line id="1"/><line id="3"/></o>', [("value", "$.o.line[*].@id")]),
        ("<o><line>1</line></o>", "<o><line>1</line><line>2</line></o>",
         [("size", "$.o.line"), ("extra", "$.o.line[*]")]),
        ("<o><lines><line>1</line></lines></o>", "<o><lines><line>2</line></lines></o>",
         [("value", "$.o.lines.line[*]")]),
        ("<o><a/><b/></o>", "<o><b/><a/></o>", [("order", "$.o.#order")]),
        ("<o><a/><b/></o>", "<o><a/><x/><b/></o>", [("extra", "$.o.x")]),
        ("<o><a/><b/><a/></o>", "<o><a/><a/><b/></o>", [("order", "$.o.#order")]),
        ("<o><a>1</a></o>", "<o/>", [("missing", "$.o.a")]),
        ("<p>Hello <b>you</b>!</p>", "<p>Hello <b>you</b>?</p>", [("value", "$.p.#text")]),
        ("<p>Hello <b>you</b></p>", "<p><b>you</b>Hello </p>", [("order", "$.p.#order")]),
        ("<a> x</a>", "<a>x</a>", [("value", "$.a")]),
        ("<a> </a>", "<a/>", [("value", "$.a")]),
        ('<a xml:space="preserve"> <b/> </a>', '<a xml:space="preserve"><b/></a>', [("missing", "$.a.#text")]),
        ('<a xmlns="urn:1"><b/></a>', '<a xmlns="urn:2"><b/></a>', [("value", "$.a.@xmlns")]),
        ('<a><b/><b xmlns="u:1"/></a>', '<a><b xmlns="u:1"/><b xmlns="u:1"/></a>', [("extra", "$.a.b[*].@xmlns")]),
        ('<a xmlns:x="http://one/v1" x:id="1"/>', '<a xmlns:x="http://two/v1" x:id="1"/>',
         [("value", "$.a['@xmlns:v1']")]),
        ("<?xml-stylesheet href='a'?><a/>", "<a/>", [("missing", "$.#processing")]),
        ("<a/>", "<b/>", [("missing", "$.a"), ("extra", "$.b")]),
        ("<a/>", "no markup at all", [("type", "$")]),
        ("<a>", "<a><b>", [("text", "body")]),
    ],
)  # fmt: skip
def test_one_change_is_found_at_its_path(
    documents: Callable[..., Result], legacy: str, candidate: str, expected: list[tuple[str, str]]
) -> None:
    assert sorted(found(documents(legacy, candidate))) == sorted(expected)


def test_rules_hold_in_xml(documents: Callable[..., Result]) -> None:
    legacy = '<o made="1"><line id="1"/><line id="2"/><x>1</x></o>'
    candidate = '<o made="2"><line id="2"/><line id="1"/><x>1</x></o>'
    rules: dict[str, Any] = {"ignore": ["$.o.@made"], "unordered": {"$.o.line": "@id"}}
    assert documents(legacy, candidate, **rules).verdict == "ignored"
    assert found(documents(legacy, candidate.replace("<x>1", "<x>2"), **rules)) == [("value", "$.o.x")]


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ('<!DOCTYPE a [<!ENTITY x "y">]><a>&x;</a>', "entity-declarations"),
        ('<!DOCTYPE a [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;&a;">]><a>&b;</a>', "entity-declarations"),
        ('<!DOCTYPE a SYSTEM "file:///etc/passwd" [<!ENTITY % x SYSTEM "http://127.0.0.1:1/">%x;]><a/>',
         "entity-declarations"),
        ('<!DOCTYPE a SYSTEM "http://127.0.0.1:1/a.dtd"><a>&undeclared;</a>', "entity-declarations"),
        ("<a>" * 300, "too-deep"),
        ("<a>" + "<b/>" * 200_001 + "</a>", "too-many-nodes"),
        ("<a " + " ".join(f'b{n}=""' for n in range(200_001)) + "/>", "too-many-nodes"),
    ],
)  # fmt: skip
def test_hostile_documents_are_incomparable(documents: Callable[..., Result], body: str, reason: str) -> None:
    assert documents(body, "<a/>") == documents("<a/>", body) == Result("incomparable", reason)


def test_namespaces_that_end_alike_are_told_apart(documents: Callable[..., Result]) -> None:
    one = '<a xmlns:x="http://one/v1" xmlns:y="http://two/v1" x:id="1" y:id="2"/>'
    other = '<a xmlns:y="http://one/v1" xmlns:x="http://two/v1" x:id="2" y:id="1"/>'
    assert documents(one, other) == Result("matched")
    assert documents(one, one.replace('x:id="1" y:id="2"', 'x:id="2" y:id="1"')).verdict == "mismatched"
    known = '<a xmlns:i="http://www.w3.org/2001/XMLSchema-instance" i:type="b"/>'
    assert documents(known, known.replace(" i:", ' xmlns:j="urn:xsi" j:type="c" i:')).verdict == "mismatched"


def test_elements_in_another_order_are_told_apart(documents: Callable[..., Result]) -> None:
    one, two = '<line n="1"><sku>A</sku></line>', '<line n="2"><sku>B</sku></line>'
    (found,) = documents(f"<o>{one}{two}</o>", f"<o>{two}{one}</o>").differences
    assert (found.kind, found.legacy, found.candidate) == ("order", '["A", "B"]', '["B", "A"]')


def test_secrets_in_xml_are_never_shown(documents: Callable[..., Result]) -> None:
    for page in (
        "<a><password>{}</password></a>", '<a token="{}"/>', '<a><param name="password" value="{}"/></a>',
        '<a><param name="apiKey">{}</param></a>', "<a><session><id>{}</id></session></a>",
    ):  # fmt: skip
        result = documents(page.format("hunter2a"), page.format("hunter2bc"))
        assert result.verdict == "mismatched"
        assert "hunter2" not in str(result), page


names = st.sampled_from(["line", "lines", "total", "note", "id", "b"])
words = st.text(st.sampled_from("ab <>&\"'é]\n"), max_size=6)
spaces = st.sampled_from(["", "urn:one", "urn:two", "http://x/v1", "http://y/v1"])
Node = Any  # (name, namespace, attributes, children)
attributes = st.dictionaries(st.tuples(spaces, st.sampled_from(["id", "cur", "n"])), words, max_size=3)
trees = st.recursive(
    st.tuples(names, spaces, attributes, st.lists(words.filter(bool), max_size=1)),
    lambda inner: st.tuples(names, spaces, attributes, st.lists(inner | words.filter(str.strip), max_size=4)),
    max_leaves=12,
)


def written(node: Node, dice: random.Random | None) -> str:
    if isinstance(node, str):
        if dice and "]]>" not in node and dice.random() < 0.4:
            return f"<![CDATA[{node}]]>"
        if dice and dice.random() < 0.4:
            return "".join(f"&#{ord(c)};" for c in node)
        return escape(node)
    name, space, values, children = node
    prefixes = {uri: f"p{n}" for n, uri in enumerate(sorted({space, *(uri for uri, _ in values)} - {""}))}
    if dice:
        prefixes = {uri: f"q{dice.randrange(1000)}{prefix}" for uri, prefix in prefixes.items()}
    shown = [f"xmlns:{prefix}={quoteattr(uri)}" for uri, prefix in prefixes.items()]
    default = dice is not None and bool(space) and dice.random() < 0.5
    if default:
        shown.append(f"xmlns={quoteattr(space)}")
    elif not space:
        shown.append('xmlns=""')
    for (uri, key), value in values.items():
        value = quoteattr(value, {"\n": "&#10;"})
        shown.append(f"{prefixes[uri]}:{key}={value}" if uri else f"{key}={value}")
    if dice:
        dice.shuffle(shown)
    tag = name if default or not space else f"{prefixes[space]}:{name}"
    children = merged(children)
    between = "\n\t" if dice and children and not any(isinstance(child, str) for child in children) else ""
    inner = "".join(between + written(child, dice) for child in children) + between
    if dice and children:
        inner += "<!-- c -->"
    if not inner and (dice is None or dice.random() < 0.5):
        return f"<{tag} {' '.join(shown)}/>"
    return f"<{tag} {' '.join(shown)}>{inner}</{tag}>"


@shared
@given(trees, st.randoms(use_true_random=False), st.sampled_from(["utf-8", "utf-16", "iso-8859-1"]))
def test_a_document_in_another_spelling_is_matched(
    documents: Callable[..., Result], tree: Node, dice: random.Random, charset: str
) -> None:
    other = f'<?xml version="1.0" encoding="{charset}"?>{written(tree, dice)}'.encode(charset)
    assert documents(written(tree, None), other) == Result("matched")


def places(tree: Node) -> list[list[Any]]:
    """All elements, as lists that can be changed."""
    out = []
    pending = [tree]
    while pending:
        node = pending.pop()
        if isinstance(node, list):
            out.append(node)
            pending += node[3]
    return out


def changeable(node: Node) -> Node:
    if isinstance(node, str):
        return node
    name, space, values, children = node
    return [name, space, dict(values), merged([changeable(child) for child in children])]


@shared
@given(trees, st.data())
def test_one_change_of_a_document_is_found(documents: Callable[..., Result], tree: Node, data: st.DataObject) -> None:
    tree = changeable(tree)
    changed = copy.deepcopy(tree)
    node = data.draw(st.sampled_from(places(changed)))
    how = data.draw(st.sampled_from(["name", "space", "value", "attribute", "text", "remove", "move", "add"]))
    if how == "name":
        node[0] += "x"
    elif how == "space":
        node[1] = {"": "urn:one", "urn:one": "urn:two"}.get(node[1], "")
    elif how == "value" and node[2]:
        node[2][data.draw(st.sampled_from(sorted(node[2])))] += "x"
    elif how == "text":
        node[3].append("x")
    elif how == "remove" and node[3]:
        del node[3][data.draw(st.integers(0, len(node[3]) - 1))]
    elif how == "move" and len(node[3]) > 1:
        node[3].append(node[3].pop(0))
    elif how == "add":
        node[3].insert(0, ["b", "", {}, []])
    else:
        node[2][("urn:new", "new")] = ""
    node[3] = merged(node[3])
    if node[3] and all(isinstance(child, str) and not child.strip() for child in node[3]) and how == "remove":
        return  # white space alone may have become text
    if changed != tree:
        result = documents(written(tree, None), written(changed, None))
        assert result.verdict == "mismatched"


@shared
@given(st.binary(max_size=60) | st.text(st.sampled_from("<>/!?-ab =\"'&;#x1[]C\n"), max_size=60).map(str.encode))
def test_any_bytes_are_read_or_refused(body: bytes) -> None:
    meter = Meter(Budget(), lambda: 0.0)
    try:
        tree = parse_xml(body, meter)
    except (NotXmlError, Incomparable):
        return
    one, two = xml_documents(tree, tree, meter, lambda name: False)
    assert one == two
