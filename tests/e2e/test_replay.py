"""A new build in CI: what legacy answered is recorded by a Banyan and asked of builds, by replay and by a suite."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from faults import Background
from ports import free_port
from running import Banyan, Setup, ask, eventually
from scripted import Message, Upstream, ok

KEY = "a redaction key for tests"
CANARY = "canary-hunter2-secret"
MATCHED, MISMATCHED, INCONCLUSIVE, UNREACHABLE = 0, 1, 2, 3
JSON = "Content-Type: application/json"
ROUTE = """\
  - id: shop
    match: {path_prefix: /shop}
    candidate: orders
    stage: shadow
    compare: {noise: {sample: 0%}, ignore: ["$.generated_at"], unordered: {"$.items": id}}
redaction: {keys: ["${REDACTION_KEY}"]}
"""
PAGE = "<html><body><h1>Shop</h1><p>%s</p></body></html>"
pytestmark = pytest.mark.timeout(120)


def service(total: Any = 19.9, token: str = CANARY, page: str = "welcome") -> Callable[[Message], bytes]:
    """A shop: an order in JSON, a page, a redirect and a write."""

    def reply(message: Message) -> bytes:
        target = message.target.decode().removeprefix("/v2").partition("?")[0]
        if message.method == b"POST":
            return ok(b'{"created": true}', JSON, status="201 Created")
        if target == "/shop/page":
            return ok((PAGE % page).encode(), "Content-Type: text/html; charset=utf-8")
        if target == "/shop/old":
            return ok(b"", "Location: /shop/page", status="302 Found")
        items = [{"id": 2, "n": 1}, {"id": 1, "n": 2}]
        order = {"total": total, "generated_at": os.urandom(4).hex(), "items": items[:: 1 - 2 * (total != 19.9)]}
        return ok(json.dumps({**order, "token": token}).encode(), JSON)

    return reply


class Shop:
    """A Banyan that has recorded what legacy's shop was asked; ``good`` and ``bad`` are builds of the new one."""

    def __init__(self, folder: Path, background: Background) -> None:
        self.legacy, self.good, self.bad = (
            background.enter(Upstream(reply)) for reply in (service(), service(), service("19.90"))
        )
        self.setup = Setup(folder)
        self.setup.write(more=ROUTE, legacy=self.legacy.url, candidate=self.bad.url)
        self.banyan: Banyan = self.setup.start(environ={"REDACTION_KEY": KEY})
        self.traffic()
        self.good.requests.clear()
        self.bad.requests.clear()

    def traffic(self) -> None:
        login = {"Authorization": f"Bearer {CANARY}", "Cookie": f"sid={CANARY}"}
        for target in ("/shop/orders/1?x=%20$(id)", "/shop/orders/2", "/shop/page", "/shop/old"):
            ask(self.banyan.url + target, headers=login)
        ask(f"{self.banyan.url}/shop/orders", "POST", {"sku": "a'b\n`id`"}, headers=login)
        eventually(lambda: len(self.recorded()) >= 4 and self.differences())

    def recorded(self) -> list[Any]:
        found: list[Any] = ask(self.banyan.admin + "/api/routes/shop/requests").json()["requests"]
        return found

    def differences(self) -> list[Any]:
        found: list[Any] = ask(self.banyan.admin + "/api/diffs?route=shop").json()["diffs"]
        return found

    def run(self, *words: str, **environ: str) -> subprocess.CompletedProcess[str]:
        env = {**os.environ, "BANYAN_ADMIN": self.banyan.admin, **environ}
        done = subprocess.run(
            [sys.executable, "-m", "proxy", *words], capture_output=True, text=True, timeout=60, env=env
        )
        assert "Traceback" not in done.stderr, done.stderr
        assert CANARY not in done.stdout + done.stderr
        return done

    def replay(self, build: Upstream | str, *words: str, **environ: str) -> subprocess.CompletedProcess[str]:
        url = build if isinstance(build, str) else build.url
        return self.run("replay", "shop", "--against", url, "--rate", "200", *words, **environ)


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    with Background() as background:
        made = Shop(tmp_path_factory.mktemp("shop"), background)
        yield made
        made.setup.close()


# -- replay -----------------------------------------------------------------------------------------------------------


def test_a_fixed_build_matches_and_a_regressed_one_is_told_where(shop: Shop) -> None:
    fixed = shop.replay(shop.good)
    assert fixed.returncode == MATCHED, fixed.stdout + fixed.stderr
    assert fixed.stdout.startswith(f"matched: shop against {shop.good.url}: 5 asked, ")
    assert "sent without what was masked when it was recorded" in fixed.stdout
    assert all(message.get("x-banyan-shadow") == b"1" for message in shop.good.requests)
    regressed = shop.replay(shop.bad)
    assert regressed.returncode == MISMATCHED
    row = next(line for line in regressed.stdout.splitlines() if line.startswith("type"))
    assert row.split()[:5] == ["type", "$.total", "2", "19.9", '"19.90"']
    assert "$.items" not in regressed.stdout  # in another order, which the rules allow
    found = json.loads(shop.replay(shop.bad, "--json").stdout)
    assert (found["verdict"], found["verdicts"]["mismatched"]) == ("mismatched", 2)


def test_nothing_recorded_and_nobody_there_have_exit_codes_of_their_own(shop: Shop) -> None:
    nothing = shop.run("replay", "only-legacy", "--against", shop.good.url)
    assert nothing.returncode == INCONCLUSIVE, nothing.stderr
    nobody = shop.replay(f"http://127.0.0.1:{free_port()}")
    assert (nobody.returncode, "no build answers at" in nobody.stderr) == (UNREACHABLE, True)
    no_banyan = shop.replay(shop.good, "--admin", f"http://127.0.0.1:{free_port()}")
    assert (no_banyan.returncode, "no Banyan answers at" in no_banyan.stderr) == (UNREACHABLE, True)
    unknown = shop.run("replay", "shoop", "--against", shop.good.url)
    assert (unknown.returncode, "did you mean `shop`?" in unknown.stderr) == (2, True)


def test_safe_only_and_credentials(shop: Shop) -> None:
    shop.good.requests.clear()
    done = shop.replay(shop.good, "--safe-only", "-H", "Authorization: Bearer ci", "-H", "Cookie: sid=ci")
    assert done.returncode == MATCHED, done.stdout
    assert "not asked: 1 of a method that is not safe" in done.stdout
    assert "sent without" not in done.stdout
    assert {(m.method, m.get("authorization"), m.get("cookie")) for m in shop.good.requests} == {
        (b"GET", b"Bearer ci", b"sid=ci")
    }


def test_requests_that_were_kept_need_no_banyan(shop: Shop, tmp_path: Path) -> None:
    file = tmp_path / "shop.json"
    saved = shop.run("replay", "shop", "--save", str(file))
    assert (saved.returncode, saved.stderr) == (0, f"5 requests written to {file}\n")
    assert CANARY not in file.read_text()
    assert KEY not in file.read_text()
    nowhere = f"http://127.0.0.1:{free_port()}"
    words = ("--records", str(file), "--admin", nowhere)
    assert shop.replay(shop.good, *words).returncode == MATCHED
    assert shop.replay(shop.bad, *words).returncode == MISMATCHED
    assert shop.run("replay", "other", "--against", shop.good.url, *words).returncode == 2


def test_secrets_and_pages_are_compared_too(shop: Shop, background: Background) -> None:
    other = background.enter(Upstream(service(token=CANARY[::-1])))
    assert shop.replay(other).returncode == MATCHED  # of one length; nobody can tell without the key
    found = shop.replay(other, BANYAN_REDACTION_KEY=KEY)
    assert found.returncode == MISMATCHED
    assert [line.split()[:2] for line in found.stdout.splitlines() if line.startswith("value")] == [
        ["value", "$.token"]
    ]
    assert shop.replay(shop.good, BANYAN_REDACTION_KEY=KEY).returncode == MATCHED
    page = background.enter(Upstream(service(page="goodbye")))
    changed = shop.replay(page)
    assert (changed.returncode, "$.body.p" in changed.stdout) == (MISMATCHED, True), changed.stdout


def test_the_rate_holds(shop: Shop) -> None:
    shop.good.requests.clear()
    done = shop.replay(shop.good, "--rate", "5")  # the last of --rate counts
    assert (done.returncode, len(shop.good.requests)) == (MATCHED, 5)


# -- suites -----------------------------------------------------------------------------------------------------------


def pytest_run(folder: Path, *words: str, **environ: str) -> subprocess.CompletedProcess[str]:
    env = {name: value for name, value in os.environ.items() if name not in ("BASE_URL", "PYTEST_ADDOPTS")}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *words]
    return subprocess.run(command, capture_output=True, text=True, cwd=folder, timeout=60, env={**env, **environ})


@pytest.fixture
def suite(shop: Shop, tmp_path: Path) -> Path:
    folder = tmp_path / "tests" / "recorded-shop"
    done = shop.run("export-tests", "shop", "-o", str(folder))
    assert done.returncode == 0, done.stderr
    assert done.stderr.splitlines() == [
        f"5 tests written to {folder}; run: pytest {folder} --base-url URL",
        "1 of them sees of the body only that there is one; banyan replay compares it",
    ]
    assert CANARY not in "".join(file.read_text() for file in folder.iterdir())
    return folder


def test_a_suite_passes_for_a_fixed_build_and_fails_for_a_regressed_one(shop: Shop, suite: Path) -> None:
    shop.good.requests.clear()
    fixed = pytest_run(suite, ".", "--base-url", f"{shop.good.url}/v2/")
    assert (fixed.returncode, "5 passed" in fixed.stdout) == (0, True), fixed.stdout
    assert all(message.target.startswith(b"/v2/shop/") for message in shop.good.requests)
    assert {message.body for message in shop.good.requests if message.method == b"POST"} != {b""}
    regressed = pytest_run(suite, ".", BASE_URL=shop.bad.url)
    assert (regressed.returncode, "2 failed, 3 passed" in regressed.stdout) == (1, True), regressed.stdout
    assert '$.total: expected 19.9, got "19.90"' in regressed.stdout
    assert "(sent without what was masked when it was recorded; set MASKED_COOKIE_SID, MASKED_AUTHORIZATION)" in (
        regressed.stdout.replace("MASKED_AUTHORIZATION, MASKED_COOKIE_SID", "MASKED_COOKIE_SID, MASKED_AUTHORIZATION")
    )
    assert "Traceback" not in regressed.stdout


def test_a_suite_sends_the_secrets_that_it_is_given(shop: Shop, suite: Path) -> None:
    shop.good.requests.clear()
    run = pytest_run(suite, ".", BASE_URL=shop.good.url, MASKED_COOKIE_SID="ci", MASKED_AUTHORIZATION="token")
    assert run.returncode == 0, run.stdout
    assert {(m.get("cookie"), m.get("authorization")) for m in shop.good.requests} == {(b"sid=ci", b"Bearer token")}


def test_a_suite_without_a_build_says_what_it_needs(suite: Path) -> None:
    nowhere = pytest_run(suite, ".")
    assert nowhere.returncode == 4
    assert "say which service to ask: --base-url http://127.0.0.1:9003, or BASE_URL" in nowhere.stdout + nowhere.stderr
    gone = pytest_run(suite, ".", BASE_URL=f"http://127.0.0.1:{free_port()}")
    assert gone.returncode == 1
    assert "does not answer: [Errno 111] Connection refused" in gone.stdout


@pytest.mark.parametrize("mode", ["prepend", "importlib"])
def test_two_suites_stand_beside_other_tests(shop: Shop, suite: Path, mode: str) -> None:
    root = suite.parent.parent
    other = root / "tests" / "recorded-other"
    shutil.copytree(suite, other)
    (other / "test_shop.py").rename(other / "test_other.py")
    (root / "tests" / "patterns.py").write_text("raise AssertionError")
    run = pytest_run(root, f"--import-mode={mode}", "tests", BASE_URL=shop.good.url)
    assert (run.returncode, "10 passed" in run.stdout) == (0, True), run.stdout


def test_a_suite_is_written_anew_into_its_folder_and_into_no_other(shop: Shop, suite: Path) -> None:
    for name in ("__pycache__", ".pytest_cache"):
        (suite / name).mkdir(exist_ok=True)
    again = shop.run("export-tests", "shop", "-o", str(suite), "--safe-only", "--limit", "3")
    assert again.returncode == 0, again.stderr
    (suite / "mine.txt").write_text("")
    refused = shop.run("export-tests", "shop", "-o", str(suite))
    assert (refused.returncode, "holds other files (mine.txt)" in refused.stderr) == (1, True)
    no_folder = shop.run("export-tests", "shop", "-o", str(suite / "mine.txt"))
    assert no_folder.returncode == 2
    nothing = shop.run("export-tests", "only-legacy", "-o", str(suite.parent / "none"))
    assert (nothing.returncode, "there is no recorded request of only-legacy" in nothing.stderr) == (1, True)
    assert not (suite.parent / "none").exists()


# -- one difference ---------------------------------------------------------------------------------------------------


@pytest.fixture
def fingerprint(shop: Shop) -> str:
    return next(str(one["fingerprint"]) for one in shop.differences() if one["path"] == "$.total")


def test_a_difference_as_curl_runs(shop: Shop, fingerprint: str, needs: Callable[[str], str], tmp_path: Path) -> None:
    needs("curl")
    text = shop.run("diffs", "show", fingerprint, "--as", "curl").stdout
    secrets = {"MASKED_AUTHORIZATION": "it's", "MASKED_COOKIE_SID": "a b"}
    shop.good.requests.clear()
    done = subprocess.run(
        ["bash", "-c", text], capture_output=True, text=True, timeout=30, cwd=tmp_path,
        env={**os.environ, "BASE_URL": f"{shop.good.url}/v2/", **secrets},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("HTTP/1.1 200 OK")
    (sent,) = shop.good.requests
    assert sent.target in (b"/v2/shop/orders/1?x=%20$(id)", b"/v2/shop/orders/2")
    assert (sent.get("authorization"), sent.get("cookie")) == (b"Bearer it's", b"sid=a b")
    assert sent.get("user-agent") is None


def test_a_difference_as_a_test_fails_until_it_is_fixed(shop: Shop, fingerprint: str, tmp_path: Path) -> None:
    (tmp_path / "test_total.py").write_text(shop.run("diffs", "show", fingerprint, "--as", "pytest").stdout)
    secrets = {"MASKED_AUTHORIZATION": "x", "MASKED_COOKIE_SID": "x"}
    fixed = pytest_run(tmp_path, ".", BASE_URL=shop.good.url, **secrets)
    assert fixed.returncode == 0, fixed.stdout
    regressed = pytest_run(tmp_path, ".", BASE_URL=shop.bad.url, **secrets)
    assert regressed.returncode == 1
    assert "19.90" in regressed.stdout


def test_a_difference_as_hurl(shop: Shop, fingerprint: str) -> None:
    text = shop.run("diffs", "show", fingerprint, "--as", "hurl").stdout
    assert "\nGET {{base_url}}/shop/orders/" in text
    assert "Authorization: Bearer {{masked_authorization}}" in text
    assert "\nHTTP 200\nContent-Type: application/json\n" in text


# -- what was accepted ------------------------------------------------------------------------------------------------


def test_what_was_accepted_is_expected_of_a_build(shop: Shop, fingerprint: str, tmp_path: Path) -> None:
    accepted = shop.run("accept", fingerprint, "--reason", "the contract says text")
    assert accepted.returncode == 0, accepted.stderr
    try:
        done = shop.replay(shop.bad)
        assert (done.returncode, "2 ignored" in done.stdout) == (MATCHED, True), done.stdout
        folder = tmp_path / "suite"
        assert shop.run("export-tests", "shop", "-o", str(folder)).returncode == 0
        assert pytest_run(folder, ".", BASE_URL=shop.bad.url).returncode == 0
    finally:
        assert shop.run("unaccept", fingerprint, "--reason", "it does not").returncode == 0
    assert shop.replay(shop.bad).returncode == MISMATCHED
