"""Who is asking, and which cohort and bucket that puts them in.

Law: the same user and salt give the same bucket in every worker and replica, for ever; the hash is Unleash's. Without
an identity there is no bucket: nobody is chosen by chance.
"""

from __future__ import annotations

from collections.abc import Sequence

import mmh3

from proxy.config.model import Cohort, Identity
from proxy.core.request import Request


def bucket(salt: str, user: str) -> int:
    """1..100: ``murmur3_32("salt:user") % 100 + 1``, Unleash's normalised hash."""
    return int(mmh3.hash(f"{salt}:{user}", signed=False)) % 100 + 1


def identify(sources: Sequence[Identity], request: Request) -> str | None:
    """The first identity that the sources yield; an empty value is none."""
    for source in sources:
        if source.header is not None:
            value = request.header(source.header)
        elif source.cookie is not None:
            value = request.cookie(source.cookie)
        else:
            value = request.parameter(source.query or "")
        if value:
            return value
    return None


class CohortTester:
    """Whether a request belongs to one cohort: a user of its list, or one that shows all its headers and cookies."""

    __slots__ = ("_cookies", "_headers", "_users", "name")

    def __init__(self, name: str, cohort: Cohort) -> None:
        self.name = name
        self._users = frozenset(cohort.users)
        self._headers = tuple((key.lower().encode("latin-1"), value.encode()) for key, value in cohort.header.items())
        # Request reads cookies as Latin-1, so the configured text is brought to the same form.
        self._cookies = tuple((key, value.encode().decode("latin-1")) for key, value in cohort.cookie.items())

    def holds(self, request: Request, user: str | None) -> bool:
        """True if the request, asked by ``user`` (None: nobody known), belongs to the cohort."""
        if user is not None and user in self._users:
            return True
        if not self._headers and not self._cookies:
            return False
        lower = request.lower
        return all(lower.get(name) == value for name, value in self._headers) and all(
            request.cookie(name) == value for name, value in self._cookies
        )
