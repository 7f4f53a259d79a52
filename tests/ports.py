"""Ports for servers that tests start.

Law: a port that was handed out stays its taker's until that process ends, whoever else tests on this machine meanwhile.
"""

from __future__ import annotations

import fcntl
import getpass
import random
import socket
import tempfile
from itertools import chain
from pathlib import Path

PORTS = range(10_000, 32_000)
"""Below the ephemeral range of Linux and macOS: no outgoing connection takes one between choosing and listening."""

# Byte N is locked by the process that has port N; the system unlocks it however that process ends.
_claims = (Path(tempfile.gettempdir()) / f"banyan-test-ports-{getpass.getuser()}").open("ab")
_given: set[int] = set()  # a lock never refuses its own process


def free_port() -> int:
    """A loopback port where nobody listens, and where nobody will but the caller."""
    start = random.randrange(len(PORTS))
    for port in chain(PORTS[start:], PORTS[:start]):
        if port not in _given and _claim(port):
            return port
    raise RuntimeError(f"this process has been given {len(_given)} ports, and none is left")


def _claim(port: int) -> bool:
    try:
        fcntl.lockf(_claims, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, port)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", port))
    except OSError:
        return False
    _given.add(port)
    return True
