"""The programs of this folder are a package below the root, from where ``python -m tests.chaos`` runs them."""

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2]))


@pytest.fixture
def near() -> Iterator[Path]:
    """A temporary folder with a name that is short enough for what is below it: sockets are."""
    with tempfile.TemporaryDirectory(prefix="bc") as folder:
        yield Path(folder)
