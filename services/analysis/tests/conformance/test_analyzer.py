"""What every analyzer must do, the fake's and the pool of worker processes alike."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tonearm_analysis.adapters.worker_pool import PoolSettings, WorkerPool
from tonearm_analysis.domain.errors import NotAnalysable
from tonearm_analysis.usecases.ports import Analyzer, Finished


@pytest.fixture(params=["fake", pytest.param("pool", marks=pytest.mark.integration)])
async def subject(
    request: pytest.FixtureRequest, analyzer: Analyzer, pool_settings: PoolSettings
) -> AsyncIterator[Analyzer]:
    if request.param == "fake":
        yield analyzer
        return
    async with WorkerPool.open(pool_settings) as pool:
        yield pool


async def run(subject: Analyzer, path: Path, **parameters: Any) -> list[Any]:
    return [step async for step in subject.analyze(path, parameters=subject.canonical(parameters))]


class TestAnalyzer:
    async def test_stages_come_in_order_and_the_whole_comes_last(
        self, subject: Analyzer, tone: Path
    ) -> None:
        *stages, last = await run(subject, tone)

        assert [stage.position for stage in stages] == list(range(1, len(stages) + 1))
        assert {stage.total for stage in stages} == {len(stages)}
        assert isinstance(last, Finished)
        assert last.outcome.summary["duration_s"] > 0  # type: ignore[operator]

    async def test_what_is_not_audio_is_refused_and_the_next_file_is_not(
        self, subject: Analyzer, tone: Path, tmp_path: Path
    ) -> None:
        text = tmp_path / "song.mp3"
        text.write_text("not a song at all\n" * 100)

        with pytest.raises(NotAnalysable) as caught:
            await run(subject, text)
        assert caught.value.reason_code == "not_audio"

        assert isinstance((await run(subject, tone))[-1], Finished)

    async def test_defaults_complete_the_parameters(self, subject: Analyzer) -> None:
        assert subject.canonical({}) == subject.canonical({"profile": "full"})

    async def test_unknown_profiles_are_refused(self, subject: Analyzer) -> None:
        with pytest.raises(NotAnalysable) as caught:
            subject.canonical({"profile": "psychic"})
        assert caught.value.reason_code == "invalid_parameters"
