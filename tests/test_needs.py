"""A missing client skips its tests where people work, and fails them where the project is judged."""

from collections.abc import Callable

import pytest


def test_a_missing_program_skips(needs: Callable[[str], str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match="is not installed"):
        needs("no-such-program")


def test_a_missing_program_fails_under_ci(needs: Callable[[str], str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match=r"install-servers\.sh"):
        needs("no-such-program")


def test_a_program_that_is_there_is_found(needs: Callable[[str], str]) -> None:
    assert needs("sh").endswith("/sh")
