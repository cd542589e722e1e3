"""The barrier that keeps a strategy between its limits, as a convex potential, its slope B and its curvature.

B(x) = 1/(high - x) - 1/(x - low) rises from minus to plus infinity and is zero in the middle. Its integral is
normalised to zero in the middle, so it is never negative: lowering the barrier's weight can only lower the storage
function.
"""

from __future__ import annotations

import numpy as np

from v2g_nodes.core.types import FloatArray


def potential(x: FloatArray, low: FloatArray, high: FloatArray) -> FloatArray:
    """Integral of B from the middle, at least 0; infinite at and beyond the limits. Arguments broadcast."""
    share = (high - x) / (high - low) * ((x - low) / (high - low)) * 4.0
    inside = (x > low) & (x < high)
    result: FloatArray = np.where(inside, -np.log(np.where(inside, share, 1.0)), np.inf)
    return result


def slope(x: FloatArray, low: FloatArray, high: FloatArray) -> FloatArray:
    """B(x) between the limits."""
    return 1.0 / (high - x) - 1.0 / (x - low)


def curvature(x: FloatArray, low: FloatArray, high: FloatArray) -> FloatArray:
    """B'(x) between the limits, above 0."""
    result: FloatArray = (high - x) ** -2.0 + (x - low) ** -2.0
    return result
