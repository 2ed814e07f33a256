"""Canonical parameters and compact progress."""

from __future__ import annotations

from tonearm_analysis.domain.job import JsonValue, hash_parameters, without_long_lists


def test_the_order_of_parameters_does_not_matter() -> None:
    assert hash_parameters({"a": 1, "b": 2}) == hash_parameters({"b": 2, "a": 1})
    assert hash_parameters({"a": 1}) != hash_parameters({"a": 2})


def test_long_lists_are_named_where_they_were() -> None:
    value: dict[str, JsonValue] = {
        "deep": {"curve": [1, 2, 3], "peak": 4},
        "few": [{"curve": [1, 2, 3]}],
    }

    assert without_long_lists(value, items_max=2) == {
        "deep": {"peak": 4, "omitted": ["curve"]},
        "few": [{"omitted": ["curve"]}],
    }
