"""No planted secret survives, wherever it stands, and what is no secret stays readable."""

import gzip
import json
from collections.abc import Callable
from time import monotonic

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from proxy.compare.explain import explain
from proxy.compare.record import record
from proxy.compare.redact import PLAIN, is_secret_name, make_redactor
from proxy.compare.result import Budget
from proxy.compare.rules import compile_rules
from proxy.compare.verdict import compare_pair
from proxy.config.comparing import Compare, Redaction
from proxy.messages import Answer, Fields, Pair

JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
CARD = "4111111111111111"
MakePair = Callable[..., Pair]
MakeAnswer = Callable[..., Answer]


def stored(pair: Pair) -> str:
    result = compare_pair(
        pair, compile_rules(Compare(headers=["set-cookie", "location", "x-api-key"])), Budget(), monotonic
    )
    made = record(pair, result, Budget())
    made["deepdiff"] = explain(made["legacy"]["body"], made["candidate"]["body"])
    return orjson.dumps(made).decode()


@pytest.mark.parametrize("name", ["Authorization", "PROXY-AUTHORIZATION", "Cookie", "set-cookie", "X-Api-Key",
    "x_api_key", "accessToken", "access_token", "clientSecret", "user-password",
    "PassWd", "pwd", "sessionId", "csrf_token",
    "XSRF-TOKEN", "private_key", "AWS_SECRET_ACCESS_KEY", "credentials", "cardNumber", "card", "pan", "cvv",
    "CVC2", "iban", "ssn", "otp",
    "connect.sid", "PHPSESSID", "X-Amz-Signature", "X-Forwarded-Client-Cert", "x-client-cert", "Client-Cert-Chain",
    "X-SSL-Client-Cert", "X-ARR-ClientCert"])  # fmt: skip
def test_secret_names(name: str) -> None:
    assert is_secret_name(name)


@pytest.mark.parametrize("name", ["price", "company", "author", "compass", "passenger", "discard", "spin", "standard",
    "key", "inside", "description", "name", "status", "expand", "client", "clientId", "certificate", "certified",
    "gift_certificate", "X-Forwarded-For", "X-Forwarded-Proto", "concert", "client_name"])  # fmt: skip
def test_plain_names(name: str) -> None:
    assert not is_secret_name(name)


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        (f"Authorization: Bearer {JWT}", JWT),
        ("bearer abcdefgh12345", "abcdefgh12345"),
        ("Basic dXNlcjpodW50ZXIy", "dXNlcjpodW50ZXIy"),
        (f"see {JWT}, please", JWT),
        (f"token_{JWT}", JWT),
        (f"card {CARD}", CARD),
        ("4111 1111 1111 1111", "1111 1111"),
        ("4111-1111-1111-1111.", "1111-1111"),
        ("378282246310005", "378282246310005"),
        ("AKIAIOSFODNN7EXAMPLE", "IOSFODNN7"),
        ("ghp_abcdefghijklmnopqrstuvwxyz0123456789", "abcdefghij"),
        ("-----BEGIN PRIVATE KEY-----\nMIIabc\n-----END PRIVATE KEY-----", "MIIabc"),
        ("-----BEGIN EC PRIVATE KEY-----\nMIIabc", "MIIabc"),
        ("postgres://bob:hunter2@db/x", "hunter2"),
        ('{"password": "hunt\\"er2"', "er2"),
        ('{\\"apiKey\\":\\"hunter2\\"}', "hunter2"),
        ("password=hunter2&x=1", "hunter2"),
        ("Authorization: ApiKey hunter2hunter2", "hunter2"),
        ("session-id: password: hunter2", "hunter2"),
        ('1,"{""password"": ""hunter2""}"', "hunter2"),
        ("window.csrfToken = 'hunter2';", "hunter2"),
        ('<input type="hidden" name="csrf_token" value="hunter2">', "hunter2"),
        ("<input value=hunter2 type=password>", "hunter2"),
        ('<meta content="hunter2" name="csrf-token">', "hunter2"),
        ("<soap:Password>hunter2</soap:Password>", "hunter2"),
    ],
)  # fmt: skip
def test_secrets_are_masked_by_shape(text: str, secret: str) -> None:
    assert secret not in PLAIN.by_shape(text)
    assert "«masked" in PLAIN.by_shape(text)


@pytest.mark.parametrize("text", ["1700000000000", "4111111111111112", "a basic introduction", "the password is wrong",
    "order 2024-01-01 12:00:00", "<p>7 items</p>", "https://shop.example/a:b", "4.111111111111111"])  # fmt: skip
def test_what_is_no_secret_stays(text: str) -> None:
    assert PLAIN.by_shape(text) == text


def test_a_character_reference_of_endless_digits_ends_no_record() -> None:
    endless = f"&#{'9' * 5000};"
    shown = PLAIN.by_shape(f'<p title="{endless}" id="{endless}">1</p><input name="password" value="hunter2">')
    assert "hunter2" not in shown
    assert endless in shown


@pytest.mark.parametrize("piece", ["pass", '"', "<input ", "a@", "://a:", "4 ", "eyJ", "eyJ.",
    "-----BEGIN PRIVATE KEY-----", "token=", 'token \\"', "<a>", "<a ", "a-", "deadbeef", "passwordpassword.",
    "<input name=", "basic abcd", "3-", "4111 ", "4111-", "a.a@", "<token>", "<token1", "</token>",
    "<token><![CDATA[",
    "<!--", "<a '\"<a\" '", '<a b="', "&quot;", "token&quot;:&quot;", "&a=", "DE44 5001 ", "AB12", "\\u0041", "{", "[",
    '"{\\q \\"', "kundennr", "theme=", 'theme="', "«masked text, 5»", "«masked", "%25", "%2541", "token====", "token\t",
    "secret:{", "form-data;name=", "form-data;name=token\n\n", '["token","', "('token',[", '["token",["a"],1],',
    "name=token value=", "key:token\n", "token:\n ", "token: |\n", "token: a b ", "token: &a ", 'token="""',
    "eyJhIjoi", "value=", "token;s:9:", "&lt;", "&amp;lt;token", "<td>", "<tr><th>token<td>"])  # fmt: skip
def test_hostile_text_takes_linear_time(piece: str) -> None:
    text = piece * (100_000 // len(piece)) + " bearer"
    redactor = make_redactor(Redaction(names=["Kunden-Nr"], reveal=["theme"], emails=True), b"r" * 32)
    redactor.by_shape(text)  # a quadratic pattern runs into the test's time limit
    redactor.by_shape(f"&lt;token< value=<key>{text}")
    for end in range(1, 2 * len(piece)):
        redactor.by_shape(f"token {piece * 2}"[: end + 6])  # a text may be cut off anywhere
    redactor.scalar(text, secret=False)


secrets = st.text("abcdefghkmnpqrstuvwxyzQWRTZ", min_size=12, max_size=30).map(lambda text: f"Zq{text}qZ")
secret_names = st.sampled_from(
    ["password", "apiKey", "X-Secret", "session_id", "csrf_token", "cardNumber", "refresh-token"]
)
quick = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=40)


@quick
@given(secrets, secret_names, st.lists(st.sampled_from(["list", "object", "deep"]), max_size=4), st.booleans())
def test_no_planted_secret_survives(
    make_pair: MakePair, make_answer: MakeAnswer, secret: str, name: str, nesting: list[str], zipped: bool
) -> None:
    document: object = {
        name: secret,
        "pairs": [[name, secret], {"field": name, "old": secret}],
        "list": {name: [secret, {"x": secret}]},
        "note": f"Bearer {secret}",
    }
    other: object = {
        name: secret + "x",
        "pairs": [[name, secret + "x"], {"field": name, "old": secret + "x"}],
        "list": {name: [secret, {"x": 1}]},
        "note": f"Bearer {secret}y",
        "html": f"{name}={secret}",
    }
    for step in nesting:
        document, other = ([document], [other]) if step == "list" else ({step: document}, {step: other})
    one, two = orjson.dumps(document), json.dumps(other).encode()
    fields: Fields = [
        (b"Content-Type", b"application/json"), (b"Set-Cookie", f"sid={secret}; Path=/".encode()),
        (b"X-API-Key", secret.encode()), (b"x-api-key", secret.encode()), (b"Location", f"/x?{name}={secret}".encode()),
    ]  # fmt: skip
    if zipped:
        one, two = gzip.compress(one), gzip.compress(two)
        fields = [*fields, (b"Content-Encoding", b"gzip")]
    boundary = "b0"
    multipart = (
        f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{secret}\r\n'
        f'--{boundary}\r\nContent-Disposition: form-data; name="doc"\r\nContent-Type: application/json\r\n\r\n'
        f'{{"{name}": "{secret}"}}\r\n--{boundary}--\r\n'
    )
    request_fields: Fields = [
        (b"aUTHORIZATION", f"Bearer {secret}".encode()), (b"Cookie", f"a={secret}; b={secret}".encode()),
        (b"Content-Type", f"multipart/form-data; boundary={boundary}".encode()), (b"Referer", f"http://h/?{name}={secret}".encode()),
    ]  # fmt: skip
    pair = make_pair(
        make_answer(one, fields), make_answer(two, fields, 201), fields=request_fields, body=multipart.encode(),
        target=f"/a/{JWT}?{name}={secret}&q=1".encode(),
    )  # fmt: skip
    text = stored(pair)
    assert secret not in text
    assert JWT not in text


@pytest.mark.parametrize(
    ("media", "body"),
    [
        ("text/html", '<form><input name="csrf_token" value="{}"></form>'),
        ("text/plain", "api_key: {}"),
        ("application/x-www-form-urlencoded", "user=a&password={}"),
        ("application/xml", "<a><Password>{}</Password></a>"),
        ("application/json", '{{"broken": 1, "password": "{}"'),
        ("application/json", '{{"password": "{}", "password": 1}}'),
        ("", '{{"password": "{}"}}'),
        ("image/png", "{}"),
        ("text/html", "<script>var cfg = {{\"apiKey\": '{}'}}</script>"),
    ],
)
def test_no_secret_survives_in_other_bodies(
    make_pair: MakePair, make_answer: MakeAnswer, media: str, body: str
) -> None:
    fields = [(b"Content-Type", media.encode())]
    one, two = (make_answer(body.format(secret).encode(), fields) for secret in ("hunter2abc", "hunter3abc"))
    text = stored(make_pair(one, two, body=one.body, fields=fields))
    assert "hunter" not in text


@pytest.mark.parametrize("path", ["/n/4111+1111+1111+1111", "/a/Bearer+{}", "/a/--password+{}", "/a/Bearer%20{}"])
def test_a_plus_or_a_percent_in_a_path_hides_no_secret(path: str) -> None:
    shown = PLAIN.path(path.format("abcdefgh12345678"))
    assert "«masked" in shown
    assert "1111" not in shown
    assert "abcdefgh12345678" not in shown


def test_what_was_made_below_a_secret_name_in_a_path_is_masked() -> None:
    assert PLAIN.path("/sessions/a8f3k2m9x0q7w5e1/items") == "/sessions/«masked text, 16»/items"
    assert PLAIN.path("/orders/a8f3k2m9x0q7w5e1/items") == "/orders/a8f3k2m9x0q7w5e1/items"


def test_numbers_that_are_cards_are_masked(make_pair: MakePair, make_answer: MakeAnswer) -> None:
    one, two = make_answer({"n": int(CARD), "t": 1_700_000_000_000}), make_answer({"n": CARD, "t": 1_700_000_000_000})
    text = stored(make_pair(one, two))
    assert CARD not in text
    assert "1700000000000" in text


def test_a_record_is_bounded_and_says_what_was_cut(make_pair: MakePair, make_answer: MakeAnswer) -> None:
    fields = [(b"Content-Type", b"text/plain")]
    made = record(
        make_pair(make_answer(b"x" * 1_000_000, fields), make_answer(b"\x00\x01", [(b"Content-Type", b"image/png")])),
        compare_pair(make_pair(make_answer(1), make_answer(2)), compile_rules(Compare()), Budget(), monotonic),
        Budget(),
    )
    assert made["legacy"]["body"]["cut"]
    assert len(made["legacy"]["body"]["text"]) == 64 * 1024
    assert made["candidate"]["body"]["text"] is None
    assert "sha256" not in made["candidate"]["body"]


@quick
@given(
    st.binary(max_size=80),
    st.binary(max_size=80),
    st.sampled_from([b"application/json", b"text/html", b"", b"multipart/form-data; boundary=x"]),
)
def test_anything_can_be_recorded(
    make_pair: MakePair, make_answer: MakeAnswer, a: bytes, b: bytes, media: bytes
) -> None:
    fields = [(b"Content-Type", media), (b"X-\xff", a)]
    stored(make_pair(make_answer(a, fields), make_answer(b, fields), target=b"/" + a, body=b"--x" + b, fields=fields))


def test_a_secret_at_the_cut_of_a_long_text_is_left_out(make_pair: MakePair, make_answer: MakeAnswer) -> None:
    fields = [(b"Content-Type", b"text/plain")]
    block = "-----BEGIN PRIVATE KEY-----\n" + "A" * 200_000 + "\n-----END PRIVATE KEY-----\n"
    text = block + "x" * (4 * 64 * 1024 - len(block) - 10) + f" {CARD} " + "y" * 300_000
    one = make_answer(text.encode(), fields)
    assert CARD[:9] not in stored(make_pair(one, make_answer(b"other", fields)))
