"""How the supervisor asks others over HTTP: health checks and sources of endpoints.

Law: what is asked is what goes out, once. No redirect is followed, no cookie kept, no proxy of the environment used,
no content coding asked for, nothing sent a second time; every question has a connection of its own, so that a half-dead
idle one says nothing. Bodies are read up to a bound.
"""

from __future__ import annotations

import asyncio
import ssl

import aiohttp
from aiohttp import hdrs

from proxy.control.names import Names

MAX_WHY = 200
"""Characters of a reason that somebody else worded."""

REASONS = (aiohttp.ClientError, OSError, TimeoutError, asyncio.IncompleteReadError, ValueError)
"""What a question may raise: aiohttp lets some of asyncio's errors and of its parsers' through."""


def open_session(names: Names, tls: ssl.SSLContext | None = None) -> aiohttp.ClientSession:
    """A session without the helpfulness; the caller closes it. ``tls`` None: the system's authorities."""
    connector = aiohttp.TCPConnector(
        resolver=names, ssl=True if tls is None else tls, force_close=True, limit=0, use_dns_cache=False
    )
    session = aiohttp.ClientSession(
        connector=connector,
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        trust_env=False,
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=None),  # each caller has a clock of its own
        headers={hdrs.USER_AGENT: "banyan", hdrs.ACCEPT_ENCODING: "identity"},
    )
    # aiohttp sends a GET again when its connection breaks, even a new one, and has no option against it: a check that
    # failed half of the time would pass. Its own test client does the same.
    session._retry_connection = False  # noqa: SLF001
    return session


async def read_within(response: aiohttp.ClientResponse, limit: int) -> bytes | None:
    """The body; None if it has more than ``limit`` bytes. Raises as aiohttp does."""
    pieces, size = [], 0
    async for piece in response.content.iter_any():
        size += len(piece)
        if size > limit:
            return None
        pieces.append(piece)
    return b"".join(pieces)


def why(error: BaseException) -> str:
    """What went wrong with a question, in words for people, on one line."""
    match error:
        case aiohttp.ClientConnectorCertificateError():
            cause = error.certificate_error
            return _short(f"the certificate is not good: {getattr(cause, 'verify_message', '') or cause}")
        case aiohttp.ClientConnectorDNSError():
            return _short(f"the name cannot be looked up: {error.os_error}")
        case aiohttp.ClientConnectorError():
            return _short(f"no connection: {_system(error.os_error)}")
        case aiohttp.ServerDisconnectedError():
            return "the connection was closed without an answer"
        case aiohttp.ClientPayloadError():
            return "the answer broke off"
        case aiohttp.ClientResponseError():
            return "the answer is not HTTP"
        case TimeoutError():
            return "no answer in time"
        case OSError():
            return _short(f"the connection failed: {_system(error)}")
    return _short(str(error) or type(error).__name__)


def _system(error: OSError) -> str:
    # asyncio puts 'Connect call failed' and the address where the system's word would stand
    if isinstance(error, ssl.SSLError):
        return f"TLS: {error.reason or error}"
    if isinstance(error, ConnectionRefusedError):
        return "refused"
    return error.strerror or str(error) or type(error).__name__


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= MAX_WHY else line[: MAX_WHY - 3] + "..."
