"""A Banyan as a user runs it, in front of upstreams that answer as they are told."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import closing, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit


class Upstream:
    """A service that answers every GET and POST with ``body``, a JSON value, and ``status``; ``delay`` seconds late."""

    def __init__(self, body: object) -> None:
        self.body = body
        self.status = 200
        self.delay = 0.0
        self.seen: list[str] = []
        upstream = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = -1  # head and body in one write

            def do_GET(self) -> None:
                upstream.seen.append(self.path)
                self.rfile.read(int(self.headers.get("Content-Length", "0")))
                time.sleep(upstream.delay)
                fields, data = upstream.answer(self.path)
                self.send_response(upstream.status)
                for name, value in [*fields, ("Content-Length", str(len(data)))]:
                    self.send_header(name, value)
                self.end_headers()
                with suppress(BrokenPipeError, ConnectionResetError):
                    self.wfile.write(data)
                    self.wfile.flush()

            def do_POST(self) -> None:
                self.do_GET()

            def handle(self) -> None:
                with suppress(BrokenPipeError, ConnectionResetError):  # whoever asked has left
                    super().handle()

            def finish(self) -> None:
                with suppress(BrokenPipeError, ConnectionResetError):
                    super().finish()

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()

    def answer(self, path: str) -> tuple[list[tuple[str, str]], bytes]:
        """The fields and the body of the answer to a request for ``path``."""
        return [("Content-Type", "application/json")], json.dumps(self.body).encode()

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class Reply:
    """A whole answer."""

    def __init__(self, status: int, headers: http.client.HTTPMessage, body: bytes) -> None:
        self.status = status
        self.headers = headers
        self.body = body

    def json(self) -> Any:
        return json.loads(self.body)


def ask(
    url: str, method: str = "GET", body: object | None = None, headers: dict[str, str] | None = None, raw: bytes = b""
) -> Reply:
    """One request on a connection of its own. ``body`` is sent as JSON."""
    parts = urlsplit(url)
    assert parts.hostname is not None
    with closing(http.client.HTTPConnection(parts.hostname, parts.port, timeout=10)) as connection:
        sent = dict(headers or {})
        data: bytes | None = raw or None
        if body is not None:
            data = json.dumps(body).encode()
            sent.setdefault("Content-Type", "application/json")
        target = url.partition(parts.netloc)[2] or "/"
        connection.request(method, target, data, sent)
        answer = connection.getresponse()
        return Reply(answer.status, answer.headers, answer.read())


def eventually(holds: Callable[[], Any], seconds: float = 15.0) -> Any:
    """Wait until ``holds`` says something true, and return that."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with suppress(OSError, http.client.HTTPException, ValueError):
            if found := holds():
                return found
        time.sleep(0.03)
    raise AssertionError("it did not come about")


class Banyan:
    """``banyan run`` as a process. ``url`` is for clients, ``admin`` for operators."""

    def __init__(self, path: Path, *options: str, environ: dict[str, str] | None = None) -> None:
        self.path = path
        self.lines: list[str] = []
        self.process = subprocess.Popen(
            [sys.executable, "-m", "proxy", "run", str(path), *options],
            stderr=subprocess.PIPE, text=True, cwd=path.parent, env={**os.environ, **(environ or {})},
        )  # fmt: skip
        self._reader = threading.Thread(target=self._read)
        self._reader.start()
        try:
            found = eventually(self._announced, 30.0)
        except AssertionError:
            self.kill()
            raise AssertionError("".join(self.lines)) from None
        self.url, self.admin = found[1], found[2]

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.lines.append(line)

    def _announced(self) -> re.Match[str] | None:
        if self.process.poll() is not None:
            raise AssertionError("".join(self.lines))
        return next(
            (m for line in self.lines if (m := re.match(r"banyan: serving on (\S+?),? .*admin on (\S+)", line))), None
        )

    def status(self) -> Any:
        return ask(self.admin + "/api/status").json()

    def route(self, route: str) -> Any:
        return ask(f"{self.admin}/api/routes/{route}").json()

    def pids(self) -> list[int]:
        found = self.status()
        return [child["pid"] for child in [*found["workers"], *found["comparators"]]]

    def events(self) -> list[dict[str, Any]]:
        """The lines of the log, parsed."""
        return [json.loads(line) for line in self.lines if line.startswith("{")]

    def stop(self) -> int:
        """SIGTERM, and the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self._wait(20.0)

    def kill(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self._wait(10.0)

    def _wait(self, seconds: float) -> int:
        code = self.process.wait(seconds)
        self._reader.join(10.0)
        if self.process.stderr is not None:
            self.process.stderr.close()
        return code


def alive(pid: int) -> bool:
    """The process runs (a zombie does not)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


CONFIGURATION = """\
overload: {{shadow_lag: 0s, refuse_lag: 0s}}  # a slow machine is not what is looked for here
listen: 127.0.0.1:0
admin: {{listen: "127.0.0.1:0"}}
workers: {workers}
store: sqlite:///banyan.db
shutdown: {{drain_delay: 50ms, grace: 3s}}
upstreams:
  monolith: {{endpoints: ["{legacy}"]}}
  orders: {{endpoints: ["{candidate}"], compare: {{noise: {{sample: 0%}}}}}}  # all shadows: tests count them
legacy: monolith
routes:
  - id: orders-read
    match: {{methods: [GET], path: "/orders/{{id}}"}}
    candidate: orders
    stage: {stage}
  - id: only-legacy
    match: {{path: /old}}
"""


class Setup:
    """A folder with a configuration, its two upstreams, and the Banyans started on it."""

    def __init__(self, folder: Path) -> None:
        self.legacy = Upstream({"id": 1, "total": 19.9})
        self.candidate = Upstream({"id": 1, "total": "19.90"})
        self.file = folder / "banyan.yaml"
        self._started: list[Banyan] = []
        self.write()

    def write(
        self, stage: str = "shadow", workers: int = 1, more: str = "", legacy: str = "", candidate: str = ""
    ) -> None:
        """Write the configuration, with one's own upstreams if their URLs are given."""
        urls = {"legacy": legacy or self.legacy.url, "candidate": candidate or self.candidate.url}
        self.file.write_text(CONFIGURATION.format(stage=stage, workers=workers, **urls) + more)

    def alter(self, old: str, new: str) -> None:
        """Replace something that stands in the configuration."""
        text = self.file.read_text()
        assert old in text, text
        self.file.write_text(text.replace(old, new))

    def start(self, *options: str, environ: dict[str, str] | None = None) -> Banyan:
        """Run Banyan on it."""
        banyan = Banyan(self.file, *options, environ=environ)
        self._started.append(banyan)
        return banyan

    def close(self) -> None:
        for banyan in self._started:
            if banyan.process.poll() is None:
                banyan.stop()
        self.legacy.close()
        self.candidate.close()
