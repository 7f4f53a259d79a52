"""Whether two rules can want the same request, and whether one takes all of the other's.

Law: ``overlaps`` is exact for rules of one rank, which is where a tie would be; ``covers`` may miss a case of a regular
expression, but what it says is so.
"""

from __future__ import annotations

from proxy.core.routing import Condition, Rule
from proxy.core.template import ANY, EXACT, TEMPLATE, PathPattern


def overlaps(one: Rule, two: Rule) -> bool:
    """Whether some request fits both rules. They must have the same rank."""
    # At one rank two wildcard hosts have the same length, and two prefixes too: they meet only if they are equal.
    return one.host == two.host and _paths_meet(one.pattern, two.pattern) and _conditions_meet(one, two)


def covers(wide: Rule, narrow: Rule) -> bool:
    """Whether every request that fits ``narrow`` fits ``wide`` too."""
    return (
        _host_covers(wide.host, narrow.host)
        and _path_covers(wide.pattern, narrow.pattern)
        and all(any(_implies(given, wanted) for given in narrow.conditions) for wanted in wide.conditions)
    )


def _paths_meet(one: PathPattern, two: PathPattern) -> bool:
    if one.regex is not None and two.regex is not None:
        return one.regex.overlaps(two.regex)
    if one.kind == TEMPLATE:
        return len(one.segments) == len(two.segments) and all(
            mine == other or (mine is None and other != b"") or (other is None and mine != b"")
            for mine, other in zip(one.segments, two.segments, strict=True)
        )
    return one.segments == two.segments


def _conditions_meet(one: Rule, two: Rule) -> bool:
    others = {condition.key: condition for condition in two.conditions}
    return not any(
        condition.key in others and _exclude(condition, others[condition.key]) for condition in one.conditions
    )


def _exclude(one: Condition, two: Condition) -> bool:
    if one.kind == "method":
        return not one.methods & two.methods
    return "*" not in (one.value, two.value) and one.value != two.value


def _implies(given: Condition, wanted: Condition) -> bool:
    if given.key != wanted.key:
        return False
    if given.kind == "method":
        return given.methods <= wanted.methods
    return wanted.value in ("*", given.value)


def _host_covers(wide: str, narrow: str) -> bool:
    if not wide or wide == narrow:
        return True
    return wide.startswith("*.") and narrow.removeprefix("*").endswith(wide[1:]) and len(narrow) > len(wide) - 1


def _path_covers(wide: PathPattern, narrow: PathPattern) -> bool:
    if wide.kind == ANY or narrow.kind == ANY:
        return wide.kind == ANY
    if wide.regex is not None:
        if narrow.kind == EXACT:
            return wide.regex.fits(b"".join(b"/" + (segment or b"") for segment in narrow.segments))
        return narrow.regex is not None and narrow.regex.text == wide.regex.text
    segments, rest = narrow.segments, narrow.open
    if narrow.regex is not None:  # all that is sure of it: whole segments, and a slash after them
        segments, rest = narrow.regex.literal_segments, "some"
    depth = len(wide.segments)
    if not _deep_enough(wide, depth, len(segments), rest):
        return False
    return all(
        mine == other or (mine is None and other != b"")
        for mine, other in zip(wide.segments, segments[:depth], strict=True)
    )


def _deep_enough(wide: PathPattern, depth: int, count: int, rest: str) -> bool:
    if not wide.open:
        return count == depth and not rest
    if wide.open == "some":
        return count > depth or (count == depth and rest == "some")
    return count >= depth
