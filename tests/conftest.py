"""Fixtures that several folders of tests share."""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from faults import Background
from hypothesis import settings
from running import Banyan, Setup

# How long an example may take is no business of a test: machines are shared, and now and then slow.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")


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


@pytest.fixture
def background() -> Iterator[Background]:
    """An event loop beside a test that has none, for its upstreams and wires."""
    with Background() as made:
        yield made


@pytest.fixture(scope="session")
def needs() -> Callable[[str], str]:
    """``needs("curl")`` is the path of that program. Without it the test is skipped; under CI=true it fails."""

    def find(program: str) -> str:
        found = shutil.which(program, path=f"{os.environ['PATH']}:/usr/sbin")
        if found is None:
            reason = f"{program} is not installed; as root on Debian tests/install-servers.sh installs it"
            if os.environ.get("CI") == "true":
                pytest.fail(reason)
            pytest.skip(reason)
        return found

    return find
