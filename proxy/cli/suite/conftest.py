"""Where the tests ask: ``pytest --base-url http://127.0.0.1:9003``, or the variable BASE_URL."""

import contextlib
import os

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """The one option; other plugins have one of the same name and meaning. It is only known if pytest is given this
    folder; from further up say BASE_URL."""
    with contextlib.suppress(ValueError):
        parser.addoption("--base-url", help="the service that is asked")


@pytest.fixture(scope="session")
def base_url(request: pytest.FixtureRequest) -> str:
    """The service's URL without a slash at its end."""
    url = request.config.getoption("--base-url", default=None) or os.environ.get("BASE_URL")
    if not url:
        pytest.exit("say which service to ask: --base-url http://127.0.0.1:9003, or BASE_URL", returncode=4)
    return str(url).rstrip("/")
