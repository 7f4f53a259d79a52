"""The small things that bodies of every kind are made of.

Law: a changed word is never the same word in other case, in other spaces, or in another spelling.
"""

from __future__ import annotations

from tests.fuzz.dice import Dice

WORDS = (
    "a", "b", "one", "two", "Zürich", "x y", "17", "1.50", "2024-01-01", "it's", 'say "hi"', "a,b", "a;b", "a&b=c",
    "100%", "é", "\U0001f333", "<b>", "[1]", "null", "",
)  # fmt: skip


def token(dice: Dice, secrets: list[str]) -> str:
    """A secret value, for a place that says that it is one; added to ``secrets``."""
    made = f"Zq{dice.text('abcdefghkmnpqrstuvwxyzQWRT', 24)}zQmediaqZ"
    secrets.append(made)
    return made


def changed_word(word: str, dice: Dice) -> str:
    """Another word, mostly a near one."""
    return dice.pick((word + "x", "Q" + word, word[1:] + "z9", word + "\u0301", "1" + word))
