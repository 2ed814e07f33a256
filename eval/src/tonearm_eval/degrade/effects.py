"""What happens to music between the players and the file, one function each.

Each takes its own randomness and a take, and returns the take as it sounds afterwards.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
import numpy.typing as npt
import soxr
from scipy.signal import butter, fftconvolve, lfilter, sosfilt

from tonearm_eval.degrade.take import RATE_HZ, Take
from tonearm_eval.generator import beatless
from tonearm_eval.generator.degrade import noise, recoded, saturated
from tonearm_eval.generator.material import CLAP, HAT, KICK, OPEN, RIDE, SHAKER, SNARE
from tonearm_eval.generator.synth import hit

Effect = Callable[[np.random.Generator, Take, str], Take]
Split = str

PERCUSSION_DB: Final = (-10.0, 6.0)
NOISE_DB: Final = (-20.0, 0.0)
VOICE_DB: Final = (-8.0, 3.0)
DETUNE_CENTS: Final = 45.0
KITS: Final = {"dev": "kit_round", "test": "kit_hard"}
CODECS: Final[dict[Split, tuple[tuple[str, int], ...]]] = {
    "dev": (("mp3", 32), ("mp3", 48), ("mp3", 56)),
    "test": (("vorbis", 40), ("aac", 32), ("opus", 24)),
}
NOISES: Final[dict[Split, tuple[str, ...]]] = {
    "dev": ("white", "pink"),
    "test": ("brown", "hum"),
}
# Pass bands of poor copies and small loudspeakers, in hertz.
BANDS: Final = {
    "telephone": (300.0, 3_400.0), "wireless": (120.0, 4_500.0), "shellac": (180.0, 3_800.0),
    "no bass": (220.0, 20_000.0), "no treble": (20.0, 1_800.0), "little treble": (20.0, 3_200.0),
}  # fmt: skip
# One in how many sixteenths a drum of the added percussion plays, off the beat.
BUSY: Final = {KICK: 6, SNARE: 9, CLAP: 10, HAT: 2, OPEN: 6, RIDE: 3, SHAKER: 2}


def level(sound: npt.NDArray[np.floating]) -> float:
    """Root of the mean square; a millionth for silence."""
    return float(np.sqrt(np.mean(np.square(sound, dtype=np.float64)))) + 1e-6


def mixed(take: Take, other: npt.NDArray[np.floating], relative_db: float) -> Take:
    """The take with another sound of the same length, that much louder than the take."""
    gain = 10 ** (relative_db / 20) * level(take.sound) / level(other)
    return take.sounding(take.sound + gain * other)


def drive(rng: np.random.Generator, take: Take, split: Split) -> Take:
    """Overdrive, soft or hard, as of an amplifier or of a loud master: everything beats together."""
    normal = take.sound / (6 * level(take.sound))
    amount = float(np.exp(rng.uniform(np.log(2.0), np.log(20.0))))
    if rng.random() < 0.7:
        offset = rng.uniform(0, 0.3)
        out = saturated(normal[:, None] + np.float32(offset / amount), amount)[:, 0]
        return take.sounding(out - out.mean())
    return take.sounding(np.clip(normal * amount, -1, 1))


def squeeze(rng: np.random.Generator, take: Take, split: Split) -> Take:
    """A compressor that works hard, and breathes."""
    pole = float(np.exp(-1 / (rng.uniform(0.005, 0.12) * RATE_HZ)))
    power = lfilter([1 - pole], [1, -pole], np.square(take.sound, dtype=np.float64))
    ratio = rng.uniform(0.5, 0.95)
    gain = (power + 1e-4 * level(take.sound) ** 2) ** (-0.5 * ratio)
    return take.sounding(take.sound * gain)


def band(rng: np.random.Generator, take: Take, split: Split) -> Take:
    """A narrow band: telephone, wireless, old discs, small or muffled loudspeakers."""
    low, high = list(BANDS.values())[int(rng.integers(len(BANDS)))]
    scale = np.exp(rng.uniform(-0.2, 0.2))
    edges = [low * scale, min(high * scale, 0.45 * RATE_HZ)]
    sos = butter(int(rng.integers(1, 4)), edges, "bandpass", fs=RATE_HZ, output="sos")
    return take.sounding(sosfilt(sos, take.sound))


def tilt(rng: np.random.Generator, take: Take, split: Split) -> Take:
    """Too dull, too bright or hollow: up to 5 dB an octave, and three broad bells."""
    spectrum = np.fft.rfft(take.sound)
    octaves = np.log2(np.maximum(np.fft.rfftfreq(len(take.sound), 1 / RATE_HZ), 20.0) / 700.0)
    gain_db = rng.uniform(-5, 5) * octaves
    for _ in range(3):
        centre, width = rng.uniform(-4, 4), rng.uniform(0.3, 1.2)
        gain_db += rng.uniform(-12, 12) * np.exp(-0.5 * ((octaves - centre) / width) ** 2)
    return take.sounding(np.fft.irfft(spectrum * 10 ** (gain_db / 20), len(take.sound)))


def room(rng: np.random.Generator, take: Take, split: Split) -> Take:
    """A room's echoes: noise that dies away in .3 to 3 s, darker as it goes."""
    fall_s, before_s = np.exp(rng.uniform(np.log(0.3), np.log(3.0))), rng.uniform(0.002, 0.04)
    when = np.arange(round(min(1.2 * fall_s, 2.5) * RATE_HZ)) / RATE_HZ
    tail = rng.standard_normal(len(when)) * np.exp(-6.9 * when / fall_s)
    tail = sosfilt(butter(1, rng.uniform(1_500, 9_000), fs=RATE_HZ, output="sos"), tail)
    wet = fftconvolve(take.sound, tail)[: len(take.sound)]
    wet = np.pad(wet, (round(before_s * RATE_HZ), 0))[: len(take.sound)]
    return mixed(take, wet, float(rng.uniform(-8, 5)))


def percussion(rng: np.random.Generator, take: Take, split: Split) -> Take:
    """Drums on the sixteenths of the true beats, louder or softer than the music."""
    times = [t for t, _ in take.beats]
    if len(times) < 2:
        return take
    grid = np.interp(np.arange(4 * len(times) - 3) / 4, np.arange(len(times)), times)
    out = np.zeros(len(take.sound) + 2 * RATE_HZ, np.float32)
    period = 16 * int(rng.integers(1, 3))
    for key in rng.choice(list(BUSY), int(rng.integers(2, 5)), replace=False):
        on = rng.random(period) < 1 / BUSY[int(key)]
        on[:: 4 * int(rng.integers(1, 5))] = True
        stroke, size = hit(KITS[split], int(key)), rng.uniform(0.4, 1)
        for step, at_s in enumerate(grid):
            if on[step % period]:
                at = round(at_s * RATE_HZ)
                end = min(len(out), at + len(stroke))
                out[at:end] += size * rng.uniform(0.6, 1) * stroke[: end - at]
    return mixed(take, out[: len(take.sound)], float(rng.uniform(*PERCUSSION_DB)))


def hiss(rng: np.random.Generator, take: Take, split: Split) -> Take:
    """Noise of tape, street or mains."""
    kinds = NOISES[split]
    other = noise(rng, (len(take.sound), 1), kinds[int(rng.integers(len(kinds)))])[:, 0]
    return mixed(take, other, float(rng.uniform(*NOISE_DB)))


def voice(rng: np.random.Generator, take: Take, split: Split) -> Take:
    """Somebody speaks, raps or shouts over it, in no key."""
    babble = beatless.sound(rng, "babble", take.duration_s + 0.1)
    other = soxr.resample(babble, beatless.RATE_HZ, RATE_HZ)[: len(take.sound)]
    return mixed(take, other, float(rng.uniform(*VOICE_DB)))


def detune(rng: np.random.Generator, take: Take, split: Split) -> Take:
    """A tape that runs fast or slow, so that the music is 8 to 45 cents off pitch, whatever it was."""
    cents = float(rng.uniform(8, DETUNE_CENTS) * rng.choice([-1, 1]))
    return take.faster(2 ** ((cents - take.tuning_cents) / 1200))


def wow(rng: np.random.Generator, take: Take, split: Split) -> Take:
    """Pitch that sways slowly as of a bent disc, or trembles as of a worn tape."""
    hz = rng.uniform(0.4, 1.2) if rng.random() < 0.6 else rng.uniform(4, 7)
    swing_cents = rng.uniform(10, 40)
    when = np.arange(len(take.sound)) / RATE_HZ
    sway_s = swing_cents / 1731 / (2 * np.pi * hz)
    moved = when + sway_s * np.sin(2 * np.pi * hz * when + rng.uniform(0, 2 * np.pi))
    return take.sounding(np.interp(moved, when, take.sound))


def copy(rng: np.random.Generator, take: Take, split: Split) -> Take:
    """A lossy copy at a low rate."""
    codec, kbps = CODECS[split][int(rng.integers(len(CODECS[split])))]
    stereo = np.stack([take.sound, take.sound], axis=1) / np.float32(8 * level(take.sound))
    return take.sounding(recoded(stereo, codec, kbps).mean(axis=1))


# In the order in which they happen to a record.
EFFECTS: Final[dict[str, Effect]] = {
    "drive": drive,
    "percussion": percussion,
    "voice": voice,
    "room": room,
    "squeeze": squeeze,
    "tilt": tilt,
    "hiss": hiss,
    "wow": wow,
    "detune": detune,
    "band": band,
    "copy": copy,
}
