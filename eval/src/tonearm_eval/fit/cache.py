"""Let the engine's listeners hear every clip once, so that fitting takes seconds."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from tonearm_analysis.engine import harmony, rhythm
from tonearm_analysis.engine.harmony import HeardHarmony
from tonearm_analysis.engine.rhythm import Heard
from tonearm_eval.clips import Clip, read_manifest
from tonearm_eval.generator.related import related_to_test
from tonearm_eval.sound import mono_22k

Outputs = dict[Literal["full", "fast"] | None, Path]
PROFILES: Final[tuple[Literal["full", "fast"], ...]] = ("full", "fast")


@dataclass(frozen=True)
class HeardClip:
    """A clip and what the listeners kept of it; `heard` is None where only harmony was asked for."""

    clip: Clip
    heard: Heard | None
    harmonic: HeardHarmony


def hear_folder(folder: Path, cache: Path, *, harmony_only: bool = False) -> None:
    """Hear the clips of a folder that are not in the cache yet, rhythm with the ears of each profile."""
    cache.mkdir(parents=True, exist_ok=True)
    for clip in read_manifest(folder):
        name = f"{folder.name}__{clip.path.stem}"
        if harmony_only:
            wanted: Outputs = {None: cache / f"{name}.pickle"}
        else:
            wanted = {profile: cache / f"{name}.{profile}.pickle" for profile in PROFILES}
        missing = {profile: out for profile, out in wanted.items() if not out.exists()}
        if not missing:
            continue
        sound = mono_22k(clip.path)
        harmonic = harmony.hear(sound)
        for profile, out in missing.items():
            heard = rhythm.hear(sound, profile=profile) if profile else None
            out.write_bytes(pickle.dumps(HeardClip(clip, heard, harmonic)))


def heard_clips(cache: Path, prefix: str = "") -> Iterator[HeardClip]:
    """The clips of the cache whose folder name starts with `prefix`.

    Clips played with samples that the test split plays too are left out.
    """
    for path in sorted(cache.glob(f"{prefix}*.pickle")):
        # Our own files, written by hear_folder.
        item: HeardClip = pickle.loads(path.read_bytes())  # noqa: S301
        if not related_to_test(item.clip.soundfont):
            yield item
