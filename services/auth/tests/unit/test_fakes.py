"""The fakes keep the promises of the ports."""

from __future__ import annotations

import pytest

from services.auth.tests.conformance import RateStatesConformance, StoreConformance
from services.auth.tests.fakes import FakeRateStates, FakeStore
from tonearm_auth.domain.flag import Flag
from tonearm_auth.usecases.ports import Begin, RateStates
from tonearm_kit.testing.clock import FixedClock


class TestFakeStore(StoreConformance):
    @pytest.fixture
    def begin(self) -> Begin:
        store = FakeStore()
        for key in ("ai-genres", "ai-moods"):
            store.tx.flags.rows[key] = Flag(
                key=key,
                description="",
                is_enabled=True,
                audience="everyone",
                percentage=100,
                has_overrides=False,
            )
        return store.begin


class TestFakeRateStates(RateStatesConformance):
    @pytest.fixture
    def states(self, fixed_clock: FixedClock) -> RateStates:
        return FakeRateStates(fixed_clock)
