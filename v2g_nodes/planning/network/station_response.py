"""What the vehicles of each station do together at given prices, under its cap: a small program per station.

Stations share nothing but the grid. At the prices of a tangent they fall apart, so the sum of their programs' bounds
and the tangent's constant is a bound for all (as in prices.py, with whole stations in the place of vehicles), and no
worse than that of the program of all vehicles at these prices.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from v2g_nodes.core.types import FloatArray
from v2g_nodes.planning.network.best_response import BestResponse, has_levels
from v2g_nodes.planning.network.instance import Instance, Stations
from v2g_nodes.planning.network.master import VehicleProgram


class StationResponse:
    """One station's vehicles.

    Args:
        instance: of all.
        station: its position.
    """

    def __init__(self, instance: Instance, station: int) -> None:
        #: positions of its vehicles in the instance
        self.mine = np.flatnonzero(instance.vehicles.station == station)
        fleet = instance.vehicles.take(self.mine)
        bus, cap = instance.stations.bus[station : station + 1], instance.stations.cap_kw[station : station + 1]
        self.own = replace(instance, stations=Stations(bus, cap), vehicles=replace(fleet, station=0 * fleet.station))
        together = bool(np.isfinite(cap[0])) or not has_levels(fleet, instance.slot_h)
        self._answers = None if together else BestResponse(self.own.vehicles, instance.slots, instance.slot_h)

    def answer(
        self, price_eur_per_kwh: FloatArray, gap_eur: float, seconds_max: float, start_kw: FloatArray | None = None
    ) -> tuple[float, FloatArray | None]:
        """Cheapest way for all together.

        Args:
            price_eur_per_kwh: of grid energy, market price included, shape (slots,).
            gap_eur: may remain.
            seconds_max: of the program.
            start_kw: battery powers to begin with, shape (own vehicles, slots).

        Returns:
            A bound below which nothing costs [EUR], and battery powers, None where none were found.
        """
        if self._answers is not None:
            costs, power = self._answers.answer(price_eur_per_kwh[None, :])
            return float(costs.sum()), power
        program = VehicleProgram(replace(self.own, price_eur_per_mwh=1e3 * price_eur_per_kwh), seconds_max=seconds_max)
        least = float(program.cost_cuts.constant.sum())  # of a grid that the program knows nothing else of
        solved = program.solve(gap_eur=gap_eur, start_kw=start_kw)
        return solved.bound - least, solved.power_kw if solved.found else None
