"""A secret in free text is seen by the word beside it, and prose about secrets is not masked."""

from __future__ import annotations

import json

import pytest

from proxy.compare.bodies import body
from proxy.compare.redact import PLAIN, make_redactor
from proxy.compare.redact_fields import header, url
from proxy.compare.result import Budget
from proxy.config.comparing import Redaction

SECRET = "Hunter2zqX"
REVEALED = make_redactor(Redaction(reveal=["token", "theme", "pin"]), b"r" * 32)


@pytest.mark.parametrize(
    "text",
    [
        "mysql --password § -u root", "mysql --password=§", "mysql --password '§' db", 'x --token "§"', "--token §",
        "--TOKEN=§", "tool -password §", "--client-secret §", "--api-key §", "--auth §", "--pass §", "-pin §",
        "curl -u bob:§ http://h", "curl --user bob:§", "curl --proxy-user 'bob:§'", "curl --user=bob:§",
        "password: §", "password=§", "Password is §", "your password is: §.", "password §", "pwd §", "pwd: §", "PWD=§",
        "invalid password '§' for bob", 'wrong password "§"', "passphrase `§`", "secret §", "token § expired",
        "invalid token §", "reset_token §", "X-Api-Key §", "api key §", "API key: §", "API Key = §", "access token: §",
        "secret key §", "private key: §", "session id §", "session id: §", "session: §", "auth: §", "pass: §",
        "sid: §", "otp: §", "jwt: §", "signature: §", "pass=§", "auth=§", "sid=§", "session=§", "sig=§", "pin='§'",
        "(otp=§)", "(--password §)", "[--token=§]",
        "a=1, pin=§", "Cookie: sid=§", "cookie: theme=dark; sid=§; b=§", "Set-Cookie: a=§; Path=/; HttpOnly",
        "GET / HTTP/1.1\r\nCookie: a=§\r\nAccept: */*", "{'Cookie': 'a=§'}",
        "xapp-1-§-§-§", "https://hooks.slack.com/services/T01ABC/B01ABC/§abcdef", "npm_§aaaaaaaaaa",
        "see https://shop.example/reset-password/§aaaaaaaa?x=1", "/sessions/§aaaaaaaa",
    ],
)  # fmt: skip
@pytest.mark.parametrize("around", ["{}", "2026-01-02 ERROR {} (line 3)", "a\n{}\nb"])
def test_what_stands_beside_its_word_is_masked(text: str, around: str) -> None:
    shown = PLAIN.by_shape(around.replace("{}", text.replace("§", SECRET)))
    assert SECRET not in shown
    assert "«masked" in shown


@pytest.mark.parametrize("text", ["PIN: 1234", "pin 1234", "Your PIN is 4711.", "otp=123456", "OTP: 123 456", "CVV 123",
    "Your verification code is 123456", "one-time code: 123456", "security code 9876"])  # fmt: skip
def test_codes_are_masked(text: str) -> None:
    shown = PLAIN.by_shape(text)
    assert "«masked" in shown
    assert not any(char.isdigit() for char in shown.replace(shown[shown.index("«") : shown.index("»") + 1], ""))


@pytest.mark.parametrize(
    "text",
    [
        "password reset was sent", "The password is wrong", "your password must have 8 characters", "password changed!",
        "Enter your password below", "a token is required", "token expired", "the token was issued on 2026-01-02",
        "token 2026-01-02T03:04:05Z", "secret santa 2026", "Unexpected token '<' at line 1",
        "Unexpected token } in JSON",
        "the option --password is required", "--token must be given", "use --password or --token.", "session 3 of 7",
        "Session: Monday 10:00", "Pass: 10, fail: 2", "Auth: failed", "Card: Visa", "signature: John Doe", "pin it",
        "order code 123456", "status code 404", "code=200 state=open", "pin board 12", "a basic token",
        "API key rotation",
        "Cookie: we use them", "cookies: none", "cookie settings = on", "passwords are kept for 90 days",
        "SHA256 token",
        "token SHA256", "half-baked - token of thanks", "docs/token/v2", "/password/reset", "/sessions/42",
        "/products/blue-suede-shoes-2026", "en-us --verbose x", "docker run -u 0:0 x", "the password, 12 letters long",
        "a secret agent", "credentials are missing", "password for user17",
    ],
)  # fmt: skip
def test_prose_stays(text: str) -> None:
    assert PLAIN.by_shape(text) == text


def test_words_that_are_revealed_are_shown() -> None:
    for text in (f"--token {SECRET}", f"token {SECRET}", "PIN: 1234", "Cookie: theme=dark4you", f"pin={SECRET}"):
        assert REVEALED.by_shape(text) == text


def test_words_are_seen_in_every_place() -> None:
    said = f"failed: --password {SECRET}, Cookie: a={SECRET}, token {SECRET}"
    assert SECRET not in header("X-Error", said, PLAIN)
    assert SECRET not in url(f"/x?note={said.replace(' ', '+')}", PLAIN)
    for media, text in (
        ("application/json", json.dumps({"message": said, "a": [said]})),
        ("text/event-stream", f"data: {said}\n\n"),
        ("text/html", f"<p>{said}</p>"),
        ("application/xml", f"<r><m>{said}</m></r>"),
        ("text/csv", f'a,b\n1,"{said}"\n'),
    ):
        assert SECRET not in str(body(text.encode(), [(b"Content-Type", media.encode())], Budget(), PLAIN)["text"])


def test_an_option_of_one_side_never_looks_like_that_of_the_other() -> None:
    redactor = make_redactor(Redaction(), b"r" * 32)
    one, again, other = (redactor.by_shape(f"run --password {word} now") for word in ("aaaa", "aaaa", "bbbb"))
    assert one == again != other


def test_a_value_in_which_words_stand_again_is_masked_to_its_end() -> None:
    for text in ("pwd:x1pwd:y2token=zz end", "code=pin=pwd=zz1234567 end", "sid=`a`sid=b end"):
        assert PLAIN.by_shape(text).endswith("» end")


@pytest.mark.parametrize("piece", ["--password ", "-u a:", "password ", "pwd: ", "token a1", "cookie: a=", "cookie: ",
    "a=b;", "pin ", "one-time ", "-token-", "secret_", "/token/", "/token/a1", "/a", "x=y ", " a=",
    "password '", "pwd:1", "code=", "pin:a1", "sid=", "key:1a", "auth=1", "\xe4pwd:1"])  # fmt: skip
def test_hostile_text_takes_linear_time(piece: str) -> None:
    PLAIN.by_shape(piece * (100_000 // len(piece)))  # a quadratic pattern runs into the test's time limit
