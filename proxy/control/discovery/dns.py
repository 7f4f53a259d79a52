"""Endpoints from DNS: the A and AAAA records of a name, or SRV records (RFC 2782).

Law: records are asked for again when their TTL has passed, neither sooner than ``min_refresh`` nor later than
MAX_REFRESH_SECONDS. A name without records is a *lost answer* and not an empty one: a name server that has lost a
zone, or that stands on the wrong side of a split one, says "no such name" as surely as one whose service was shut
down. Keeping addresses that are gone costs a failed try and a fallback; believing the other costs the whole service.
The one way to say "nobody" is SRV's target ``.``.

Without ``server`` names are looked up as programs on this machine do: ``/etc/hosts`` first, then the name servers and
the search list of ``/etc/resolv.conf``, and if these fail, the system's resolver with whatever else it is set up to
ask (``getaddrinfo``; it tells no TTL, so ``min_refresh`` holds). With ``server`` only that server is asked.

IPv4 and IPv6 are asked for separately. When one of the two lookups *fails* and the other does not, the addresses that
the failed one found last stay: half an answer must not halve a service.
"""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import AsyncGenerator
from pathlib import Path
from time import time
from typing import NamedTuple

import dns.asyncresolver
import dns.exception
import dns.nameserver
import dns.resolver
from dns.rdtypes.IN.SRV import SRV

from proxy.config.upstreams import DnsDiscovery, SrvDiscovery
from proxy.control.addresses import split
from proxy.control.discovery.source import Answer, SourceLostError, endpoint_url, scaled
from proxy.control.discovery.watcher import MAX_ENDPOINTS
from proxy.control.names import Names

MAX_REFRESH_SECONDS = 300.0
"""A TTL of a day is the zone's leave to wait a day, and no reason to find a moved service so late."""
QUERY_SECONDS = 5.0
"""For one question, over all name servers and repetitions."""
SERVER_SECONDS = 2.0
"""For one name server, before the next is asked or the same again."""
EDNS_BYTES = 1232
"""What fits into an unfragmented packet everywhere (DNS Flag Day 2020); larger answers come over TCP."""
MAX_QUERIES = 16
"""Targets of SRV records looked up at once."""
HOSTS = Path("/etc/hosts")
RESOLV_CONF = "/etc/resolv.conf"
FAMILIES = ("A", "AAAA")


class _Found(NamedTuple):
    """Addresses of one name, IPv4 first, and how long they hold (seconds)."""

    addresses: list[str]
    ttl: float


class _NoRecordsError(Exception):
    """The name server answered, and there are none; the text says what there is none of."""


class Lookup:
    """Questions to one name server or to the system's, and the addresses that each family of a name had last."""

    def __init__(self, server: str | None, names: Names) -> None:
        self._server = server
        self._names = names
        self._last: dict[tuple[str, str], list[str]] = {}
        self._resolver: dns.asyncresolver.Resolver | None = None

    async def open(self) -> None:
        """Read the system's settings, or look up the server's own name. Raises SourceLostError."""
        resolver = dns.asyncresolver.Resolver(configure=False)
        if self._server is None:
            try:
                await asyncio.to_thread(resolver.read_resolv_conf, RESOLV_CONF)
            except (dns.exception.DNSException, ValueError, UnicodeError):
                resolver.nameservers = []  # hosts and getaddrinfo are left
        else:
            host, port = split(self._server)
            try:
                addresses = await self._names.lookup(host)
            except OSError as error:
                raise SourceLostError(f"the name server {self._server}: {error}") from None
            resolver.nameservers = [dns.nameserver.Do53Nameserver(address, port) for address in addresses]
        resolver.timeout = SERVER_SECONDS
        resolver.lifetime = QUERY_SECONDS
        resolver.use_edns(0, payload=EDNS_BYTES)
        self._resolver = resolver

    async def records(self, name: str, kind: str) -> dns.resolver.Answer:
        """The records of one type. Raises _NoRecordsError, or SourceLostError when nobody could say."""
        if self._resolver is None or not self._resolver.nameservers:
            raise SourceLostError(f"there is no name server in {RESOLV_CONF}")
        try:
            return await self._resolver.resolve(name, kind, search=self._server is None)
        except dns.resolver.NXDOMAIN:
            raise _NoRecordsError(f"there is no name {name}") from None
        except dns.resolver.NoAnswer:
            raise _NoRecordsError(f"{name} has no {kind} records") from None
        except dns.resolver.LifetimeTimeout:
            raise SourceLostError(f"{name}: the name server did not answer within {QUERY_SECONDS:.0f} s") from None
        except (dns.exception.DNSException, OSError, EOFError, ValueError) as error:
            raise SourceLostError(f"{name}: {_line(error)}") from error

    async def addresses(self, name: str) -> _Found:
        """All addresses of ``name``. Raises SourceLostError when there are none."""
        try:
            return _Found([str(ipaddress.ip_address(name))], MAX_REFRESH_SECONDS)
        except ValueError:
            pass
        if self._server is None and await asyncio.to_thread(_in_hosts, name):
            return await self._from_system(name, None)
        try:
            return await self._from_dns(name)
        except SourceLostError as error:
            if self._server is not None:
                raise
            return await self._from_system(name, error)

    async def _from_dns(self, name: str) -> _Found:
        outcomes = await asyncio.gather(*(self._family(name, kind) for kind in FAMILIES), return_exceptions=True)
        found: list[str] = []
        ttls: list[float] = []
        for kind, outcome in zip(FAMILIES, outcomes, strict=True):
            if isinstance(outcome, _Found):
                self._last[name, kind] = outcome.addresses
                found += outcome.addresses
                ttls.append(outcome.ttl)
            elif isinstance(outcome, SourceLostError):
                found += self._last.get((name, kind), [])
                ttls.append(0.0)
            elif not isinstance(outcome, _NoRecordsError):
                raise outcome
        if not any(isinstance(outcome, _Found) for outcome in outcomes):
            lost = next((o for o in outcomes if isinstance(o, SourceLostError)), None)
            raise lost or SourceLostError(_nothing(name, outcomes))
        for kind, outcome in zip(FAMILIES, outcomes, strict=True):
            if isinstance(outcome, _NoRecordsError):  # believed only beside an answer
                self._last.pop((name, kind), None)
        return _Found(found, min(ttls))

    async def _family(self, name: str, kind: str) -> _Found:
        answer = await self.records(name, kind)
        return _Found([str(record.address) for record in answer], answer.expiration - time())

    async def _from_system(self, name: str, instead_of: SourceLostError | None) -> _Found:
        try:
            async with asyncio.timeout(QUERY_SECONDS):
                return _Found(await self._names.lookup(name), 0.0)
        except (OSError, TimeoutError) as error:
            # The name server's own words say more than the system's resolver.
            raise instead_of or SourceLostError(f"{name}: {_line(error)}") from None

    def forget_but(self, names: set[str]) -> None:
        """Remember nothing of other names than these."""
        self._last = {key: value for key, value in self._last.items() if key[0] in names}


class DnsSource:
    """Endpoints are the A and AAAA records of ``config.name``."""

    def __init__(self, config: DnsDiscovery, names: Names) -> None:
        self._config = config
        self._lookup = Lookup(config.server, names)

    async def watch(self) -> AsyncGenerator[Answer, None]:
        """As in Source: one answer after another, each as long as its records' TTL after the one before."""
        config = self._config
        await self._lookup.open()
        while True:
            found = await self._lookup.addresses(config.name)
            yield {endpoint_url(config.scheme, address, config.port): 1 for address in found.addresses}
            await asyncio.sleep(_refresh(found.ttl, config.min_refresh))


class SrvSource:
    """Endpoints are the SRV records of ``config.name``: those of the lowest priority number, with their weights.

    A target's IPv4 addresses are taken if it has any, else its IPv6 ones: both would be one machine twice. They are
    asked of the same name server, which may be the only one that knows them.
    """

    def __init__(self, config: SrvDiscovery, names: Names) -> None:
        self._config = config
        self._lookup = Lookup(config.server, names)
        self._known: dict[str, list[str]] = {}  # by target, what was found last

    async def watch(self) -> AsyncGenerator[Answer, None]:
        """As in Source. A target that cannot be looked up, while others can, keeps the addresses it had."""
        config = self._config
        await self._lookup.open()
        while True:
            try:
                answer = await self._lookup.records(config.name, "SRV")
            except _NoRecordsError as error:
                raise SourceLostError(str(error)) from None
            records = [record for record in answer if isinstance(record, SRV)]
            lowest = min((record.priority for record in records), default=0)
            chosen = [record for record in records if record.priority == lowest][:MAX_ENDPOINTS]
            ttl = answer.expiration - time()
            if [record.target.to_text() for record in records] == ["."]:  # RFC 2782: decidedly not available
                yield {}
            else:
                endpoints, targets_ttl = await self._endpoints(chosen)
                ttl = min(ttl, targets_ttl)
                yield endpoints
            await asyncio.sleep(_refresh(ttl, config.min_refresh))

    async def _endpoints(self, records: list[SRV]) -> tuple[Answer, float]:
        """The endpoints behind ``records`` and how long they hold. Raises SourceLostError if no target is known."""
        places = asyncio.Semaphore(MAX_QUERIES)

        async def addresses(target: str) -> _Found:
            async with places:
                return await self._lookup.addresses(target)

        targets = sorted({record.target.to_text(omit_final_dot=True) for record in records})
        outcomes = await asyncio.gather(*(addresses(target) for target in targets), return_exceptions=True)
        known: dict[str, list[str]] = {}
        lost: list[SourceLostError] = []
        ttl = MAX_REFRESH_SECONDS
        for target, outcome in zip(targets, outcomes, strict=True):
            if isinstance(outcome, _Found):
                known[target] = outcome.addresses
                ttl = min(ttl, outcome.ttl)
            elif isinstance(outcome, SourceLostError):
                known[target] = self._known.get(target, [])
                lost.append(outcome)
                ttl = 0.0
            else:
                raise outcome
        if len(lost) == len(targets):
            raise lost[0] if lost else SourceLostError(f"{self._config.name} has no SRV records")
        self._known = known
        self._lookup.forget_but(set(targets))
        weights: dict[str, int] = {}
        for record in records:
            addresses_of = known[record.target.to_text(omit_final_dot=True)]
            for address in [a for a in addresses_of if ":" not in a] or addresses_of:
                url = endpoint_url(self._config.scheme, address, record.port)
                weights[url] = weights.get(url, 0) + record.weight
        return scaled(weights), ttl


def _refresh(ttl: float, least: float) -> float:
    return max(least, min(ttl, MAX_REFRESH_SECONDS))


def _in_hosts(name: str) -> bool:
    """Whether ``/etc/hosts`` has the name; blocks on the disk."""
    try:
        text = HOSTS.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    wanted = name.rstrip(".").lower()
    return any(wanted in line.partition("#")[0].lower().split()[1:] for line in text.splitlines())


def _nothing(name: str, outcomes: list[_Found | BaseException]) -> str:
    """Why a name has no addresses at all: it does not exist, or it has other records."""
    texts = {str(outcome) for outcome in outcomes}
    return texts.pop() if len(texts) == 1 else f"{name} has neither A nor AAAA records"


def _line(error: BaseException) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 200 else text[:197] + "..."
