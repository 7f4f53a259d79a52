"""HTML pages: written otherwise they are the same, and any change of what they say is found."""

import copy
import random
from collections.abc import Callable
from typing import Any

import pytest
from bodies import found, merged, shared
from hypothesis import given
from hypothesis import strategies as st

from proxy.compare.html import html_documents
from proxy.compare.html_tokens import Tag, tokens, unescape
from proxy.compare.meter import Meter
from proxy.compare.result import Budget, Incomparable, Result
from proxy.messages import Answer, Fields

Compare = Callable[..., Result]
MakeAnswer = Callable[..., Answer]
HTML: Fields = [(b"Content-Type", b"text/html; charset=utf-8")]


@pytest.fixture
def pages(compare: Compare, make_answer: MakeAnswer) -> Callable[..., Result]:
    def pages(legacy: str, candidate: str, **rules: Any) -> Result:
        return compare(make_answer(legacy.encode(), HTML), make_answer(candidate.encode(), HTML), **rules)

    return pages


@pytest.mark.parametrize(
    ("legacy", "candidate"),
    [
        ('<p class="a" id="b">x</p>', "<P ID=b CLASS='a'>x</P>"),
        ("<p>x</p>", "<p>x<!-- made at 12:00 --></p>"),
        ("<p>x y</p>", "<p>\n  x\n  y\n</p>\n"),
        ("<p>&lt;&eacute;&amp;</p>", "<p>&#60;\u00e9&#x26;</p>"),
        ("<ul><li>a</li><li>b</li></ul>", "<ul><li>a<li>b</ul>"),
        ("<p>a</p><p>b</p>", "<p>a<p>b"),
        ("<table><tr><td>1</td><td>2</td></tr></table>", "<table><tbody><tr><td>1<td>2</tbody></table>"),
        ("<html><head><title>t</title></head><body><p>x</p></body></html>", "<title>t</title><p>x"),
        ("<dl><dt>a</dt><dd>b</dd></dl>", "<dl><dt>a<dd>b</dl>"),
        ("<select><option>a</option><option selected>b</option></select>",
         '<select><option>a<option selected="selected">b</select>'),
        ("<p>a <b>b</b> c</p>", "<p>a\n<b>b</b>\nc</p>"),
        ("<div><p>a</p><p>b</p></div>", "<div>\n <p>a</p>\n <p>b</p>\n</div>"),
        ("<p>a<br>b</p>", "<p>a <br/> b</p>"),
        ('<img src="a.png" alt="x">', "<img alt=x src=a.png />"),
        ('<a href="/?a=1&amp;b=2">x</a>', '<a href="/?a=1&b=2">x</a>'),
        ('<a class=" a  b ">x</a>', '<a class="a b">x</a>'),
        ("<!DOCTYPE html><p>x", "<!doctype   HTML >\n<p>x"),
        ('<script nonce="abcdefgh12345678">f()</script>', '<script nonce="zyxwvuts87654321">f()</script>'),
        ('<input type="hidden" name="csrf_token" value="abcdefgh12345678">',
         '<input type="hidden" name="csrf_token" value="hgfedcba87654321">'),
        ('<meta name="csrf-token" content="abcdefgh12345678">', '<meta content="hgfedcba87654321" name="csrf-token">'),
        ("<textarea>\n a</textarea>", "<textarea>\n a</textarea >"),
    ],
)  # fmt: skip
def test_the_same_page_written_otherwise_is_matched(pages: Callable[..., Result], legacy: str, candidate: str) -> None:
    assert pages(legacy, candidate) == pages(candidate, legacy) == Result("matched")


@pytest.mark.parametrize(
    ("legacy", "candidate", "expected"),
    [
        ("<main><h1>Cart</h1></main>", "<main><h1>Basket</h1></main>", [("value", "$.body.main[*].h1[*].#text")]),
        ("<nav><a href=/a>x</a></nav>", "<nav><a href=/b>x</a></nav>", [("value", "$.body.nav[*].a[*].@href")]),
        ("<p class=a>x</p>", "<p>x</p>", [("missing", "$.body.p[*].@class")]),
        ("<p>x</p>", "<p hidden>x</p>", [("extra", "$.body.p[*].@hidden")]),
        ("<ul><li>a<li>b<li>c</ul>", "<ul><li>a<li>c</ul>", [("size", "$.body.li"), ("missing", "$.body.li[*]")]),
        ("<p>a</p><table id=t><tr><td>1</table>", "<p>a</p>", [("missing", "$.body.table#t")]),
        ("<table><tr><td>1<td><a>x</a></table>", "<table><tr><td>0<td><a>y</a><tr><td>1<td><a>x</a></table>",
         [("size", "$.body.table[*].tr"), ("extra", "$.body.table[*].tr[*]")]),
        ("<p>a</p><h2>b</h2>", "<h2>b</h2><p>a</p>", [("order", "$.body.#order")]),
        ("<div><p>a</p></div><i>b</i>", "<div></div><p>a</p><i>b</i>", [("order", "$.body.#order")]),
        ("<p>a</p>", "<section><p>a</p></section>", [("missing", "$.body.p"), ("extra", "$.body.section")]),
        ("<p>a</p><p>b</p>", "<div><p>a</p><p>b</p></div>", [("extra", "$.body.div")]),
        ("<p>a b</p>", "<p>ab</p>", [("value", "$.body.p[*].#text")]),
        ("<p><a>x</a> <a>y</a></p>", "<p><a>x</a><a>y</a></p>", [("missing", "$.body.p[*].#text")]),
        ("<pre>a  b</pre>", "<pre>a b</pre>", [("value", "$.body.pre[*].#text")]),
        ("<script>a  b</script>", "<script>a b</script>", [("value", "$.head.script[*].#text")]),
        ("<title>a</title>", "<title>b</title>", [("value", "$.head.title[*].#text")]),
        ("<html lang=en>", "<html lang=de>", [("value", "$.@lang")]),
        ("<!doctype html><p>x", "<p>x", [("missing", "$.#doctype")]),
        ("<p>a&#1;b</p>", "<p>ab</p>", [("value", "$.body.p[*].#text")]),
        ("<a href='?a&copy=1'>x</a>", "<a href='?a\u00a9=1'>x</a>", [("value", "$.body.a[*].@href")]),
        ("<p>a</p>", "<p>a</p></b>", [("size", "$.body.#order"), ("extra", "$.body.#order[*]")]),
        ("<input type=hidden name=csrf value=abcdefgh12345678>", "<input type=hidden name=csrf value=''>",
         [("format", "$.body.input[*].#token")]),
        ("<input type=hidden name=csrf value=abcdefgh12345678>", "<input type=hidden name=csrf>",
         [("missing", "$.body.input[*].#token")]),
        ("<meta name=csrf-param content=authenticity_token1>", "<meta name=csrf-param content=request_csrf_token2>",
         [("value", "$.head.meta[*].#secret")]),
        ("<input type=hidden name=csrf_check value=true>", "<input type=hidden name=csrf_check value=fals>",
         [("value", "$.body.input[*].#secret")]),
        ("<form><input name=q value=a></form>", "<form><input name=q value=b></form>",
         [("value", "$.body.form[*].input[*].@value")]),
    ],
)  # fmt: skip
def test_one_change_is_found_at_a_short_path(
    pages: Callable[..., Result], legacy: str, candidate: str, expected: list[tuple[str, str]]
) -> None:
    assert sorted(found(pages(legacy, candidate))) == sorted(expected)


def test_a_page_that_broke_off_is_no_whole_one(pages: Callable[..., Result]) -> None:
    whole = "<div><p>a</p></div>"
    assert found(pages(whole, "<div><p>a</p>")) == [("size", "$.body.#order"), ("extra", "$.body.#order[*]")]
    assert pages(whole + '<a href="x">y</a>', whole + '<a href="x').verdict == "mismatched"


def test_rules_hold_in_pages(pages: Callable[..., Result]) -> None:
    legacy = "<footer><p>made in 3 ms</p></footer><p>x</p>"
    assert pages(legacy, legacy.replace("3", "4"), ignore=["$.body.footer"]).verdict == "ignored"
    assert pages(legacy, legacy.replace("3", "4"), ignore=["$..#text"]).verdict == "ignored"
    assert pages(
        legacy, legacy.replace("3", "4"), match={"$.body.footer[*].p[*].#text": {"regex": "made in [0-9]+ ms"}}
    )
    assert found(pages(legacy, legacy.replace(">x", ">y"), ignore=["$.body.footer"])) == [
        ("value", "$.body.p[*].#text")
    ]


@pytest.mark.parametrize(
    "page",
    [
        '<input type=password name=a value="{}">',
        '<input name=api_key value="{}">',
        '<input type=hidden name=csrf_token value="{}"><input type=hidden name=csrf_token>',
        '<meta name="secret-key" content="{}">',
        '<p id="api-token">{}</p>',
        '<a data-session-id="{}">x</a>',
    ],
)
def test_secrets_in_pages_are_never_shown(pages: Callable[..., Result], page: str) -> None:
    result = pages(page.format("hunter2a"), page.format("hunter2-b" * 3))
    assert result.verdict == "mismatched"
    assert "hunter2" not in str(result)


@pytest.mark.parametrize(
    "page",
    [
        "<div>" * 5000,
        "<p>" + "".join(f"<b x={n}>" for n in range(2000)) + "<p>x" * 2000,
        "<table>" * 3000 + "<td>" * 3000,
        "<a " * 100_000,
        "<!--" * 100_000,
        "<script>" * 50_000,
        "</p>" * 40_000,
        "&" * 500_000,
        "<p" + " a=b" * 100_000,
        "<x>" * 190 + "</y>" * 40_000,
        "<select>" * 150 + "<option>" * 40_000,
        "<![CDATA[" * 50_000,
        f"<input type=hidden name=csrf value={'a' * 500_000}>",
    ],
)
def test_hostile_pages_end_in_a_verdict(pages: Callable[..., Result], page: str) -> None:
    assert pages(page, page + "<p>new</p>").verdict in ("mismatched", "matched", "incomparable")


def test_references_are_read_as_browsers_read_them() -> None:
    assert unescape("&lt;&notit;&copyright&#x80;&#0;&#xD800;&#38;&#1;&#99999999999;") == (
        "<\u00acit;\u00a9right\u20ac\ufffd\ufffd&\x01&#99999999999;"
    )
    assert unescape("&copy=1&copy;&lt", attribute=True) == "&copy=1\u00a9<"


def test_what_never_ends_is_text() -> None:
    assert list(tokens("a<b c='d", {})) == ["a", "<b c='d"]
    assert list(tokens("<script>x</scripty>", {})) == [Tag("script", {}), "x</scripty>"]


FLOW = ["div", "section", "article", "blockquote"]
INLINES = ["b", "i", "span", "a", "em"]
words = st.text(st.sampled_from("abcé<>&\"'= /;0"), min_size=1, max_size=6).map(lambda text: f"x{text.strip()}y")
attributes = st.dictionaries(st.sampled_from(["class", "href", "title", "data-x", "lang"]), words, max_size=3)
inline = st.recursive(
    words, lambda inner: st.tuples(st.sampled_from(INLINES), attributes, st.lists(inner, max_size=3)), max_leaves=5
)
Node = Any


def _block(children: st.SearchStrategy[Node]) -> st.SearchStrategy[Node]:
    item = st.tuples(st.just("li"), attributes, st.lists(children, max_size=2))
    return (
        st.tuples(st.sampled_from(FLOW), attributes, st.lists(children, max_size=4))
        | st.tuples(st.just("ul"), attributes, st.lists(item, max_size=3))
        | st.tuples(st.sampled_from(["p", "h2", "pre"]), attributes, st.lists(inline, max_size=3))
    )


paragraph = st.tuples(st.just("p"), attributes, st.lists(inline, max_size=3))
trees = st.lists(st.recursive(paragraph, _block, max_leaves=12), min_size=1, max_size=3)


def written(node: Node, dice: random.Random | None) -> str:
    """A page's source; with dice in another spelling than without."""
    if isinstance(node, str):
        out = ""
        for c in node:
            if c in "<&" or (dice and not c.isalnum() and c != " " and dice.random() < 0.3):
                names = {"<": "&lt;", "&": "&amp;", ">": "&gt;", '"': "&quot;"}
                out += names[c] if c in names and not (dice and dice.random() < 0.5) else f"&#{ord(c)};"
            else:
                out += c
        return out
    name, values, children = node
    pairs = list(values.items())
    if dice:
        dice.shuffle(pairs)
    shown = ""
    for key, value in pairs:
        quote = dice.choice("'\"") if dice else '"'
        value = value.replace("&", "&amp;").replace(quote, f"&#{ord(quote)};")
        shown += f"{' ' if not dice else dice.choice([' ', chr(10), '  '])}{key}={quote}{value}{quote}"
    tag = name.upper() if dice and dice.random() < 0.3 else name
    inner = ""
    flow = name in (*FLOW, "ul", "li")
    for child in merged(children):
        inner += written(child, dice)
        if dice and flow and not isinstance(child, str):
            inner += dice.choice(["", "\n  ", "<!-- c -->"])
        elif dice and name != "pre" and isinstance(child, str):
            inner += dice.choice(["", "<!-- -->"])
    end = "" if dice and name == "li" and dice.random() < 0.5 else f"</{tag}>"
    return f"<{tag}{shown}>{inner}{end}"


def source(tree: list[Node], dice: random.Random | None = None) -> str:
    body = "".join(written(node, dice) + ("\n" if dice else "") for node in tree)
    if dice and dice.random() < 0.5:
        return f"<html>\n<head></head><body>{body}</body></html>"
    return body


@shared
@given(trees, st.randoms(use_true_random=False))
def test_a_page_in_another_spelling_is_matched(
    pages: Callable[..., Result], tree: list[Node], dice: random.Random
) -> None:
    assert pages(source(tree), source(tree, dice)) == Result("matched")


def nodes(tree: list[Node]) -> list[tuple[list[Node], int]]:
    places = []
    pending = [tree]
    while pending:
        siblings = pending.pop()
        for at, node in enumerate(siblings):
            places.append((siblings, at))
            if not isinstance(node, str):
                pending.append(node[2])
    return places


def mutate(tree: list[Node], data: st.DataObject) -> list[Node]:
    """A copy with one change that a reader sees."""
    tree = copy.deepcopy(tree)
    siblings, at = data.draw(st.sampled_from(nodes(tree)))
    node = siblings[at]
    if isinstance(node, str):
        siblings[at] = node + "new"
        return tree
    how = data.draw(st.sampled_from(["rename", "remove", "attribute", "value", "add", "move"]))
    name, values, children = node
    if how == "rename":
        new = ("em", "i") if name in INLINES else ("section", "article") if name in FLOW else ("h3", "h4")
        siblings[at] = (next(other for other in new if other != name), values, children)
    elif how == "remove":
        del siblings[at]
    elif how == "value" and values:
        key = data.draw(st.sampled_from(sorted(values)))
        values[key] += "new"
    elif how == "move" and len(siblings) > 1 and siblings[at] != siblings[at - 1]:
        siblings[at], siblings[at - 1] = siblings[at - 1], siblings[at]
    elif how == "add":
        children.append(("b", {}, ["new"]))
    else:
        values["data-new"] = "1"
    return tree


@shared
@given(trees, st.data())
def test_one_change_of_a_page_is_found(pages: Callable[..., Result], tree: list[Node], data: st.DataObject) -> None:
    changed = mutate(tree, data)
    if [written(node, None) for node in merged(tree)] != [written(node, None) for node in merged(changed)]:
        assert pages(source(tree), source(changed)).verdict == "mismatched"


@shared
@given(
    st.text(st.sampled_from("<>/!-abp =\"'&;#x1\n"), max_size=80),
    st.text(st.sampled_from("<>/!-abp =\"'&;#x1\n"), max_size=80),
)
def test_any_two_texts_are_read(one: str, two: str) -> None:
    try:
        first, second = html_documents(one, two, Meter(Budget(), lambda: 0.0), lambda name: False)
    except Incomparable:
        return
    again, _ = html_documents(one, one, Meter(Budget(), lambda: 0.0), lambda name: False)
    assert again == html_documents(one, one, Meter(Budget(), lambda: 0.0), lambda name: False)[1]
    assert type(first) is type(second) is dict
