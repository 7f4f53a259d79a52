"""A load generator that keeps to its timetable: ``python openloop.py PORT PATH --rate 5000 --seconds 5`` prints JSON.

Law: requests are due at even intervals whether or not earlier ones were answered, and a latency counts from the moment
a request was due, not from when it could be sent. So a stall is felt by every request that it delays (no coordinated
omission). It runs in a process of its own, on sockets and epoll without an event loop, to be cheap and even.
"""

from __future__ import annotations

import argparse
import gc
import json
import math
import select
import socket
import time
from collections import deque


class Connection:
    """One client connection with at most one request under way."""

    __slots__ = ("buffer", "due", "need", "sock")

    def __init__(self, port: int) -> None:
        self.sock = socket.create_connection(("127.0.0.1", port), 5)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock.setblocking(False)
        self.due = 0.0
        self.buffer = b""
        self.need = 0

    def receive(self) -> bool:
        """Read what is there; true when the answer is whole. Raises OSError for a bad connection or answer."""
        data = self.sock.recv(65536)
        if not data:
            raise ConnectionResetError("closed by the proxy")
        self.buffer = self.buffer + data if self.buffer else data
        if not self.need:
            end = self.buffer.find(b"\r\n\r\n")
            if end < 0:
                return False
            head = self.buffer[:end].lower()
            if not head.startswith(b"http/1.1 200"):
                raise ConnectionError(head[:40].decode("latin-1"))
            at = head.find(b"content-length:")
            if at < 0:
                raise ConnectionError("an answer without Content-Length")
            self.need = end + 4 + int(head[at + 15 :].split(b"\r\n", 1)[0])
        if len(self.buffer) < self.need:
            return False
        self.buffer = b""
        self.need = 0
        return True


def run(port: int, path: str, rate: int, seconds: float, connections: int, warm_up: float) -> dict[str, float]:
    """Send at the rate for warm_up + seconds; the figures (seconds, and counts) are of the time after the warm-up."""
    request = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUser-Agent: bench\r\nAccept: */*\r\n\r\n".encode()
    clock = time.perf_counter
    epoll = select.epoll()
    by_fd: dict[int, Connection] = {}
    idle: deque[Connection] = deque()

    def connect() -> None:
        connection = Connection(port)
        by_fd[connection.sock.fileno()] = connection
        epoll.register(connection.sock.fileno(), select.EPOLLIN)
        idle.append(connection)

    for _ in range(connections):
        connect()
    first_counted, total = int(rate * warm_up), int(rate * (warm_up + seconds))
    waiting: deque[float] = deque()
    latencies: list[float] = []
    lags: list[float] = []
    made = answered = errors = 0
    start = clock() + 0.05
    counted_from = start + first_counted / rate
    give_up = start + total / rate + 5
    last = start
    while answered + errors < total:
        now = clock()
        while made < total and start + made / rate <= now:
            waiting.append(start + made / rate)
            made += 1
        while waiting and idle:
            connection = idle.popleft()
            connection.due = waiting.popleft()
            connection.sock.send(request)
            lags.append(clock() - connection.due)
        if now > give_up:
            break
        pause = start + made / rate - clock() if made < total else 0.05
        if pause > 0:  # select on the epoll descriptor, because its time-out is in microseconds and epoll's is not
            select.select([epoll.fileno()], [], [], pause)
        for fd, _ in epoll.poll(0):
            connection = by_fd[fd]
            try:
                if not connection.receive():
                    continue
            except OSError:
                errors += 1
                epoll.unregister(fd)
                del by_fd[fd]
                connection.sock.close()
                connect()
                continue
            answered += 1
            last = clock()
            if connection.due >= counted_from:
                latencies.append(last - connection.due)
            idle.append(connection)
    unanswered = total - answered - errors
    latencies += [math.inf] * max(0, min(unanswered, total - first_counted - len(latencies)))
    latencies.sort()
    lags.sort()
    return {
        "rate": answered / (last - start) if last > start else 0.0,
        "p50": _quantile(latencies, 0.5),
        "p99": _quantile(latencies, 0.99),
        "max": latencies[-1] if latencies else math.inf,
        "lag_p99": _quantile(lags, 0.99),
        "errors": errors,
        "unanswered": unanswered,
    }


def _quantile(ordered: list[float], q: float) -> float:
    return ordered[min(len(ordered) - 1, int(q * len(ordered)))] if ordered else math.inf


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("port", type=int)
    parser.add_argument("path")
    parser.add_argument("--rate", type=int, default=5000, help="requests per second")
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--warm-up", type=float, default=1.0, help="seconds at the same rate that are not counted")
    options = parser.parse_args()
    gc.disable()
    figures = run(
        options.port, options.path, options.rate, options.seconds, options.connections, warm_up=options.warm_up
    )
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
