"""Masks on both sides: values of the types that they hide, and no more than they say."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from proxy.compare.document import Number
from proxy.compare.masked_pairs import AfterRedaction, Masked, MaskedBoolean, also_masked, moved_on, without_hashes
from proxy.compare.masks import MASK, configured_key, mask
from proxy.compare.redact import make_redactor
from proxy.compare.rules import compile_rules
from proxy.config.comparing import Compare, Redaction

KEY = configured_key("a redaction key of 2026")
UNDER = make_redactor(Redaction(keys=["a redaction key of 2026"]), b"f" * 32)
RULES = compile_rules(Compare())


def side(text: str | None, *headers: tuple[str, str]) -> dict[str, Any]:
    return {"headers": [list(header) for header in headers], "body": {"text": text}}


def test_a_mask_stays_the_mask_that_it_is() -> None:
    after = AfterRedaction(UNDER)
    masked = mask("hunter2", KEY)
    assert after.mask(masked) == masked
    assert after.show(masked, secret=True) == masked
    number = mask(17, KEY)
    assert after.show(Number(f'"{number}"', whole=True, written=number), secret=True) == number
    assert after.mask("hunter2") == masked
    assert after.mask(f"x{masked}") != f"x{masked}"


@given(st.sampled_from([1, 2.5, True, False, "a"]), st.sampled_from([1, 2.5, True, False, "a", "1"]))
def test_masks_become_values_that_are_equal_exactly_if_the_hidden_ones_are(one: Any, two: Any) -> None:
    masks = Masked()
    a, b = (masks.prepare([mask(value, KEY)], RULES.start)[0] for value in (one, two))
    assert (type(a) is type(b) and a == b) == (type(one) is type(two) and one == two)
    assert isinstance(a, Number) == isinstance(one, int | float) * (not isinstance(one, bool))
    assert (type(a) is MaskedBoolean) == isinstance(one, bool)


def test_only_legacys_masks_are_counted_where_a_rule_lets_them_differ() -> None:
    rules = compile_rules(Compare.model_validate({"match": {"$.a": "opaque"}, "ignore": ["$.c"]}))
    masks = Masked()
    legacy = masks.prepare({"a": mask("x", KEY), "b": mask("y", KEY), "c": mask("z", KEY)}, rules.start)
    candidate = masks.prepare({"a": mask("longer", KEY)}, rules.start)
    assert legacy["a"] == candidate["a"] == "«masked text»"
    assert legacy["b"] == mask("y", KEY)
    assert masks.loose == 1


@given(st.text(max_size=20), st.integers())
def test_without_hashes_type_and_length_are_left(text: str, number: int) -> None:
    shown, count = without_hashes(side(f"{mask(text, KEY)} {mask(number, KEY)} {mask(True, KEY)}"), RULES)
    assert shown["body"]["text"] == f"«masked text, {len(text)}» «masked number» «masked boolean»"
    assert count == 3
    assert not any(match[3] for match in MASK.finditer(shown["body"]["text"]))


def test_only_masks_in_what_is_compared_are_counted() -> None:
    fields = (("X-Other", mask("x", KEY)), ("Set-Cookie", f"sid={mask('x', KEY)}"))
    shown, count = without_hashes(side(None, *fields), RULES)
    assert count == 1
    assert shown["headers"][0] == ["X-Other", mask("x", KEY)]


def test_a_map_knows_its_values_by_their_masks() -> None:
    (rule,) = compile_rules(Compare(map={"$.a": {"OLD": "new", "1": 2, "gone": None}})).maps
    mapping = also_masked(rule, UNDER).mapping
    assert mapping is not None
    assert mapping[mask("OLD", KEY)] == mask("new", KEY)
    assert mapping[mask(1, KEY)] == mapping[mask("1", KEY)] == mask(2, KEY)
    assert mapping[mask("gone", KEY)] is None
    assert mapping["OLD"] == "new"


def test_only_ends_that_the_other_side_does_not_name_move_on() -> None:
    recorded = side("", ("Set-Cookie", "a=1; expires=Thu, 01 Jan 2026 00:00:00 GMT; Path=/"), ("Date", "x"))
    other = side("", ("Set-Cookie", "a=1; Expires=Fri, 02 Jan 2026 00:00:00 GMT"))
    moved = moved_on(recorded, other, 3600.0)["headers"]
    assert moved[0][1] == "a=1; expires=Thu, 01 Jan 2026 01:00:00 GMT; Path=/"
    assert moved[1] == ["Date", "x"]
    assert moved_on(recorded, recorded, 3600.0)["headers"] == recorded["headers"]
    for odd in ("a=1; Expires=never", "a=1", "a=1; Expires=Fri, 31 Dec 9999 23:59:59 GMT", ""):
        strange = side("", ("Set-Cookie", odd))
        assert len(moved_on(strange, other, 1e12)["headers"]) == 1
