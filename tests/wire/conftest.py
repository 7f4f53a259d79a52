"""One worker for all tests of a file."""

from collections.abc import AsyncIterator

import pytest_asyncio
from harness import Worker, running


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def worker() -> AsyncIterator[Worker]:
    """A worker whose configuration each test sets for itself."""
    async with running() as made:
        yield made
