"""Which items of two lists belong together.

Law: the answer is the same from both sides, costs about as much as the lists are long, and pairs no item twice. It says
what to compare with what; whether they are equal is for others to say.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import NamedTuple

Pairs = list[tuple[int, int]]

_MAX_TABLE = 4096
"""Cells of the table for one stretch of items that are not unique; longer stretches stay unaligned."""
MAX_PAIRED = 1024
"""Items of one side that are looked at; further ones are taken in their order."""
MAX_ALIKE = 256
"""Of those that differ in more than one thing: items that are looked at for the most alike."""
_MAX_TRIED = 16  # other items that one is held against


def align(a: Sequence[bytes], b: Sequence[bytes]) -> Pairs:
    """Positions of equal keys, increasing on both sides: a long common subsequence, though not always the longest."""
    if (len(a), a) > (len(b), b):  # from both sides the same work, so from both sides the same choice
        return [(i, j) for j, i in align(b, a)]
    head, tail = _ends(a, b, 0, len(a), 0, len(b))
    pairs = [(i, i) for i in range(head)]
    low, low_b = head, head
    for i, j in [*_anchors(a, b, head, len(a) - tail, head, len(b) - tail), (len(a) - tail, len(b) - tail)]:
        pairs += _between(a, b, low, i, low_b, j)
        if i < len(a) - tail:
            pairs.append((i, j))
        low, low_b = i + 1, j + 1
    pairs += [(len(a) - n, len(b) - n) for n in range(tail, 0, -1)]
    return pairs


def _ends(a: Sequence[bytes], b: Sequence[bytes], low: int, high: int, low_b: int, high_b: int) -> tuple[int, int]:
    """How many keys the stretches share at their beginning, and then at their end."""
    head, most = 0, min(high - low, high_b - low_b)
    while head < most and a[low + head] == b[low_b + head]:
        head += 1
    tail = 0
    while tail < most - head and a[high - 1 - tail] == b[high_b - 1 - tail]:
        tail += 1
    return head, tail


def _anchors(a: Sequence[bytes], b: Sequence[bytes], low: int, high: int, low_b: int, high_b: int) -> Pairs:
    """Keys that each side has once, in an order that both have."""
    counts, counts_b = Counter(a[low:high]), Counter(b[low_b:high_b])
    where = {key: j for j, key in enumerate(b[low_b:high_b], low_b) if counts_b[key] == 1}
    return increasing((i, where[a[i]]) for i in range(low, high) if counts[a[i]] == 1 and a[i] in where)


def increasing(pairs: Iterable[tuple[int, int]]) -> Pairs:
    """Of pairs in the order of their first number the most whose second numbers increase, too."""
    ends: list[int] = []  # the smallest last number of a chain of each length
    last: Pairs = []
    chain: list[int] = []  # for each pair the length of the longest chain that ends with it
    for i, j in pairs:
        length = bisect_left(ends, j)
        ends[length : length + 1] = [j]
        chain.append(length)
        last.append((i, j))
    kept: Pairs = []
    wanted = len(ends) - 1
    for pair, length in zip(reversed(last), reversed(chain), strict=True):
        if length == wanted and (not kept or pair[1] < kept[-1][1]):
            kept.append(pair)
            wanted -= 1
    return kept[::-1]


def _between(a: Sequence[bytes], b: Sequence[bytes], low: int, high: int, low_b: int, high_b: int) -> Pairs:
    """The same for a stretch without anchors inside."""
    head, tail = _ends(a, b, low, high, low_b, high_b)
    pairs = [(low + n, low_b + n) for n in range(head)]
    ending = [(high - n, high_b - n) for n in range(tail, 0, -1)]
    low, low_b, high, high_b = low + head, low_b + head, high - tail, high_b - tail
    if 0 < (high - low) * (high_b - low_b) <= _MAX_TABLE:
        pairs += _table(a, b, low, high, low_b, high_b)
    return pairs + ending


def _table(a: Sequence[bytes], b: Sequence[bytes], low: int, high: int, low_b: int, high_b: int) -> Pairs:
    """The longest common subsequence, by the textbook's table."""
    rows = [[0] * (high_b - low_b + 1)]
    for i in range(high - 1, low - 1, -1):
        below, row = rows[-1], [0] * (high_b - low_b + 1)
        for j in range(high_b - low_b - 1, -1, -1):
            row[j] = below[j + 1] + 1 if a[i] == b[low_b + j] else max(below[j], row[j + 1])
        rows.append(row)
    rows.reverse()
    pairs: Pairs = []
    i = j = 0
    while i < high - low and j < high_b - low_b:
        if a[low + i] == b[low_b + j]:
            pairs.append((low + i, low_b + j))
            i, j = i + 1, j + 1
        elif rows[i + 1][j] >= rows[i][j + 1]:
            i += 1
        else:
            j += 1
    return pairs


class Traits(NamedTuple):
    """What an item can be told by. ``parts``: one for each thing it says. ``but_one``: one for all it says but one
    thing, so that an item that differs in a single thing is found at once."""

    parts: tuple[int, ...]
    but_one: tuple[int, ...]


def pair_alike(a: Sequence[Traits], b: Sequence[Traits]) -> Pairs:
    """Disjoint pairs of items that say some of the same; in no order. First those that differ in a single thing, then
    the most alike."""
    pairs = _but_one(a, b)
    mine, yours = {i for i, _ in pairs}, {j for _, j in pairs}
    left = [i for i in range(len(a)) if i not in mine][:MAX_ALIKE]
    left_b = [j for j in range(len(b)) if j not in yours][:MAX_ALIKE]
    found: dict[int, list[int]] = defaultdict(list)
    for j in left_b:
        for part in b[j].parts:
            found[part].append(j)
    said = {j: frozenset(b[j].parts) for j in left_b}
    scored = []
    for i in left:
        parts = frozenset(a[i].parts)
        scored += [(-len(parts & said[j]), abs(i - j), i, j) for j in _worth_trying(a[i].parts, found)]
    for _, _, i, j in sorted(scored):
        if i not in mine and j not in yours:
            mine.add(i)
            yours.add(j)
            pairs.append((i, j))
    return pairs


def _but_one(a: Sequence[Traits], b: Sequence[Traits]) -> Pairs:
    found: dict[int, list[int]] = defaultdict(list)
    for j in reversed(range(len(b))):
        for trait in b[j].but_one:
            found[trait].append(j)
    pairs: Pairs = []
    taken: set[int] = set()
    for i, traits in enumerate(a):
        for waiting in [found[trait] for trait in traits.but_one if trait in found]:
            while waiting and waiting[-1] in taken:
                waiting.pop()
            if waiting:
                taken.add(waiting[-1])
                pairs.append((i, waiting.pop()))
                break
    return pairs


def _worth_trying(parts: Iterable[int], found: dict[int, list[int]]) -> Iterable[int]:
    """Items that share something rare."""
    tried: dict[int, None] = {}
    for place in sorted((found[part] for part in parts if part in found), key=len):
        for j in place[: _MAX_TRIED - len(tried)]:
            tried[j] = None
        if len(tried) >= _MAX_TRIED:
            break
    return tried
