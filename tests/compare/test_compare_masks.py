"""Masks: equal secrets look equal, others do not, and what cannot be told is not told."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.compare.masks import MASK, Key, configured_key, mask, random_key
from proxy.compare.redact import PLAIN, Redactor, make_redactor
from proxy.config.comparing import Redaction

OLD = "an-old-key-of-2023"
NEW = "the-new-key-of-2024"
KEY = random_key(b"k" * 32)
scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()


def redactor(*keys: str) -> Redactor:
    return make_redactor(Redaction(keys=list(keys)), b"fresh" * 6)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("hunter2", "«masked text, 7»"),
        (b"hunter2", "«masked text, 7»"),
        ("\u4e16\U0001f511", "«masked text, 2»"),
        ("", "«masked text, 0»"),
        (1234, "«masked number, 4»"),
        (-1.5, "«masked number, 4»"),
        (True, "«masked boolean»"),
        (None, "null"),
    ],
)
def test_a_mask_keeps_type_and_length(value: object, shown: str) -> None:
    assert PLAIN.mask(value) == shown
    hashed = mask(value, KEY)
    assert hashed == shown or hashed.startswith(shown.removesuffix("»") + f", {KEY.id}:")


@given(scalars, scalars)
def test_equal_secrets_of_one_type_have_equal_masks_and_others_do_not(a: object, b: object) -> None:
    one, two = mask(a, KEY), mask(b, KEY)
    equal = type(a) is type(b) and repr(a) == repr(b)
    assert (one == two) is equal
    assert a is None or MASK.fullmatch(one)


@pytest.mark.parametrize("values", [("1", 1, True), ("true", True), ("1.0", 1.0, 1), ("null", None)])
def test_one_writing_of_several_types_has_several_hashes(values: tuple[object, ...]) -> None:
    assert len({mask(value, KEY).rpartition(":")[2] for value in values}) == len(values)


def test_text_has_one_hash_wherever_it_came_from() -> None:
    assert mask("pässword", KEY) == mask("pässword".encode(), KEY)
    assert mask(b"\xff\xfe", KEY) != mask(b"\xfe\xff", KEY)
    assert MASK.fullmatch(mask("\ud800", KEY))


def test_a_secret_has_one_hash_under_each_key_and_a_mask_tells_which_key_it_was() -> None:
    old, new = redactor(OLD), redactor(NEW, OLD)
    assert old.key_id != new.key_id
    assert old.mask("hunter2").split(":") != new.mask("hunter2").split(":")
    for made in (old, new):
        found = MASK.fullmatch(made.mask("hunter2"))
        assert found is not None
        assert found.groups()[:3] == ("text", "7", made.key_id)


def test_an_earlier_key_masks_again_what_is_compared_with_an_earlier_record() -> None:
    old, new = redactor(OLD), redactor(NEW, OLD)
    again = new.with_key(old.key_id)
    assert again is not None
    assert old.mask("hunter2") == again.mask("hunter2") != again.mask("hunter3")
    assert again.key_id == old.key_id
    assert new.with_key("ffffff") is None
    assert PLAIN.with_key("") is None


KEY_REDACTOR = Redactor([KEY])


def test_without_keys_a_process_has_one_of_its_own() -> None:
    one, two = make_redactor(Redaction(), b"a" * 32), make_redactor(Redaction(), b"b" * 32)
    assert one.mask("x") == make_redactor(Redaction(), b"a" * 32).mask("x")
    assert one.mask("x") != two.mask("x")


def test_a_configured_key_is_the_same_in_every_process_and_not_told_by_its_id() -> None:
    key = configured_key(NEW)
    assert key == configured_key(NEW)
    assert NEW.encode() not in key.secret  # stretched
    assert isinstance(key, Key)
    assert key.id not in NEW
    assert configured_key(OLD).id != key.id
    # As records of earlier releases hold it: another way to make keys or hashes would make them strangers.
    assert mask("hunter2", key) == "«masked text, 7, 1b8c74:f6ccbb3e8b32»"
    assert key.digest(b"1234") == "1b8c74:55d99331b49e38692f09b5566e3c43e3"


def test_bodies_have_digests_only_under_a_key() -> None:
    assert PLAIN.digest(b"1234") == ""
    assert KEY_REDACTOR.digest(b"1234") == KEY_REDACTOR.digest(b"1234") != KEY_REDACTOR.digest(b"1235")
