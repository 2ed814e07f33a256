"""Comparing results: what changed between two, and whether a recording still gives one.

Works on the JSON form (`AnalysisResult.model_dump(mode="json")`), so that results of other
engine versions, with fields that this one does not know, compare as well.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tonearm_analysis.engine.parameters import Parameters

Json = Any


@dataclass(frozen=True, slots=True)
class Difference:
    """One place where two results differ.

    path: dotted, `rhythm.tempo_bpm`; list items by index.  old, new: the values, None where
    there is none.  note: for long lists, how many items differ and by how much.
    """

    path: str
    old: Json
    new: Json
    note: str = ""


@dataclass(frozen=True, slots=True)
class Verification:
    """Whether analysing a recording again gives the stored result.

    same_audio: the decoded samples are those of the result.  same_engine: this engine has the
    result's version; only then is equality promised.  differences: none when it holds.
    """

    same_audio: bool
    same_engine: bool
    differences: tuple[Difference, ...]

    @property
    def holds(self) -> bool:
        """Whether the stored result is what this engine says of this recording."""
        return not self.differences


def differences(
    old: Mapping[str, Json], new: Mapping[str, Json], *, tolerance: float = 0.0
) -> list[Difference]:
    """Return where two results differ, in the order of the old one.

    tolerance: numbers that differ by no more than this share of the greater one are equal.
    """
    return list(_compare("", dict(old), dict(new), tolerance))


def verify(source: Path, stored: Mapping[str, Json]) -> Verification:
    """Analyse a recording with the stored result's parameters and compare.

    Raises AudioError and OSError as `analyze`, and ParameterError when the stored parameters
    mean nothing to this engine.
    """
    from tonearm_analysis.engine import analyze_whole

    parameters = Parameters.from_dict(stored.get("parameters", {}))
    fresh = analyze_whole(source, parameters=parameters).model_dump(mode="json")
    return Verification(
        same_audio=stored.get("pcm_sha256") == fresh["pcm_sha256"],
        same_engine=stored.get("engine_version") == fresh["engine_version"],
        # The file around the samples may change (a tag, another lossless codec): its size does.
        differences=tuple(differences(_without_container(stored), _without_container(fresh))),
    )


_CONTAINER = ("format", "codec", "size_bytes", "bitrate_bps", "decoder", "lossless", "bit_depth")


def _without_container(result: Mapping[str, Json]) -> dict[str, Json]:
    kept = dict(result)
    if isinstance(kept.get("properties"), Mapping):
        kept["properties"] = {
            name: value for name, value in kept["properties"].items() if name not in _CONTAINER
        }
    return kept


def _compare(path: str, old: Json, new: Json, tolerance: float) -> Iterator[Difference]:
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for name in [*old, *(name for name in new if name not in old)]:
            below = f"{path}.{name}" if path else str(name)
            yield from _compare(below, old.get(name), new.get(name), tolerance)
    elif _is_list(old) and _is_list(new):
        yield from _compare_lists(path, old, new, tolerance)
    elif not _equal(old, new, tolerance):
        yield Difference(path, old, new)


def _compare_lists(
    path: str, old: Sequence[Json], new: Sequence[Json], tolerance: float
) -> Iterator[Difference]:
    if all(map(_is_number, [*old, *new])) and len(old) + len(new) > 0:
        note = _numbers_note(old, new, tolerance)
        if note:
            yield Difference(path, f"{len(old)} values", f"{len(new)} values", note)
        return
    if len(old) != len(new):
        yield Difference(path, f"{len(old)} items", f"{len(new)} items")
    for index, (before, after) in enumerate(zip(old, new, strict=False)):
        yield from _compare(f"{path}.{index}", before, after, tolerance)


def _numbers_note(old: Sequence[float], new: Sequence[float], tolerance: float) -> str:
    pairs = list(zip(old, new, strict=False))
    apart = [abs(a - b) for a, b in pairs if not _equal(a, b, tolerance)]
    notes = []
    if len(old) != len(new):
        notes.append(f"{abs(len(old) - len(new))} {'more' if len(new) > len(old) else 'fewer'}")
    if apart:
        notes.append(f"{len(apart)} of {len(pairs)} differ, by up to {max(apart):.4g}")
    return "; ".join(notes)


def _equal(old: Json, new: Json, tolerance: float) -> bool:
    if _is_number(old) and _is_number(new) and tolerance:
        return bool(abs(old - new) <= tolerance * max(abs(old), abs(new), 1.0))
    return bool(old == new)


def _is_number(value: Json) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _is_list(value: Json) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str)
