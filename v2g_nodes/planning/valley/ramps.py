"""Sums of ramps (level - price)^+ over a window of slots, without a loop over slots or vehicles.

Every answer to a price is made of ramps. The price is the same for all, so two tables of (slots + 1)^2 numbers hold
the sums of every window: the number and the sum of the prices among the first k slots that are below the r-th smallest.
A vehicle then costs a search in the sorted prices and four look-ups, whatever the number of slots; the sums over
vehicles are histograms of their ranks. Both are exact.
"""

from __future__ import annotations

import numpy as np

from v2g_nodes.core.types import FloatArray
from v2g_nodes.planning.valley.fleet import IntArray


class Ramps:
    """Ramps above the prices of one day.

    Args:
        price: per slot, shape (slots,), finite.
    """

    def __init__(self, price: FloatArray) -> None:
        self.price = price
        self._width = len(price) + 1
        order = np.argsort(price, kind="stable")
        self._sorted = price[order]
        self._rank = np.empty(len(price), dtype=np.int64)  # place of each slot among the sorted prices
        self._rank[order] = np.arange(len(price))
        below = (self._rank[:, None] < np.arange(self._width)).astype(np.float64)
        self._count = _from_start(below)
        self._sum = _from_start(below * price[:, None])

    def mean_price(self, first: IntArray, end: IntArray) -> FloatArray:
        """Mean of the prices in each window, shape (n,)."""
        sums = np.concatenate([[0.0], self.price.cumsum()])
        return np.asarray((sums[end] - sums[first]) / (end - first))

    def rank(self, level: FloatArray) -> IntArray:
        """How many prices are below each level."""
        return self._sorted.searchsorted(level)

    def window_sum(
        self, level: FloatArray, rank: IntArray, first: IntArray, end: IntArray
    ) -> tuple[FloatArray, FloatArray]:
        """Sum over the slots first .. end - 1 of (level - price)^+, and the number of slots in which it is above 0.

        Args:
            level: shape (n,).
            rank: of each level.
            first: first slot of each window, shape (n,).
            end: slot after each window, shape (n,).
        """
        begin, stop = first * self._width + rank, end * self._width + rank
        count = self._count.take(stop) - self._count.take(begin)
        return count * level - (self._sum.take(stop) - self._sum.take(begin)), count

    def fleet_sum(
        self, level: FloatArray, rank: IntArray, weight: FloatArray, first: IntArray, end: IntArray
    ) -> FloatArray:
        """Sum over the vehicles plugged in of weight * (level - price)^+ in each slot, shape (slots,).

        Args:
            level: shape (n,).
            rank: of each level.
            weight: shape (n,).
            first: first slot of each window, shape (n,).
            end: slot after each window, shape (n,).
        """
        begin, stop = first * self._width + rank, end * self._width + rank
        return self._above(begin, stop, weight * level) - self.price * self._above(begin, stop, weight)

    def _above(self, begin: IntArray, stop: IntArray, weight: FloatArray) -> FloatArray:
        """Sum of the weights of those in their window whose level is above the slot's price."""
        size = self._width * self._width
        moves = np.bincount(begin, weight, size) - np.bincount(stop, weight, size)
        present = moves.reshape(self._width, self._width)[:-1].cumsum(axis=0)  # by slot and rank
        higher = present[:, ::-1].cumsum(axis=1)[:, ::-1]  # of this rank or above
        return np.asarray(higher[np.arange(len(self.price)), self._rank + 1])


def _from_start(values: FloatArray) -> FloatArray:
    """Sums over the first k slots, flat, k = 0 .. slots in the rows."""
    sums = np.zeros((len(values) + 1, values.shape[1]))
    np.cumsum(values, axis=0, out=sums[1:])
    return sums.ravel()
