"""What a station could have earned at known prices: the yardstick of an arbitrage run."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.optimize import linprog

from v2g_nodes.core.errors import InfeasibleError
from v2g_nodes.core.limits import EnergyRoom


def best_earning_eur(
    prices_eur_per_kwh: Sequence[float], power_kw: float, room: EnergyRoom, efficiency: float
) -> float:
    """The most that trading can earn with perfect foresight, one battery standing for all [EUR].

    maximise sum_t price_t (out_t - in_t) with 0 <= in, out <= power, the energy at the grid side
    e_t = e_{t-1} + eta^2 in_t - out_t between minus what can be taken out and what can be put in, and e_T >= 0: the
    vehicles end with what they had. One battery can do whatever many can do together, so this is an upper bound.

    Args:
        prices_eur_per_kwh: one per hour [EUR/kWh].
        power_kw: of the station, both directions [kW].
        room: energy that can be given and taken, at the grid side [kWh].
        efficiency: one way, the best of the modules.

    Raises:
        InfeasibleError: the solver found nothing.
    """
    prices, hours = np.asarray(prices_eur_per_kwh, dtype=np.float64), len(prices_eur_per_kwh)
    kept = efficiency**2  # of what is drawn, back at the grid side
    level = np.hstack((kept * np.tril(np.ones((hours, hours))), -np.tril(np.ones((hours, hours)))))
    most, least = np.full(hours, kept * room.charge_kwh), np.full(hours, room.discharge_kwh)
    least[-1] = 0.0
    found = linprog(
        np.concatenate((prices, -prices)), A_ub=np.vstack((level, -level)), b_ub=np.concatenate((most, least)),
        bounds=(0.0, power_kw), method="highs",
    )  # fmt: skip
    if found.status != 0:
        raise InfeasibleError(f"best earning: {found.message}")
    return float(-found.fun)
