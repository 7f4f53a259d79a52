"""A coroutine that is run by the callbacks of its own connections, without a task.

Law: one fiber, one coroutine; whoever changes something that it may wait for calls :meth:`Fiber.wake`, as often as it
likes; the coroutine looks at the state again each time and parks if there is nothing to do. So a wake-up carries no
value, none can be lost, and a spurious one is harmless.

Why not a task: a task's wake-up is a future, a handle and one more turn of the loop. Here ``data_received`` resumes the
coroutine directly; a request has two wake-ups, and that was the difference between linear code and callbacks
(DESIGN section 3). The price: inside a fiber only :meth:`Fiber.park` may be awaited.

There is no timer per wait: :meth:`Fiber.park` writes down a deadline, and the worker's sweep (every 100 ms) asks each
fiber whether it is late.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Final

from proxy.errors import ExchangeError, FailureKind, Seen
from proxy.wire.pause import GO_ON, PARK

NEVER: Final = float("inf")


class Fiber:
    """Runs one coroutine until it ends.

    ``deadline`` is monotonic seconds; ``running`` is true while the coroutine itself is on the stack.
    """

    __slots__ = ("_again", "_coroutine", "_ended", "_late", "deadline", "running")

    def __init__(self) -> None:
        self._coroutine: Coroutine[Any, Any, None] | None = None
        self._ended: Callable[[BaseException | None], None] | None = None
        self._again = False
        self._late: FailureKind | None = None
        self.deadline = NEVER
        self.running = False

    def start(
        self, coroutine: Coroutine[Any, Any, None], ended: Callable[[BaseException | None], None] | None = None
    ) -> None:
        """Run ``coroutine`` up to its first park.

        ``ended`` is called once, with the exception that ended the coroutine, or None. Without it an exception leaves
        through whoever woke the fiber.
        """
        self._coroutine = coroutine
        self._ended = ended
        self._step(None)

    @property
    def done(self) -> bool:
        """True before the start and after the end."""
        return self._coroutine is None

    def wake(self) -> None:
        """Something may have changed. Resumes the coroutine now, or when it parks next if it is running."""
        coroutine = self._coroutine
        if self.running:
            self._again = True
        elif coroutine is not None:  # what _step does, without its call: this is the way of every request
            self.running = True
            try:
                coroutine.send(None)
            except StopIteration:
                self._end(None)
            except BaseException as error:  # noqa: BLE001 - handed on: `ended` decides what it means
                self._end(error)
            else:
                self.running = False

    def sweep(self, now: float) -> None:
        """Resume a coroutine that waits longer than it wanted to, with the failure that it named, if any."""
        if self.deadline <= now and not self.running and self._coroutine is not None:
            late, self.deadline = self._late, NEVER
            self._step(None if late is None else ExchangeError(late, Seen.MAYBE_SEEN))

    def interrupt(self, failure: ExchangeError) -> None:
        """Raise ``failure`` in the coroutine where it waits. Nothing happens if it has ended or is running."""
        if self._coroutine is not None and not self.running:
            self._step(failure)

    def park(self, deadline: float = NEVER, late: FailureKind | None = None) -> Awaitable[None]:
        """Wait for the next :meth:`wake`; to be awaited at once.

        After ``deadline`` raises :class:`ExchangeError` of kind ``late``; without ``late`` it just returns.
        """
        if self._again:
            self._again = False
            return GO_ON
        self.deadline = deadline
        self._late = late
        return PARK

    def others_first(self) -> Awaitable[None]:
        """Go on in the next turn of the event loop, or at the next :meth:`wake`; to be awaited at once."""
        asyncio.get_running_loop().call_soon(self.wake)
        return self.park()

    def _step(self, failure: BaseException | None) -> None:
        coroutine = self._coroutine
        if coroutine is None:
            return
        self.running = True
        try:
            if failure is None:
                coroutine.send(None)
            else:
                coroutine.throw(failure)
        except StopIteration:
            self._end(None)
        except BaseException as error:  # noqa: BLE001 - handed on: `ended` decides what it means
            self._end(error)
        else:
            self.running = False

    def _end(self, error: BaseException | None) -> None:
        self.running = False
        self._coroutine = None
        self.deadline = NEVER
        ended, self._ended = self._ended, None
        if ended is not None:
            ended(error)
        elif error is not None:
            raise error
