"""A worker that hangs: found out, killed, replaced."""

import os
import signal

from running import Setup, alive, ask, eventually


def test_a_hung_worker_is_not_ready_and_then_replaced(setup: Setup) -> None:
    banyan = setup.start()
    (hung,) = [child["pid"] for child in banyan.status()["workers"]]
    os.kill(hung, signal.SIGSTOP)
    assert eventually(lambda: ask(banyan.admin + "/readyz").status == 503)
    assert banyan.status()["state"] == "not-ready"
    eventually(lambda: not alive(hung), 30.0)
    eventually(lambda: ask(banyan.url + "/old").status == 200)
    eventually(lambda: ask(banyan.admin + "/readyz").status == 200)
    assert any(e["event"] == "child-killed" and "silent" in e["why"] for e in banyan.events())
