"""The engine: what is in a recording. A library of its own.

No network, no clock in results, no I/O but decoding. Importing this package is cheap; the
numeric stack loads with the first analysis.

    for part in analyze(Path("song.mp3")):
        print(part.stage, part.value)

    result = analyze_whole(Path("song.mp3"), parameters=Parameters(profile="fast"))
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tonearm_analysis.engine.errors import (
    AUDIO_ERROR_CODES,
    AudioError,
    EngineError,
    ParameterError,
)
from tonearm_analysis.engine.limits import DEFAULT_LIMITS, Limits
from tonearm_analysis.engine.parameters import Parameters
from tonearm_analysis.engine.stages import STAGES, StageResult
from tonearm_analysis.engine.version import ENGINE_VERSION

if TYPE_CHECKING:
    from tonearm_contracts.analysis_result import AnalysisResult

__all__ = [
    "AUDIO_ERROR_CODES",
    "DEFAULT_LIMITS",
    "ENGINE_VERSION",
    "STAGES",
    "AudioError",
    "EngineError",
    "Limits",
    "ParameterError",
    "Parameters",
    "StageResult",
    "analyze",
    "analyze_whole",
    "assemble",
    "in_tempo_range",
    "result_id",
]

_DEFAULT_PARAMETERS = Parameters()


def analyze(
    source: Path,
    *,
    parameters: Parameters = _DEFAULT_PARAMETERS,
    stage_timeout_s: float | None = None,
    limits: Limits = DEFAULT_LIMITS,
) -> Iterator[StageResult]:
    """Yield one result per stage of STAGES, in that order, each as soon as it is known.

    stage_timeout_s: time for each stage alone; a stage that needs more ends with `error` set.
    Raises AudioError (before the first result) when the file cannot be analysed at all, and
    OSError when it cannot be read.
    """
    from tonearm_analysis.engine.pipeline import analyze_stages

    yield from analyze_stages(
        source, parameters=parameters, stage_timeout_s=stage_timeout_s, limits=limits
    )


def analyze_whole(
    source: Path,
    *,
    parameters: Parameters = _DEFAULT_PARAMETERS,
    stage_timeout_s: float | None = None,
    limits: Limits = DEFAULT_LIMITS,
) -> AnalysisResult:
    """Drive `analyze` to its end and return the assembled result."""
    parts = analyze(source, parameters=parameters, stage_timeout_s=stage_timeout_s, limits=limits)
    return assemble(parts, parameters=parameters)


def assemble(parts: Iterable[StageResult], *, parameters: Parameters) -> AnalysisResult:
    """Return the whole result from the parts that `analyze` yielded with these parameters."""
    from tonearm_analysis.engine.assembly import assemble as put_together

    return put_together(parts, parameters=parameters)


def in_tempo_range(
    rhythm: Mapping[str, Any], tempo_range_bpm: tuple[float, float]
) -> dict[str, Any]:
    """Return part `rhythm` of a finished result with the tempi inside the range ranked first.

    tempo_range_bpm: (low, high) in 20-400. Nothing is heard again: beats and bars of the tempo
    that is first now follow from those at hand, probabilities stay. Where the first one lies
    inside already, or none does, the part is the same. Raises ParameterError for no such range.
    """
    from tonearm_analysis.engine.music import rhythm_in_range

    Parameters(tempo_range_bpm=tempo_range_bpm)
    return rhythm_in_range(rhythm, tempo_range_bpm)


def result_id(pcm_sha256: str, parameters: Parameters) -> str:
    """Return the id of the result that this engine gives for these decoded samples."""
    from tonearm_analysis.engine.identity import result_id as identify

    return identify(pcm_sha256, parameters)
