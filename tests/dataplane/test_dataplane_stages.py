"""Who answers at each stage, and for whom."""

from typing import Any

import pytest
from harness import Upstream, Worker, migration, ok, plain

from proxy.core.identity import bucket
from proxy.messages import Override

pytestmark = pytest.mark.asyncio(loop_scope="module")

NO_SHADOW: dict[str, Any] = {"shadow": {"sample": "0%"}}
KEY = "a-tester-key-of-16"


def sides() -> tuple[Upstream, Upstream]:
    return Upstream(ok(b"legacy")), Upstream(ok(b"candidate"))


@pytest.mark.parametrize(
    ("stage", "who"),
    [
        ("legacy", b"legacy"),
        ("shadow", b"legacy"),
        ("canary", b"legacy"),
        ("live", b"candidate"),
        ("retired", b"candidate"),
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_each_stage_has_one_side_that_answers(worker: Worker, stage: str, who: bytes, method: str) -> None:
    legacy, candidate = sides()
    async with legacy, candidate:
        await worker.apply(migration(legacy, candidate, f"stage-{stage}-{method.lower()}", stage, **NO_SHADOW))
        answer = await worker.ask("/a", method=method, body=b"x" if method == "POST" else b"")
        assert answer.body == who
        asked = [r.method.decode() for r in (legacy if who == b"legacy" else candidate).requests]
        assert asked == [method]
        assert not (candidate if who == b"legacy" else legacy).connections


async def test_what_no_route_names_goes_to_legacy(worker: Worker) -> None:
    legacy, candidate = sides()
    async with legacy, candidate:
        document = migration(legacy, candidate, "named", "live", **NO_SHADOW)
        document["routes"][0]["match"] = {"path": "/named"}
        await worker.apply(document)
        assert (await worker.ask("/named")).body == b"candidate"
        for target in ("/other", "/named/", "//named", "/x/../named", "/%6eamed/..", "/named%2f"):
            assert (await worker.ask(target)).body == b"legacy", target
        assert "/x/../named" in legacy.targets()


async def test_an_ambiguous_path_can_be_refused(worker: Worker) -> None:
    legacy, candidate = sides()
    async with legacy, candidate:
        await worker.apply(migration(legacy, candidate, "strict", "live", ambiguous_paths="reject", **NO_SHADOW))
        before = (await worker.stats()).ambiguous
        assert (await worker.ask("/a//b")).status == 400
        assert (await worker.ask("/a/%2e%2e/b")).status == 400
        assert not legacy.connections + candidate.connections
        assert (await worker.stats()).ambiguous == before + 2


async def test_canary_chooses_by_cohort_and_bucket_and_never_without_identity(worker: Worker) -> None:
    legacy, candidate = sides()
    more: dict[str, Any] = {
        "identity": [{"header": "X-User-Id"}, {"cookie": "user"}],
        "cohorts": {"staff": {"header": {"X-Staff": "1"}}, "pilots": {"users": ["u-17"]}},
        "canary": {"percent": "30%", "cohorts": ["staff", "pilots"], "salt": "s"},
    }
    async with legacy, candidate:
        await worker.apply(migration(legacy, candidate, "canary-who", "canary", **NO_SHADOW, **more))
        assert (await worker.ask("/", "X-Staff: 1")).body == b"candidate"
        assert (await worker.ask("/", "X-User-Id: u-17")).body == b"candidate"
        assert (await worker.ask("/", "Cookie: a=b; user=u-17")).body == b"candidate"
        assert {(await worker.ask("/")).body for _ in range(20)} == {b"legacy"}
        for n in range(40):
            user = f"user-{n}"
            wanted = b"candidate" if bucket("s", user) <= 30 else b"legacy"
            assert (await worker.ask("/", f"X-User-Id: {user}")).body == wanted
        reasons = (await worker.route("canary-who")).reasons
        assert set(reasons) == {"cohort", "no-identity", "percent", "not-chosen"}
        assert (reasons["cohort"], reasons["no-identity"]) == (3, 20)


async def test_a_tester_needs_the_key(worker: Worker) -> None:
    legacy, candidate = sides()
    async with legacy, candidate:
        document = migration(
            legacy, candidate, "tester", "canary", **NO_SHADOW, tester_key=KEY, canary={"percent": "0%"}
        )
        await worker.apply(document)
        for fields, who in [
            ((f"X-Banyan-Key: {KEY}", "X-Banyan-Arm: candidate"), b"candidate"),
            ((f"X-Banyan-Key: {KEY}", "X-Banyan-Arm: legacy"), b"legacy"),
            ((f"X-Banyan-Key: {KEY}", "X-Banyan-Arm: both"), b"legacy"),
            (("X-Banyan-Key: wrong", "X-Banyan-Arm: candidate"), b"legacy"),
            (("X-Banyan-Arm: candidate",), b"legacy"),
            ((f"X_Banyan_Key: {KEY}", "X-Banyan-Arm: candidate"), b"legacy"),
        ]:
            assert (await worker.ask("/", *fields)).body == who
        del document["tester_key"]
        await worker.apply(document)
        assert (await worker.ask("/", "X-Banyan-Key: ", "X-Banyan-Arm: candidate")).body == b"legacy"
        for side in (legacy, candidate):
            assert not [n for r in side.requests for n, _ in r.fields if b"banyan" in n.lower()]


@pytest.mark.parametrize("stage", ["shadow", "canary", "live"])
async def test_the_kill_switch_stands_above_everything(worker: Worker, stage: str) -> None:
    legacy, candidate = sides()
    more: dict[str, Any] = {"tester_key": KEY, "canary": {"percent": "100%"}, "identity": [{"header": "X-User-Id"}]}
    async with legacy, candidate:
        await worker.apply(migration(legacy, candidate, f"kill-{stage}", stage, kill_switch=True, **more))
        answer = await worker.ask("/", "X-User-Id: a", f"X-Banyan-Key: {KEY}", "X-Banyan-Arm: candidate")
        assert answer.body == b"legacy"
        assert not candidate.connections


async def test_an_override_stands_above_the_file(worker: Worker) -> None:
    legacy, candidate = sides()
    async with legacy, candidate:
        document = migration(legacy, candidate, "moved", "legacy", **NO_SHADOW)
        override = Override("moved", "live", None, 1, "me", "because", 0.0)
        for overrides, who in [([], b"legacy"), ([override], b"candidate"), ([], b"legacy")]:
            await worker.apply(document, overrides)
            assert (await worker.ask()).body == who


async def test_figures_name_method_status_and_arm(worker: Worker) -> None:
    legacy, candidate = sides()
    async with legacy, candidate:
        await worker.apply(migration(legacy, candidate, "figures", "live", **NO_SHADOW))
        await worker.ask()
        await worker.ask(method="PROPFIND")
        candidate.reply = ok(b"", status="404 No")
        await worker.ask(method="POST")
        counters = await worker.route("figures")
        assert counters.requests == {"GET 200 candidate": 1, "other 200 candidate": 1, "POST 404 candidate": 1}
        assert counters.upstream_requests == {"candidate ok": 3}
        assert sum(counters.durations["candidate"].counts) == 3


async def test_names_that_clients_make_up_do_not_grow_the_figures(worker: Worker) -> None:
    async with Upstream() as legacy:
        await worker.apply(plain(legacy))
        for n in range(30):
            await worker.ask(f"/{n}", f"X-{n}: 1", method=["SEARCH", "MKCOL", "LINK"][n % 3])
        before = set((await worker.stats()).routes["-"].requests)
        assert {name.split()[0] for name in before} <= {
            "GET",
            "HEAD",
            "POST",
            "PUT",
            "PATCH",
            "DELETE",
            "OPTIONS",
            "other",
        }
