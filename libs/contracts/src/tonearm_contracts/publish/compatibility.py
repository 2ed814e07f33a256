"""May a schema follow another one? FULL_TRANSITIVE: old readers and new ones read both.

Topics are replayed and services are deployed one after the other, so every published revision
must be readable by every other. That leaves one kind of change: a new optional property.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

Schema = Mapping[str, Any]

_PROSE = frozenset({"title", "description", "default", "examples", "$defs", "$schema", "$id"})
"""Keywords that tell people something and validate nothing."""

_STRUCTURE = frozenset({"properties", "required", "items", "anyOf", "additionalProperties", "$ref"})


def breaks(old: Schema, new: Schema) -> list[str]:
    """Return one line per incompatibility, empty when `new` may follow `old`."""
    return list(_compare(old, new, old, new, "data"))


def _compare(old: Any, new: Any, old_root: Schema, new_root: Schema, path: str) -> Iterator[str]:
    if not isinstance(old, Mapping) or not isinstance(new, Mapping):
        if old != new:
            yield f"{path}: retyped"
        return
    old, new = _resolve(old, old_root), _resolve(new, new_root)
    for keyword in sorted({*old, *new} - _PROSE - _STRUCTURE):
        if old.get(keyword) != new.get(keyword):
            yield f"{path}: {keyword} was {old.get(keyword)!r} and is {new.get(keyword)!r}"
    yield from _compare_properties(old, new, old_root, new_root, path)
    yield from _compare_alternatives(old, new, old_root, new_root, path)
    for keyword in ("items", "additionalProperties"):
        before, after = old.get(keyword), new.get(keyword)
        if before is not None or after is not None:
            yield from _compare(before, after, old_root, new_root, f"{path}[]")


def _compare_properties(
    old: Schema, new: Schema, old_root: Schema, new_root: Schema, path: str
) -> Iterator[str]:
    before, after = old.get("properties", {}), new.get("properties", {})
    for name in sorted(before):
        if name not in after:
            yield f"{path}.{name}: removed"
        else:
            yield from _compare(before[name], after[name], old_root, new_root, f"{path}.{name}")
    required_before, required_after = set(old.get("required", ())), set(new.get("required", ()))
    for name in sorted(required_after - required_before):
        yield f"{path}.{name}: newly required"
    for name in sorted((required_before - required_after) & set(after)):
        yield f"{path}.{name}: no longer required, but old readers need it"


def _compare_alternatives(
    old: Schema, new: Schema, old_root: Schema, new_root: Schema, path: str
) -> Iterator[str]:
    before, after = old.get("anyOf", ()), new.get("anyOf", ())
    if len(before) != len(after):
        yield f"{path}: retyped, {len(before) or 1} alternatives became {len(after) or 1}"
        return
    for number, (one, other) in enumerate(zip(before, after, strict=True)):
        yield from _compare(one, other, old_root, new_root, f"{path}<{number}>")


def _resolve(schema: Schema, root: Schema) -> Schema:
    reference = schema.get("$ref")
    if reference is None:
        return schema
    name = str(reference).rsplit("/", 1)[-1]
    found: Schema = root["$defs"][name]
    return found
