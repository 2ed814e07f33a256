"""One pass over the recording, and the stages that it feeds."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from tonearm_analysis.engine.blocks import Block, BlockMaker
from tonearm_analysis.engine.decoding import (
    Source,
    SourceFormat,
    blocks_of,
    check_duration,
    open_source,
)
from tonearm_analysis.engine.errors import AudioError
from tonearm_analysis.engine.hearing import Hearing
from tonearm_analysis.engine.identity import PcmHash
from tonearm_analysis.engine.limits import Limits
from tonearm_analysis.engine.loudness import LoudnessCollector
from tonearm_analysis.engine.memory import Tidier, give_back
from tonearm_analysis.engine.music import Span
from tonearm_analysis.engine.numerics import one_thread
from tonearm_analysis.engine.parameters import SPECTRAL_PACE, Parameters
from tonearm_analysis.engine.rounding import rounded
from tonearm_analysis.engine.sound import Sound
from tonearm_analysis.engine.spectral import SpectralCollector
from tonearm_analysis.engine.stagerun import StageRun
from tonearm_analysis.engine.stages import STAGES, StageResult
from tonearm_analysis.engine.waveform import WaveformCollector


def analyze_stages(
    path: Path, *, parameters: Parameters, stage_timeout_s: float | None, limits: Limits
) -> Iterator[StageResult]:
    """Yield the result of each stage, in the order of STAGES. See `engine.analyze`."""
    analysis = _Analysis(parameters, stage_timeout_s=stage_timeout_s)
    with one_thread():
        properties = analysis.decode(path, limits=limits)
    yield analysis.result("properties", lambda: properties)
    for stage, finish in analysis.finishers():
        with one_thread():
            result = analysis.result(stage, finish)
        yield result


class _Analysis:
    """The collectors of one recording and what each of them cost."""

    def __init__(self, parameters: Parameters, *, stage_timeout_s: float | None) -> None:
        self._parameters = parameters
        self._runs = {stage: StageRun(stage, timeout_s=stage_timeout_s) for stage in STAGES}
        # Decoding is bounded by the limits; a deadline in its midst would falsify every stage.
        self._runs["properties"] = StageRun("properties", timeout_s=None)
        self._hearing = Hearing(
            parameters, rhythm=self._runs["rhythm"], harmony=self._runs["harmony"]
        )

    def decode(self, path: Path, *, limits: Limits) -> dict[str, Any]:
        """Read the recording once, feed the collectors, return the part `properties`."""
        start_s = time.perf_counter()
        with open_source(path, limits=limits) as source:
            self._open_collectors(source.format)
            maker = BlockMaker(
                sample_rate_hz=source.format.sample_rate_hz, channels=source.format.channels
            )
            pcm_hash = PcmHash(
                sample_rate_hz=source.format.sample_rate_hz, channels=source.format.channels
            )
            for frames in blocks_of(path, source):
                block = maker.make(frames)
                pcm_hash.feed(block.frames)
                check_duration(maker.frames, source.format.sample_rate_hz, limits)
                self._feed(block)
            if not maker.frames:
                raise _no_samples(source)
            self._feed(maker.last())
            self._span = Span(self._sound.start_s, maker.frames / source.format.sample_rate_hz)
        others_s = sum(run.duration_s for run in self._runs.values())
        self._runs["properties"].duration_s = time.perf_counter() - start_s - others_s
        return _properties(path, source, maker, pcm_hash.hexdigest())

    def finishers(self) -> Iterator[tuple[str, Callable[[], dict[str, Any]]]]:
        """Yield what completes each stage after decoding, in order."""
        yield "waveform", self._waveform.finish
        yield "loudness", self._loudness.finish
        yield "spectral", self._spectral.finish
        with one_thread():
            self._hearing.end_harmony()
            self._tidy()
            self._hearing.end_rhythm()
        yield "rhythm", lambda: self._hearing.rhythm(self._span)
        yield "harmony", lambda: self._hearing.harmony(self._span)

    def result(self, stage: str, finish: Callable[[], dict[str, Any]]) -> StageResult:
        """Complete a stage."""
        run = self._runs[stage]
        value = run.work(lambda: rounded(finish()))
        self._tidy()
        return StageResult(
            stage=stage,
            index=STAGES.index(stage) + 1,
            total=len(STAGES),
            duration_s=run.duration_s,
            value=value if run.error is None else None,
            error=run.error,
        )

    def _tidy(self) -> None:
        if self._tidier.is_long:
            give_back()

    def _open_collectors(self, format: SourceFormat) -> None:
        rate, channels = format.sample_rate_hz, format.channels
        self._tidier = Tidier(sample_rate_hz=rate)
        self._sound = Sound(sample_rate_hz=rate)
        self._waveform = WaveformCollector(sample_rate_hz=rate)
        self._loudness = LoudnessCollector(sample_rate_hz=rate, channels=channels)
        self._spectral = SpectralCollector(
            sample_rate_hz=rate, pace=SPECTRAL_PACE[self._parameters.profile]
        )

    def _feed(self, block: Block) -> None:
        self._runs["waveform"].work(partial(self._waveform.feed, block))
        self._runs["loudness"].work(partial(self._loudness.feed, block))
        self._runs["spectral"].work(partial(self._spectral.feed, block))
        for samples in self._sound.feed(block):
            self._hearing.push(samples)
        self._tidier.heard(len(block.frames))


def _no_samples(source: Source) -> AudioError:
    if source.format.frames_stated or source.truncated:
        return AudioError("truncated", "The header promises audio, but none of it decodes.")
    return AudioError("empty", "The recording has no samples.")


def _properties(path: Path, source: Source, maker: BlockMaker, pcm_sha256: str) -> dict[str, Any]:
    format, warnings = source.format, list(source.warnings)
    duration_s = maker.frames / format.sample_rate_hz
    size_bytes = path.stat().st_size
    if source.truncated:
        warnings.insert(0, "The file ends before its header says; what decodes was analysed.")
    if maker.non_finite_samples:
        warnings.append(f"Samples that are not numbers count as zero: {maker.non_finite_samples}.")
    return {
        "duration_s": duration_s,
        "frames": maker.frames,
        "sample_rate_hz": format.sample_rate_hz,
        "channels": format.channels,
        "format": format.format,
        "codec": format.codec,
        "bit_depth": format.bit_depth,
        "bitrate_bps": round(size_bytes * 8 / duration_s),
        "size_bytes": size_bytes,
        "lossless": format.lossless,
        "decoder": format.decoder,
        "truncated": source.truncated,
        "non_finite_samples": maker.non_finite_samples,
        "warnings": warnings,
        "pcm_sha256": pcm_sha256,
    }
