"""Faults that no single field shows: names that nothing has, routes that tie, routes that nothing reaches.

Law: whatever passes here can be made a snapshot of without an error, and every request has at most one best route.
"""

from __future__ import annotations

import ipaddress
import re
from collections import defaultdict
from collections.abc import Callable, Iterable

from proxy.compare.reads import ReadTemplate
from proxy.config.combinations import contradictions
from proxy.config.compare_lint import compare_faults
from proxy.config.model import Route, Settings
from proxy.config.positions import Loc, Node, locate
from proxy.config.wording import did_you_mean
from proxy.core.overlap import covers, overlaps
from proxy.core.routing import Rule
from proxy.core.template import TEMPLATE, ambiguous, path_pattern
from proxy.errors import Fault

ABSENT = "absent-upstream"
"""Stands in ``legacy`` when the file has none, so that the rest can be linted."""
_HOST = re.compile(r"(?:\*\.)?[a-z0-9_](?:[a-z0-9_.-]*[a-z0-9_])?\.?|\[[0-9a-f:.]+\]")


def lint(settings: Settings, root: Node, indexes: list[int]) -> list[Fault]:
    """All such faults. ``root`` is the merged document, ``indexes`` the place in it of each of the settings' routes."""
    linter = _Linter(settings, root)
    linter.whole()
    rules: list[Rule] = []
    for index, route in zip(indexes, settings.routes, strict=True):
        linter.route(route, index)
        if linter.patterns_parse(route, index):
            rules.append(Rule(index, route))
    linter.duplicates()
    linter.ties(rules)
    linter.unreachable(rules)
    return [*linter.faults, *contradictions(settings, root), *compare_faults(settings, root, indexes)]


def is_loopback(address: str) -> bool:
    """Whether only this machine reaches ``host:port``. Of names only ``localhost`` is believed."""
    host = address.rsplit(":", 1)[0].strip("[]")
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class _Linter:
    def __init__(self, settings: Settings, root: Node) -> None:
        self.settings = settings
        self.root = root
        self.faults: list[Fault] = []
        # By the files and not by the settings: what is faulty itself is still a name to refer to.
        self.upstreams = set(self._names("upstreams"))
        self.cohorts = set(self._names("cohorts"))

    def _names(self, key: str) -> Iterable[str]:
        entry = self.root.entries.get(key)
        return entry[1].entries if entry else ()

    def fault(self, loc: Loc, what: str, hint: str = "", *, key: bool = False) -> None:
        self.faults.append(locate(self.root, loc, key=key).fault(what, hint))

    def whole(self) -> None:
        """What concerns no single route."""
        settings = self.settings
        if settings.legacy != ABSENT:
            self._upstream(settings.legacy, ("legacy",), "legacy")
        if not settings.admin.tokens and not is_loopback(settings.admin.listen):
            self.fault(
                ("admin", "listen"),
                f"admin.listen {settings.admin.listen!r} is not a loopback address, and there are no admin.tokens",
                "add admin.tokens, or listen on 127.0.0.1",
            )

    def _upstream(self, name: str, loc: Loc, what: str) -> None:
        if name not in self.upstreams and "upstreams" in self.root.entries:
            self.fault(loc, f"{what}: there is no upstream {name!r}", did_you_mean(name, self.upstreams))

    def route(self, route: Route, index: int) -> None:
        """What concerns one route."""
        here: Loc = ("routes", index)
        if route.candidate is not None:
            self._upstream(route.candidate, (*here, "candidate"), f"candidate of route {route.id!r}")
            if route.candidate == self.settings.legacy:
                self.fault((*here, "candidate"), f"the candidate of route {route.id!r} is the legacy upstream itself")
        for number, name in enumerate(route.canary.cohorts):
            if name not in self.cohorts:
                what = f"canary.cohorts of route {route.id!r}: there is no cohort {name!r}"
                self.fault((*here, "canary", "cohorts", number), what, did_you_mean(name, self.cohorts))
        if route.stage == "retired" and route.kill_switch:
            what = f"route {route.id!r} is retired, so its kill switch has no legacy to turn to"
            self.fault((*here, "kill_switch"), what, "set its stage back to live first")
        for number, read in enumerate(route.shadow.reads):
            self._read(read.path, route, (*here, "shadow", "reads", number, "path"))
        self._drills(route, (*here, "faults"))

    def _drills(self, route: Route, here: Loc) -> None:
        if not route.faults:
            return
        if self.settings.drills == "forbidden":
            what = f"route {route.id!r} has faults, but drills are forbidden"
            self.fault(here, what, "write `drills: allowed` beside `routes`, or remove them", key=True)
        if route.candidate is None:
            what = f"route {route.id!r} has faults but no candidate in front of which to make them"
            self.fault(here, what, "name its candidate, or remove them", key=True)
        for number, drill in enumerate(route.faults):
            for place, name in enumerate(drill.cohorts):
                if name not in self.cohorts:
                    what = f"faults of route {route.id!r}: there is no cohort {name!r}"
                    self.fault((*here, number, "cohorts", place), what, did_you_mean(name, self.cohorts))

    def _read(self, path: str, route: Route, loc: Loc) -> None:
        what = f"shadow.reads of route {route.id!r}"
        if self._parses(lambda: ReadTemplate(path, route.match.path), loc, what):
            example = ReadTemplate(path, route.match.path).example
            if ambiguous(example.partition(b"?")[0]):
                self.fault(loc, f"{what}: {path!r} could be read in two ways, so it is never asked")

    def _parses(self, parse: Callable[[], object], loc: Loc, what: str, *, key: bool = False) -> bool:
        try:
            parse()
        except ValueError as error:
            self.fault(loc, f"{what}: {error}", key=key)
            return False
        return True

    def patterns_parse(self, route: Route, index: int) -> bool:
        """Whether host and path of a route can be compiled; a fault for each that cannot."""
        match, here = route.match, ("routes", index, "match")
        good = True
        if match.host is not None and not _HOST.fullmatch(match.host.lower()):
            what = f"match.host of route {route.id!r}: {match.host!r} is not a host"
            self.fault((*here, "host"), what, "write it without port, like shop.example or *.shop.example")
            good = False
        for key in ("path", "path_prefix", "path_regex"):
            if getattr(match, key) is not None:
                what = f"match.{key} of route {route.id!r}"
                good &= self._parses(lambda: path_pattern(match), (*here, key), what)
        return good

    def duplicates(self) -> None:
        """Two routes with one id; read off the files, so that a route with other faults counts too."""
        routes = self.root.entries.get("routes")
        first: dict[str, Node] = {}
        for node in routes[1].items if routes else ():
            named = node.entries.get("id")
            if named is None or not named[1].text:
                continue
            other = first.setdefault(named[1].text, named[1])
            if other is not named[1]:
                what = f"the route id {named[1].text!r} stands twice; first at {other.place}"
                self.faults.append(named[1].fault(what))

    def ties(self, rules: list[Rule]) -> None:
        """Two routes of one rank that both fit some request: nothing would say which one takes it."""
        by_rank: dict[object, list[Rule]] = defaultdict(list)
        for rule in rules:
            by_rank[rule.rank].append(rule)
        for group in by_rank.values():
            for one, two in _pairs(group):
                if overlaps(one, two):
                    self._tie(one, two)

    def _tie(self, one: Rule, two: Rule) -> None:
        place = locate(self.root, ("routes", one.index, "match")).place
        self.fault(
            ("routes", two.index, "match"),
            f"routes {one.route.id!r} ({place}) and {two.route.id!r} tie: both fit some request, and neither is more "
            "specific",
            "set priority on one of them",
            key=True,
        )

    def unreachable(self, rules: list[Rule]) -> None:
        """Routes all of whose requests a route of higher rank takes."""
        lowest = min((rule.route.priority for rule in rules), default=0)
        # Without a priority only a template like /{a}/** outranks what it covers.
        wide = [r for r in rules if r.route.priority > lowest or (r.pattern.kind == TEMPLATE and r.pattern.open)]
        for rule in rules:
            above = next((other for other in wide if other.rank > rule.rank and covers(other, rule)), None)
            if above is not None:
                place = locate(self.root, ("routes", above.index)).place
                what = f"route {rule.route.id!r} is never reached: {above.route.id!r} ({place}) takes all its requests"
                self.fault(("routes", rule.index), what, "change a priority, or remove it")


def _pairs(group: list[Rule]) -> Iterable[tuple[Rule, Rule]]:
    """The pairs of rules of one rank that may overlap: same host, same first segment or one without a fixed one."""
    buckets: dict[tuple[str, tuple[bytes | None, ...] | None], list[Rule]] = defaultdict(list)
    for rule in group:
        segments = rule.pattern.segments
        # Rules that are all literals meet only if they are equal; others at least begin alike.
        key: tuple[bytes | None, ...] | None = segments if None not in segments else segments[:1]
        if key == (None,):
            key = None
        buckets[rule.host, key].append(rule)
    for (host, key), members in buckets.items():
        for number, one in enumerate(members):
            for two in members[number + 1 :]:
                yield one, two
            if key is not None:
                for two in buckets.get((host, None), ()):
                    yield (one, two) if one.index < two.index else (two, one)
