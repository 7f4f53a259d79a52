"""One worker for all tests of a file."""

from collections.abc import AsyncIterator

import pytest_asyncio
from harness import Upstream, Worker, plain, running


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def worker() -> AsyncIterator[Worker]:
    """A worker whose configuration each test sets for itself."""
    async with Upstream() as nobody, running(plain(nobody)) as made:
        yield made
