"""The signal that rhythm and harmony hear: from the first sound to the last, at LOW_RATE_HZ.

Digital silence around a recording is no part of its music. Samples of zero before the first sound
and after the last one are counted at the rate of the source, and resampling begins with the first
sound, so that any number of them leaves the same samples in the same chunks, and everything heard
in them the same to the bit.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Final

import numpy as np

from tonearm_analysis.engine.blocks import LOW_RATE_HZ, Block, Floats

CHUNK_SAMPLES: Final = 1 << 15
"""Every chunk but the last holds so many samples, counted from the first sound."""


class Sound:
    """Cuts the digital silence off both ends of a recording, block by block.

    start_frame: the first frame that is not zero, at the source's rate; so far all frames.
    """

    def __init__(self, *, sample_rate_hz: int) -> None:
        self._rate_hz = sample_rate_hz
        self._has_begun = False
        self.start_frame = 0
        self._end_frame = 0
        # Low-rate samples not handed out yet; a number stands for so many zeros.
        self._held: deque[Floats | int] = deque()
        self._done_samples = 0

    @property
    def start_s(self) -> float:
        """Seconds of digital silence before the first sound."""
        return self.start_frame / self._rate_hz

    def feed(self, block: Block) -> Iterator[Floats]:
        """Add a block; yield the chunks that are complete and known to lie before a sound."""
        first, behind = _sounding(block.mono)
        if not self._has_begun:
            self._has_begun = first < len(block.mono)
            self.start_frame += first
        if not self._has_begun:
            return
        if behind:
            self._end_frame = block.start_frame + behind
        low = block.low[block.low_lead :]
        if len(low):
            # Hours of silence between two sounds are held as a number.
            self._held.append(low if behind or low.any() else len(low))
        yield from self._chunks(is_last=block.is_last)
        if self._rate_hz == LOW_RATE_HZ and self._held and not isinstance(self._held[-1], int):
            self._held[-1] = self._held[-1].copy()  # the block's own until the next one

    def _chunks(self, *, is_last: bool) -> Iterator[Floats]:
        """Yield what lies before the last sound, in whole chunks until the recording ends."""
        frames = self._end_frame - self.start_frame
        # The resampler's own count: to the nearest sample, a half up.
        samples = (2 * frames * LOW_RATE_HZ + self._rate_hz) // (2 * self._rate_hz)
        least = 1 if is_last else CHUNK_SAMPLES
        while (left := min(samples - self._done_samples, self._held_samples())) >= least:
            chunk = self._take(min(left, CHUNK_SAMPLES))
            self._done_samples += len(chunk)
            yield chunk

    def _held_samples(self) -> int:
        return sum(piece if isinstance(piece, int) else len(piece) for piece in self._held)

    def _take(self, samples: int) -> Floats:
        out = np.zeros(samples, np.float32)
        done = 0
        while done < samples:
            piece, room = self._held.popleft(), samples - done
            if isinstance(piece, int):
                used = min(piece, room)
                if piece > used:
                    self._held.appendleft(piece - used)
            else:
                used = min(len(piece), room)
                out[done : done + used] = piece[:used]
                if len(piece) > used:
                    self._held.appendleft(piece[used:])
            done += used
        return out


def _sounding(mono: Floats) -> tuple[int, int]:
    """Return the first sample that is not zero, and the one behind the last; (n, 0) without any."""
    n = len(mono)
    if n and mono[0] and mono[-1]:
        return 0, n
    loud = np.flatnonzero(mono)
    return (int(loud[0]), int(loud[-1]) + 1) if len(loud) else (n, 0)
