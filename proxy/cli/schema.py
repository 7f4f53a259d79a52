"""``banyan schema``: the configuration's JSON Schema, for editors."""

from __future__ import annotations

import json

import click


@click.command()
def schema() -> None:
    """Print the JSON Schema (draft 2020-12) of the configuration.

    \b
    Example:
      banyan schema > banyan.schema.json
      # then, as the first line of a YAML file:
      # yaml-language-server: $schema=banyan.schema.json
    """
    from proxy.config.schema import json_schema

    click.echo(json.dumps(json_schema(), indent=2))
