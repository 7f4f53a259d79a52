"""What a fiber awaits.

Law: an awaitable without state can be shared by all who wait, so that waiting makes no object. It stands apart because
it is a tuple to CPython, which compiled modules cannot make.
"""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Final, cast


class _Pause(tuple[None, ...]):
    """A coroutine that awaits it is resumed once for each member."""

    __slots__ = ()
    __await__ = tuple.__iter__


PARK: Final = cast("Awaitable[None]", _Pause((None,)))
"""Stop here until somebody resumes the coroutine."""
GO_ON: Final = cast("Awaitable[None]", _Pause(()))
"""Do not stop."""
