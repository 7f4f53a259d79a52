"""A real name server for one test."""

from __future__ import annotations

import os
import pwd
import subprocess
import time
from pathlib import Path

import dns.message
import dns.query
import dns.rcode
from ports import free_port


class Dnsmasq:
    """dnsmasq on a port of its own, which it keeps over restarts; every name under ``test`` is its own.

    ``queries`` are the questions that it was asked, like ``A orders.test``.
    """

    def __init__(self, program: str, folder: Path) -> None:
        self._program = program
        self._log = folder / "dnsmasq.log"
        self._process: subprocess.Popen[bytes] | None = None
        self.port = free_port()
        self.address = f"127.0.0.1:{self.port}"

    def start(self, *records: str, ttl: int = 60) -> None:
        """Serve these (dnsmasq's options without the dashes) instead of what it served before."""
        self.stop()
        command = [
            self._program, "--no-daemon", f"--port={self.port}", "--listen-address=127.0.0.1", "--bind-interfaces",
            "--log-queries", "--conf-file=/dev/null", "--no-resolv", "--no-hosts", "--local=/test/",
            f"--local-ttl={ttl}", f"--user={pwd.getpwuid(os.getuid()).pw_name}", "--pid-file=",
            *(f"--{record}" for record in records),
        ]  # fmt: skip
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        by = time.monotonic() + 15
        while not self._answers():
            assert self._process.poll() is None, self._log.read_text()
            assert time.monotonic() < by, self._log.read_text()

    def _answers(self) -> bool:
        try:
            question = dns.message.make_query("ready.test", "TXT")
            return dns.query.udp(question, "127.0.0.1", timeout=0.2, port=self.port).rcode() == dns.rcode.NXDOMAIN
        except (dns.exception.Timeout, OSError):
            return False

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    @property
    def queries(self) -> list[str]:
        lines = [line.split("query[", 1)[1] for line in self._log.read_text().splitlines() if "query[" in line]
        asked = [f"{line.partition(']')[0]} {line.split()[1]}" for line in lines]
        return [one for one in asked if one != "TXT ready.test"]
