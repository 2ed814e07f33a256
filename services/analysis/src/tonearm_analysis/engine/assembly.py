"""From the parts of an analysis to its result."""

from __future__ import annotations

from collections.abc import Iterable

from tonearm_analysis.engine.identity import result_id
from tonearm_analysis.engine.parameters import Parameters
from tonearm_analysis.engine.stages import StageResult
from tonearm_analysis.engine.version import ENGINE_VERSION
from tonearm_contracts.analysis_result import AnalysisResult


def assemble(parts: Iterable[StageResult], *, parameters: Parameters) -> AnalysisResult:
    """Return the whole result of an analysis whose parts were streamed.

    The first part, `properties`, must be there: it names what was decoded.
    """
    values, errors, timings_s = {}, {}, {}
    for part in parts:
        timings_s[part.stage] = part.duration_s
        if part.error is not None:
            errors[part.stage] = part.error
        elif part.value is not None:
            values[part.stage] = part.value
    pcm_sha256: str = values["properties"]["pcm_sha256"]
    return AnalysisResult.model_validate(
        {
            "result_id": result_id(pcm_sha256, parameters),
            "engine_version": ENGINE_VERSION,
            "parameters": parameters.canonical(),
            "pcm_sha256": pcm_sha256,
            "errors": errors,
            "timings_s": timings_s,
            **values,
        }
    )
