"""Canary secrets, planted wherever one can stand, are found nowhere in what Banyan stores, prints or shows.

Law: the search must be able to fail: an innocent word, planted beside the secrets, is found in every place where
records are shown.
"""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote, urlsplit

import pytest
from running import Banyan, Upstream, ask, eventually

pytestmark = pytest.mark.timeout(240)  # a whole Banyan is asked in all words, also on a busy machine

INNOCENT = "innocentwaterfowl"
ADMIN_TOKEN = "CANARYadmintoken0123456789"
TESTER_KEY = "CANARYtesterkey0123456789"
KEYS = ["CANARYredactionkeyone0123", "CANARYredactionkeytwo0123"]
JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJDQU5BUlkifQ.CANARYsignature9999xxxx"
CARD = "4111 1111 1111 1111"
AWS = "AKIACANARYCANARYCAN7"


def canary(number: int) -> str:
    """The number-th secret; of letters and digits, so that every coding leaves it as it is."""
    return f"CANARY{number:03d}zq"


BASIC = base64.b64encode(f"user:{canary(99)}".encode()).decode()
STATE = base64.b64encode(json.dumps({"password": canary(81)}).encode()).decode()
FORBIDDEN = [
    b"CANARY",
    BASIC.encode(),
    STATE.encode(),
    CARD.encode(),
    CARD.replace(" ", "").encode(),
    b"eyJzdWIiOiJDQU5BUlki",
]
"""What would be found if any secret leaked; all canaries have one beginning."""

CONFIGURATION = """\
version: 1
listen: 127.0.0.1:0
admin:
  listen: 127.0.0.1:0
  tokens: [{{name: ops, role: operator, token: "${{ADMIN}}"}}]
tester_key: "${{TESTER}}"
workers: 1
overload: {{shadow_lag: 0s, refuse_lag: 0s}}
store: sqlite:///{folder}/banyan.db
access_log: {{file: "{folder}/access.log"}}
redaction: {{keys_file: keys.txt}}
retention: {{samples: 50}}
upstreams:
  monolith: {{endpoints: ["{legacy}"]}}
  other: {{endpoints: ["{candidate}"]}}
legacy: monolith
identity: [{{header: X-User-Id}}]
routes:
  - id: all
    match: {{path_prefix: /}}
    candidate: other
    stage: shadow
    shadow: {{methods: [GET, POST], unsafe: accepted-by-candidate}}
    compare: {{headers: [content-type, set-cookie, location, x-api-key, x-note], noise: {{sample: 50%}}}}
"""

ANSWERS: dict[str, tuple[str, str]] = {
    "json": (
        "application/json",
        json.dumps({
            "note": INNOCENT, "which": "SIDE", "password": canary(1) + "SIDE",
            "a": [{"session": {"id": canary(2) + "SIDE"}}],
            "jwt_less": JWT, "card": 4111111111111111, "free": f"pay with {CARD} or Bearer {canary(3)}SIDE",
            "list": [{"name": "api_key", "value": canary(4) + "SIDE"}], "text": json.dumps({"token": {"x": canary(5)}}),
            "key": AWS, AWS[:-1] + "X": 1, "tokens": {canary(7) + "0123456789SIDE": "SIDE"},
        }),
    ),
    "broken": ("application/json", f'{{"note": "{INNOCENT}SIDE", "secret": {{"a": ["{canary(8)}SIDE"'),
    "lines": ("application/x-ndjson", f'{{"n": "{INNOCENT}SIDE"}}\n{{"pwd": "{canary(9)}SIDE"}}\n'),
    "events": ("text/event-stream", f'data: {{"n": "{INNOCENT}SIDE"}}\n\ndata: {{"csrf": "{canary(10)}SIDE"}}\n\n'),
    "html": (
        "text/html",
        (
            f"<p>{INNOCENT} SIDE</p><form><input type=hidden name=csrf_token value='{canary(11)}SIDE'></form>"
            f'<meta name="csrf-token" content="{canary(12)}SIDE"><script>var apiKey = "{canary(13)}SIDE"</script>'
            f'<a href="/x?access_token={canary(14)}SIDE">x</a><div data-session="{canary(15)}SIDE">{CARD}</div>'
        ),
    ),
    "xml": (
        "application/xml",
        (
            f"<r><n>{INNOCENT}SIDE</n><Password>{canary(16)}SIDE</Password><c secret='{canary(17)}SIDE'/>"
            f"<Credentials><v>{canary(18)}SIDE</v></Credentials></r>"
        ),
    ),
    "csv": ("text/csv", f"id,note,password\n1,{INNOCENT}SIDE,{canary(19)}SIDE\n"),
    "form": ("application/x-www-form-urlencoded", f"n={INNOCENT}SIDE&client_secret={canary(20)}SIDE"),
    "text": (
        "text/plain",
        (
            f"{INNOCENT} SIDE token={canary(21)}SIDE postgres://u:{canary(22)}SIDE@db/x\n"
            f"-----BEGIN PRIVATE KEY-----\n{canary(23)}SIDE\n-----END PRIVATE KEY-----\nAuthorization: Basic {BASIC}\n"
        ),
    ),
    "said": (
        "text/plain",
        (
            f"{INNOCENT} SIDE: run --password {canary(60)}SIDE --api-key '{canary(61)}SIDE' -u bob:{canary(62)}SIDE\n"
            f"invalid token {canary(63)}SIDE, password is {canary(64)}SIDE, pin=1{canary(65)}SIDE\n"
            f"GET / HTTP/1.1\nCookie: a={canary(66)}SIDE; b={canary(67)}SIDE\nAPI key: {canary(68)}SIDE\n"
            f"see http://h.example/reset-password/{canary(69)}SIDEabcdefgh\n"
        ),
    ),
    "split": (
        "text/event-stream",
        f'data: {{"n": "{INNOCENT}SIDE",\ndata: "sid": {{\ndata: "x": "{canary(70)}SIDE"\ndata: }}}}\n\n',
    ),
    "pairs": (
        "application/json",
        json.dumps({
            "note": f"{INNOCENT}SIDE", "headers": [["Host", "h"], ["Authorization", canary(72) + "SIDE"]],
            "entries": [["pin", [canary(73) + "SIDE"]], ["credentials", {"a": canary(74) + "SIDE"}]],
            "one": ["Cookie", f"a={canary(75)}SIDE"], "in": json.dumps([["X-Api-Key", canary(76) + "SIDE"]]),
            "aws": {"ParameterKey": "DBPassword", "ParameterValue": canary(77) + "SIDE"},
            "patch": [{"op": "replace", "path": "/user/password", "value": canary(78) + "SIDE"}],
            "audit": {"field": "password", "old": canary(79) + "SIDE", "new": canary(80) + "SIDE"},
            "state": STATE,
        }),
    ),
    "pairs-broken": (
        "application/json",
        (
            f'{{"n": "{INNOCENT}SIDE", "a": {{"value": "{canary(82)}SIDE", "name": "password"}}, '
            f'"h": ["Cookie", "{canary(83)}SIDE'
        ),
    ),
    "elements": (
        "application/xml",
        (
            f"<r><n>{INNOCENT}SIDE</n><f><key>password</key><value>{canary(84)}SIDE</value></f>"
            f"<f><value>{canary(85)}SIDE</value><name>password</name></f><entry key='password'>{canary(86)}SIDE</entry>"
            f"<add key='password' value='{canary(87)}SIDE'/><param name='token'>{canary(88)}SIDE</param>"
            f"<property name='token'><value>{canary(89)}SIDE</value></property>"
            f"<dict><key>a</key><string>b</string><key>password</key><string>{canary(90)}SIDE</string></dict></r>"
        ),
    ),
    "page": (
        "text/html",
        (
            f"<p>{INNOCENT} SIDE</p><meta property='api-key' content='{canary(91)}SIDE'><input name='password' "
            f"value='{canary(92)}SIDE'><select name='token'><option value='{canary(93)}SIDE'>{canary(94)}SIDE</select>"
            f"<table><tr><th>API key</th><td>{canary(95)}SIDE</td></tr><tr><td>Password<td>{canary(96)}SIDE</table>"
            f"<dl><dt>Token</dt><dd>{canary(97)}SIDE</dd></dl><script>var h = [['Cookie', '{canary(98)}SIDE']]</script>"
        ),
    ),
    "rows": ("text/csv", f"user,{INNOCENT}SIDE\npassword,{canary(100)}SIDE\nport,80\n"),
    "rows-named": ("text/csv", f"id,name,value\n1,note,{INNOCENT}SIDE\n2,password,{canary(101)}SIDE\n"),
    "rows-first": ("text/tab-separated-values", f"password\t{canary(102)}SIDE\nnote\t{INNOCENT}\n"),
    "fields": (
        "application/x-www-form-urlencoded",
        f"n={INNOCENT}SIDE&f%5B0%5D%5Bname%5D=password&f%5B0%5D%5Bvalue%5D={canary(103)}SIDE&key=token&value={canary(104)}SIDE",
    ),
    "yaml": (
        "application/yaml",
        (
            f"note: {INNOCENT}SIDE\nenv:\n  - name: DB_PASSWORD\n    value: {canary(105)}SIDE\npassword: |\n"
            f"  {canary(106)}SIDE\ntokens:\n- {canary(107)}SIDE\nsecret: !!str {canary(108)}SIDE\n"
            f"pwd: a {canary(109)}SIDE\n"
        ),
    ),
    "log": (
        "text/plain",
        (
            f"{INNOCENT} SIDE sent [('Cookie', '{canary(110)}SIDE')], "
            f"got {{'name': 'token', 'value': '{canary(111)}SIDE'}}\n"
        ),
    ),
    "bytes": ("application/octet-stream", f"\x00{canary(24)}SIDE"),
    "wrong": ("application/xml", f"<r><token>{canary(25)}SIDE"),
}  # fmt: skip
"""By the last segment of the path; SIDE becomes what tells the sides apart."""


class Service(Upstream):
    """Answers with one side of ``ANSWERS`` and sets secret header fields."""

    def answer(self, path: str) -> tuple[list[tuple[str, str]], bytes]:
        side = self.body
        media, text = ANSWERS[urlsplit(path).path.partition(";")[0].rpartition("/")[2]]
        fields = [
            ("Content-Type", media), ("X-Api-Key", f"{canary(30)}{side}"), ("X-Note", f"Bearer {canary(36)}{side}"),
            ("Set-Cookie", f"sid={canary(31)}{side}; Path=/"), ("set-cookie", f"theme={canary(32)}{side}"),
            ("Location", f"https://u:{canary(33)}{side}@h.example/?token={canary(34)}{side}&code={canary(35)}&state=1"),
        ]  # fmt: skip
        return fields, text.replace("SIDE", str(side)).encode()


class Scene:
    """A Banyan with all canaries planted. ``folder`` holds everything that it may write."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="bc"))
        (self.folder / "keys.txt").write_text("\n".join(KEYS))
        (self.folder / "keys.txt").chmod(0o600)
        self.legacy, self.candidate = Service("lego"), Service("cando")
        (self.folder / "banyan.yaml").write_text(
            CONFIGURATION.format(folder=self.folder, legacy=self.legacy.url, candidate=self.candidate.url)
        )
        self.environ = {"ADMIN": ADMIN_TOKEN, "TESTER": TESTER_KEY, "TMPDIR": str(self.folder)}
        self.banyan = Banyan(self.folder / "banyan.yaml", environ=self.environ)

    def plant(self) -> None:
        """Ask for every kind of answer, by requests with secrets in every place."""
        headers = {
            "Authorization": f"Bearer {canary(40)}", "Cookie": f"sid={canary(41)}; b={canary(42)}",
            "X-Api-Key": canary(43), "X-Banyan-Key": TESTER_KEY, "X-Banyan-Arm": "legacy",
            "Referer": f"http://h/?token={canary(44)}", "Proxy-Authorization": f"Basic {BASIC}",
            "X-Request-Id": f"token={canary(45)}", "X-Note": JWT, "X-Mark": INNOCENT,
            "User-Agent": f"x --password {canary(46)}", "X-Debug": json.dumps({"sid": {"a": canary(58)}}),
        }  # fmt: skip
        boundary = "b0"
        multipart = (
            f'--{boundary}\r\nContent-Disposition: form-data; name="password"\r\n\r\n{canary(47)}\r\n'
            f'--{boundary}\r\nContent-Disposition: form-data; name="f"; filename="{INNOCENT}.bin"\r\n\r\n'
            f"\x00{canary(48)}\r\n"
            f"--{boundary}--\r\n"
        ).encode()
        bodies = [
            ("", b""),
            ("application/json", json.dumps([["n", INNOCENT], ["Cookie", canary(112)]]).encode()),
            ("application/json",
             json.dumps({"n": INNOCENT, "password": canary(49), "a": {"token": [canary(50)]}}).encode()),
            ("application/x-www-form-urlencoded",
             f"n={INNOCENT}&password={canary(51)}&p%61ssword={canary(52)}".encode()),
            (f"multipart/form-data; boundary={boundary}", multipart),
        ]  # fmt: skip
        for kind in ANSWERS:
            for media, data in bodies:
                below = f"session/{canary(53)}0123456789/{kind}"
                query = f"?n={INNOCENT}&token={canary(55)}&api%5Fkey={canary(56)}&note=Bearer%20{canary(57)}"
                query += f"&all={quote(json.dumps({'sid': {'a': canary(59)}}))}&q=--password+{canary(71)}"
                url = f"{self.banyan.url}/{INNOCENT}/{JWT}/{quote(CARD)}/{below}{query}"
                more = {"Content-Type": media} if media else {}
                ask(url, "POST" if data else "GET", raw=data, headers={**headers, **more})
        ask(f"{self.banyan.url}/a/json;jsessionid={canary(54)}", headers=headers)  # ambiguous: no route takes it

    def told(self, path: str) -> bytes:
        """What the admin listener says."""
        return ask(self.banyan.admin + path, headers={"Authorization": f"Bearer {ADMIN_TOKEN}"}).body

    def said(self, *words: str) -> bytes:
        """What a command prints on both its outputs."""
        environ = {**os.environ, **self.environ, "BANYAN_ADMIN": self.banyan.admin, "BANYAN_TOKEN": ADMIN_TOKEN}
        done = subprocess.run([sys.executable, "-m", "proxy", *words], capture_output=True, timeout=60, env=environ)
        return done.stdout + done.stderr

    def close(self) -> None:
        for service in (self.legacy, self.candidate):
            service.close()
        self.banyan.kill()
        for file in sorted(self.folder.rglob("*"), reverse=True):
            file.rmdir() if file.is_dir() else file.unlink()
        self.folder.rmdir()


def opened(data: bytes) -> bytes:
    """Bytes together with what is compressed in them."""
    found = [data]
    for head in (b"\x78\x01", b"\x78\x5e", b"\x78\x9c", b"\x78\xda", b"\x1f\x8b"):
        at = data.find(head)
        while at >= 0:
            with suppress(zlib.error):
                found.append(zlib.decompressobj(wbits=47).decompress(data[at:], 10_000_000))
            at = data.find(head, at + 1)
    return b"\n".join(found)


@pytest.fixture(scope="module")
def places() -> Iterator[dict[str, bytes]]:
    """Everything that Banyan wrote, printed and showed, by where."""
    scene = Scene()
    try:
        scene.plant()
        # Twice, so that what is recorded at the second sight is recorded too.
        scene.plant()
        listed = eventually(
            lambda: found if len(found := json.loads(scene.told("/api/diffs"))["diffs"]) >= 45 else None
        )
        found: dict[str, bytes] = {}
        shown = ["", "/readiness", "/coverage", "/requests", "/replay", "/suggestions"]
        listing = ["/metrics", "/readyz", "/api/status", "/api/routes", "/api/diffs", "/api/report", "/api/events"]
        for path in [*listing, *(f"/api/routes/all{rest}" for rest in shown)]:
            found[path] = scene.told(path)
        pairs = {sample for finding in listed for sample in finding["samples"][:3]}
        found["/api/diffs/ID"] = b"\n".join(scene.told(f"/api/diffs/{pair}") for pair in sorted(pairs))
        found["banyan diffs"] = scene.said("diffs") + scene.said("diffs", "--json")
        one = min(pairs)
        found["banyan diffs show"] = scene.said("diffs", "show", one) + scene.said("diffs", "show", one, "--json")
        found["banyan diffs show --as"] = b"".join(
            scene.said("diffs", "show", one, "--as", form) for form in ("curl", "pytest", "hurl")
        )
        found["banyan report"] = b"".join(scene.said("report", "--format", form) for form in ("md", "json", "html"))
        found["banyan status"] = scene.said("status", "--json") + scene.said("status")
        found["banyan rules suggest"] = scene.said("rules", "suggest", "all")
        found["banyan readiness"] = scene.said("readiness", "all", "--json")
        found["banyan replay"] = scene.said("replay", "all", "--against", scene.candidate.url)
        found["banyan replay --json"] = scene.said("replay", "all", "--against", scene.candidate.url, "--json")
        found["banyan replay --save"] = scene.said("replay", "all", "--save", str(scene.folder / "kept.json"))
        found["banyan export-tests"] = scene.said("export-tests", "all", "-o", str(scene.folder / "suite"))
        rules = str(scene.folder / "banyan.yaml")
        for words in (["check", rules], ["routes", rules], ["explain", "GET", "/x", "--path", rules], ["schema"]):
            found[f"banyan {words[0]}"] = scene.said(*words)
        assert scene.banyan.stop() == 0
        found["log"] = "".join(scene.banyan.lines).encode()
        for file in scene.folder.rglob("*"):
            if file.is_file() and file.name != "keys.txt":
                found[f"file {file.name}"] = opened(file.read_bytes())
        yield found
    finally:
        scene.close()


def test_no_canary_is_found_anywhere(places: dict[str, bytes]) -> None:
    assert {"file banyan.db", "file access.log", "file kept.json", "log", "/metrics", "/api/diffs/ID"} <= set(places)
    leaks = {
        where: text[max(0, at - 200) : at + 60]
        for where, text in places.items()
        for secret in FORBIDDEN
        if (at := text.find(secret)) >= 0
    }
    assert not leaks


@pytest.mark.parametrize(
    "where",
    [
        "file banyan.db",
        "file access.log",
        "file kept.json",
        "/api/diffs/ID",
        "/api/diffs",
        "banyan diffs show",
        "banyan report",
    ],
)
def test_what_is_innocent_is_found_where_records_are_shown(places: dict[str, bytes], where: str) -> None:
    assert INNOCENT.encode() in places[where]


def test_masks_carry_hashes_of_the_first_configured_key(places: dict[str, bytes]) -> None:
    from proxy.compare.masks import configured_key

    assert f", {configured_key(KEYS[0]).id}:".encode() in places["file banyan.db"]
    assert configured_key(KEYS[1]).id.encode() not in places["file banyan.db"]
