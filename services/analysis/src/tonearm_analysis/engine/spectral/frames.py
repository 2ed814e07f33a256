"""Centred frames of a streamed signal: librosa's framing without the whole signal in memory."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from tonearm_analysis.engine.blocks import Floats

FRAME_LENGTH = 2048
HOP_LENGTH = 512
BATCH_FRAMES = 96
"""Frames that are worked on at once: 768 KiB of samples, which stay in a processor's cache."""
_HALF = FRAME_LENGTH // 2


class CentredFrames:
    """Cuts a signal into frames of FRAME_LENGTH every HOP_LENGTH, as if zeros surrounded it.

    Frame t is centred on sample t * HOP_LENGTH; n samples give 1 + n // HOP_LENGTH frames.
    """

    def __init__(self) -> None:
        self._held: Floats = np.zeros(_HALF, dtype=np.float32)

    def feed(self, samples: Floats, *, is_last: bool) -> Iterator[Floats]:
        """Yield the samples behind each batch of BATCH_FRAMES frames that is now complete.

        `framed` cuts them. Only the last batch of the signal may have fewer frames. The samples
        of neighbouring batches overlap: read, do not write.
        """
        parts = [self._held, samples]
        if is_last:
            parts.append(np.zeros(_HALF, dtype=np.float32))
        held = np.concatenate(parts)
        count = max(0, (len(held) - FRAME_LENGTH) // HOP_LENGTH + 1)
        if not is_last:
            count -= count % BATCH_FRAMES
        for start in range(0, count, BATCH_FRAMES):
            stop = min(start + BATCH_FRAMES, count)
            yield held[start * HOP_LENGTH : (stop - 1) * HOP_LENGTH + FRAME_LENGTH]
        self._held = held[count * HOP_LENGTH :]


def framed(samples: Floats) -> Floats:
    """Return the frames of a batch, shape (n, FRAME_LENGTH): views that overlap."""
    # What sliding_window_view returns, without the checks that cost more than the view.
    shape = ((len(samples) - FRAME_LENGTH) // HOP_LENGTH + 1, FRAME_LENGTH)
    step = samples.strides[0]
    return np.ndarray(shape, np.float32, samples, strides=(HOP_LENGTH * step, step))
