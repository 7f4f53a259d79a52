"""What the end-to-end tests share: the shop behind Banyan."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from behind import Echo, Readme, Shop
from chromium import started
from playwright.sync_api import Browser


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


@pytest.fixture(scope="module")
def browser(needs: Callable[[str], str]) -> Iterator[Browser]:
    """Of a module's own: while Playwright's loop runs, no other one can."""
    with started(needs("chromium")) as made:
        yield made
