"""What is heard is the same samples in the same chunks, whatever silence lies around them."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from tonearm_analysis.engine.blocks import LOW_RATE_HZ, BlockMaker
from tonearm_analysis.engine.sound import CHUNK_SAMPLES, Sound

Floats = NDArray[np.float32]


def heard(
    mono: Floats, *, rate_hz: int = 44_100, block_frames: int = 65_536
) -> tuple[list[Floats], Sound]:
    maker, sound = BlockMaker(sample_rate_hz=rate_hz, channels=1), Sound(sample_rate_hz=rate_hz)
    buffer = np.empty((block_frames, 1), np.float32)
    chunks: list[Floats] = []
    for start in range(0, len(mono), block_frames):
        some = mono[start : start + block_frames, None]
        buffer[: len(some)] = some  # overwritten by the next block, as decoders do
        chunks += sound.feed(maker.make(buffer[: len(some)]))
    chunks += sound.feed(maker.last())
    return chunks, sound


@pytest.fixture(scope="module")
def noise() -> Floats:
    return np.random.default_rng(3).standard_normal(300_001, dtype=np.float32)


def zeros(frames: int) -> Floats:
    return np.zeros(frames, np.float32)


@pytest.mark.parametrize("rate_hz", [44_100, 48_000, 22_050, 96_000, 11_025])
@pytest.mark.parametrize(("lead", "trail"), [(1, 0), (0, 1), (65_537, 200_000), (333, 7)])
def test_silence_around_leaves_the_same_chunks(
    noise: Floats, rate_hz: int, lead: int, trail: int
) -> None:
    plain, _ = heard(noise, rate_hz=rate_hz)
    framed = np.concatenate([zeros(lead), noise, zeros(trail)])
    found, sound = heard(framed, rate_hz=rate_hz)
    assert sound.start_s == lead / rate_hz
    assert len(found) == len(plain)
    for before, after in zip(plain, found, strict=True):
        assert np.array_equal(before, after)


@pytest.mark.parametrize("rate_hz", [44_100, 48_000, 22_050])
@pytest.mark.parametrize("lead", [0, 1, 70_001])
def test_the_low_rate_signal_begins_with_as_much_silence_as_the_recording(
    noise: Floats, rate_hz: int, lead: int
) -> None:
    maker = BlockMaker(sample_rate_hz=rate_hz, channels=1)
    samples = np.concatenate([zeros(lead), noise])[:, None]
    blocks = [maker.make(part) for part in np.array_split(samples, 9)] + [maker.last()]
    low = np.concatenate([block.low for block in blocks])
    silent = lead * LOW_RATE_HZ // rate_hz
    assert sum(block.low_lead for block in blocks) == silent
    assert not low[:silent].any()
    assert low[silent]
    assert abs(len(low) - len(samples) * LOW_RATE_HZ / rate_hz) <= 1


@pytest.mark.parametrize("rate_hz", [44_100, 48_000, 22_050])
def test_silence_between_sounds_is_kept(noise: Floats, rate_hz: int) -> None:
    mono = np.concatenate([noise, zeros(1_000_003), noise])
    maker = BlockMaker(sample_rate_hz=rate_hz, channels=1)
    whole = np.concatenate([maker.make(mono[:, None]).low, maker.last().low])
    chunks, _ = heard(mono, rate_hz=rate_hz)
    assert np.array_equal(np.concatenate(chunks), whole)


def test_all_chunks_but_the_last_are_full(noise: Floats) -> None:
    chunks, _ = heard(noise, block_frames=10_000)
    assert {len(chunk) for chunk in chunks[:-1]} == {CHUNK_SAMPLES}
    assert sum(map(len, chunks)) == -(-len(noise) * LOW_RATE_HZ // 44_100)


@pytest.mark.parametrize("frames", [0, 1, 100_000])
def test_silence_alone_is_nothing_to_hear(frames: int) -> None:
    chunks, sound = heard(zeros(frames))
    assert chunks == []
    assert sound.start_frame == frames


def test_hours_of_silence_are_held_as_a_number(noise: Floats) -> None:
    maker, sound = BlockMaker(sample_rate_hz=44_100, channels=1), Sound(sample_rate_hz=44_100)
    for samples in (noise, *[zeros(65_536)] * 200):
        list(sound.feed(maker.make(samples[:, None])))
    assert sum(piece.size for piece in sound._held if not isinstance(piece, int)) < 65_536
