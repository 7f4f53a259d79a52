"""What the end-to-end tests share: the shop behind Banyan, and programs that not every machine has."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator

import pytest
from behind import Echo, Readme, Shop


@pytest.fixture(scope="session")
def needs() -> Callable[[str], str]:
    """``needs("curl")`` is the path of that program. Without it the test is skipped; under CI=true it fails."""

    def find(program: str) -> str:
        found = shutil.which(program)
        if found is None:
            reason = f"{program} is not installed; as root on Debian tests/install-servers.sh installs it"
            if os.environ.get("CI") == "true":
                pytest.fail(reason)
            pytest.skip(reason)
        return found

    return find


@pytest.fixture(scope="session")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """The shop and its services behind a Banyan with the demo's rules."""
    made = Shop(tmp_path_factory.mktemp("shop"))
    yield made
    made.close()


@pytest.fixture(scope="session")
def plain(shop: Shop, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Readme]:
    """A Banyan that lets the monolith answer everything and shadows one route: the README's file."""
    made = Readme(tmp_path_factory.mktemp("plain"), shop.monolith, shop.catalog)
    yield made
    made.close()


@pytest.fixture(scope="session")
def echoing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Readme]:
    """The README's file in front of the upstream that echoes."""
    echo = Echo(tmp_path_factory.mktemp("echo"))
    made = None
    try:
        made = Readme(tmp_path_factory.mktemp("echoing"), echo.url, echo.url)
        yield made
    finally:
        if made is not None:
            made.close()
        echo.close()
