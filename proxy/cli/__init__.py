"""The command ``banyan``.

Law: a person never sees a traceback. Every known error is one line on standard error, ``banyan: …`` (a faulty
configuration: one line for each fault), and its own exit code; usage errors exit 2, Ctrl-C 130. Commands are imported
when they are called, so that ``--help`` is quick.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

import click

from proxy import __version__
from proxy.errors import BanyanError, ConfigError

COMMANDS = {
    "run": ("proxy.cli.run:run", "Serve until SIGTERM."),
    "check": ("proxy.cli.check:check", "Validate the configuration and print every fault."),
    "explain": ("proxy.cli.explain:explain", "Say which route and arm a request would get, and why."),
    "routes": ("proxy.cli.routes:routes", "Print the table of routes."),
    "resilience": ("proxy.cli.resilience:resilience", "Say how long each route may take, and what works badly."),
    "status": ("proxy.cli.status:status", "Show how a running Banyan is doing."),
    "stage": ("proxy.cli.stage:stage", "Move a running route to another stage."),
    "rollback": ("proxy.cli.stage:rollback", "Return a running route to legacy at once."),
    "diffs": ("proxy.cli.diffs:diffs", "List the differences found, or show one pair."),
    "accept": ("proxy.cli.accept:accept", "Mark a difference as expected."),
    "unaccept": ("proxy.cli.accept:unaccept", "Take an acceptance back."),
    "fixed": ("proxy.cli.accept:fixed", "Say that a difference is gone."),
    "assign": ("proxy.cli.accept:assign", "Say who looks after a difference."),
    "comment": ("proxy.cli.accept:comment", "Write something about a difference."),
    "compare": ("proxy.cli.compare:compare", "Try the compare rules of a route on two files."),
    "rules": ("proxy.cli.rules:rules", "Propose rules from what was learned."),
    "coverage": ("proxy.cli.coverage:coverage", "Show which kinds of request were compared, and which never."),
    "readiness": ("proxy.cli.readiness:readiness", "Say whether a route may be cut over, and why."),
    "report": ("proxy.cli.report:report", "Write the report to read before a cutover."),
    "replay": ("proxy.cli.replay:replay", "Ask recorded requests of a new build and judge its answers."),
    "export-tests": ("proxy.cli.export_tests:export_tests", "Write recorded requests as a pytest suite."),
    "schema": ("proxy.cli.schema:schema", "Print the JSON Schema of the configuration."),
}
"""Name -> where the command is, and its line in the help."""

INTERRUPTED = 130


class LazyGroup(click.Group):
    """Imports a command when it is called, and turns errors into lines and exit codes."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's
        if cmd_name not in COMMANDS:
            return None
        module, _, attribute = COMMANDS[cmd_name][0].partition(":")
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args[0] not in COMMANDS and not args[0].startswith("-"):
            from proxy.config.wording import did_you_mean

            raise click.UsageError(f"there is no command {args[0]!r}; {did_you_mean(args[0], COMMANDS)}".rstrip("; "))
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - click's
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        **extra: Any,
    ) -> Any:
        """Run a command; with ``standalone_mode`` the process ends here."""
        if not standalone_mode:
            return super().main(args, prog_name, complete_var, False, **extra)
        try:
            code = super().main(args, prog_name or "banyan", complete_var, False, **extra)
            sys.stdout.flush()
        except click.ClickException as error:
            error.show()
            sys.exit(error.exit_code)
        except click.Abort:
            sys.exit(INTERRUPTED)
        except BanyanError as error:
            _fail(error)
        except BrokenPipeError:
            # The reader went away (a pager, head): quiet, with the code that click gives it too. What is still
            # buffered has nowhere to go.
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            sys.exit(1)
        sys.exit(code if isinstance(code, int) else 0)


def _fail(error: BanyanError) -> NoReturn:
    if isinstance(error, ConfigError):
        for fault in error.faults:
            click.echo(str(fault), err=True)
        count = len(error.faults)
        click.echo(f"banyan: the configuration has {count} fault{'s' if count != 1 else ''}", err=True)
    else:
        click.echo(f"banyan: {error}", err=True)
    sys.exit(error.exit_code)


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="banyan", message="%(prog)s %(version)s")
def main() -> None:
    """Banyan moves a monolith piece by piece: routes, compares, falls back, and tells when to cut over.

    \b
    Example:
      banyan check routes && banyan run routes
    """
