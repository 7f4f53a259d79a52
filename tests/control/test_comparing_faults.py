"""A full disk, and documents made to be slow: comparing suffers, traffic does not."""

import json
import random
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest
from faults import Background
from running import Banyan, Setup, ask, eventually
from scripted import Message, Upstream, ok

from proxy.store.difflog import DiffLog
from proxy.store.sqlite import open_database

JSON = "Content-Type: application/json"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of one megabyte."""
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)], capture_output=True)
    if mounted.returncode:
        pytest.skip(f"a file system can only be mounted by root: {mounted.stderr.decode().strip()}")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def dropped_by_the_store(banyan: Banyan) -> float:
    lines = ask(banyan.admin + "/metrics").body.decode().splitlines()
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith("banyan_store_dropped_total{"))


def fill(folder: Path) -> None:
    """Leave not one byte."""
    with (folder / "filler").open("wb", buffering=0) as filler:
        for size in (65536, 4096, 1):
            with suppress(OSError):
                while True:
                    filler.write(b"x" * size)


def test_f49_a_full_disk_stops_records_and_nothing_else(
    small_disk: Path, tmp_path: Path, background: Background
) -> None:
    dice = random.Random(49)

    def different(message: Message) -> bytes:
        return ok(json.dumps({dice.randbytes(4).hex(): dice.randbytes(5000).hex()}).encode(), JSON)

    legacy, candidate = (background.enter(Upstream(different)) for _ in range(2))
    setup = Setup(tmp_path)
    try:
        setup.write(legacy=legacy.url, candidate=candidate.url)
        setup.alter("sqlite:///banyan.db", f"sqlite:///{small_disk}/banyan.db")
        setup.alter("stage: shadow", "stage: shadow\n    compare: {noise: {sample: 0%}}")  # pairs of both sides only
        banyan = setup.start()

        def visit(number: int) -> None:
            for _ in range(number):
                begun = time.monotonic()
                assert ask(banyan.url + "/orders/1").status == 200
                assert time.monotonic() - begun < 5

        def judged() -> int:
            found = banyan.route("orders-read")
            return sum(found["verdicts"].values()) + sum(found["dropped"].values())

        visit(5)
        eventually(lambda: judged() == 5)
        fill(small_disk)
        eventually(lambda: (visit(10), dropped_by_the_store(banyan) > 0)[1], 40.0)
        assert ask(banyan.admin + "/readyz").status == 200
        assert any(event["event"] == "store-lost" for event in banyan.events())
        (small_disk / "filler").unlink()
        subprocess.run(["mount", "-o", "remount,size=64m", str(small_disk)], check=True)  # it shall not fill up again
        eventually(lambda: (visit(1), any(event["event"] == "store-back" for event in banyan.events()))[1], 40.0)
        found = eventually(lambda: (r := banyan.route("orders-read"))["requests"] == judged() and r)
        assert banyan.stop() == 0
        with closing(open_database(small_disk / "banyan.db")) as connection:
            log = DiffLog(connection)
            assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
            written = log.verdict_totals()["orders-read"]  # counts wait in memory until there is room
            assert sum(written.values()) + sum(found["dropped"].values()) == found["requests"]
    finally:
        setup.close()


def test_f15_documents_made_to_be_slow_cost_the_client_nothing(setup: Setup, background: Background) -> None:
    items = [{"id": n, "v": {"x": n, "y": [n] * 5}, "name": f"n{n}"} for n in range(200)]
    changed = [{**item, "v": {"x": -1, "y": []}} if n % 2 else item for n, item in enumerate(items)][::-1]
    bodies = {b"deep": b"[" * 100_000 + b"]" * 100_000, b"list": json.dumps(changed).encode()}
    mine = {b"deep": b"[]", b"list": json.dumps(items).encode(), b"easy": b"1"}
    legacy = background.enter(Upstream(lambda m: ok(mine[m.target[-4:]], JSON)))
    candidate = background.enter(Upstream(lambda m: ok(bodies.get(m.target[-4:], b"1"), JSON)))
    setup.write(legacy=legacy.url, candidate=candidate.url)
    setup.alter("stage: shadow", "stage: shadow\n    compare: {unordered: {$: null}}")
    banyan = setup.start()

    def latencies(targets: list[str]) -> list[float]:
        found = []
        for target in targets:
            begun = time.monotonic()
            assert ask(f"{banyan.url}/orders/{target}").status == 200
            found.append(time.monotonic() - begun)
        return sorted(found)

    alone = latencies(["easy"] * 100)
    beside = latencies(["deep", "list", *["easy"] * 8] * 6)
    assert beside[30] < 3 * alone[50] + 0.02
    assert beside[55] < 0.5
    for verdict in ("incomparable", "mismatched"):  # too deep; and within the budget
        eventually(lambda wanted=verdict: banyan.route("orders-read")["verdicts"].get(wanted), 40.0)
