"""The admin API: what it answers, and whom it refuses."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from typing import Any

import pytest
from running import Banyan, Reply, Setup, ask, eventually

Shared = tuple[Setup, Banyan]

VIEWER = "viewer-secret-0123456789"
OPERATOR = "operator-secret-0123456789"
PATHS = [
    "/metrics", "/api/status", "/api/routes", "/api/routes/orders-read", "/api/diffs", "/api/diffs/x", "/api/report",
    "/api/events", "/nothing",
]  # fmt: skip


def change(banyan: Banyan, what: object, route: str = "orders-read", **headers: str) -> Reply:
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return ask(f"{banyan.admin}/api/routes/{route}/stage", "POST", what, names)


def code(reply: Reply) -> Any:
    return reply.json()["error"]["code"]


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Banyan]:
    made = Setup(tmp_path_factory.mktemp("guarded"))
    tokens = (
        '{listen: "127.0.0.1:0", tokens: [{name: vera, token: "${VERA}"}, '
        '{name: otto, role: operator, token: "${OTTO}"}]}'
    )
    made.file.write_text(made.file.read_text().replace('{listen: "127.0.0.1:0"}', tokens))
    yield made.start(environ={"VERA": VIEWER, "OTTO": OPERATOR})
    made.close()


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


# -- reading ----------------------------------------------------------------------------------------------------------


def test_health_readiness_and_metrics(shared: Shared) -> None:
    _, banyan = shared
    assert ask(banyan.admin + "/healthz").json() == {"alive": True}
    assert ask(banyan.admin + "/readyz").status == 200
    metrics = ask(banyan.admin + "/metrics")
    assert metrics.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    assert b'banyan_route_stage{route="orders-read",stage="shadow"} 1.0' in metrics.body


def test_every_answer_has_security_headers_and_no_software_name(shared: Shared) -> None:
    _, banyan = shared
    for path in ("/healthz", "/api/status", "/nothing"):
        headers = ask(banyan.admin + path).headers
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Content-Security-Policy"].startswith("default-src 'none'")
        assert headers["Cache-Control"] == "no-store"
        assert "Server" not in headers


def test_errors_have_one_shape(shared: Shared) -> None:
    _, banyan = shared
    for reply in (ask(banyan.admin + "/nothing"), ask(banyan.admin + "/api/status", "POST", {})):
        assert set(reply.json()["error"]) == {"code", "message", "details"}
    assert code(ask(banyan.admin + "/api/status", "POST", {})) == "method-not-allowed"


def test_broken_http_is_answered_without_software_name_or_traceback(shared: Shared) -> None:
    _, banyan = shared
    host, port = banyan.admin.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as client:
        client.sendall(b"GET / HTTP/9.9 junk\r\n\r\n")
        answer = client.recv(65536).lower()
    assert b"server: banyan\r\n" in answer
    assert b"traceback" not in answer


def test_unknown_route_gets_a_hint(shared: Shared) -> None:
    _, banyan = shared
    reply = ask(banyan.admin + "/api/routes/order-read")
    assert (reply.status, code(reply)) == (404, "unknown-route")
    assert "did you mean `orders-read`" in reply.json()["error"]["message"]


@pytest.mark.parametrize("identity", ["x", "..%2F..%2Fetc%2Fpasswd", "%2e%2e", "' OR 1=1", "%00"])
def test_unknown_pair_is_404_whatever_its_name(shared: Shared, identity: str) -> None:
    _, banyan = shared
    assert ask(f"{banyan.admin}/api/diffs/{identity.replace(' ', '%20')}").status == 404


@pytest.mark.parametrize("query", ["format=pdf", "hours=0", "hours=x", "hours=99999", "hours=%D9%A1"])
def test_bad_query_is_400(shared: Shared, query: str) -> None:
    _, banyan = shared
    assert ask(f"{banyan.admin}/api/report?{query}").status == 400


@pytest.mark.parametrize("query", ["limit=0", "limit=1001", "limit=x", "kind=", "kind=else"])
def test_bad_query_for_events_is_400(shared: Shared, query: str) -> None:
    _, banyan = shared
    assert ask(f"{banyan.admin}/api/events?{query}").status == 400


def test_status_has_upstreams_and_breakers(shared: Shared) -> None:
    _, banyan = shared
    found = banyan.status()
    assert isinstance(found["breakers"], list)
    assert isinstance(found["upstreams"], list)
    assert found["access_log"] is None


def test_differences_and_pairs_are_shown(shared: Shared) -> None:
    _, banyan = shared
    ask(banyan.url + "/orders/1")
    (found,) = eventually(lambda: (d := ask(banyan.admin + "/api/diffs").json()["diffs"]) and d[0]["samples"] and d)
    assert {
        "fingerprint",
        "route",
        "kind",
        "path",
        "count",
        "share",
        "state",
        "first_seen",
        "last_seen",
        "samples",
    } <= set(found)
    assert (found["route"], found["kind"], found["path"]) == ("orders-read", "type", "$.total")
    by_id = ask(f"{banyan.admin}/api/diffs/{found['samples'][0]}").json()
    by_fingerprint = ask(f"{banyan.admin}/api/diffs/{found['fingerprint']}").json()
    assert by_id == by_fingerprint
    assert by_id["candidate"]["status"] == 200


def test_report_of_one_route_in_both_forms(shared: Shared) -> None:
    _, banyan = shared
    found = ask(banyan.admin + "/api/report?route=orders-read").json()
    assert [route["route"] for route in found["routes"]] == ["orders-read"]
    text = ask(banyan.admin + "/api/report?route=orders-read&format=md")
    assert text.headers["Content-Type"].startswith("text/markdown")
    assert b"## orders-read" in text.body


# -- changing ---------------------------------------------------------------------------------------------------------


def test_change_takes_effect_is_recorded_and_follows_the_file_again(shared: Shared) -> None:
    _, banyan = shared
    version = banyan.route("orders-read")["version"]
    done = change(banyan, {"stage": "canary", "percent": 20, "reason": "first users"})
    assert done.headers["ETag"] == f'"{version + 1}"'
    found = banyan.route("orders-read")
    assert (found["stage"], found["percent"], found["override"]["reason"]) == ("canary", 20, "first users")
    change(banyan, {"stage": "file", "reason": "done"})
    found = banyan.route("orders-read")
    assert (found["stage"], found["override"], found["version"]) == ("shadow", None, version + 2)
    newest, before = ask(banyan.admin + "/api/events?limit=2&route=orders-read").json()["events"]
    assert (newest["action"], before["action"], before["actor"]) == ("follow-file", "stage", "local")
    assert before["before"] == {"stage": "shadow", "percent": 0}
    assert before["after"] == {"stage": "canary", "percent": 20}


def test_stale_version_is_409_and_changes_nothing(shared: Shared) -> None:
    _, banyan = shared
    version = banyan.route("orders-read")["version"]
    stale = change(banyan, {"stage": "live", "reason": "x"}, If_Match=f'"{version + 7}"')
    assert (stale.status, code(stale)) == (409, "stale-version")
    assert stale.json()["error"]["details"] == {"version": version}
    assert banyan.route("orders-read")["stage"] == "shadow"


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"stage": "shadwo", "reason": "x"}, "bad-stage"),
        ({"stage": "live"}, "no-reason"),
        ({"stage": "live", "reason": "  "}, "no-reason"),
        ({"stage": "live", "reason": "x" * 501}, "long-reason"),
        ({"stage": "live", "percent": 5, "reason": "x"}, "bad-percent"),
        ({"stage": "canary", "percent": 101, "reason": "x"}, "bad-percent"),
        ({"stage": "canary", "percent": "5", "reason": "x"}, "bad-body"),
        ({"stage": "canary", "percent": True, "reason": "x"}, "bad-body"),
        ({"stage": "live", "reason": "x", "actor": "root"}, "bad-body"),
        ({"reason": "x"}, "bad-body"),
        (["live"], "bad-body"),
    ],
)
def test_bad_change_is_400_and_names_why(shared: Shared, body: object, expected: str) -> None:
    _, banyan = shared
    reply = change(banyan, body)
    assert (reply.status, code(reply)) == (400, expected)


def test_route_without_candidate_cannot_leave_legacy(shared: Shared) -> None:
    _, banyan = shared
    reply = change(banyan, {"stage": "shadow", "reason": "x"}, route="only-legacy")
    assert (reply.status, code(reply)) == (400, "bad-stage")


@pytest.mark.parametrize("raw", [b"{", b"\xff", b'{"stage":' + b"[" * 30000])
def test_body_that_is_not_json_is_400(shared: Shared, raw: bytes) -> None:
    _, banyan = shared
    url = f"{banyan.admin}/api/routes/orders-read/stage"
    assert ask(url, "POST", headers={"Content-Type": "application/json"}, raw=raw).status == 400


def test_large_body_is_413(shared: Shared) -> None:
    _, banyan = shared
    assert change(banyan, {"stage": "live", "reason": "x" * 100_000}).status == 413


def test_bad_if_match_is_400(shared: Shared) -> None:
    _, banyan = shared
    assert code(change(banyan, {"stage": "live", "reason": "x"}, If_Match="3")) == "bad-if-match"


# -- whom it refuses --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "headers",
    [
        {"Content-Type": "text/plain"},
        {"Content-Type": "application/x-www-form-urlencoded"},
        {"Content-Type": "application/json", "Origin": "http://evil.example"},
        {"Content-Type": "application/json", "Origin": "null"},
        {"Content-Type": "application/json", "Sec-Fetch-Site": "cross-site"},
        {"Content-Type": "application/json", "Sec-Fetch-Site": "same-site"},
    ],
)
def test_changes_from_other_sites_are_refused(shared: Shared, headers: dict[str, str]) -> None:
    _, banyan = shared
    for path in ("/api/reload", "/api/routes/orders-read/rollback"):
        assert ask(banyan.admin + path, "POST", {}, headers).status in (403, 415)
    assert banyan.route("orders-read")["stage"] == "shadow"


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example", "", "localhost.evil.example:9900", "[::1].x"]
)
def test_foreign_host_is_refused_when_nobody_needs_a_token(shared: Shared, host: str) -> None:
    _, banyan = shared
    assert ask(banyan.admin + "/api/status", headers={"Host": host}).status in (400, 403)


@pytest.mark.parametrize("host", ["localhost:9900", "127.0.0.1", "[::1]:9900", "127.3.2.1:1"])
def test_loopback_hosts_are_served(shared: Shared, host: str) -> None:
    _, banyan = shared
    assert ask(banyan.admin + "/api/status", headers={"Host": host}).status == 200


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "POST", "PUT", "DELETE", "PATCH"])
@pytest.mark.parametrize("path", [*PATHS, "/api/reload", "/api/routes/orders-read/stage"])
def test_without_a_token_everything_is_401_and_tells_nothing(guarded: Banyan, method: str, path: str) -> None:
    for spelled in (
        path,
        path + "/",
        "/" + path,
        path.upper(),
        path.replace("a", "%61"),
        f"/%2e{path}",
        f"/healthz/..{path}",
    ):
        reply = ask(guarded.admin + spelled, method, headers={"Content-Type": "application/json"})
        assert reply.status == 401, spelled
        if method != "HEAD":
            assert code(reply) == "unauthorized"
            assert b"orders" not in reply.body


@pytest.mark.parametrize(
    "value",
    [
        "",
        "Bearer",
        "Bearer ",
        "Bearer wrong-wrong-wrong-wrong",
        f"Basic {VIEWER}",
        VIEWER,
        f"Bearer {VIEWER}x",
        "Bearer \xff",
    ],
)
def test_wrong_token_is_401(guarded: Banyan, value: str) -> None:
    assert ask(guarded.admin + "/api/status", headers={"Authorization": value}).status == 401


def test_probes_need_no_token_and_then_tell_little(guarded: Banyan) -> None:
    assert ask(guarded.admin + "/healthz").status == 200
    assert ask(guarded.admin + "/readyz").json() == {"ready": True}
    assert ask(guarded.admin + "/readyz", headers=bearer(VIEWER)).json()["configuration"]["generation"] >= 1
    for spelled in ("//readyz", "/readyz/", "/%72eadyz", "/readyz?x=1"):
        assert ask(guarded.admin + spelled).status == 401


def test_viewer_reads_and_does_not_change(guarded: Banyan) -> None:
    assert ask(guarded.admin + "/api/status", headers=bearer(VIEWER)).status == 200
    for path in ("/api/reload", "/api/routes/orders-read/rollback", "/api/routes/orders-read/stage"):
        reply = ask(guarded.admin + path, "POST", {"stage": "live", "reason": "x"}, bearer(VIEWER))
        assert (reply.status, code(reply)) == (403, "forbidden")


def test_operator_changes_under_his_own_name(guarded: Banyan) -> None:
    body = {"stage": "live", "reason": "it is time"}
    assert ask(guarded.admin + "/api/routes/orders-read/stage", "POST", body, bearer(OPERATOR)).status == 200
    events = ask(guarded.admin + "/api/events", headers=bearer(VIEWER)).json()["events"]
    assert events[0]["actor"] == "otto"


def test_secrets_show_nowhere(guarded: Banyan) -> None:
    told = json.dumps(guarded.lines)
    for path in PATHS:
        told += ask(guarded.admin + path, headers=bearer(VIEWER)).body.decode()
    assert VIEWER not in told
    assert OPERATOR not in told
