"""What docs/discovery.md says of settings and bounds is whole and true."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from test_docs_resilience import SOURCES, settings

from proxy.config.load import load
from proxy.config.upstreams import Discovery, Health
from proxy.control import endpoints, health
from proxy.control.discovery import consul, dns, kubernetes, watcher

TEXT = (Path(__file__).parents[2] / "docs" / "discovery.md").read_text()
FLAT = " ".join(TEXT.split())
ROW = re.compile(r"^\| `((?:discovery|health)\.[a-z_.]+)` \| ([^|]+) \| [^|]+ \|$", re.MULTILINE)
GROUPS = {**{prefix: model for prefix, model in SOURCES.items() if model is not Discovery}, "health.": Health}


def test_every_setting_has_a_row_with_its_default() -> None:
    assert dict(settings(GROUPS)) == dict(ROW.findall(TEXT))


def test_the_example_is_a_configuration(tmp_path: Path) -> None:
    example, role = re.findall(r"^```yaml\n(.*?)^```", TEXT, re.DOTALL | re.MULTILINE)
    (tmp_path / "shop.yaml").write_text("version: 1\n" + example)
    assert len(load(tmp_path / "shop.yaml", {}).settings.upstreams) == 5
    assert yaml.safe_load(role)["rules"][0]["verbs"] == ["list", "watch"]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("wait up to {:.0f} seconds for the first answer", endpoints.FIRST_ANSWER_SECONDS),
        ("asked again after {:.1f} s, then", watcher.RETRY_FIRST_SECONDS),
        ("double up to {:.0f} s,", watcher.RETRY_MAX_SECONDS),
        ("At most {:,} endpoints of an upstream are used", watcher.MAX_ENDPOINTS),
        ("within about {:.0f} ms of a change", endpoints.GATHER_SECONDS * 1000),
        ("not later than after {:.0f} minutes", dns.MAX_REFRESH_SECONDS / 60),
        ("A question has {:.0f} seconds", dns.QUERY_SECONDS),
        ("at least {:.1f} s between two queries", consul.MIN_PAUSE_SECONDS),
        ("A watch lasts {:.0f} minutes", kubernetes.WATCH_SECONDS / 60),
        ("at most {} KiB are waited for", health.MAX_BODY_BYTES // 1024),
        ("At most {} checks of an upstream", health.MAX_CHECKS),
        ("± {:.0f} % by chance", health.JITTER * 100),
    ],
)
def test_bounds_are_those_of_the_code(text: str, value: float) -> None:
    assert text.format(value) in FLAT
    assert (health.FIRST_SECONDS, health.TELL_SECONDS, watcher.TELL_SECONDS, watcher.STEADY_SECONDS) == (1, 60, 60, 60)
