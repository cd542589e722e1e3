"""What a module brings into an epoch: its frozen offer, and whether memory of the epoch before may be used."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from v2g_nodes.core.battery import VehicleState
from v2g_nodes.core.cost import CostParameters, LocalCost
from v2g_nodes.core.limits import ModuleRating, energy_room, feasible_box
from v2g_nodes.core.supply import BoxedCost, Supply
from v2g_nodes.core.types import Agreement, Box, EpochId

MOVED_SHARE = 0.1  # of the rating; from 0.05 to 0.2 the gaps of warm epochs are the same (benchmarks/price_grid.py)
SEQUENCES_PER_S = 10  # signal time counts tenths of a second (core/types.py EpochId)


@dataclass(frozen=True)
class OfferRule:
    """How a module makes its offer.

    Args:
        rating: what it is built for.
        cost: its cost.
        headroom_kw: power left for droop on each side [kW].
        epoch_period_s: nominal distance of two epochs [s].
    """

    rating: ModuleRating
    cost: CostParameters
    headroom_kw: float
    epoch_period_s: float

    def freeze(
        self, limits: Box, base_kw: float, soc: float, temperature_c: float, vehicle: VehicleState
    ) -> BoxedCost:
        """The offer of this moment.

        Args:
            limits: what the module can do now [kW].
            base_kw: base power in force [kW]. The ramp counts from it: what flows holds the answer to frequency too,
                and a box around that would push the base power after it.
            soc: state of charge, 0 to 1.
            temperature_c: hottest junction [deg C].
            vehicle: who is plugged in.
        """
        room = energy_room(self.rating, soc, vehicle)
        box = feasible_box(
            limits, base_kw, self.rating.ramp_kw_per_s, self.epoch_period_s, self.headroom_kw, room
        )
        return BoxedCost(LocalCost(self.cost, soc, temperature_c), box)


def forced_cold(epoch: EpochId, cold_every: int, epoch_period_s: float) -> bool:
    """Whether this epoch begins cold at every module, to keep the figures of a cold start measured.

    Args:
        epoch: which.
        cold_every: every so many epoch periods; 0 = never.
        epoch_period_s: nominal distance of two epochs [s].
    """
    period = int(epoch.signal_sequence / (SEQUENCES_PER_S * epoch_period_s))
    return cold_every > 0 and period % cold_every == 0


def moved(supply: Supply, last: Agreement | None, rating_kw: float) -> bool:
    """Whether a module no longer does at the last price what it agreed to: the last curve misleads the group.

    A vehicle has come or gone, or has to charge. The group notices that one begins cold and follows.

    Args:
        supply: answers of the module now.
        last: its last agreement; None = there is none.
        rating_kw: of the module [kW].
    """
    if last is None:
        return False
    at_last_price = float(supply.response(np.array([last.lambda_eur_per_kwh]))[0])
    return abs(at_last_price - last.power_kw) > MOVED_SHARE * rating_kw
