"""The compatibility check must fail on each kind of change that breaks somebody."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

import pytest
from pydantic import BaseModel, create_model

from tonearm_contracts.publish.compatibility import breaks


class Part(BaseModel):
    """A nested model."""

    label: str
    weight: float | None = None


FIELDS: dict[str, Any] = {
    "name": (str, ...),
    "count": (int, ...),
    "state": (Literal["on", "off"], ...),
    "at": (datetime | None, None),
    "part": (Part, ...),
    "parts": (list[Part], ...),
}


def schema(**changes: Any) -> dict[str, Any]:
    fields = {name: kind for name, kind in {**FIELDS, **changes}.items() if kind is not None}
    made: type[BaseModel] = create_model("Event", **fields)
    return made.model_json_schema()


def part_with(**changes: Any) -> Any:
    fields: dict[str, Any] = {"label": (str, ...), "weight": (float | None, None), **changes}
    return create_model("Part", **{name: kind for name, kind in fields.items() if kind})


def test_the_same_schema_breaks_nothing() -> None:
    assert breaks(schema(), schema()) == []


def test_a_new_optional_field_breaks_nothing() -> None:
    assert breaks(schema(), schema(more=(str | None, None))) == []


def test_prose_breaks_nothing() -> None:
    other = {**schema(), "description": "Other words.", "title": "Other"}
    assert breaks(schema(), other) == []


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"name": None}, "data.name: removed"),
        ({"at": None}, "data.at: removed"),
        ({"count": (str, ...)}, "data.count: type was 'integer' and is 'string'"),
        ({"count": (float, ...)}, "data.count: type was"),
        ({"count": (int | None, ...)}, "data.count: retyped"),
        ({"at": (datetime, ...)}, "data.at: newly required"),
        ({"more": (str, ...)}, "data.more: newly required"),
        ({"name": (str, "")}, "data.name: no longer required"),
        ({"state": (Literal["on", "off", "idle"], ...)}, "data.state: enum was"),
        ({"state": (Literal["on"], ...)}, "data.state"),
        ({"part": (part_with(label=None), ...)}, "data.part.label: removed"),
        ({"parts": (list[part_with(label=(int, ...))], ...)}, "data.parts[].label: type was"),  # type: ignore[misc]
    ],
)
def test_a_breaking_change_is_named(changes: dict[str, Any], complaint: str) -> None:
    assert any(complaint in line for line in breaks(schema(), schema(**changes)))


@pytest.mark.parametrize("change", [{"name": None}, {"more": (str, ...)}, {"count": (str, ...)}])
def test_it_is_full_what_breaks_one_way_breaks_the_other(change: dict[str, Any]) -> None:
    assert breaks(schema(), schema(**change))
    if change != {"more": (str, ...)}:
        assert breaks(schema(**change), schema())
