"""Faults between objects."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from proxy.config.lint import is_loopback
from proxy.config.load import load
from proxy.errors import ConfigError, Fault


def lint(folder: Path, *routes: dict[str, Any], **whole: Any) -> list[Fault]:
    document = {
        "upstreams": {"monolith": {"endpoints": ["http://h:1"]}, "orders": {"endpoints": ["http://h:2"]}},
        "legacy": "monolith",
        "routes": [{"id": f"r{number}", **route} for number, route in enumerate(routes)],
        **whole,
    }
    (folder / "a.yaml").write_text(yaml.safe_dump(document))
    try:
        load(folder, {})
    except ConfigError as error:
        return error.faults
    return []


def match(**conditions: Any) -> dict[str, Any]:
    return {"match": conditions}


@pytest.mark.parametrize(
    ("one", "two"),
    [
        (match(path="/a"), match(path="/a")),
        (match(path="/a/{x}"), match(path="/a/{y}")),
        (match(path="/a/{x}"), match(path="/{y}/b")),
        (match(path="/a/**"), match(path_prefix="/a")),
        (match(path="/a%62"), match(path="/ab")),
        (match(path="/a", methods=["GET", "PUT"]), match(path="/a", methods=["PUT"])),
        (match(path="/a", methods=["GET"]), match(path="/a", headers={"X": "1"})),
        (match(path="/a", headers={"X": "1"}), match(path="/a", headers={"x": "*"})),
        (match(path="/a", query={"q": "1"}), match(path="/a", cookies={"q": "1"})),
        (match(path_regex="/a/[0-9]+"), match(path_regex="/a/1.*")),
        (match(host="A.example"), match(host="a.example")),
        (match(), match()),
    ],
)
def test_two_routes_that_tie_are_a_fault_that_names_both(
    tmp_path: Path, one: dict[str, Any], two: dict[str, Any]
) -> None:
    (fault,) = lint(tmp_path, one, two)
    assert "'r0'" in fault.what
    assert "'r1'" in fault.what
    assert "a.yaml:" in fault.what
    assert "priority" in fault.hint
    assert (
        lint(tmp_path, one, {**two, "priority": -1}) == []
        or "never reached" in lint(tmp_path, one, {**two, "priority": -1})[0].what
    )


@pytest.mark.parametrize(
    ("one", "two"),
    [
        (match(path="/a"), match(path="/a/")),
        (match(path="/a", methods=["GET"]), match(path="/a", methods=["POST"])),
        (match(path="/a", headers={"X": "1"}), match(path="/a", headers={"X": "2"})),
        (match(path="/a/{x}"), match(path="/b/{x}")),
        (match(path="/a/{x}"), match(path="/a/{x}/**")),
        (match(path="/{x}"), match(path="/{x}/")),
        (match(path_regex="/a/[0-9]+"), match(path_regex="/a/[a-z]+")),
        (match(host="a.example"), match(host="b.example")),
        (match(host="*.aa.example"), match(host="*.bb.example")),
        (match(path_prefix="/a"), match(path_prefix="/b")),
        (match(path="/a"), match()),
    ],
)
def test_two_routes_that_never_meet_or_differ_in_rank_are_fine(
    tmp_path: Path, one: dict[str, Any], two: dict[str, Any]
) -> None:
    assert lint(tmp_path, one, two) == []


def test_route_below_one_that_takes_everything_is_never_reached(tmp_path: Path) -> None:
    (fault,) = lint(tmp_path, {**match(path_prefix="/a"), "priority": 1}, match(path="/a/{x}"), match(path="/b"))
    assert "'r1' is never reached" in fault.what
    assert "'r0'" in fault.what
    (fault,) = lint(tmp_path, match(path="/{x}/**"), match(path_prefix="/a"))
    assert "'r1' is never reached" in fault.what


@pytest.mark.parametrize(
    ("route", "words"),
    [
        ({**match(path="/a"), "candidate": "ordres", "stage": "live"}, "did you mean `orders`?"),
        ({**match(path="/a"), "candidate": "monolith"}, "legacy upstream itself"),
        ({**match(path="/a"), "canary": {"cohorts": ["nobody"]}}, "there is no cohort 'nobody'"),
        (match(path="/{x}/{x}"), "twice"),
        (match(path="/a/**/b"), "'*' has no meaning here"),
        (match(path="/{x"), "neither a plain segment"),
        (match(path="/a/../b"), "can never match"),
        (match(path_prefix="/a/{x}"), "a prefix holds no {name}"),
        (match(path_regex="(a+)+"), "could take for ever"),
        (match(host="a.example:80"), "without port"),
        ({**match(path="/a"), "compare": {"ignore": ["a"]}}, "compare.ignore"),
        ({**match(path="/a"), "compare": {"unordered": {"a": "id"}}}, "compare.unordered"),
        ({**match(path="/a"), "compare": {"tolerance": {"$.a[": 1}}}, "compare.tolerance"),
        ({**match(path="/a"), "compare": {"tolerance": {"$.a": -1}}}, "negative"),
        ({**match(path="/a"), "candidate": "orders", "stage": "retired", "kill_switch": True}, "kill switch"),
    ],
)
def test_faulty_route_is_one_fault(tmp_path: Path, route: dict[str, Any], words: str) -> None:
    (fault,) = lint(tmp_path, route)
    assert words in str(fault)
    assert "r0" in str(fault)


DRILLED = {**match(path="/a"), "candidate": "orders", "stage": "live", "faults": [{"abort": 503}]}


def test_faults_are_accepted_where_drills_are_allowed(tmp_path: Path) -> None:
    assert lint(tmp_path, DRILLED, drills="allowed") == []


@pytest.mark.parametrize("whole", [{}, {"drills": "forbidden"}])
def test_faults_where_drills_are_forbidden_are_a_fault_at_their_place(tmp_path: Path, whole: dict[str, Any]) -> None:
    (fault,) = lint(tmp_path, match(path="/b"), DRILLED, **whole)
    assert "'r1' has faults, but drills are forbidden" in fault.what
    assert "drills: allowed" in fault.hint
    line = (tmp_path / "a.yaml").read_text().splitlines()[fault.line - 1]
    assert line[fault.column - 1 :].startswith("faults:")


def test_faults_without_a_candidate_are_a_fault(tmp_path: Path) -> None:
    (fault,) = lint(tmp_path, {**match(path="/a"), "faults": [{"reset": True}]}, drills="allowed")
    assert "'r0' has faults but no candidate" in fault.what


def test_each_unknown_cohort_of_a_drill_is_a_fault_at_its_place(tmp_path: Path) -> None:
    drills = [{"delay": "1s"}, {"abort": 503, "cohorts": ["staff", "stuff", "nobody"]}]
    faults = lint(
        tmp_path, {**DRILLED, "faults": drills}, drills="allowed", cohorts={"staff": {"header": {"X-Staff": "1"}}}
    )
    lines = (tmp_path / "a.yaml").read_text().splitlines()
    assert [lines[fault.line - 1][fault.column - 1 :] for fault in faults] == ["stuff", "nobody"]
    assert "did you mean `staff`?" in faults[0].hint


def test_duplicate_ids_name_both_places(tmp_path: Path) -> None:
    (fault,) = lint(tmp_path, {**match(path="/a"), "id": "same"}, {**match(path="/b"), "id": "same"})
    assert "'same' stands twice; first at" in fault.what


def test_admin_on_an_open_address_needs_tokens(tmp_path: Path) -> None:
    (fault,) = lint(tmp_path, admin={"listen": "0.0.0.0:9900"})
    assert "admin.tokens" in str(fault)
    token = {"name": "ada", "role": "operator", "token": "0123456789abcdef"}
    assert lint(tmp_path, admin={"listen": "0.0.0.0:9900", "tokens": [token]}) == []


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("127.0.0.1:1", True),
        ("127.8.8.8:1", True),
        ("[::1]:1", True),
        ("localhost:1", True),
        (":1", False),
        ("0.0.0.0:1", False),
        ("[::]:1", False),
        ("10.0.0.1:1", False),
        ("shop.example:1", False),
        ("localhost.example:1", False),
    ],
)
def test_is_loopback(address: str, *, expected: bool) -> None:
    assert is_loopback(address) is expected


def test_a_thousand_routes_are_linted_without_a_fault(tmp_path: Path) -> None:
    routes = [match(path=f"/api/area{n % 40}/{{id}}/part{n}") for n in range(800)]
    routes += [match(path_regex=f"/re/v[0-9]+/part{n}") for n in range(200)]
    assert lint(tmp_path, *routes) == []
