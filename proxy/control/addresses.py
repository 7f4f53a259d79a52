"""Addresses that clients connect to, held by the supervisor for as long as it lives.

Law: an address is either ours or the start fails with a sentence. Workers bind it themselves (SO_REUSEPORT spreads
connections over them); the supervisor only reserves it, so that port 0 is resolved once for all workers and no other
process can take the port while a worker is being restarted.
"""

from __future__ import annotations

import errno
import socket
from contextlib import suppress

from proxy.errors import BanyanError


class Reservation:
    """Bound, never listening sockets for ``addresses``; ``resolved`` are the same addresses with their real ports."""

    def __init__(self, addresses: list[str]) -> None:
        """Raises BanyanError when an address cannot be had; then nothing stays bound."""
        self._sockets: list[socket.socket] = []
        self.resolved: list[str] = []
        try:
            for address in addresses:
                sock = _reserve(address)
                self._sockets.append(sock)
                self.resolved.append(join(*sock.getsockname()[:2]))
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Give the addresses back."""
        for sock in self._sockets:
            sock.close()


def split(address: str) -> tuple[str, int]:
    """``host:port`` or ``[v6]:port`` -> host without brackets, port. An empty host is all IPv4 addresses."""
    host, _, port = address.rpartition(":")
    return host.strip("[]") or "0.0.0.0", int(port)  # noqa: S104 - an empty host is the operator's word for all


def join(host: str, port: int) -> str:
    """The inverse of :func:`split`."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _reserve(address: str) -> socket.socket:
    host, port = split(address)
    try:
        family, _, _, _, target = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    except socket.gaierror as error:
        raise BanyanError(f"listen: {address}: the host is not known ({error.strerror})") from None
    if port:
        # With SO_REUSEPORT a second Banyan of the same user would share the port without a word; without it, it shows.
        _bind(family, target, address, shared=False).close()
    return _bind(family, target, address, shared=True)


def _bind(family: socket.AddressFamily, target: object, address: str, *, shared: bool) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            with suppress(OSError):
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind(target)  # type: ignore[arg-type]  # getaddrinfo's answer, whatever the family
    except OSError as error:
        sock.close()
        raise BanyanError(f"listen: {address}: {_why(error)}") from None
    return sock


def _why(error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return "the address is in use by another process (another Banyan?); stop it or choose another port"
    if error.errno == errno.EACCES:
        return "this user may not bind that port; choose one above 1023"
    if error.errno == errno.EADDRNOTAVAIL:
        return "this machine does not have that address"
    return error.strerror or str(error)
