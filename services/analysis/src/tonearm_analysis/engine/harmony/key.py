"""Which key: pitch-class means weighed by degree, a soft-max over 24 keys."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from tonearm_analysis.engine.models import read_numbers

Doubles = npt.NDArray[np.float64]
WEIGHTS: Final = "key_weights"


def key_scores(features: dict[str, Doubles]) -> Doubles:
    """Score of each of 24 keys (12 major from C, 12 minor); their soft-max is the probability.

    features: twelve numbers from C upwards under each name of the weights file; scaled here.
    """
    weights: dict[str, Any] = read_numbers(WEIGHTS)
    stacked = np.stack([_scaled(features[name]) for name in weights["features"]], axis=1)
    turned = np.stack([np.roll(stacked, -tonic, axis=0) for tonic in range(12)])
    major = np.einsum("tdf,df->t", turned, np.array(weights["major"]))
    minor = np.einsum("tdf,df->t", turned, np.array(weights["minor"])) + weights["minor_bias"]
    return np.concatenate([major, minor])


def _scaled(values: Doubles) -> Doubles:
    return np.asarray(values / (values.mean() + 1e-9), np.float64)


def probabilities(scores: Doubles) -> Doubles:
    """Soft-max."""
    weight = np.exp(scores - scores.max())
    return np.asarray(weight / weight.sum(), np.float64)
