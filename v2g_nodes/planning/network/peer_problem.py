"""What all peers share: their result, and the vehicles' constraints as matrices."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from v2g_nodes.core.types import FloatArray, IntArray
from v2g_nodes.planning.network.instance import Instance


@dataclass(frozen=True)
class PeerResult:
    """What a peer found.

    Args:
        found: whether it has a plan.
        objective_eur: of its relaxed program.
        bound_eur: its lower bound; NaN where it does not tell.
        seconds: of the solver alone; with cvxpy from its standard form on.
        seconds_all: with building the model.
        power_kw: battery powers, shape (vehicles, slots).
        status: its word.
    """

    found: bool
    objective_eur: float
    bound_eur: float
    seconds: float
    seconds_all: float
    power_kw: FloatArray
    status: str


@dataclass(frozen=True)
class Cells:
    """Slots of the vehicles' stays ("cells") and the matrices that their constraints are made of.

    Args:
        vehicle: of each cell.
        slot: of each cell.
        energy: shape (cells, cells): 1 where the column's cell is the same vehicle's, at the same time or before.
        station: shape (stations * slots, cells): which station's slot a cell is in.
    """

    vehicle: IntArray
    slot: IntArray
    energy: Any
    station: Any


def cells_of(instance: Instance) -> Cells:
    """Cells of all vehicles, vehicle by vehicle, in the order of time."""
    from scipy import sparse

    vehicle, slot = np.nonzero(instance.vehicles.plugged(instance.slots))
    count = len(vehicle)
    same = (vehicle[:, None] == vehicle[None, :]) & (slot[:, None] >= slot[None, :])
    at = instance.vehicles.station[vehicle] * instance.slots + slot
    station = sparse.csr_matrix(
        (np.ones(count), (at, np.arange(count))), (len(instance.stations) * instance.slots, count)
    )
    return Cells(vehicle, slot, sparse.csr_matrix(same.astype(float)), station)
