"""What the grid wants: a load that changes little from slot to slot (smoothing) or keeps to its mean (flattening)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from v2g_nodes.core.types import FloatArray


def wish(slots: int, smoothing: float) -> FloatArray:
    """Matrix K of the grid's objective 1/2 P'KP, shape (slots, slots).

    (K P)_t = beta (2 P_t - P_t-1 - P_t+1) + (1 - beta)(P_t - mean P), one-sided at both ends (the bracket of the
    source's equation 22).

    Args:
        slots: number of slots.
        smoothing: beta, 0 to 1.
    """
    step = np.diff(np.eye(slots), axis=0)
    result: FloatArray = smoothing * step.T @ step + (1.0 - smoothing) * (np.eye(slots) - 1.0 / slots)
    return result


@dataclass(frozen=True)
class Grid:
    """The grid as a group of vehicles sees it.

    Args:
        base: load without the group [kWh or kvarh per slot], shape (slots,).
        matrix: K, shape (slots, slots); zero for a group that does not care.
    """

    base: FloatArray
    matrix: FloatArray

    def value(self, fleet: FloatArray) -> float:
        """Objective at a load of the group, shape (slots,)."""
        total = self._around_mean(fleet)
        return float(0.5 * total @ self.matrix @ total)

    def slope(self, fleet: FloatArray) -> FloatArray:
        """Its slope, shape (slots,)."""
        result: FloatArray = self.matrix @ self._around_mean(fleet)
        return result

    def _around_mean(self, fleet: FloatArray) -> FloatArray:
        """The load less its mean, which K does not see but rounding would."""
        total = self.base + fleet
        result: FloatArray = total - np.mean(total)
        return result


def roughness(load: FloatArray) -> float:
    """Sum of the squared steps from slot to slot."""
    return float(np.sum(np.diff(load) ** 2))
