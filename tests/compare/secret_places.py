"""Places in which secrets stand, and secrets by their shapes: what the tests of redaction plant.

Law: a place is a media type and a body that holds a value, under a name or just so.
"""

from __future__ import annotations

import base64
import html
import json
import re
from collections.abc import Callable
from urllib.parse import quote, quote_plus, unquote

import orjson
from hypothesis import strategies as st

Container = Callable[[str, str], tuple[str, str]]
"""A name and a value -> a media type and a body that holds the value under the name."""

JSON, FORM, XML, HTML, TEXT, LINES, YAML = (
    "application/json", "application/x-www-form-urlencoded", "application/xml", "text/html", "text/plain",
    "application/x-ndjson", "application/yaml",
)  # fmt: skip


def readings(text: str) -> list[str]:
    """A text as those read it who undo its escapes."""
    plain = re.sub(r"\\u([0-9a-fA-F]{4})", lambda match: chr(int(match[1], 16)), text)
    return [text, plain, unquote(text), html.unescape(text), unquote(plain), text.replace("\\", "")]


def assert_gone(secret: str, text: str) -> None:
    """No piece of a secret that is long enough to be worth something is left."""
    pieces = {secret[at : at + 9] for at in range(max(1, len(secret) - 8))}
    for reading in readings(text):
        for piece in pieces:
            assert piece not in reading, (piece, reading[:3000])


def _escaped(text: str) -> str:
    return "".join(f"\\u{ord(c):04x}" for c in text)


def _xml(text: str) -> str:
    return html.escape(text, quote=True)


NAMED: dict[str, Container] = {
    "json": lambda n, v: (JSON, json.dumps({"a": [{"b": {n: v}}], "z": 1})),
    "json-below": lambda n, v: (JSON, json.dumps({n: {"a": [v, {"b": v}]}})),
    "json-beside": lambda n, v: (JSON, json.dumps([{"name": n, "value": v}, {"key": n, "value": [v]}])),
    "json-beside-capital": lambda n, v: (JSON, json.dumps([{"Name": n, "Value": v}, {"Key": n, "Values": [v]}])),
    "json-beside-more": lambda n, v: (
        JSON,
        json.dumps([
            {"ParameterKey": n, "ParameterValue": v}, {"field": n, "old": v, "new": v}, {"k": n, "v": v},
            {"op": "replace", "path": f"/user/{n}", "value": v}, {"label": n, "val": [v]},
            {"names": 1, "NAME": n, "VALUE": {"a": v}},
        ]),
    ),
    "json-pair": lambda n, v: (JSON, json.dumps({"h": [["Host", "x"], [n, v]], "e": [n, [v, {"a": v}]]})),
    "json-pair-alone": lambda n, v: (JSON, json.dumps([n, v])),
    "json-pair-in-json": lambda n, v: (JSON, json.dumps({"a": json.dumps([[n, v], {"value": v, "name": n}])})),
    "json-pair-broken": lambda n, v: (JSON, json.dumps({"h": [["Host", "x"], [n, v], {"value": v, "name": n}]})[:-2]),
    "json-pair-cut": lambda n, v: (JSON, json.dumps({"h": [["Host", "x"], [n, v]]})[:-4]),
    "ndjson-pair": lambda n, v: (LINES, json.dumps([n, v]) + "\n" + json.dumps({"value": v, "key": n})),
    "json-in-json": lambda n, v: (JSON, json.dumps({"a": json.dumps({"b": {n: {"c": v}}})})),
    "json-escaped": lambda n, v: (JSON, f'{{"{_escaped(n)}": "{_escaped(v)}"}}'),
    "json-broken": lambda n, v: (JSON, json.dumps({"x": 1, n: {"a": [v]}})[:-2]),
    "json-broken-escaped": lambda n, v: (JSON, f'{{"{_escaped(n)}": "{_escaped(v)}", '),
    "json-cut-in-secret": lambda n, v: (JSON, json.dumps({"x": 1, n: v})[: -len(v) // 3]),
    "json-twice": lambda n, v: (JSON, f'{{{json.dumps(n)}: {json.dumps(v)}, "n": 1e999, {json.dumps(n)}: 1}}'),
    "json-long": lambda n, v: (JSON, json.dumps({"a": [{"x": "y" * 40, n: {"b": v}}] * 6000})),
    "json-text": lambda n, v: (TEXT, json.dumps({"a": {n: {"b": v}}})),
    "json-no-type": lambda n, v: ("", json.dumps({"a": {n: {"b": v}}})),
    "json-repr": lambda n, v: (TEXT, f"request: {{'a': 1, '{n}': '{v}'}}"),
    "ndjson": lambda n, v: (LINES, json.dumps({"a": {n: [v]}}) + "\n" + json.dumps({n: {"c": v}})),
    "json-seq": lambda n, v: ("application/json-seq", "\x1e" + json.dumps({n: {"c": v}}) + "\n"),
    "events": lambda n, v: ("text/event-stream", f"id: a\r\ndata: {json.dumps({n: [v]})}\r\n\r\ndata:{n}={v}\n\n"),
    "events-lines": lambda n, v: (
        "text/event-stream",
        "".join(f"data: {line}\n" for line in json.dumps({"a": 1, n: {"b": v}}, indent=1).split("\n")) + "\n",
    ),
    "form": lambda n, v: (FORM, f"a=1&{quote_plus(n)}={quote_plus(v)}&b=2"),
    "form-beside": lambda n, v: (FORM, f"name={quote_plus(n)}&x=1&value={quote_plus(v)}"),
    "form-beside-indexed": lambda n, v: (
        FORM,
        f"f[0][value]={quote_plus(v)}&f%5B0%5D%5Bname%5D={quote_plus(n)}&f[1][name]=a&g.0.key={n}&g.0.value={quote(v)}",
    ),
    "form-escaped": lambda n, v: (
        FORM,
        f"{''.join(f'%{ord(c):02X}' for c in n)}={''.join(f'%{b:02x}' for b in v.encode())}",
    ),
    "form-json": lambda n, v: (FORM, f"a={quote_plus(json.dumps({n: {'b': v}}))}&b={quote(json.dumps([{n: [v]}]))}"),
    "form-indexed": lambda n, v: (FORM, f"user[{n}]={quote_plus(v)}&user.{n}={quote(v)}"),
    "multipart": lambda n, v: (
        "multipart/form-data; boundary=b0",
        (
            f'--b0\r\nContent-Disposition: form-data; name="{n}"\r\n\r\n{v}\r\n--b0\r\nContent-Disposition: form-data; '
            f'name="doc"\r\nContent-Type: application/json\r\n\r\n{json.dumps({n: {"a": v}})}\r\n--b0--\r\n'
        ),
    ),
    "multipart-lf": lambda n, v: (
        'multipart/form-data; boundary="b0"',
        (
            f"--b0\nContent-Disposition: form-data; name={n}\n\n{v}\n--b0\nContent-Disposition: form-data; "
            f"name*=utf-8''{quote(n)}\n\n{v}\n--b0--\n"
        ),
    ),
    "xml": lambda n, v: (XML, f"<r><a><s:{n}>{_xml(v)}</s:{n}></a></r>"),
    "xml-below": lambda n, v: ("text/xml", f"<r><{n}><{n}>{_xml(v)}</{n}><v x='{_xml(v)}'>{_xml(v)}</v></{n}></r>"),
    "xml-cdata": lambda n, v: ("application/soap+xml", f"<r><{n}><![CDATA[a</{n}>{v}<x]]></{n}></r>"),
    "xml-attribute": lambda n, v: (XML, f'<r><a {n}="{_xml(v)}" b=\'1\'/></r>'),
    "xml-property": lambda n, v: (XML, f'<r><p name="{n}">{_xml(v)}</p><p key="{n}" value="{_xml(v)}"/></r>'),
    "xml-param": lambda n, v: (XML, f'<r><param name="{n}">{_xml(v)}</param><param name="{n}" value="{_xml(v)}"/></r>'),
    "xml-cut": lambda n, v: (XML, f"<r><a/><{n}>{_xml(v)}"),
    "xml-beside": lambda n, v: (
        XML,
        (
            f"<r><f><key>{n}</key><value>{_xml(v)}</value></f><f><name>{n}</name><value><s>{_xml(v)}</s></value></f>"
            f"<f><a:Value xmlns:a='u'>{_xml(v)}</a:Value><a:Name xmlns:a='u'>{n}</a:Name></f></r>"
        ),
    ),
    "xml-beside-more": lambda n, v: (
        XML,
        (
            f"<r><f><param-name>{n}</param-name><d>1</d><param-value>{_xml(v)}</param-value></f>"
            f"<f><field a='1'><![CDATA[{n}]]></field><old>{_xml(v)}</old><new><![CDATA[{v}]]></new></f></r>"
        ),
    ),
    "xml-beside-many": lambda n, v: (
        XML,
        f"<r><name>a</name><value>b</value><name>{n}</name><value>{_xml(v)}</value><name>c</name><value/></r>",
    ),
    "xml-beside-cut": lambda n, v: (XML, f"<r><key>{n}</key><value>{_xml(v)}"),
    "xml-escaped": lambda n, v: (
        XML,
        f"<r>a{_xml(f'<key>{n}</key><value>{v}</value><{n}>{v}</{n}>')}<b>c</b>{_xml(f'<a {n}={v}/>')}</r>",
    ),
    "xml-within-cut": lambda n, v: (XML, f'<r><a/><property name="{n}">\n  <value x="1">{_xml(v)}'),
    "xml-plist": lambda n, v: (
        XML,
        (
            f"<plist><dict><key>a</key><string>b</string><key>{n}</key><string>{_xml(v)}</string>"
            f"<key>{n}</key><array><string>{_xml(v)}</string></array><key>{n}</key><dict><key>a</key>"
            f"<data>{_xml(v)}</data></dict></dict></plist>"
        ),
    ),
    "xml-within": lambda n, v: (
        XML,
        (
            f'<r><property name="{n}"><value>{_xml(v)}</value></property><e key="{n}">a<b>{_xml(v)}</b></e>'
            f'<At Name="urn:{n}"><V>{_xml(v)}</V></At><void property="{n}"><string>{_xml(v)}</string></void></r>'
        ),
    ),
    "xml-spelled": lambda n, v: (XML, f'<r><Add Key="{n}" Value="{_xml(v)}"/><p k="{n}" v="{_xml(v)}"/></r>'),
    "html-labelled": lambda n, v: (
        HTML,
        (
            f'<meta property="{n}" content="{_xml(v)}"><meta itemprop="{n}" content="{_xml(v)}"><INPUT '
            f'aria-label="{n}" VALUE="{_xml(v)}"><input placeholder="{n}" value="{_xml(v)}"><button name="{n}" '
            f'value="{_xml(v)}">x</button><i data-name="{n}" data-value="{_xml(v)}"></i><p id="{n}">{_xml(v)}</p>'
        ),
    ),
    "html-select": lambda n, v: (HTML, f'<select name="{n}"><option value="{_xml(v)}" selected>{_xml(v)}</select>'),
    "html-row": lambda n, v: (
        HTML,
        (
            f"<table><tr><th><b>{n}</b></th><td>{_xml(v)}</td><td><code>{_xml(v)}</code></td></tr></table>"
            f"<TABLE><TR><TD>{n}:<TD><code>{_xml(v)}</code><TR><TD>a<TD>b</TABLE>"
        ),
    ),
    "html-terms": lambda n, v: (
        HTML,
        f"<dl><dt>{n}<dd>{_xml(v)}<dd><code>{_xml(v)}</code><dd><input value='{_xml(v)}'><dt>a<dd>b</dl>",
    ),
    "html-input": lambda n, v: (HTML, f'<form><input type="hidden" value="{_xml(v)}" name="{n}"></form>'),
    "html-password": lambda n, v: (HTML, f"<input name=a type=password value='{_xml(v)}'>"),
    "html-textarea": lambda n, v: (HTML, f"<textarea name={n} rows=3>{_xml(v)}</textarea>"),
    "html-meta": lambda n, v: (HTML, f'<meta content="{_xml(v)}" name="{n}">'),
    "html-data": lambda n, v: (HTML, f'<div data-{n}="{_xml(v)}" data-all="{_xml(json.dumps({n: v}))}">x</div>'),
    "html-script": lambda n, v: (HTML, f"<script>var x = {{a: 1, {json.dumps(n)}: {json.dumps(v)}}};</script>"),
    "html-link": lambda n, v: (HTML, f'<a href="/x?a=1&amp;{quote(n)}={quote(v, safe="")}&amp;b=1">x</a>'),
    "csv": lambda n, v: ("text/csv", f'id,{n},note\n1,"{v}",x\n2,{v},y\n'),
    "csv-quoted": lambda n, v: ("text/csv; charset=utf-8", f'"id";"{n}";"note"\r\n"1";"a ""{v}""\nb";"x"\r\n'),
    "csv-named": lambda n, v: ("text/csv", f"name,value\r\na,b\r\n{n},{v}\r\n"),
    "csv-pairs": lambda n, v: ("text/csv", f'user;bob\n"{n}";"{v}"\nport;80'),
    "csv-pair-first": lambda n, v: ("text/csv", f"{n},{v}\nuser,bob\n"),
    "csv-named-of-three": lambda n, v: ("text/csv", f'\ufeffvalue,id,name\n"{v}",1,{n}\n'),
    "tsv-pairs": lambda n, v: ("text/tab-separated-values", f"user\tbob\n{n}\t{v}\n"),
    "tsv": lambda n, v: ("text/tab-separated-values", f"id\t{n}\n1\t{v}\n"),
    "text": lambda n, v: (TEXT, f"INFO {n}={v} done"),
    "text-quoted": lambda n, v: (TEXT, f'INFO {n} = "{v} and more {v}"'),
    "text-yaml": lambda n, v: ("application/yaml", f"a:\n  {n}: {v}\n"),
    "text-escaped": lambda n, v: (TEXT, f'x = "{_escaped(n)}: {v}"'),
    "text-url": lambda n, v: (TEXT, f"see https://h.example/p?{quote(n)}={quote(v)}&a=b"),
    "text-arrow": lambda n, v: (TEXT, f"['{n}'=>'{v}']"),
    "text-pairs": lambda n, v: (TEXT, f"[('Host', 'h'), ('{n}', '{v}')] {json.dumps([[n, v]])} (b'{n}', b'{v}')"),
    "text-pairs-escaped": lambda n, v: (TEXT, f'q={quote(json.dumps([[n, v]]))} and [\\"{n}\\",\\"{v}\\"]'),
    "text-beside": lambda n, v: (
        TEXT, f"x {json.dumps({'name': n, 'value': v})} name='{n}', value='{v}' key={n} value={v}"
    ),
    "text-beside-yaml": lambda n, v: (YAML, f"env:\n  - name: {n}\n    value: {v}\n  - value: a\n    name: b\n"),
    "text-php": lambda n, v: (TEXT, f'["{n}"]=>\n  string(9) "{v}"\na:1:{{s:8:"{n}";s:9:"{v}";}}'),
    "text-base64": lambda n, v: (TEXT, f"state {base64.b64encode(json.dumps({n: v}).encode()).decode()} end"),
    "yaml-block": lambda n, v: (YAML, f"a:\n  {n}: |\n    {v}\n\n    {v}\n  b: >-\n    c\n{n}: >\n\t{v}\n"),
    "yaml-list": lambda n, v: (YAML, f"{n}:\n- {v}\n- x\na:\n  - {n}:\n      - {v}\n      - b: {v}\n"),
    "yaml-marked": lambda n, v: (YAML, f'{n}: !!str {v}\na:\n  {n}: &x {v}\n  {n}: &y !!str "{v}"\n'),
    "words": lambda n, v: (TEXT, f"[db]\n{n} = correct {v} staple\nexport {n}=correct {v}\n  - {n}: one {v}\n"),
    "toml": lambda n, v: ("application/toml", f'{n} = """\n{v}\nmore\n"""\n'),
    "multipart-beside": lambda n, v: (
        "multipart/form-data; boundary=b0",
        (
            f'--b0\r\nContent-Disposition: form-data; name="value"\r\n\r\n{v}\r\n'
            f'--b0\r\nContent-Disposition: form-data; name="name"\r\n\r\n{n}\r\n--b0--\r\n'
        ),
    ),
}  # fmt: skip
"""In free text only names that are words of their own are known to be secret."""

words = st.text("abcdefghkmnopqrstuvwxyzQWRTZ", min_size=12, max_size=40).map(lambda text: f"Zq{text}7qZ")
names = st.sampled_from(
    ["password", "apiKey", "client_secret", "csrf_token", "cardNumber", "refresh-token", "x-api-key", "Access_Token",
     "PASSWORD", "userPassword"]
)  # fmt: skip


def _luhn(digits: str) -> str:
    total = sum(sum(divmod(int(d) * 2, 10)) if at % 2 == 0 else int(d) for at, d in enumerate(reversed(digits)))
    return digits + str(-total % 10)


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def _iban(account: str) -> str:
    number = "".join(str(int(c, 36)) for c in f"{account}DE00")
    return f"DE{98 - int(number) % 97:02d}{account}"


letters = st.text("abcdefghijkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789", min_size=40, max_size=60)
cards = st.from_regex(r"[456][0-9]{14}", fullmatch=True).map(_luhn).filter(lambda card: len(set(card)) > 3)
groups = st.sampled_from([(16,), (4, 4, 4, 4), (4, 12), (8, 8), (6, 10)])
SHAPED: dict[str, st.SearchStrategy[str]] = {
    "jwt": letters.map(
        lambda x: ".".join([_base64(b'{"alg":"HS256"}'), _base64(orjson.dumps({"sub": x})), x])
    ),
    "bearer": letters.map(lambda x: f"Bearer {x}"),
    "basic": letters.map(lambda x: f"basic {base64.b64encode(f'u:{x}'.encode()).decode()}"),
    "aws": st.from_regex(r"AKIA[A-Z2-7]{16}", fullmatch=True),
    "github": letters.map(lambda x: f"ghp_{x[:36]}"),
    "stripe": letters.map(lambda x: f"sk_live_{x[:24]}"),
    "slack": letters.map(lambda x: f"xoxb-{x}"),
    "userinfo": letters.map(lambda x: f"postgres://user:{x}@db.example/x"),
    "hex": st.from_regex(r"[0-9a-f]{62}a1", fullmatch=True),
    "HEX": st.from_regex(r"[0-9A-F]{62}A1", fullmatch=True),
    "pem": letters.map(lambda x: f"-----BEGIN RSA PRIVATE KEY-----\n{x}\n{x}\n-----END RSA PRIVATE KEY-----"),
    "iban": st.from_regex(r"[1-9][0-9]{17}", fullmatch=True).map(_iban),
}  # fmt: skip

PLAIN_NAMED = {
    "json": lambda v: (JSON, json.dumps({"a": [{"note": v}, v], "in": json.dumps({"x": [v]})})),
    "json-key": lambda v: (JSON, json.dumps({v: 1, "a": {v: {"b": 2}}})),
    "json-broken": lambda v: (JSON, json.dumps({"note": f"see {v}"})[:-1]),
    "form": lambda v: (FORM, f"a={quote_plus(v)}&b={quote(v, safe='')}&{quote(v, safe='')}"),
    "form-twice-escaped": lambda v: (FORM, f"a={quote(quote(v, safe=''), safe='')}"),
    "multipart": lambda v: (
        "multipart/form-data; boundary=b0",
        f'--b0\r\nContent-Disposition: form-data; name="a"\r\n\r\n{v}\r\n--b0--\r\n',
    ),
    "xml": lambda v: (XML, f"<r><a b='{_xml(v)}'>{_xml(v)}</a><!-- {_xml(v)} --></r>"),
    "html": lambda v: (HTML, f'<p title="{_xml(v)}">see <b>{_xml(v)}</b></p>'),
    "csv": lambda v: ("text/csv", f'a,b\n1,"{v}"\n'),
    "events": lambda v: ("text/event-stream", "\n".join(f"data: {line}" for line in v.split("\n"))),
    "ndjson": lambda v: (LINES, json.dumps({"a": v}) + "\n" + json.dumps([v])),
    "text": lambda v: (TEXT, f"before {v} after"),
    "text-ends": lambda v: (TEXT, v),
}  # fmt: skip
