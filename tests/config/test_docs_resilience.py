"""What docs/resilience.md and docs/configuration.md say about resilience is whole and true."""

from __future__ import annotations

import re
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner
from pydantic import BaseModel, WithJsonSchema
from pydantic.fields import FieldInfo

from proxy.cli import main
from proxy.config.model import AccessLog, Drill, Fallback, FallbackReason, Overload
from proxy.config.upstreams import (
    RETRY_CLASSES,
    AdaptiveConcurrency,
    Breaker,
    Bulkhead,
    ConsulDiscovery,
    Discovery,
    DnsDiscovery,
    Endpoint,
    Health,
    KubernetesDiscovery,
    Outliers,
    Retries,
    SrvDiscovery,
    Timeouts,
    Upstream,
)
from proxy.config.values import parse_duration, spelled
from proxy.errors import CONSEQUENCES, Party

DOCS = Path(__file__).parents[2] / "docs"
RESILIENCE = (DOCS / "resilience.md").read_text()
CONFIGURATION = (DOCS / "configuration.md").read_text()

GROUPS: dict[str, type[BaseModel]] = {
    "": Upstream,
    "endpoints[].": Endpoint,
    "timeouts.": Timeouts,
    "retries.": Retries,
    "breaker.": Breaker,
    "bulkhead.": Bulkhead,
    "adaptive_concurrency.": AdaptiveConcurrency,
    "outliers.": Outliers,
    "health.": Health,
    "fallback.": Fallback,
    "overload.": Overload,
    "access_log.": AccessLog,
    "faults[].": Drill,
}
SOURCES: dict[str, type[BaseModel]] = {
    "discovery.": Discovery,
    "discovery.dns.": DnsDiscovery,
    "discovery.srv.": SrvDiscovery,
    "discovery.consul.": ConsulDiscovery,
    "discovery.kubernetes.": KubernetesDiscovery,
}
"""Explained in docs/discovery.md; docs/configuration.md has their defaults."""


def settings(groups: dict[str, type[BaseModel]]) -> Iterator[tuple[str, str]]:
    """(key, default as people write it) of every setting that is no group by itself."""
    for prefix, model in groups.items():
        for name, info in model.model_fields.items():
            default = info.get_default(call_default_factory=True)
            if f"{prefix}{name}." in {**groups, **SOURCES} and default is not None:
                continue
            yield f"{prefix}{name}", written(info, default)


def written(info: FieldInfo, default: Any) -> str:
    if info.is_required():
        return "needed"
    if default is None:
        return "none"
    if isinstance(default, BaseModel):
        return "`{}`"
    if isinstance(default, bool):
        return f"`{str(default).lower()}`"
    unit = next((m.json_schema for m in info.metadata if isinstance(m, WithJsonSchema)), None) or {}
    if isinstance(default, int | float) and "examples" in unit:
        return f"`{spelled(default, unit['examples'][0])}`"
    if isinstance(default, list):
        return f"`[{', '.join(map(str, default))}]`"
    return f"`{default}`"


def table(text: str) -> dict[str, str]:
    """Key -> default of every row of every table of settings."""
    rows = re.findall(r"^\| `([a-z_\[\].]+)` \| ([^|]+?) \|", text, re.MULTILINE)
    return {key: re.sub(r"`([0-9.]+(?:ms|s|m|h|d))`", _as_the_schema, default) for key, default in rows}


def _as_the_schema(duration: re.Match[str]) -> str:
    seconds = parse_duration(duration[1])
    assert isinstance(seconds, float)
    return f"`{spelled(seconds, '250ms')}`"  # 60s is 1m there


WHOLE = [("access_log", "none"), ("drills", "`forbidden`")]


@pytest.mark.parametrize(("key", "default"), [*settings(GROUPS), *WHOLE])
def test_a_setting_is_explained_with_its_default(key: str, default: str) -> None:
    assert table(RESILIENCE).get(key) == default


OUTSIDE = ("fallback.", "overload.", "access_log.", "faults[].")
OF_UPSTREAMS = {prefix: model for prefix, model in {**GROUPS, **SOURCES}.items() if prefix not in OUTSIDE}


@pytest.mark.parametrize(("key", "default"), [*settings(OF_UPSTREAMS)])
def test_a_setting_of_an_upstream_stands_in_the_configuration_with_its_default(key: str, default: str) -> None:
    assert table(CONFIGURATION.partition("\n## upstreams")[2].partition("\n## ")[0]).get(key) == default


@pytest.mark.parametrize("key", [key for key, _ in settings(GROUPS)])
def test_zero_is_explained_where_it_is_allowed(key: str) -> None:
    """Zero of a duration, size, share or count is either refused, which needs no word, or said to mean something."""
    prefix, _, name = key.rpartition(".")
    info = GROUPS[f"{prefix}." if prefix else ""].model_fields[name]
    if info.annotation not in (int, float) or _zero_is_refused(info):
        return
    (row,) = re.findall(rf"^\| `{re.escape(key)}` \|.*$", RESILIENCE, re.MULTILINE)
    assert re.search(r"\b0(s|%|B)?(`| \(with [^)]*\))?:|[Aa]ll 0 is", row), row


def _zero_is_refused(info: FieldInfo) -> bool:
    return any(getattr(m, "gt", None) is not None or (getattr(m, "ge", None) or 0) > 0 for m in info.metadata)


def test_the_example_of_the_deadline_is_what_the_command_prints(tmp_path: Path) -> None:
    section = RESILIENCE.partition("## Deadlines")[2].partition("\n## ")[0]
    rules, shown = re.search(r"```yaml\n(.*?)```.*?```\n(.*?)```", section, re.DOTALL).groups()  # type: ignore[union-attr] # fails if it is None
    (tmp_path / "shop.yaml").write_text(rules)
    result = CliRunner().invoke(main, ["resilience", str(tmp_path / "shop.yaml")])
    assert result.exit_code == 0
    assert "no warnings" in result.stdout
    printed = {_plain(line) for line in result.stdout.splitlines()}
    assert {_plain(line) for line in shown.splitlines()} - printed == set()
    shorter = rules.replace("total: 30s", "total: 20s")
    (tmp_path / "shop.yaml").write_text(shorter)
    assert "write per_try: " in CliRunner().invoke(main, ["resilience", str(tmp_path / "shop.yaml")]).stdout


def _plain(line: str) -> str:
    return re.sub(r"[\s-]+", " ", line).strip()


def test_the_drills_of_the_docs_load() -> None:
    section = RESILIENCE.partition("## Drills")[2].partition("\n## ")[0]
    entries = yaml.safe_load(re.search(r"```yaml\n(.*?)```", section, re.DOTALL)[1])["faults"]  # type: ignore[index] # fails if it is None
    assert [Drill.model_validate(entry).share for entry in entries] == [1, 0.1]


def test_every_metric_that_is_named_exists() -> None:
    metrics = (DOCS / "metrics.md").read_text()
    for name in set(re.findall(r"`(banyan_[a-z_]+)`", RESILIENCE)):
        assert f"| `{name}` |" in metrics


def test_every_failure_that_counts_is_in_the_table() -> None:
    rows = RESILIENCE.partition("| failure |")[2].partition("\n\n")[0]
    for reason in (*RETRY_CLASSES, *typing.get_args(FallbackReason)):
        assert f"`{reason}`" in rows
    for consequence in CONSEQUENCES.values():
        if consequence.party is not Party.CLIENT and consequence.fallback:
            assert str(consequence.status) in rows or consequence.fallback == "5xx"
