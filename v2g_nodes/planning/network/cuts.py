"""Affine functions of the stations' power, by slot: bounds of the grid's cost, and limits that plans must keep."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from v2g_nodes.core.types import FloatArray, IntArray


@dataclass(frozen=True)
class Cuts:
    """Affine lower bounds of a slot: constant + slope s.

    Args:
        slot: of each, shape (cuts,).
        constant: [EUR].
        slope: by station, shape (cuts, stations) [EUR/kW].
    """

    slot: IntArray
    constant: FloatArray
    slope: FloatArray

    def __len__(self) -> int:
        return len(self.slot)

    def joined(self, other: Cuts) -> Cuts:
        """Both, these first."""
        return Cuts(np.concatenate([self.slot, other.slot]), np.concatenate([self.constant, other.constant]),
                    np.concatenate([self.slope, other.slope]))  # fmt: skip

    def take(self, which: NDArray[np.bool_] | IntArray) -> Cuts:
        """Some of them."""
        return Cuts(self.slot[which], self.constant[which], self.slope[which])

    def without(self, slots: IntArray) -> Cuts:
        """Those of other slots."""
        return self.take(~np.isin(self.slot, slots))


def no_cuts(stations: int) -> Cuts:
    """An empty set."""
    return Cuts(np.zeros(0, dtype=np.int64), np.zeros(0), np.zeros((0, stations)))
