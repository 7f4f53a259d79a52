"""Faults that meet a whole running Banyan: reloads under load, nonsense in its folder, its end under load."""

import http.client
import json
import signal
import threading
import time
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

import pytest
from click.testing import CliRunner
from faults import Background, FaultProxy, ticking
from running import Setup, ask, eventually
from scripted import Upstream, ok

from proxy.cli import main
from proxy.store.difflog import DiffLog
from proxy.store.sqlite import open_database

JSON = "Content-Type: application/json"
BUSY_SECONDS = 4.0
"""What a busy machine takes, beside drain delay, grace and one second."""


class Crowd:
    """Clients in threads, each asking over and over on a kept connection; ``faults`` is what went wrong.

    They behave as a load balancer does: a new connection only while ``ready``, and a new one when an answer says close.
    """

    def __init__(self, url: str, number: int, good: Callable[[int, http.client.HTTPMessage, bytes], bool]) -> None:
        self._address = urlsplit(url)
        self._good = good
        self._over = False
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._visit) for _ in range(number)]
        self.ready = True
        self.served = 0
        self.faults: list[str] = []

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over = True
        for thread in self._threads:
            thread.join()

    def _visit(self) -> None:
        while not self._over:
            if not self.ready:
                time.sleep(0.01)
                continue
            connection = http.client.HTTPConnection(str(self._address.hostname), self._address.port, timeout=10)
            with closing(connection):
                try:
                    connection.connect()
                    self._stay(connection)
                except (OSError, http.client.HTTPException) as error:
                    self.faults.append(repr(error))
                    return

    def _stay(self, connection: http.client.HTTPConnection) -> None:
        while not self._over:
            connection.request("GET", f"/orders/{self.served}")
            answer = connection.getresponse()
            body = answer.read()
            if not self._good(answer.status, answer.headers, body):
                self.faults.append(f"{answer.status} {answer.headers} {body!r}")
            with self._lock:
                self.served += 1
            if answer.getheader("Connection") == "close":
                return


# -- reloads ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["api", "SIGHUP"])
def test_f43_reloads_under_load_fail_no_request_and_mix_no_generations(
    setup: Setup, background: Background, how: str
) -> None:
    legacy = background.enter(Upstream(ok(b'"legacy"', JSON)))
    candidate = background.enter(Upstream(ok(b'"candidate"', JSON)))
    setup.write("legacy", workers=2, legacy=legacy.url, candidate=candidate.url)
    setup.file.write_text(setup.file.read_text() + "expose: true\n")
    banyan = setup.start()
    seen = set()

    def good(status: int, headers: http.client.HTTPMessage, body: bytes) -> bool:
        seen.add(body)
        return (
            status == 200 and headers["X-Banyan-Route"] == "orders-read" and json.loads(body) == headers["X-Banyan-Arm"]
        )

    with Crowd(banyan.url, 4, good) as crowd:
        for n in range(50):
            before, after = ("legacy", "live") if n % 2 == 0 else ("live", "legacy")
            setup.alter(f"stage: {before}", f"stage: {after}")
            if how == "api":
                done = ask(banyan.admin + "/api/reload", "POST", {})
                assert (done.status, done.json()["settled"]) == (200, True)
            else:
                banyan.process.send_signal(signal.SIGHUP)
                eventually(lambda stage=after: banyan.route("orders-read")["stage"] == stage)
    assert crowd.faults == []
    assert seen == {b'"legacy"', b'"candidate"'}
    assert crowd.served > 200
    assert banyan.status()["configuration"]["generation"] > 50
    assert banyan.stop() == 0


BROKEN: dict[str, tuple[str, str, int, str]] = {
    "yaml": ("stage: shadow", "stage: [shadow", 16, ""),
    "regex": ("path: /old", "path_regex: '(a+)+$'", 18, "next character does not decide"),
    "upstream": ("candidate: orders", "candidate: odrers", 14, "orders"),
    "type": ("workers: 1", "workers: many", 4, "workers"),
    "key": ("kill_switch: false", "kil_switch: false", 16, "kill_switch"),
    "stage": ("stage: shadow", "stage: shadwo", 15, "stage"),
    "duration": ("grace: 3s", "grace: 3 parsecs", 6, "grace"),
}


def test_f44_whatever_is_wrong_with_a_folder_the_old_one_serves_on(setup: Setup) -> None:
    banyan = setup.start()
    good = setup.file.read_text()
    generation = banyan.status()["configuration"]["generation"]
    for old, new, line, words in BROKEN.values():
        text = good.replace("stage: shadow", "stage: shadow\n    kill_switch: false")
        assert old in text
        setup.file.write_text(text.replace(old, new))
        refused = ask(banyan.admin + "/api/reload", "POST", {})
        assert refused.status == 422, new
        faults = refused.json()["error"]["details"]["faults"]
        assert faults[0]["line"] == line, faults
        assert words in json.dumps(faults)
        checked = CliRunner().invoke(main, ["check", str(setup.file)])
        assert checked.exit_code == 1
        assert f"banyan.yaml:{line}:" in checked.stdout
        assert ask(banyan.url + "/orders/1").json()["total"] == 19.9
    assert banyan.status()["configuration"]["generation"] == generation
    setup.file.write_text(good)
    assert ask(banyan.admin + "/api/reload", "POST", {}).status == 200


# -- the end ------------------------------------------------------------------------------------------------------


def test_f46_sigterm_under_load_loses_no_request_and_no_pair(setup: Setup, background: Background) -> None:
    legacy = background.enter(Upstream(ok(b'{"a": 1}', JSON)))
    candidate = background.enter(Upstream(ok(b'{"a": 2}', JSON)))
    setup.write(workers=2, legacy=legacy.url, candidate=candidate.url)
    setup.alter("drain_delay: 50ms", "drain_delay: 600ms")
    banyan = setup.start()
    unready = False
    with Crowd(banyan.url, 4, lambda status, _, body: (status, body) == (200, b'{"a": 1}')) as crowd:
        eventually(lambda: crowd.served > 100)
        before = crowd.served
        banyan.process.send_signal(signal.SIGTERM)
        begun = time.monotonic()
        while banyan.process.poll() is None and time.monotonic() - begun < 10:
            with suppress(OSError, http.client.HTTPException):
                crowd.ready = ask(banyan.admin + "/readyz").status == 200
                unready = unready or not crowd.ready
            time.sleep(0.01)
        seconds = time.monotonic() - begun
    assert banyan.stop() == 0
    assert seconds < 0.6 + 3 + 1 + BUSY_SECONDS
    assert unready
    assert crowd.served > before  # it served while it was taken out
    assert crowd.faults == []
    with closing(open_database(setup.file.parent / "banyan.db")) as connection:
        verdicts = DiffLog(connection).verdict_totals()["orders-read"]
    found = setup.start().route("orders-read")
    assert found["requests"] == crowd.served
    assert sum(verdicts.values()) + sum(found["dropped"].values()) == crowd.served
    assert verdicts["mismatched"] > 50


def test_f47_an_endless_stream_and_a_stuck_shadow_do_not_hold_it_up(setup: Setup, background: Background) -> None:
    legacy = background.enter(Upstream(raw=ticking))
    candidate = background.enter(Upstream())
    wire = background.enter(FaultProxy(candidate.port))
    wire.up.stalled = wire.down.stalled = True
    setup.write(legacy=legacy.url, candidate=wire.url)
    setup.alter("grace: 3s", "grace: 500ms")
    setup.alter("stage: shadow", "stage: shadow\n    shadow: {timeout: 60s}")
    banyan = setup.start()
    pids = banyan.pids()
    with closing(http.client.HTTPConnection(*banyan.url.removeprefix("http://").split(":"))) as client:  # type: ignore[arg-type]  # host, port
        client.request("GET", "/orders/1")
        stream = client.getresponse()
        assert stream.read(5) == b"tick\n"
        eventually(lambda: wire.open)
        begun = time.monotonic()
        assert banyan.stop() == 0
        assert time.monotonic() - begun < 0.05 + 0.5 + 1 + BUSY_SECONDS
        with pytest.raises(http.client.IncompleteRead):
            stream.read()
    assert not [pid for pid in pids if Path(f"/proc/{pid}").exists()]
