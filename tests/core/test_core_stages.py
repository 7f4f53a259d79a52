import pytest

from proxy.config.model import STAGES, Route, Settings
from proxy.core.stages import effective, refusal
from proxy.messages import Override


def settings(**route: object) -> Settings:
    return Settings.model_validate(
        {
            "legacy": "m",
            "upstreams": {"m": {"endpoints": ["http://a:1"]}, "n": {"endpoints": ["http://b:1"]}},
            "routes": [{"id": "r", "match": {"path": "/r"}, **route}],
        }
    )


def override(stage: str, percent: int | None = None, route: str = "r", version: int = 1) -> Override:
    return Override(route, stage, percent, version, "ada", "because", 0.0)


def test_override_replaces_stage_and_percent() -> None:
    route = effective(settings(candidate="n"), [override("canary", 30)]).routes[0]
    assert (route.stage, route.canary.percent) == ("canary", 30)


def test_override_without_percent_keeps_the_files() -> None:
    base = settings(candidate="n", canary={"percent": "7%", "salt": "s"})
    route = effective(base, [override("canary")]).routes[0]
    assert (route.stage, route.canary.percent, route.canary.salt) == ("canary", 7, "s")
    assert base.routes[0].stage == "legacy"


def test_override_with_the_highest_version_holds() -> None:
    base = settings(candidate="n")
    assert effective(base, [override("live", version=2), override("shadow", version=1)]).routes[0].stage == "live"


@pytest.mark.parametrize("stage", ["live", "nonsense"])
def test_override_that_does_not_fit_the_file_is_passed_over(stage: str) -> None:
    base = settings()
    assert effective(base, [override(stage), override("live", route="gone")]) == base


def test_every_stage_but_legacy_needs_a_candidate() -> None:
    bare = settings().routes[0]
    assert [stage for stage in STAGES if not refusal(bare, stage)] == ["legacy"]
    whole = settings(candidate="n").routes[0]
    assert [stage for stage in STAGES if not refusal(whole, stage)] == list(STAGES)


def test_retired_and_kill_switch_exclude_each_other() -> None:
    killed = Route.model_validate({"id": "r", "match": {}, "candidate": "n", "kill_switch": True})
    assert "kill switch" in refusal(killed, "retired")
    assert not refusal(killed, "live")
