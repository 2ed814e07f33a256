"""What runs in a worker process: `python -m tonearm_analysis.adapters.engine_process`.

Reads one JSON request per line from standard input, writes one JSON message per line to what
was standard output. Whatever the audio libraries print goes to standard error, so it can never
be taken for a message. One numeric thread; memory bounded by the kernel.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import tempfile
import wave
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

from tonearm_analysis import engine

_WARM_UP_HZ = 22050


def serve(requests: TextIO, messages: TextIO) -> None:
    """Answer every request with its stages, then with the whole result or an error."""
    for line in requests:
        for message in _answer(json.loads(line)):
            messages.write(json.dumps(message, separators=(",", ":")) + "\n")
            messages.flush()


def warm_up() -> None:
    """Analyse a second of a quiet click track, so that code and models are loaded before work."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "clicks.wav")
        with wave.open(str(path), "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(_WARM_UP_HZ)
            file.writeframes((b"\x00\x10" * 100 + bytes(_WARM_UP_HZ - 200)) * 2)
        for _ in engine.analyze(path):
            pass


def _answer(request: dict[str, Any]) -> Iterator[dict[str, Any]]:
    stages: list[engine.StageResult] = []
    parameters = engine.Parameters.from_dict(request["parameters"])
    try:
        for stage in engine.analyze(
            Path(request["path"]),
            parameters=parameters,
            stage_timeout_s=request["stage_timeout_s"],
        ):
            stages.append(stage)
            yield {
                "kind": "stage",
                "name": stage.stage,
                "position": stage.index,
                "total": stage.total,
                "duration_s": stage.duration_s,
                "result": stage.value or {},
                "error": stage.error,
            }
        result = engine.assemble(stages, parameters=parameters)
    except engine.AudioError as error:
        yield {"kind": "rejected", "code": error.code, "reason": str(error)}
        return
    yield {
        "kind": "result",
        "result_id": result.result_id,
        "result": result.model_dump(mode="json"),
        "summary": result.summary().model_dump(mode="json"),
        "engine_duration_s": sum(stage.duration_s for stage in stages),
        "complete": all(stage.error is None for stage in stages),
    }


def main() -> None:
    """Bound the memory, keep the message pipe for messages only, then serve until it closes."""
    memory_bytes_max = int(sys.argv[1])
    resource.setrlimit(resource.RLIMIT_DATA, (memory_bytes_max, memory_bytes_max))
    messages = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    warm_up()
    serve(sys.stdin, messages)


if __name__ == "__main__":
    main()
