"""Which route a request belongs to.

Law: precedence is by specificity and never by order in a file. The rank of a route is, in this order: ``priority``;
host (exact > wildcard, the longer first > none); path (exact > template > prefix > regex > none, see ``template``); the
number of further conditions, where ``methods`` counts one and each header, query parameter and cookie counts one. Of
all routes whose conditions hold, the one of the highest rank is taken; lint refuses two that tie.

How it is quick: one tree of segments per host, with a table for exact paths before it. What comes out of the tree is
already known to fit host and path, so only the further conditions of a few rules are tested, best rank first.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, Literal

from proxy.config.model import Route
from proxy.core.request import Request
from proxy.core.template import ANY, EXACT, REGEX, PathPattern, ambiguous, decoded, path_pattern

MAX_REGEX_PATH_BYTES: Final = 2048
"""Longer paths fit no ``path_regex``: the bound of what one match may cost."""

Rank = tuple[int, tuple[int, int], tuple[int, int, int, int], int]
ConditionKind = Literal["method", "header", "query", "cookie"]


class Condition:
    """One further condition: what must hold besides host and path."""

    __slots__ = ("_kind", "_name", "_raw_name", "_raw_value", "_value", "key", "kind", "methods", "text", "value")

    def __init__(self, kind: ConditionKind, name: str = "", value: str = "*", methods: Sequence[str] = ()) -> None:
        self.kind = kind
        self.text = f"method is {' or '.join(methods)}" if kind == "method" else _condition_text(kind, name, value)
        self.methods = frozenset(methods)
        self.key = (kind, name.lower() if kind == "header" else name)
        """What it looks at; two conditions with one key look at the same thing."""
        self.value = value
        self._name = name
        self._raw_name = name.lower().encode("latin-1", "replace")
        self._raw_value = None if value == "*" else value.encode()
        # Request reads cookies as Latin-1 and parameters as UTF-8.
        text = value.encode().decode("latin-1") if kind == "cookie" else value
        self._value = None if value == "*" else text
        self._kind = ("method", "header", "query", "cookie").index(kind)

    def holds(self, request: Request) -> bool:
        """Whether the request meets it. Of a repeated header, parameter or cookie the first counts."""
        kind = self._kind
        if kind == 0:
            return request.method in self.methods
        if kind == 1:
            raw = request.lower.get(self._raw_name)
            return raw is not None and (self._raw_value is None or raw == self._raw_value)
        value = request.parameter(self._name) if kind == 2 else request.cookie(self._name)
        return value is not None and (self._value is None or value == self._value)


def _condition_text(kind: str, name: str, value: str) -> str:
    return f"{kind} {name} is present" if value == "*" else f"{kind} {name} is {value!r}"


class Rule:
    """One route, compiled. ``order`` is its place by rank among all: 0 is asked first."""

    __slots__ = ("conditions", "host", "index", "order", "pattern", "rank", "regex", "route")

    def __init__(self, index: int, route: Route) -> None:
        match = route.match
        self.index = index
        self.route = route
        self.order = 0
        self.host = "" if match.host is None else match.host.lower()
        self.pattern: PathPattern = path_pattern(match)
        self.regex = self.pattern.regex
        conditions = [Condition("method", methods=match.methods)] if match.methods else []
        conditions += [Condition("header", name, value) for name, value in match.headers.items()]
        conditions += [Condition("query", name, value) for name, value in match.query.items()]
        conditions += [Condition("cookie", name, value) for name, value in match.cookies.items()]
        self.conditions = tuple(conditions)
        self.rank: Rank = (route.priority, self._host_rank(), self.pattern.rank, len(conditions))

    def _host_rank(self) -> tuple[int, int]:
        if not self.host:
            return (0, 0)
        return (1, len(self.host)) if self.host.startswith("*.") else (2, 0)

    def host_fits(self, host: str) -> bool:
        """Whether the Host (lower-case, without port) is one of this rule's."""
        if self.host.startswith("*."):
            return host.endswith(self.host[1:]) and len(host) > len(self.host) - 1
        return not self.host or self.host == host

    def holds(self, request: Request) -> bool:
        """Whether every further condition holds; host and path are the tree's business."""
        for condition in self.conditions:  # noqa: SIM110 - all() with a generator takes twice as long
            if not condition.holds(request):
                return False
        return True


class _Node:
    """One segment of the tree. The lists are in order of rank."""

    __slots__ = ("any", "children", "final", "inner")

    def __init__(self) -> None:
        self.children: dict[bytes, _Node] = {}
        self.any: _Node | None = None
        self.final: list[Rule] = []  # rules that fit a path ending here
        self.inner: list[Rule] = []  # rules that fit a path going on from here

    def below(self, segment: bytes | None) -> _Node:
        if segment is None:
            self.any = self.any or _Node()
            return self.any
        return self.children.setdefault(segment, _Node())


class _Tree:
    """All rules of one host."""

    __slots__ = ("best", "depth", "exact", "pathless", "root")

    def __init__(self, rules: list[Rule]) -> None:
        """``rules`` come in order of rank."""
        self.exact: dict[bytes, list[Rule]] = {}
        self.root = _Node()
        self.pathless: list[Rule] = []
        self.depth = 1
        self.best = min((rule.order for rule in rules if rule.pattern.kind != EXACT), default=len(rules) + 1_000_000)
        """The best order that is to be had without the exact table."""
        for rule in rules:
            self._add(rule)

    def _add(self, rule: Rule) -> None:
        pattern = rule.pattern
        if pattern.kind == ANY:
            self.pathless.append(rule)
            return
        if pattern.kind == EXACT:
            path = b"".join(b"/" + (segment or b"") for segment in pattern.segments)
            self.exact.setdefault(path, []).append(rule)
            return
        # A regex hangs below the whole segments that it surely begins with.
        segments = pattern.regex.literal_segments if pattern.regex is not None else pattern.segments
        node = self.root
        for segment in segments:
            node = node.below(segment)
        self.depth = max(self.depth, len(segments) + 1)
        if pattern.kind == REGEX or pattern.open:
            node.inner.append(rule)
        if pattern.kind != REGEX and pattern.open != "some":
            node.final.append(rule)

    def lists(self, path: bytes) -> Iterator[list[Rule]]:
        """The lists of rules that fit the (decoded) path, each in order of rank; a regex is yet to be tried."""
        if path in self.exact:
            yield self.exact[path]
        if self.pathless:
            yield self.pathless
        if path[:1] == b"/":
            yield from self.tree_lists(path)

    def tree_lists(self, path: bytes) -> list[list[Rule]]:
        """The part of :meth:`lists` that comes from the tree."""
        found: list[list[Rule]] = []
        # One split more than the tree is deep: what follows is only a rest.
        segments = path.split(b"/", self.depth + 1)
        count = len(segments)
        node, at = self.root, 1
        forks: list[tuple[_Node, int]] = []  # at most one for each node of the tree
        while True:
            while at < count:
                if node.inner:
                    found.append(node.inner)
                segment = segments[at]
                at += 1
                child = node.children.get(segment)
                if node.any is not None and segment:
                    if child is None:
                        child = node.any
                    else:
                        forks.append((node.any, at))
                if child is None:
                    break
                node = child
            else:
                if node.final:
                    found.append(node.final)
            if not forks:
                return found
            node, at = forks.pop()


class Router:
    """Finds the route of a request. Built once per snapshot; the routes must have passed lint."""

    def __init__(self, routes: Sequence[Route]) -> None:
        """Raises ValueError for a path pattern that does not parse."""
        self.rules = [Rule(index, route) for index, route in enumerate(routes)]
        ordered = sorted(self.rules, key=lambda rule: rule.rank, reverse=True)
        for order, rule in enumerate(ordered):
            rule.order = order
        self._none = len(ordered)
        by_host: dict[str, list[Rule]] = {}
        for rule in ordered:
            by_host.setdefault(rule.host, []).append(rule)
        self._trees = {host: _Tree(rules) for host, rules in by_host.items()}
        self._wildcards = any(host.startswith("*.") for host in by_host)
        self._of_host = {host: self._look_up(host) for host in by_host}
        """Host -> the trees that can hold its routes, for the hosts that routes name; "" for none of them."""
        self._of_host.setdefault("", [])

    def match(self, request: Request) -> int:
        """The index of the request's route, or -1: no route fits, or the path is ambiguous."""
        path = request.path
        if ambiguous(path):
            return -1
        path = decoded(path)
        order, index = self._none, -1
        for tree in self._trees_for(request.host):
            order, index = _best(tree, path, request, order, index)
        return index

    def fitting(self, request: Request) -> set[int]:
        """The indexes of all routes whose host and path fit, whatever their further conditions say."""
        if ambiguous(request.path):
            return set()
        path = decoded(request.path)
        return {
            rule.index
            for tree in self._trees_for(request.host)
            for rules in tree.lists(path)
            for rule in rules
            if _regex_fits(rule, path)
        }

    def _trees_for(self, host: str) -> list[_Tree]:
        trees = self._of_host.get(host)
        if trees is not None:
            return trees
        return self._look_up(host) if self._wildcards else self._of_host[""]

    def _look_up(self, host: str) -> list[_Tree]:
        names = [host] if host else []
        dot = host.find(".", 1)
        while dot != -1:
            names.append(f"*{host[dot:]}")
            dot = host.find(".", dot + 1)
        names.append("")
        return [self._trees[name] for name in names if name in self._trees]


def _best(tree: _Tree, path: bytes, request: Request, order: int, index: int) -> tuple[int, int]:
    """The best rule of the tree, if it is better than ``order``; else what was given."""
    if path in tree.exact:
        for rule in tree.exact[path]:
            if rule.order >= order:
                break
            if not rule.conditions or rule.holds(request):
                order, index = rule.order, rule.index
                break
    if tree.best > order:
        return order, index
    lists = tree.tree_lists(path) if path[:1] == b"/" else []
    if tree.pathless:
        lists.append(tree.pathless)
    for rules in reversed(lists):  # the deepest first: it usually has the best rank, and the others end at once
        for rule in rules:
            if rule.order >= order:
                break
            if (not rule.conditions or rule.holds(request)) and (rule.regex is None or _regex_fits(rule, path)):
                order, index = rule.order, rule.index
                break
    return order, index


def _regex_fits(rule: Rule, path: bytes) -> bool:
    regex = rule.regex
    return regex is None or (len(path) <= MAX_REGEX_PATH_BYTES and regex.fits(path))
