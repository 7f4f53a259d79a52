"""Redaction keys from a file: taken in order, watched, and never shown."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from proxy.cli import main
from proxy.config.load import Loaded, load
from proxy.config.sources import fingerprint
from proxy.control.configuration import Configuration
from proxy.errors import ConfigError, Fault

BASE = """\
version: 1
upstreams: {monolith: {endpoints: ["http://127.0.0.1:9001"]}}
legacy: monolith
"""
KEYS = ["first-key-of-the-file", "second-key-of-the-file"]
Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def put(redaction: str, keys: str | bytes | None = None, mode: int = 0o600) -> Path:
        (tmp_path / "banyan.yaml").write_text(f"{BASE}redaction: {redaction}\n")
        if keys is not None:
            file = tmp_path / "keys.txt"
            file.write_bytes(keys.encode() if isinstance(keys, str) else keys)
            file.chmod(mode)
        return tmp_path / "banyan.yaml"

    return put


def faults(path: Path) -> list[Fault]:
    with pytest.raises(ConfigError) as caught:
        load(path, {})
    return caught.value.faults


def test_keys_of_the_file_follow_those_of_the_document(write: Write) -> None:
    path = write("{keys: ['${KEY}'], keys_file: keys.txt}", f"# ours\n{KEYS[0]}\n\n  {KEYS[1]}  \n")
    found = load(path, {"KEY": "a-key-of-the-environment"})
    assert found.settings.redaction.keys == ["a-key-of-the-environment", *KEYS]
    assert json.loads(found.document)["redaction"]["keys"] == found.settings.redaction.keys  # other processes read none
    assert [file.name for file in found.files] == ["banyan.yaml", "keys.txt"]
    assert found.warnings == ()
    assert "of-the-file" not in repr(found.settings)


@pytest.mark.parametrize(
    ("keys", "what"),
    [
        (None, "cannot be read: No such file"),
        (b"\xff\xfe\xff", "it is not UTF-8 text"),
        ("# nothing\n\n", "holds no key"),
        ("x" * 70_000, "is larger than 64 KiB"),
    ],
)
def test_a_keys_file_that_cannot_be_used_is_a_fault_at_its_name(
    write: Write, keys: str | bytes | None, what: str
) -> None:
    (fault,) = faults(write("{keys_file: keys.txt}", keys))
    assert (Path(fault.file).name, fault.line, fault.column) == ("banyan.yaml", 4, 24)
    assert what in fault.what


def test_short_keys_are_faults_at_their_lines_and_are_not_shown(write: Write) -> None:
    found = faults(write("{keys_file: keys.txt}", f"{KEYS[0]}\n# x\nhunter2\n{KEYS[1]}\n  hunter3\n"))
    assert [(Path(fault.file).name, fault.line) for fault in found] == [("keys.txt", 3), ("keys.txt", 5)]
    assert "hunter" not in "".join(map(str, found))


def test_a_short_key_in_the_document_is_not_shown(write: Write) -> None:
    (fault,) = faults(write("{keys: [hunter2]}"))
    assert "16 characters" in fault.what
    assert "hunter2" not in str(fault)


def test_a_keys_file_that_all_can_read_is_warned_about(write: Write) -> None:
    path = write("{keys_file: keys.txt}", KEYS[0], 0o644)
    (warning,) = load(path, {}).warnings
    assert (warning.line, "chmod 600" in warning.hint) == (4, True)
    assert Configuration(path, {}).warnings == [str(warning)]
    done = CliRunner().invoke(main, ["check", str(path)])
    assert (done.exit_code, "warning: " in done.output, KEYS[0] in done.output) == (0, True, False)
    done = CliRunner().invoke(main, ["check", "--json", str(path)])
    assert json.loads(done.output)["warnings"][0]["line"] == 4


def test_a_new_key_in_the_file_is_seen_and_taken(write: Write, tmp_path: Path) -> None:
    path = write("{keys_file: keys.txt}", KEYS[0])
    first: Loaded = load(path, {})
    before = fingerprint(path, first.files)
    (tmp_path / "keys.txt").write_text(f"{KEYS[1]}\n{KEYS[0]}\n")
    assert fingerprint(path, first.files) != before
    assert load(path, {}).settings.redaction.keys == [KEYS[1], KEYS[0]]


def test_no_command_shows_a_key(write: Write) -> None:
    path = write("{keys_file: keys.txt}", KEYS[0])
    named = str(path)
    for command in (["schema"], ["check", named], ["routes", named], ["explain", "GET", "/", "--path", named]):
        assert KEYS[0] not in CliRunner().invoke(main, command).output
