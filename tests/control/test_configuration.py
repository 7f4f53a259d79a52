"""The last good configuration, and what a reload may not do."""

import asyncio
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from proxy.control.configuration import Configuration
from proxy.control.operations import Operations
from proxy.errors import ConfigError
from proxy.wire.tasks import spawn

TEXT = """\
version: 1
listen: 127.0.0.1:0
admin: {listen: "ADMIN", tokens: TOKENS}
workers: 2
store: sqlite:///one.db
upstreams: {monolith: {endpoints: ["http://127.0.0.1:1"]}}
legacy: monolith
"""
TOKENS = "[{name: otto, role: operator, token: 0123456789abcdef-x}]"


class Folder:
    def __init__(self, path: Path) -> None:
        self.file = path / "banyan.yaml"

    def write(self, admin: str = "127.0.0.1:9900", tokens: str = TOKENS, **changes: str) -> None:
        text = TEXT.replace("ADMIN", admin).replace("TOKENS", tokens)
        for old, new in changes.items():
            text = text.replace(
                {"listen": "listen: 127.0.0.1:0", "store": "one.db", "legacy": "legacy: monolith"}[old], new
            )
        self.file.write_text(text)


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    made = Folder(tmp_path)
    made.write()
    return made


def test_faults_keep_the_last_good_one_until_they_are_mended(folder: Folder) -> None:
    configuration = Configuration(folder.file, {})
    folder.write(legacy="legacy: nobody")
    assert configuration.accept(configuration.read()) is False
    assert configuration.generation == 1
    assert configuration.settings.legacy == "monolith"
    assert "nobody" in configuration.faults[0].what
    folder.write()
    assert configuration.accept(configuration.read()) is True
    assert (configuration.generation, configuration.faults) == (2, [])


async def test_files_that_change_before_the_watch_begins_are_taken(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("proxy.control.operations.WATCH_SECONDS", 0.01)
    configuration = Configuration(folder.file, {})
    parts: Any = SimpleNamespace(tell=None, expect=None)
    operations = Operations(configuration, parts, parts, parts)
    reloaded = asyncio.Event()

    async def reload(_: str) -> None:
        reloaded.set()

    monkeypatch.setattr(operations, "reload", reload)
    folder.write(store="other.db")
    watching = spawn(operations.watch(), "watch")
    async with asyncio.timeout(15):
        await reloaded.wait()
    watching.cancel()


def test_first_load_with_faults_raises(folder: Folder) -> None:
    folder.write(legacy="legacy: nobody")
    with pytest.raises(ConfigError):
        Configuration(folder.file, {})


def test_what_needs_a_restart_keeps_its_value_and_warns(folder: Folder) -> None:
    configuration = Configuration(folder.file, {})
    configuration.resolve(["127.0.0.1:4711"])
    folder.write(admin="127.0.0.1:9901", listen="listen: 127.0.0.1:1", store="two.db")
    configuration.accept(configuration.read())
    assert [warning.split()[0] for warning in configuration.warnings] == ["listen", "store", "admin.listen"]
    assert configuration.settings.store == "sqlite:///one.db"
    assert configuration.settings.admin.listen == "127.0.0.1:9900"
    document = json.loads(configuration.document())
    assert (document["listen"], document["store"]) == (["127.0.0.1:4711"], "sqlite:///one.db")


def test_children_are_not_told_the_tokens(folder: Folder) -> None:
    assert b"0123456789abcdef" not in Configuration(folder.file, {}).document()


def test_dropping_the_tokens_does_not_open_an_address_for_everybody(folder: Folder) -> None:
    folder.write(admin="0.0.0.0:9900")
    configuration = Configuration(folder.file, {})
    folder.write(admin="127.0.0.1:9900", tokens="[]")  # valid as a file, but the socket is still open to everybody
    assert configuration.accept(configuration.read()) is True
    assert [token.name for token in configuration.settings.admin.tokens] == ["otto"]
    assert any("tokens" in warning for warning in configuration.warnings)


def test_looking_sees_a_change(folder: Folder) -> None:
    configuration = Configuration(folder.file, {})
    before = configuration.look()
    assert configuration.look() == before
    folder.write(store="three.db")
    assert configuration.look() != before
