"""What is done to a proxy, and what is read off: saturation with wrk, a fixed rate, idle connections.

Law: each function takes a running proxy, loads it for a bounded time and returns plain figures; none starts a proxy.
"""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from tests.bench import install, peers, procs

_DONE = """\
function done(summary, latency, requests)
  local e = summary.errors
  io.write(string.format('\\nBENCH {"requests": %d, "bytes": %d, "seconds": %f, "errors": %d}\\n',
    summary.requests, summary.bytes, summary.duration / 1e6, e.connect + e.read + e.write + e.status + e.timeout))
end
"""


@dataclass(frozen=True)
class Saturation:
    """One run at full load. ``busy`` and ``waited`` are shares of one core's time."""

    requests_per_second: float
    bytes_per_second: float
    errors: int
    cpu_per_request: float
    """Seconds of the proxy's CPU time."""
    busy: float
    """How much of its core the proxy used; well below 1 means that the load side was the limit."""
    waited: float
    """How long the proxy was ready to run and somebody else had its core: noise on this machine."""
    copied: float
    """Share of the requests that reached the second origin too."""


def saturate(
    proxy: peers.Proxy,
    origin: peers.Origin,
    folder: Path,
    path: str,
    *,
    seconds: int,
    connections: int,
    cores: list[int],
    headers: tuple[str, ...] = (),
) -> Saturation:
    """As many requests as the proxy answers. Raises RuntimeError when wrk fails or more than 1 % of the requests do."""
    script = folder / "done.lua"
    script.write_text(_DONE)
    argv = [
        install.find("wrk") or "wrk",
        f"-t{min(2, len(cores))}",
        f"-c{connections}",
        f"-d{seconds}s",
        "--timeout=5s",
    ]
    for header in headers:
        argv += ["-H", header]
    argv += ["-s", str(script), f"http://127.0.0.1:{proxy.port}{path}"]
    seen = peers.requests_seen(origin)
    before = procs.usage(proxy.workers)
    done = subprocess.run(argv, capture_output=True, text=True, timeout=seconds + 30, check=False)
    used = procs.usage(proxy.workers) - before
    lines = [line for line in done.stdout.splitlines() if line.startswith("BENCH ")]
    if not lines:
        raise RuntimeError(f"wrk said: {(done.stderr or done.stdout).strip()[-300:]}")
    figures = json.loads(lines[-1].removeprefix("BENCH "))
    requests, elapsed = figures["requests"], figures["seconds"]
    if requests == 0 or figures["errors"] > requests / 100:
        raise RuntimeError(f"{figures['errors']} of {requests} requests failed")
    time.sleep(0.2)  # copies under way are to be counted too
    reached = peers.requests_seen(origin) - seen - 1
    return Saturation(
        requests_per_second=requests / elapsed,
        bytes_per_second=figures["bytes"] / elapsed,
        errors=figures["errors"],
        cpu_per_request=used.cpu / requests,
        busy=used.cpu / elapsed,
        waited=min(1.0, used.waited / elapsed),  # several threads can wait at once
        copied=max(0.0, min(1.0, reached / requests - 1)),
    )


def fixed_rate(port: int, path: str, *, rate: int, seconds: float) -> dict[str, float]:
    """Latencies at this rate, in seconds: see openloop. Raises RuntimeError when the generator fails."""
    argv = [sys.executable, str(Path(__file__).with_name("openloop.py")), str(port), path, "--rate", str(rate)]
    done = subprocess.run(
        [*argv, "--seconds", str(seconds)], capture_output=True, text=True, timeout=seconds + 30, check=False
    )
    if done.returncode:
        raise RuntimeError(f"the load generator said: {done.stderr.strip()[-300:]}")
    figures: dict[str, float] = json.loads(done.stdout)
    if figures["errors"]:
        raise RuntimeError(f"{figures['errors']:.0f} requests failed")
    return figures


def idle_memory(proxy: peers.Proxy, connections: int) -> float:
    """Resident bytes that one more idle keep-alive connection costs, after it carried one request.

    The proxy must be fresh, so that the memory does not come from what an earlier load has left free. A hundred
    connections are opened first and not counted.
    """
    open_sockets: list[socket.socket] = []
    try:
        _open_idle(proxy.port, 100, open_sockets)
        time.sleep(1.0)
        before = procs.resident(proxy.workers)
        _open_idle(proxy.port, connections, open_sockets)
        time.sleep(1.0)
        after = procs.resident(proxy.workers)
        for index in (100, -1):
            _ask(open_sockets[index])  # still open, or the figure would be of closed connections
        return (after - before) / connections
    finally:
        for sock in open_sockets:
            sock.close()


def _open_idle(port: int, count: int, into: list[socket.socket]) -> None:
    for _ in range(count):
        sock = socket.create_connection(("127.0.0.1", port), 5)
        into.append(sock)
        _ask(sock)


def _ask(sock: socket.socket) -> None:
    sock.sendall(b"GET /plain/112 HTTP/1.1\r\nHost: bench\r\nUser-Agent: bench\r\nAccept: */*\r\n\r\n")
    wanted = peers.body(peers.SIZES["112"])
    answer = b""
    while not answer.endswith(wanted):
        data = sock.recv(65536)
        if not data:
            raise RuntimeError("the proxy closed an idle connection")
        answer += data
