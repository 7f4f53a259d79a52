"""Rules that are written out and read again are the same rules: that is what replay and exported suites go by."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.compare.rules import compile_rules
from proxy.config.comparing import Compare, effective_compare, written_compare

paths = st.sampled_from(["$.a", "$.items[*].id", "$..note", "header:etag", "cookie:theme"])
inside = st.sampled_from(["$.a", "$.items", "$..b"])
matchers = st.one_of(
    st.sampled_from(["timestamp", "uuid", "number", "url-without-host", "opaque"]),
    st.fixed_dictionaries({"regex": st.sampled_from(["[a-z]+", 'é«"'])}),
    st.fixed_dictionaries({"timestamp": st.sampled_from(["0s", "1ms", "250ms", "5s", "90m", "36h", "999999999d"])}),
)
scalars = st.none() | st.booleans() | st.integers(-9, 9) | st.sampled_from([1.0, 0.1, "", "é", "true"])
levels = st.fixed_dictionaries(
    {},
    optional={
        "headers": st.lists(st.sampled_from(["etag", "Location"]), max_size=2),
        "mode": st.sampled_from(["exact", "subset", "schema"]),
        "ignore": st.lists(paths, max_size=2),
        "unordered": st.dictionaries(inside, st.sampled_from([None, "id"]), max_size=2),
        "tolerance": st.dictionaries(inside, st.sampled_from([0.01, 3, "5%"]), max_size=2),
        "match": st.dictionaries(paths, matchers, max_size=3),
        "rename": st.just({"$.x": "$.y.z"}),
        "map": st.dictionaries(inside, st.dictionaries(st.sampled_from(["A", "1"]), scalars, max_size=2), max_size=1),
        "noise": st.just({"sample": "5%"}),
    },
)


@given(st.lists(levels, max_size=3))
def test_written_rules_compile_to_the_same(written: list[dict[str, Any]]) -> None:
    effective = effective_compare(Compare.model_validate(level) for level in written)
    again = Compare.model_validate(json.loads(json.dumps(written_compare(effective))))
    one, two = compile_rules(effective), compile_rules(again)
    assert (one, one.rules, one.outside, one.headers) == (two, two.rules, two.outside, two.headers)


def test_what_is_the_default_is_not_written() -> None:
    assert written_compare(Compare()) == {}
    assert written_compare(Compare(headers=[])) == {"headers": []}


@pytest.mark.parametrize("skew", ["0s", "1ms", "0.5ms", "5s", "7d", "400d"])
def test_a_skew_keeps_its_length(skew: str) -> None:
    compare = Compare.model_validate({"match": {"$.at": {"timestamp": skew}}})
    again = Compare.model_validate(written_compare(compare))
    assert again.match == compare.match
