"""Every other kind of body against itself and against one change.

Law: as for JSON. The places of differences are checked where the media type's paths are known.
"""

from __future__ import annotations

from proxy.config.comparing import Compare
from tests.fuzz.codings import wrapped
from tests.fuzz.dice import Dice
from tests.fuzz.media import MEDIA_TYPES, Written, checked
from tests.fuzz.oracles import Court, Finding, mirrored, silenced
from tests.fuzz.run import Target

FEW = {"html": 25}
"""Differences that one change may be: a table's column more is one in its head and one in its rows, a member renamed is
one missing and one extra, and each may be at another depth; of a page, what is gone has all its landmarks with it."""

BODIES_ONLY = Compare(headers=[])
"""The spelling of a content type is not what these targets are about."""


CHARSETS = {"utf-16": "utf-16", "utf-16le": "utf-16-le", "UTF-32": "utf-32", "gb18030": "gb18030", "utf8": "utf-8"}
"""Labels and Python's names for them; each has all of Unicode."""
TEXTS = (b"text/", b"application/xml", b"application/x-www-form-urlencoded")


def recoded(written: Written, dice: Dice) -> Written:
    """The same text in a charset that its media type names, now and then."""
    if not written.body or not written.media.startswith(TEXTS) or not dice.chance(6):
        return written
    label = dice.pick(list(CHARSETS))
    media = written.media.partition(b";")[0] + f"; charset={dice.pick((label, chr(34) + label + chr(34)))}".encode()
    return Written(written.body.decode().encode(CHARSETS[label]), media)


def target(name: str) -> Target:
    """The target of one media type."""
    medium = MEDIA_TYPES[name]

    def run(court: Court, dice: Dice) -> None:
        secrets: list[str] = []
        model = medium.make(dice, secrets)
        first, same = Written(*medium.write(model, None)), recoded(Written(*medium.write(model, dice)), dice)
        legacy = wrapped(first.body, first.media, dice)
        again = wrapped(same.body, same.media, dice)
        result = court.ask(legacy, again, BODIES_ONLY, secrets=secrets)
        if result.verdict not in ("matched", "incomparable"):
            raise Finding(f"{name}: a false mismatch", repr(result.differences)[:1500], pair=(legacy, again))

        other = recoded(Written(*medium.write(checked(medium, model, dice), dice)), dice)
        candidate = wrapped(other.body, other.media, dice)
        result = court.ask(legacy, candidate, BODIES_ONLY, secrets=secrets, recorded=dice.chance(6))
        if result.verdict in ("matched", "ignored"):
            raise Finding(f"{name}: a false match", f"{first.body!r} {other.body!r}"[:3000], pair=(legacy, candidate))
        back = court.ask(candidate, legacy, BODIES_ONLY, secrets=secrets)
        if not mirrored(result, back):
            text = f"{result.differences}\n{back.differences}"[:2500]
            raise Finding(f"{name}: not symmetric", text, pair=(legacy, candidate))
        if len(result.differences) > FEW.get(name, 5):
            text = f"{first.body!r}\n{other.body!r}\n{result.differences}"[:4000]
            raise Finding(f"{name}: one change is many differences", text, pair=(legacy, candidate))
        silenced(court, legacy, candidate, result, BODIES_ONLY)

    return run
