"""Every other kind of body against itself and against one change.

Law: as for JSON. The places of differences are checked where the media type's paths are known.
"""

from __future__ import annotations

from proxy.config.comparing import Compare
from tests.fuzz.codings import wrapped
from tests.fuzz.dice import Dice
from tests.fuzz.media import MEDIA_TYPES, Written, checked
from tests.fuzz.oracles import Court, Finding, mirrored
from tests.fuzz.run import Target

BODIES_ONLY = Compare(headers=[])
"""The spelling of a content type is not what these targets are about."""


def target(name: str) -> Target:
    """The target of one media type."""
    medium = MEDIA_TYPES[name]

    def run(court: Court, dice: Dice) -> None:
        secrets: list[str] = []
        model = medium.make(dice, secrets)
        first, same = Written(*medium.write(model, None)), Written(*medium.write(model, dice))
        legacy = wrapped(first.body, first.media, dice)
        again = wrapped(same.body, same.media, dice)
        result = court.ask(legacy, again, BODIES_ONLY, secrets=secrets)
        if result.verdict not in ("matched", "incomparable"):
            raise Finding(f"{name}: a false mismatch", repr(result.differences)[:1500], pair=(legacy, again))

        other = Written(*medium.write(checked(medium, model, dice), dice))
        candidate = wrapped(other.body, other.media, dice)
        result = court.ask(legacy, candidate, BODIES_ONLY, secrets=secrets, recorded=dice.chance(6))
        if result.verdict in ("matched", "ignored"):
            raise Finding(f"{name}: a false match", f"{first.body!r} {other.body!r}"[:3000], pair=(legacy, candidate))
        back = court.ask(candidate, legacy, BODIES_ONLY, secrets=secrets)
        if mirrored(back) != sorted(tuple(found) for found in result.differences):
            text = f"{result.differences}\n{back.differences}"[:2500]
            raise Finding(f"{name}: not symmetric", text, pair=(legacy, candidate))

    return run
