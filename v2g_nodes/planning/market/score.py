"""PJM's performance score of an hour of regulation: accuracy, delay and precision, a third each.

On samples of 10 s, with x the signal and r the response in kW (after PJM Manual 12):

    corr(d)   = correlation of x(t) and r(t + d), d = 0, 10, ..., 300 s
    accuracy  = max over d of corr(d), at least 0
    delay     = |d* - 300 s| / 300 s, d* where the maximum is reached
    precision = 1 - mean |r - x| / mean |x|, at least 0
    score     = (accuracy + delay + precision) / 3

A signal or response that does not move has no correlation: accuracy is then 1 where both are equal, else 0.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from v2g_nodes.core.errors import InputError
from v2g_nodes.core.types import FloatArray

SAMPLE_S, DELAY_MAX_S = 10.0, 300.0


@dataclass(frozen=True)
class Score:
    """Parts of the score, each 0 to 1, and the delay that was found [s]."""

    accuracy: float
    delay: float
    precision: float
    delay_s: float

    @property
    def score(self) -> float:
        """Mean of the three."""
        return (self.accuracy + self.delay + self.precision) / 3.0


def performance_score(signal_kw: FloatArray, response_kw: FloatArray) -> Score:
    """Score of a response.

    Args:
        signal_kw: asked for, one value per 10 s, shape (samples,) [kW].
        response_kw: delivered, shape (samples,) [kW].

    Raises:
        InputError: different lengths, no more samples than the longest delay, a value that is not finite.
    """
    delays = int(DELAY_MAX_S / SAMPLE_S)
    if signal_kw.shape != response_kw.shape or signal_kw.ndim != 1 or len(signal_kw) <= delays + 1:
        raise InputError(f"signal and response have shapes {signal_kw.shape} and {response_kw.shape}, allowed are "
                         f"equal ones of more than {delays + 1} samples")  # fmt: skip
    if not (np.isfinite(signal_kw).all() and np.isfinite(response_kw).all()):
        raise InputError("signal or response has a value that is not finite, allowed are finite numbers")
    count = len(signal_kw) - delays  # the same samples of the signal for every delay
    correlations = [_correlation(signal_kw[:count], response_kw[d : d + count]) for d in range(delays + 1)]
    best = int(np.argmax(correlations))  # the first one, so the shortest delay, where several are equal
    size = float(np.abs(signal_kw).mean())
    missed = float(np.abs(response_kw - signal_kw).mean())
    precision = 1.0 - missed / size if size > 0.0 else float(missed == 0.0)
    return Score(max(correlations[best], 0.0), 1.0 - best / delays, max(precision, 0.0), best * SAMPLE_S)


def _correlation(one: FloatArray, other: FloatArray) -> float:
    a, b = one - one.mean(), other - other.mean()
    size = float(np.sqrt((a @ a) * (b @ b)))
    return float(a @ b) / size if size > 0.0 else float(np.array_equal(one, other))
