"""A running Banyan: start, death of children, reload, changes, drain."""

from __future__ import annotations

import os
import resource
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from contextlib import closing

import pytest
from running import Banyan, Reply, Setup, alive, ask, eventually


def stage(banyan: Banyan, name: str) -> Reply:
    return ask(f"{banyan.admin}/api/routes/orders-read/stage", "POST", {"stage": name, "reason": "a test"})


def run(setup: Setup) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "proxy", "run", str(setup.file)],
        capture_output=True, text=True, timeout=30, cwd=setup.file.parent,
    )  # fmt: skip


def test_two_workers_serve_and_leave_nothing_behind_on_sigterm(setup: Setup) -> None:
    setup.write(workers=2)
    banyan = setup.start()
    assert ask(banyan.url + "/orders/1").json() == {"id": 1, "total": 19.9}
    assert ask(banyan.admin + "/readyz").json()["ready"] is True
    pids = banyan.pids()
    assert len(pids) == 3
    assert banyan.stop() == 0
    eventually(lambda: not any(alive(pid) for pid in pids))


def test_workers_may_have_as_many_descriptors_as_the_system_allows(setup: Setup) -> None:
    """The soft limit of a shell, often 1,024, is for programs that use select(2)."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 512), hard))
    try:
        banyan = setup.start()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    for pid in [banyan.process.pid, *banyan.pids()]:
        assert resource.prlimit(pid, resource.RLIMIT_NOFILE) == (hard, hard)


def test_dead_worker_and_dead_comparator_are_restarted_and_their_figures_kept(setup: Setup) -> None:
    banyan = setup.start()
    ask(banyan.url + "/old")
    eventually(lambda: banyan.route("only-legacy")["requests"] == 1)
    for pid in banyan.pids():
        os.kill(pid, signal.SIGKILL)
    eventually(lambda: ask(banyan.url + "/old").status == 200)
    found = eventually(lambda: (s := banyan.status())["state"] == "serving" and s["comparators"][0]["up"] and s)
    assert found["workers"][0]["restarts"] == 1
    assert found["comparators"][0]["restarts"] == 1
    eventually(lambda: banyan.route("only-legacy")["requests"] == 2)
    assert [e["child"] for e in banyan.events() if e["event"] == "child-died"].count("worker 0") == 1


def test_children_do_not_outlive_a_killed_supervisor(setup: Setup) -> None:
    banyan = setup.start()
    pids = banyan.pids()
    banyan.kill()
    eventually(lambda: not any(alive(pid) for pid in pids))


def test_f46_sigterm_fails_readiness_first_and_finishes_what_is_in_flight(setup: Setup) -> None:
    setup.legacy.delay = 1.0
    setup.file.write_text(setup.file.read_text().replace("drain_delay: 50ms", "drain_delay: 400ms"))
    banyan = setup.start()
    with socket.create_connection(banyan.url.removeprefix("http://").split(":")) as client:  # type: ignore[arg-type]  # host, port
        client.sendall(b"GET /old HTTP/1.1\r\nHost: shop\r\n\r\n")
        eventually(lambda: setup.legacy.seen)
        banyan.process.send_signal(signal.SIGTERM)
        eventually(lambda: ask(banyan.admin + "/readyz").status == 503)
        answer = client.recv(65536)
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert banyan.stop() == 0


def test_second_sigterm_leaves_at_once(setup: Setup) -> None:
    setup.legacy.delay = 20.0
    setup.file.write_text(setup.file.read_text().replace("grace: 3s", "grace: 60s"))
    banyan = setup.start()
    pids = banyan.pids()
    with socket.create_connection(banyan.url.removeprefix("http://").split(":")) as client:  # type: ignore[arg-type]  # host, port
        client.sendall(b"GET /old HTTP/1.1\r\nHost: shop\r\n\r\n")
        eventually(lambda: setup.legacy.seen)
        banyan.process.send_signal(signal.SIGTERM)
        eventually(lambda: any(e["event"] == "leaving" for e in banyan.events()))
        assert banyan.stop() == 0
    assert not any(alive(pid) for pid in pids)
    setup.legacy.delay = 0.0


def test_f44_faulty_file_keeps_the_last_good_one_and_shows_everywhere(setup: Setup) -> None:
    banyan = setup.start()
    good = setup.file.read_text()
    setup.file.write_text(good.replace("candidate: orders", "candidate: odrers"))
    refused = ask(banyan.admin + "/api/reload", "POST", {})
    assert refused.status == 422
    fault = refused.json()["error"]["details"]["faults"][0]
    assert fault["line"] == 14
    ready = ask(banyan.admin + "/readyz")
    assert ready.status == 200
    assert "odrers" in ready.json()["configuration"]["faults"][0]
    assert b"banyan_config_faults 1.0" in ask(banyan.admin + "/metrics").body
    assert ask(banyan.url + "/orders/1").status == 200
    setup.file.write_text(good)
    taken = ask(banyan.admin + "/api/reload", "POST", {})
    assert (taken.status, taken.json()["settled"]) == (200, True)
    assert banyan.status()["configuration"]["faults"] == []
    actions = [e["action"] for e in ask(banyan.admin + "/api/events").json()["events"]]
    assert actions == ["reload", "reload-refused"]


def test_changed_files_are_taken_without_being_asked(setup: Setup) -> None:
    banyan = setup.start()
    setup.write(stage="live")
    eventually(lambda: banyan.route("orders-read")["stage"] == "live")
    eventually(lambda: ask(banyan.url + "/orders/1").json()["total"] == "19.90")


def test_sighup_reloads_and_addresses_keep_the_value_of_the_start(setup: Setup) -> None:
    banyan = setup.start()
    setup.write(stage="live", workers=3)
    banyan.process.send_signal(signal.SIGHUP)
    eventually(lambda: banyan.route("orders-read")["stage"] == "live")
    found = banyan.status()
    assert "workers has changed" in found["configuration"]["warnings"][0]
    assert len(found["workers"]) == 1


def test_override_holds_in_every_worker_at_once_and_survives_restart_and_reload(setup: Setup) -> None:
    setup.write(workers=2)
    banyan = setup.start()
    done = stage(banyan, "live")
    assert done.status == 200
    assert done.json()["settled"] is True
    assert {ask(banyan.url + "/orders/1").json()["total"] for _ in range(20)} == {"19.90"}
    ask(banyan.admin + "/api/reload", "POST", {})
    assert banyan.route("orders-read")["stage"] == "live"
    assert banyan.stop() == 0
    again = setup.start()
    found = again.route("orders-read")
    assert (found["stage"], found["file_stage"], found["overridden"], found["version"]) == ("live", "shadow", True, 1)
    assert ask(again.url + "/orders/1").json()["total"] == "19.90"
    back = ask(again.admin + "/api/routes/orders-read/rollback", "POST", {})
    assert back.json()["stage"] == "legacy"
    assert ask(again.url + "/orders/1").json()["total"] == 19.9


def test_figures_survive_a_restart(setup: Setup) -> None:
    banyan = setup.start()
    for _ in range(3):
        ask(banyan.url + "/orders/1")
    eventually(lambda: (r := banyan.route("orders-read"))["verdicts"]["mismatched"] == 3 == r["requests"])
    assert banyan.stop() == 0
    again = setup.start()
    found = again.route("orders-read")
    assert (found["requests"], found["verdicts"]["mismatched"], found["match_share"]) == (3, 3, 0.0)
    (difference,) = ask(again.admin + "/api/diffs?route=orders-read").json()["diffs"]
    assert (difference["path"], difference["count"], difference["share"]) == ("$.total", 3, 1.0)


def test_store_that_cannot_be_written_refuses_changes_serves_on_and_recovers(setup: Setup) -> None:
    banyan = setup.start()
    with closing(sqlite3.connect(setup.file.parent / "banyan.db", isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")  # to the supervisor the store is as good as gone
        done = stage(banyan, "live")
        assert (done.status, done.json()["error"]["code"]) == (503, "store-lost")
        assert ask(banyan.url + "/orders/1").json()["total"] == 19.9
        assert b"banyan_store_up 0.0" in ask(banyan.admin + "/metrics").body
        assert ask(banyan.admin + "/readyz").status == 200
        other.execute("ROLLBACK")
    assert stage(banyan, "live").status == 200
    assert banyan.status()["store"]["up"] is True
    assert banyan.route("orders-read")["version"] == 1


def test_second_banyan_on_the_same_address_is_refused_with_a_sentence(setup: Setup) -> None:
    banyan = setup.start()
    text = setup.file.read_text().replace("listen: 127.0.0.1:0", f"listen: {banyan.url.removeprefix('http://')}", 1)
    setup.file.write_text(text)
    second = run(setup)
    assert second.returncode == 1
    assert "the address is in use by another process" in second.stderr
    assert "Traceback" not in second.stderr


def test_admin_address_in_use_is_refused_with_a_sentence(setup: Setup) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        setup.file.write_text(setup.file.read_text().replace('"127.0.0.1:0"', f'"127.0.0.1:{port}"'))
        second = run(setup)
    assert second.returncode == 1
    assert f"admin.listen: 127.0.0.1:{port}: the address is in use" in second.stderr


def test_faulty_configuration_and_unusable_store_exit_1_without_a_traceback(setup: Setup) -> None:
    good = setup.file.read_text()
    setup.file.write_text(good.replace("stage: shadow", "stage: shadwo"))
    faulty = run(setup)
    assert faulty.returncode == 1
    assert "banyan.yaml:15:" in faulty.stderr
    setup.file.write_text(good.replace("sqlite:///banyan.db", "sqlite:////proc/nothing/x.db"))
    unusable = run(setup)
    assert unusable.returncode == 1
    assert "the store /proc/nothing/x.db cannot be used" in unusable.stderr
    assert "Traceback" not in faulty.stderr + unusable.stderr


def test_open_admin_address_without_tokens_is_refused(setup: Setup) -> None:
    setup.file.write_text(setup.file.read_text().replace('listen: "127.0.0.1:0"', 'listen: "0.0.0.0:0"'))
    refused = run(setup)
    assert refused.returncode == 1
    assert "token" in refused.stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_during_the_start_ends_it(setup: Setup, number: signal.Signals) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "proxy", "run", str(setup.file)], stderr=subprocess.PIPE, cwd=setup.file.parent
    )
    eventually((setup.file.parent / "banyan.db").exists)
    time.sleep(0.05)
    process.send_signal(number)
    process.communicate(timeout=20)
    assert process.returncode == 0
