"""The recorded signal played against simulated plug-ins: does the bid hold what it promises?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from v2g_nodes.core.types import FloatArray
from v2g_nodes.planning.market.score import SAMPLE_S, performance_score
from v2g_nodes.planning.market.signal_statistics import performance_index

HOUR_S = 3600.0


@dataclass(frozen=True)
class Replay:
    """Result over hours of the bid, hours of the signal and draws.

    Args:
        index_mean: performance index, mean.
        index_low: its quantile eta.
        share_met: share of cases with an index of at least 1 - eta.
    """

    index_mean: float
    index_low: float
    share_met: float


def replay_signal(
    bid_kw: FloatArray, vehicles: FloatArray, share: FloatArray, charger_kw: float, signal: FloatArray, eta: float,
    *, draws: int = 20, seed: int = 0,
) -> Replay:  # fmt: skip
    """Every hour of the plan with every recorded hour of the signal.

    Args:
        bid_kw: shape (hours,) [kW]. Hours without a bid are left out.
        vehicles: of each cluster, shape (clusters,).
        share: plugged in, shape (clusters, hours).
        charger_kw: that a vehicle follows the signal with [kW].
        signal: per unit of the bid, shape (recorded hours, samples).
        eta: share of the mileage that may be missed.
        draws: of plugged-in vehicles, per hour.
        seed: of the draws.
    """
    random = np.random.default_rng(seed)
    counts = np.round(vehicles).astype(np.int64)
    found = []
    for hour in np.flatnonzero(bid_kw > 0.0):
        plugged = random.binomial(counts[:, None], share[:, hour, None], (len(counts), draws)).sum(axis=0)
        found += [performance_index(signal, charger_kw * k / bid_kw[hour]) for k in plugged]
    index = np.concatenate(found) if found else np.ones(1)
    return Replay(float(index.mean()), float(np.quantile(index, eta)), float((index >= 1.0 - eta - 1e-12).mean()))


def replay_scores(
    bid_kw: FloatArray, vehicles: FloatArray, share: FloatArray, charger_kw: float, signal: FloatArray, *, seed: int = 0
) -> FloatArray:
    """Performance score (score.py) that each hour's bid gets on average, shape (hours,); NaN without a bid.

    Every recorded hour meets one draw of plugged-in vehicles, which follow it as far as their power goes.

    Args:
        bid_kw: shape (hours,) [kW].
        vehicles: of each cluster, shape (clusters,).
        share: plugged in, shape (clusters, hours).
        charger_kw: that a vehicle follows the signal with [kW].
        signal: per unit of the bid, shape (recorded hours, samples); steps divide 10 s.
        seed: of the draws.
    """
    random = np.random.default_rng(seed)
    counts = np.round(vehicles).astype(np.int64)
    found: FloatArray = np.full(len(bid_kw), np.nan)
    bins = round(HOUR_S / SAMPLE_S)
    for hour in np.flatnonzero(bid_kw > 0.0):
        plugged = random.binomial(counts[:, None], share[:, hour, None], (len(counts), len(signal))).sum(axis=0)
        reach = (charger_kw * plugged / bid_kw[hour])[:, None]
        given = np.clip(signal, -reach, reach).reshape(len(signal), bins, -1).mean(axis=2)
        asked = signal.reshape(len(signal), bins, -1).mean(axis=2)
        found[hour] = np.mean([performance_score(a, g).score for a, g in zip(asked, given, strict=True)])
    return found
