"""Loading: what is accepted, and that every fault is found at its place."""

import json
import shutil
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.config.load import Loaded, load
from proxy.config.model import Settings
from proxy.config.sources import fingerprint
from proxy.errors import ConfigError, Fault

BASE = """\
upstreams:
  monolith: {endpoints: [http://127.0.0.1:9001]}
  orders: {endpoints: [http://127.0.0.1:9002]}
legacy: monolith
"""


def loaded(folder: Path, environ: dict[str, str] | None = None, **files: str) -> Loaded:
    for name, text in files.items():
        (folder / f"{name}.yaml").write_text(text)
    return load(folder, environ or {})


def faults(folder: Path, environ: dict[str, str] | None = None, **files: str) -> list[Fault]:
    with pytest.raises(ConfigError) as caught:
        loaded(folder, environ, **files)
    found = caught.value.faults
    assert found == sorted(found)
    assert all(fault.file and fault.line >= 1 and fault.column >= 1 and fault.what for fault in found)
    return found


def short(found: list[Fault]) -> list[tuple[str, int, int]]:
    return [(Path(fault.file).name, fault.line, fault.column) for fault in found]


def only(found: list[Fault]) -> Fault:
    assert len(found) == 1, found
    return found[0]


def test_files_and_documents_are_merged_in_any_order(tmp_path: Path) -> None:
    routes = "routes:\n  - {id: a, match: {path: /a}}\n---\nroutes:\n  - {id: b, match: {path: /b}}\n"
    result = loaded(tmp_path, z=BASE, a=routes, m="upstreams:\n  more: {endpoints: [http://h:1]}\n# only this\n---\n")
    assert [route.id for route in result.settings.routes] == ["a", "b"]
    assert set(result.settings.upstreams) == {"monolith", "orders", "more"}
    assert [file.name for file in result.files] == ["a.yaml", "m.yaml", "z.yaml"]


def test_one_file_is_a_configuration_and_yml_counts(tmp_path: Path) -> None:
    (tmp_path / "one.yml").write_text(BASE)
    (tmp_path / ".hidden.yaml").write_text("no: good")
    (tmp_path / "notes.txt").write_text("no: good")
    assert load(tmp_path / "one.yml", {}).settings == load(tmp_path, {}).settings


def test_the_document_gives_the_same_settings_in_another_process(tmp_path: Path) -> None:
    (tmp_path / "pilots.txt").write_text("u-1\n# nobody\n\n  u-2  \n")
    (tmp_path / "none.txt").write_text("")
    result = loaded(
        tmp_path,
        {"PORT": "9003"},
        a=BASE
        + """\
cohorts: {pilots: {users: [u-0], users_file: pilots.txt}, empty: {users_file: none.txt}}
listen: "127.0.0.1:${PORT}"
routes:
  - id: r
    match: {path: "/r/{x}"}
    candidate: orders
    stage: canary
    canary: {percent: 10%, cohorts: [pilots]}
    compare: {tolerance: {"$.x": 1}}
""",
    )
    assert result.settings.cohorts["pilots"].users == ["u-0", "u-1", "u-2"]
    assert Settings.model_validate(json.loads(result.document)) == result.settings
    assert [file.name for file in result.files] == ["a.yaml", "pilots.txt", "none.txt"]


@pytest.mark.parametrize(
    ("scalar", "environ", "expected"),
    [
        ("a", {}, "a"),
        ("${X}", {"X": "v"}, "v"),
        ("a-${X}-${Y:-y}", {"X": "v"}, "a-v-y"),
        ("${X:-http://h:1/#[,]&*!|>'\"%@`}", {}, "http://h:1/#[,]&*!|>'\"%@`"),
        ('"${X:-}"', {}, ""),
        ("${X:-d}", {"X": ""}, "d"),
        ("'${X}'", {"X": "5"}, "5"),
        ("$${X}", {}, "${X}"),
        ("$5", {}, "$5"),
        ("${X}", {"X": "${Y}"}, "${Y}"),
        ("on", {}, "on"),
        ("no", {}, "no"),
        ("010", {}, "010"),
        ("1:30", {}, "1:30"),
        ("2024-01-01", {}, "2024-01-01"),
        ("0x1F", {}, "0x1F"),
        ("1_000", {}, "1_000"),
        (".inf", {}, ".inf"),
        ("1e3", {}, "1e3"),
        ("'true'", {}, "true"),
    ],
)
def test_scalar_in_block_and_flow_style(tmp_path: Path, scalar: str, environ: dict[str, str], expected: str) -> None:
    block = f"cohorts:\n  c:\n    header:\n      X-A: {scalar}\n"
    flow = f"cohorts: {{c: {{header: {{X-A: {scalar}}}}}}}\n"
    for text in (block, flow):
        assert loaded(tmp_path, environ, a=BASE + text).settings.cohorts["c"].header == {"X-A": expected}


@pytest.mark.parametrize(
    ("scalar", "hint"),
    [("5", "put it in quotes"), ("1.5", "put it in quotes"), ("true", "put it in quotes"), ("[a]", ""), ("{a: b}", "")],
)
def test_what_is_not_text_where_text_belongs_is_a_fault_with_a_hint(tmp_path: Path, scalar: str, hint: str) -> None:
    fault = only(faults(tmp_path, a=BASE + f"identity: [{{cookie: {scalar}}}]\n"))
    assert fault.what.startswith("identity[0].cookie must be text")
    assert fault.hint == hint


def test_numbers_and_switches_from_the_environment_are_typed_like_plain_scalars(tmp_path: Path) -> None:
    text = BASE + "workers: ${N}\nexpose: ${E:-true}\n"
    settings = loaded(tmp_path, {"N": "3"}, a=text).settings
    assert (settings.workers, settings.expose) == (3, True)


def test_missing_variable_is_one_fault_at_its_value(tmp_path: Path) -> None:
    fault = only(faults(tmp_path, a=BASE + "tester_key: ${SECRET}\n"))
    assert (fault.line, fault.column) == (5, 13)
    assert "SECRET" in fault.what


def test_words_that_yaml_1_1_would_take_for_switches_work(tmp_path: Path) -> None:
    route = "routes:\n- {id: r, match: {}, candidate: orders, fallback: {on: [5xx]}, shadow: {unsafe: off}}\n"
    result = loaded(tmp_path, a=BASE + route).settings.routes[0]
    assert result.fallback.on == ["5xx"]
    assert result.shadow.unsafe == "off"


def test_anchors_work_across_a_document(tmp_path: Path) -> None:
    text = """\
routes:
  - {id: a, match: {path: /a}, compare: &shop {ignore: ["$.at"]}}
  - {id: b, match: {path: /b}, compare: *shop}
"""
    assert loaded(tmp_path, a=BASE + text).settings.routes[1].compare.ignore == ["$.at"]


def test_every_fault_is_reported_at_once_at_its_place(tmp_path: Path) -> None:
    text = """\
version: 2
upstreams:
  monolith: {endpoints: [http://127.0.0.1:9001]}
  orders:
    endpoints: [http://127.0.0.1:9002]
    timout: {connect: 1s}
    timeouts: {connect: 1x}
  orders: {endpoints: []}
legacy: monolit
shutdwn: {}
cohorts: {c: {}}
routes:
  - id: a
    match: {path: /a, methods: [get]}
    stage: canray
  - id: b
    match: {path: "/b/{x}"}
    candidate: ordres
    stage: canary
    canary: {percent: 10, cohorts: [nobody]}
  - id: b
    match: {path: "/b/{y}"}
    flags: x
  - id: d
    match: {path_regex: "(a+)+$"}
  - id: e
    match: {path: "/e"}
    stage: live
  - match: {path: /f}
"""
    found = faults(tmp_path, a=text)
    assert short(found) == [
        ("a.yaml", line, column)
        for line, column in [
            (1, 10), (6, 5), (7, 25), (8, 3), (9, 9), (10, 1), (11, 14), (14, 33), (15, 12), (18, 16), (20, 23),
            (20, 37), (21, 9), (22, 5), (23, 5), (25, 25), (26, 5), (29, 5),
        ]
    ]  # fmt: skip
    by_line = {(fault.line, fault.column): str(fault).partition(": ")[2] for fault in found}
    assert by_line[6, 5] == "unknown key 'timout' of upstreams.orders; did you mean `timeouts`?"
    assert by_line[9, 9] == "legacy: there is no upstream 'monolit'; did you mean `monolith`?"
    assert by_line[15, 12].endswith("did you mean `canary`?")
    assert by_line[18, 16].endswith("did you mean `orders`?")
    assert "tie" in by_line[22, 5]
    assert "'b'" in by_line[22, 5]


@pytest.mark.parametrize("key", ["flags: {provider: local}", "store: redis://h:6379/0"])
def test_what_is_not_built_is_a_fault(tmp_path: Path, key: str) -> None:
    faults(tmp_path, a=BASE + key + "\n")


def test_key_set_in_two_files_names_both_places(tmp_path: Path) -> None:
    fault = only(faults(tmp_path, a=BASE, b="legacy: orders\n"))
    assert short([fault]) == [("b.yaml", 1, 1)]
    assert "a.yaml:4:1" in fault.what


def test_upstream_named_in_two_files_names_both_places(tmp_path: Path) -> None:
    fault = only(faults(tmp_path, a=BASE, b="upstreams:\n  orders: {endpoints: [http://h:1]}\n"))
    assert short([fault]) == [("b.yaml", 2, 3)]
    assert "a.yaml:3:3" in fault.what


@pytest.mark.parametrize(
    ("raw", "line", "column", "what"),
    [
        (b"a: b\nc: \xff\n", 2, 4, "UTF-8"),
        (b"upstreams:\n\tm: x\n", 2, 1, "a tab"),
        (b"a: [b\n", 2, 1, "not YAML"),
        (b"a: b: c\n", 1, 5, "not YAML"),
        (b"a: \x07\n", 1, 4, "U+0007"),
        (b"- a\n", 1, 1, "a file is a mapping"),
        (b"just text\n", 1, 1, "a file is a mapping"),
        (b"a: *nowhere\n", 1, 4, "anchor"),
        (b"a: !!python/object:os.system x\n", 1, 4, "tags"),
        (b"? [a]\n: b\n", 1, 3, "a key must be text"),
        (b"x: &a [*a]\n", 1, 8, "anchor"),
        (b"a: " + b"[" * 100 + b"]" * 100, 1, 43, "deeper"),
    ],
)
def test_file_that_is_no_good_yaml_is_a_fault_with_its_place(
    tmp_path: Path, raw: bytes, line: int, column: int, what: str
) -> None:
    (tmp_path / "bad.yaml").write_bytes(raw)
    found = [fault for fault in faults(tmp_path, a=BASE) if fault.file.endswith("bad.yaml")]
    assert [fault for fault in found if what in fault.what and (fault.line, fault.column) == (line, column)], found


@pytest.mark.parametrize(
    ("rules", "hint"),
    [
        ("ignore: [$.items[*].a]", "in single quotes: '$.items[*].etag'"),
        ("match: {$.items[*].a: uuid}", "in single quotes: '$.items[*].etag'"),
        ("ignore: [$['a b']]", "in single quotes: '$.items[*].etag'"),
        (r'match: {$.a: {regex: "\d+"}}', "with a backslash in single quotes"),
        ("ignore: [$.a", ""),
        ("ignore: ['$.a[*]'", ""),
    ],
)
def test_a_path_that_is_no_yaml_is_told_to_be_quoted(tmp_path: Path, rules: str, hint: str) -> None:
    fault = only(faults(tmp_path, a=f"{BASE}defaults:\n  compare:\n    {rules}\n"))
    assert "not YAML" in fault.what
    assert fault.hint.endswith(hint)
    assert bool(fault.hint) == bool(hint)


def test_alias_bomb_is_refused(tmp_path: Path) -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
    assert "aliases written out" in str(faults(tmp_path, a="\n".join(lines))[0])


def test_names_are_not_judged_while_a_file_cannot_be_read(tmp_path: Path) -> None:
    routes = "routes:\n  - {id: r, match: {}, candidate: elsewhere, stage: nonsense}\n"
    found = faults(tmp_path, a=BASE, b=routes, c="upstreams: [\n")
    assert [Path(fault.file).name for fault in found] == ["b.yaml", "c.yaml"]


def test_folder_that_does_not_exist_or_is_empty_says_what_to_do(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "nowhere", tmp_path / "nowhere.yaml"):
        with pytest.raises(ConfigError) as caught:
            load(path, {})
        assert only(caught.value.faults).hint


def test_empty_file_lacks_what_is_needed(tmp_path: Path) -> None:
    assert {fault.what for fault in faults(tmp_path, a="")} == {
        "the configuration needs the key 'upstreams'",
        "the configuration needs the key 'legacy'",
    }


def test_secrets_are_never_shown(tmp_path: Path) -> None:
    text = BASE + (
        "tester_key: s3cret\n"
        "admin: {tokens: [{name: a, token: s3cret}, {name: b, token: [s3cret]}, {name: c, tokn: s3cret-s3cret}]}\n"
    )
    found = faults(tmp_path, {"S": "s3cret"}, a=text, b="upstreams: {x: {endpoints: ['http://u:${S}@h:1']}}\n")
    assert len(found) >= 4
    assert "s3cret" not in "\n".join(map(str, found))


def test_secrets_are_not_in_the_settings_text(tmp_path: Path) -> None:
    text = BASE + "tester_key: s3cret-s3cret-s3cret\nadmin: {tokens: [{name: a, token: s3cret-s3cret-s3cret}]}\n"
    assert "s3cret" not in repr(loaded(tmp_path, a=text).settings)


def test_users_file_that_is_missing_is_a_fault_at_its_name(tmp_path: Path) -> None:
    fault = only(faults(tmp_path, a=BASE + "cohorts:\n  c: {users_file: gone.txt}\n"))
    assert (fault.line, fault.column) == (6, 19)
    assert "gone.txt" in fault.what


def test_unreadable_file_is_a_fault(tmp_path: Path) -> None:
    (tmp_path / "gone.yaml").symlink_to(tmp_path / "nowhere")
    assert "cannot be read" in only([f for f in faults(tmp_path, a=BASE) if "gone" in f.file]).what


def test_fingerprint_changes_with_every_kind_of_change(tmp_path: Path) -> None:
    users = tmp_path / "users.txt"
    (tmp_path / "a.yaml").write_text(BASE)
    seen = {fingerprint(tmp_path, [users])}
    users.write_text("u-1\n")
    seen.add(fingerprint(tmp_path, [users]))
    (tmp_path / "b.yaml").write_text("")
    seen.add(fingerprint(tmp_path, [users]))
    (tmp_path / "b.yaml").write_text("#")
    seen.add(fingerprint(tmp_path, [users]))
    shutil.copy(tmp_path / "b.yaml", tmp_path / "c")
    (tmp_path / "c").replace(tmp_path / "b.yaml")
    seen.add(fingerprint(tmp_path, [users]))
    (tmp_path / "b.yaml").unlink()
    seen.add(fingerprint(tmp_path, [users]))
    (tmp_path / "notes.txt").write_text("x")
    assert fingerprint(tmp_path, [users]) in seen
    assert len(seen) == 5  # without b.yaml it is as it was before it
    assert fingerprint(tmp_path / "nowhere")


WORDS = st.sampled_from(
    [
        "upstreams:", "routes:", "legacy:", "match:", "id:", "path:", "cohorts:", "c:", "stage:", " ", "  ", "\n",
        "\n  ", "\n    ", "- ", "[", "]", "{", "}", ", ", ": ", "&a ", "*a", "!!str ", "<<: ", "${X}", "${X", "${:-}",
        "'", '"', "|", ">", "#", "---\n", "...", "? ", "\t", "null", "true", "5", "x", "/a/{b}", "é", "\u2028",
        "%YAML 1.1\n", "endpoints: [http://h:1]", "\x00", "\ue024",
    ]
)  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(text=st.one_of(st.lists(WORDS, max_size=40).map("".join), st.text(max_size=60)))
def test_any_text_gives_settings_or_faults_with_places(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    file = tmp_path_factory.getbasetemp() / "any.yaml"
    file.write_bytes(text.encode("utf-8", "surrogatepass"))
    found: list[Fault] | None = None
    try:
        load(file, {"X": "/x"})
    except ConfigError as error:
        found = error.faults
    assert found is None or (found and all(fault.line >= 1 and fault.column >= 1 and fault.what for fault in found))
