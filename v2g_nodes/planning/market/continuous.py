"""Rebates of any size: gradient ascent with the exact sensitivities of the drivers, from a few starts."""

from __future__ import annotations

import numpy as np

from v2g_nodes.core.types import FloatArray
from v2g_nodes.planning.market.platform import Platform

STARTS = (0.0, 0.3, 0.7)  # of the largest rebate


def best_rebates(platform: Platform, rebate_max: float, starts: tuple[float, ...] = STARTS) -> FloatArray:
    """Rebates in [0, rebate_max] of locally largest profit, the best of some starts, shape (hours,) [USD/h]."""
    from scipy.optimize import minimize

    scale = platform.monthly

    def loss(rebates: FloatArray) -> tuple[float, FloatArray]:
        outcome = platform.evaluate(rebates)
        return -scale * float(outcome.profit[0]), -scale * platform.gradient(rebates, outcome)

    ends = [minimize(loss, np.full(platform.hours, share * rebate_max), jac=True, method="L-BFGS-B",
                     bounds=[(0.0, rebate_max)] * platform.hours, options={"maxiter": 500, "ftol": 1e-13, "gtol": 1e-9})
            for share in (starts if rebate_max > 0.0 else (0.0,))]  # fmt: skip
    best: FloatArray = min(ends, key=lambda end: float(end.fun)).x
    return best
