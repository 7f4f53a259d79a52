"""Fixtures that several folders of tests share."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from running import Banyan, Setup


@pytest.fixture
def setup(tmp_path: Path) -> Iterator[Setup]:
    """A setup of one's own."""
    made = Setup(tmp_path)
    yield made
    made.close()


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Setup, Banyan]]:
    """A setup with a running Banyan for a whole module; its tests leave the stages as they found them."""
    made = Setup(tmp_path_factory.mktemp("shared"))
    yield made, made.start()
    made.close()
