"""Chance, written down.

Law: everything that a case does by chance is a choice that a ``Dice`` made and kept, so that the same choices make the
same case; 0 is always the simplest choice. So one finding can be replayed, made smaller, and led by coverage.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from typing import TypeVar

T = TypeVar("T")


class Dice:
    """Choices from a seed, or given ones; after the last given one every choice is 0."""

    __slots__ = ("_given", "_random", "made")

    def __init__(self, seed: object = None, given: Sequence[int] | None = None) -> None:
        self._given = given
        self._random = random.Random(str(seed)).random
        self.made: list[int] = []

    def below(self, bound: int) -> int:
        """A number from 0 to ``bound`` - 1; 0 if ``bound`` is below 1."""
        if bound <= 1:
            return 0
        if self._given is None:
            value = int(self._random() * bound)
        else:
            at = len(self.made)
            value = self._given[at] % bound if at < len(self._given) else 0
        self.made.append(value)
        return value

    def chance(self, one_in: int) -> bool:
        """True once in ``one_in`` times; never when the choices have run out."""
        return self.below(one_in) == one_in - 1

    def pick(self, things: Sequence[T]) -> T:
        """One of ``things``; the first is the simplest."""
        return things[self.below(len(things))]

    def shuffled(self, things: Sequence[T]) -> list[T]:
        """The same things in another order."""
        left = list(things)
        return [left.pop(self.below(len(left))) for _ in things]

    def text(self, alphabet: Sequence[str], most: int) -> str:
        """Up to ``most`` pieces of ``alphabet`` in a row."""
        return "".join([alphabet[self.below(len(alphabet))] for _ in range(self.below(most + 1))])


def smaller(choices: list[int], still: Callable[[list[int]], bool], seconds: float) -> list[int]:
    """Fewer and lower choices of which ``still`` holds; at most ``seconds`` of looking for them."""
    deadline = time.monotonic() + seconds
    best = choices
    before = None
    while before != best and time.monotonic() < deadline:
        before = best
        size = max(1, len(best) // 2)
        while size and time.monotonic() < deadline:
            at = 0
            while at < len(best) and time.monotonic() < deadline:
                cut = best[:at] + best[at + size :]
                zero = best[:at] + [0] * len(best[at : at + size]) + best[at + size :]
                if still(cut):
                    best = cut
                elif zero != best and still(zero):
                    best, at = zero, at + size
                else:
                    at += size
            size //= 2
        for at, value in enumerate(best):
            for lower in (value // 2, value - 1):
                tried = [*best[:at], lower, *best[at + 1 :]]
                if lower >= 0 and lower < best[at] and time.monotonic() < deadline and still(tried):
                    best = tried
    return best
