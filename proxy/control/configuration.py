"""The configuration that serves, and the one that somebody is writing.

Law: a configuration is taken whole or not at all. Until a new one is valid the last good one serves, and what is wrong
with the new one is remembered and shown. What cannot change without a restart keeps the value of the start and is told
as a warning.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from proxy.config.lint import is_loopback
from proxy.config.load import Loaded, load
from proxy.config.sources import fingerprint
from proxy.errors import ConfigError, Fault

RESTART_ONLY = ("listen", "workers", "store")
"""Keys that are read at the start only, beside ``admin.listen``."""


class Configuration:
    """What was loaded last, what went wrong since, and what children are told.

    Raises ConfigError when the first load fails: there is no last good one then.
    """

    def __init__(self, path: Path, environ: Mapping[str, str]) -> None:
        self._path = path
        self._environ = environ
        started = load(path, environ)
        self._started = started.settings
        self._started_document: dict[str, Any] = json.loads(started.document)
        self._resolved: list[str] = list(started.settings.listen)
        self.path = path
        self.generation = 1
        self.faults: list[Fault] = []
        """What is wrong with the files as they are now; empty when what serves is what they say."""
        self.warnings: list[str] = []
        self.settings = started.settings
        """What the files say, except for what needs a restart; overrides are not in it."""
        self._files: tuple[Path, ...] = ()
        self._document: dict[str, Any] = {}
        self._take(started)
        self.at_start = self.look()
        """Their identity (:meth:`look`) when they were first read."""

    def resolve(self, listen: list[str]) -> None:
        """Where clients really connect, port 0 replaced; for the children's document."""
        self._resolved = listen

    def next_generation(self) -> int:
        """Number a change; generations only grow."""
        self.generation += 1
        return self.generation

    def look(self) -> str:
        """A cheap identity of what the files hold now; blocks on the disk. For a thread."""
        return fingerprint(self._path, self._files)

    def read(self) -> Loaded | ConfigError:
        """Read the files; blocks on the disk, changes nothing. For a thread."""
        try:
            return load(self._path, self._environ)
        except ConfigError as error:
            return error

    def accept(self, outcome: Loaded | ConfigError) -> bool:
        """Take a valid configuration, or remember what is wrong with the other kind; True if it was taken."""
        if isinstance(outcome, ConfigError):
            self.faults = outcome.faults
            return False
        self.faults = []
        self._take(outcome)
        self.next_generation()
        return True

    def document(self) -> bytes:
        """The merged document for the children: real addresses, and nothing of the admin side's secrets."""
        document = {key: value for key, value in self._document.items() if key not in ("admin", *RESTART_ONLY)}
        for key in ("workers", "store"):
            if key in self._started_document:
                document[key] = self._started_document[key]
        return json.dumps({**document, "listen": self._resolved}).encode()

    def _take(self, loaded: Loaded) -> None:
        new, old = loaded.settings, self._started
        self.warnings = [str(warning) for warning in loaded.warnings]
        self.warnings += [
            f"{key} has changed; that needs a restart, the value of the start still holds"
            for key in RESTART_ONLY
            if getattr(new, key) != getattr(old, key)
        ]
        admin = new.admin
        if admin.listen != old.admin.listen:
            self.warnings.append("admin.listen has changed; that needs a restart, the value of the start still holds")
            admin = admin.model_copy(update={"listen": old.admin.listen})
        if not admin.tokens and not is_loopback(old.admin.listen):
            # An address for everybody without a token is never opened, in whatever order keys were edited.
            self.warnings.append("admin.tokens are gone, but admin.listen is not loopback; the old tokens still hold")
            admin = self.settings.admin
        kept = {key: getattr(old, key) for key in RESTART_ONLY}
        self.settings = new.model_copy(update={**kept, "admin": admin})
        self._document = json.loads(loaded.document)
        self._files = loaded.files
