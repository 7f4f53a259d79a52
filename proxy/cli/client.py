"""How commands speak to a running Banyan.

Law: small and quick to import; one request, one answer. Who does not answer, or cannot, is said in one line with exit
code 3, who refuses in one line with exit code 1, or 2 for what is wrong with the command line or its environment. What
was recorded reaches the terminal only through ``visible``.
"""

from __future__ import annotations

import http.client
import json
import os
import socket
from collections.abc import Callable
from typing import Any, TypeVar
from urllib.parse import quote, urlencode, urlsplit

import click

from proxy.errors import BanyanError, CommandLineError, UnreachableError
from proxy.telemetry.visible import visible

F = TypeVar("F", bound=Callable[..., Any])

DEFAULT_ADMIN = "http://127.0.0.1:9900"
REASON_HELP = 'Why; the record keeps it with the name of your token, or with "local" if there are no tokens.'
"""Of the option --reason."""
TIMEOUT_SECONDS = 15.0
MAX_ANSWER_BYTES = 64 * 1024 * 1024
_UNKNOWN = frozenset({"unknown-route", "unknown-diff"})
"""Codes of refusals that mean a name on the command line."""
_OF_THE_ROUTE = "bad-stage"
"""The code of a refusal of a request that is well made: the route has no candidate."""


def admin_option(command: F) -> F:
    """The option that says where the admin side is."""
    return click.option(
        "--admin",
        envvar="BANYAN_ADMIN",
        default=DEFAULT_ADMIN,
        show_default=True,
        show_envvar=True,
        metavar="URL",
        help="Where the running Banyan's admin side listens. A token is taken from BANYAN_TOKEN.",
    )(command)


class Client:
    """The admin API at ``admin``, an http or https URL. Raises CommandLineError for one that is not."""

    def __init__(self, admin: str) -> None:
        parts = urlsplit(admin)
        try:
            port = parts.port
        except ValueError:
            port = -1
        if parts.scheme not in ("http", "https") or not parts.hostname or port == -1:
            raise CommandLineError(f"--admin {visible(admin, 200)!r} is not a URL; write it like {DEFAULT_ADMIN}")
        self._admin = admin.rstrip("/")
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        self._connection = kind(parts.hostname, port, timeout=TIMEOUT_SECONDS)
        self._prefix = parts.path.rstrip("/")

    def get(self, path: str, **query: str | int | None) -> Any:
        """The JSON answer of a reading request."""
        return json.loads(self.text(path, **query))

    def text(self, path: str, **query: str | int | None) -> str:
        """The text of a reading request."""
        given = {name: value for name, value in query.items() if value is not None}
        return self._ask("GET", f"{path}?{urlencode(given)}" if given else path, None)

    def post(self, path: str, body: dict[str, Any]) -> Any:
        """The JSON answer of a changing request."""
        return json.loads(self._ask("POST", path, json.dumps(body).encode()))

    def _ask(self, method: str, path: str, body: bytes | None) -> str:
        headers = {"Accept": "application/json"}
        if body is not None:
            headers["Content-Type"] = "application/json"
        if token := os.environ.get("BANYAN_TOKEN", ""):
            if not (token.isascii() and token.isprintable()):
                raise CommandLineError("BANYAN_TOKEN holds characters that a token cannot have")
            headers["Authorization"] = f"Bearer {token}"
        try:
            self._connection.request(method, self._prefix + path, body, headers)
            answer = self._connection.getresponse()
            text = answer.read(MAX_ANSWER_BYTES).decode("utf-8", "replace")
        except (OSError, http.client.HTTPException, socket.gaierror) as error:
            why = getattr(error, "strerror", None) or str(error) or type(error).__name__
            raise UnreachableError(
                f"no Banyan answers at {self._admin} ({visible(why, 200)}); is it running? --admin says where to look"
            ) from None
        finally:
            self._connection.close()
        if answer.status >= 400:
            raise _refused(answer.status, text, self._admin)
        return text


def segment(name: str) -> str:
    """A name as one path segment."""
    return quote(name, safe="") if name not in (".", "..") else name.replace(".", "%2E")


def _refused(status: int, text: str, admin: str) -> BanyanError:
    try:
        error = json.loads(text)["error"]
        code, message, details = str(error["code"]), str(error["message"]), error.get("details") or {}
    except (ValueError, KeyError, TypeError):
        return UnreachableError(f"what answers at {visible(admin, 200)} is not a Banyan's admin side (status {status})")
    if status == 401:
        message = "a token is needed; set BANYAN_TOKEN"
    faults = (
        [visible(fault_line(fault), 500) for fault in details.get("faults", [])] if isinstance(details, dict) else []
    )
    refused = BanyanError
    if status >= 500:
        refused = UnreachableError
    elif code in _UNKNOWN or (status in (400, 401) and code != _OF_THE_ROUTE):
        refused = CommandLineError
    return refused("\n".join([visible(message, 1000), *faults]))


def fault_line(fault: dict[str, Any]) -> str:
    """A fault of the files as the admin side tells it, in the words of ``banyan check``."""
    text = f"{fault.get('file')}:{fault.get('line')}:{fault.get('column')}: {fault.get('what')}"
    return f"{text}; {fault['hint']}" if fault.get("hint") else text
