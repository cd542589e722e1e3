"""Payoffs of modules that are paid a price and stand in each other's way.

    u_i(p) = pi p_i - f_i(p_i) - ( C_ii p_i^2 / 2 + p_i (sum_{j != i} C_ij p_j - t_i) )

in EUR/h. C_ij [EUR/h/kW^2] is what a kilowatt of module j costs each kilowatt of module i; t_i [EUR/kWh] is the load
that congests nobody, at the price of module i. The same C_ij = c for all and t_i = c P is the congestion of one
connection of capacity P,

    u_i = pi p_i - f_i(p_i) - c ( p_i^2 / 2 + p_i (sum_{j != i} p_j - P) ),

the corrected form of the companion's -c p_i (sum p - P): with half of the own square, the derivative by p_i is that of
Phi = sum_i (pi p_i - f_i) - c/2 (sum p - P)^2. Module-specific weights are rows c_i; grids have any matrix.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from v2g_nodes.core.checks import check_range
from v2g_nodes.core.errors import InputError
from v2g_nodes.core.game.curves import Curves, curves_of
from v2g_nodes.core.supply import BoxedCost
from v2g_nodes.core.types import FloatArray


@dataclass(frozen=True)
class Game:
    """The players and what couples them.

    Args:
        players: cost and box of each of n modules.
        price_eur_per_kwh: pi, paid for discharged energy and due for charged energy.
        coupling: C, shape (n, n) [EUR/h/kW^2], diagonal at least 0: then every payoff is concave in the own power.
        relief_eur_per_kwh: t, shape (n,).

    Raises:
        InputError: shapes that don't match, a number that is not finite, or a diagonal below 0.
    """

    players: tuple[BoxedCost, ...]
    price_eur_per_kwh: float
    coupling: FloatArray
    relief_eur_per_kwh: FloatArray

    def __post_init__(self) -> None:
        n = len(self.players)
        check_range("price_eur_per_kwh", self.price_eur_per_kwh, -np.inf, np.inf, "EUR/kWh")
        if self.coupling.shape != (n, n) or self.relief_eur_per_kwh.shape != (n,):
            found = f"coupling is {self.coupling.shape} and relief {self.relief_eur_per_kwh.shape}"
            raise InputError(f"{found}, allowed {(n, n)} and {(n,)}")
        if not (np.isfinite(self.coupling).all() and np.isfinite(self.relief_eur_per_kwh).all()):
            raise InputError("coupling or relief holds a number that is not finite, allowed are finite numbers")
        if self.own.min() < 0.0:
            raise InputError(f"coupling of a module with itself is {self.own.min():g}, allowed at least 0")

    @cached_property
    def curves(self) -> Curves:
        """Costs and boxes of all modules at once, shape (n,)."""
        return curves_of([player.cost for player in self.players], [player.box for player in self.players])

    @property
    def own(self) -> FloatArray:
        """C_ii, shape (n,)."""
        result: FloatArray = self.coupling.diagonal()
        return result

    def offers(self, p: FloatArray) -> FloatArray:
        """Price that each module sees, shape (..., n) [EUR/kWh]: pi + t_i - sum_{j != i} C_ij p_j; p is (..., n)."""
        result: FloatArray = self.price_eur_per_kwh + self.relief_eur_per_kwh - p @ self.coupling.T + self.own * p
        return result

    def payoffs(self, p: FloatArray) -> FloatArray:
        """u_i(p) [EUR/h], shape (..., n); standing still is worth 0; p [kW] is (..., n)."""
        result: FloatArray = self.offers(p) * p - 0.5 * self.own * p * p - self.curves.cost(p)
        return result

    def best_responses(self, p: FloatArray) -> FloatArray:
        """Each module's best power while the others stay at p [kW], shape (..., n)."""
        return self.curves.responses(self.offers(p), self.own)

    def exploitability(self, p: FloatArray) -> float:
        """Most that any one module could gain by a change of its own power [EUR/h], from above.

        A payoff is concave in the own power, so the tangents at the best response found bound it over the whole box
        whatever the accuracy of that response: the figure is a certificate, 0 only at an equilibrium.

        Args:
            p: powers in the boxes [kW], shape (n,).
        """
        best, offers, curves = self.best_responses(p), self.offers(p), self.curves
        gain = offers * (best - p) - 0.5 * self.own * (best - p) * (best + p) - (curves.cost(best) - curves.cost(p))
        left, right = curves.marginal_ends(best)
        rise = np.maximum(offers - self.own * best - right, 0.0) * (curves.high_kw - best)
        fall = np.maximum(left - offers + self.own * best, 0.0) * (best - curves.low_kw)
        return float(np.max(np.maximum(gain, 0.0) + np.maximum(rise, fall)))

    def welfare(self, p: FloatArray) -> float:
        """Sum of the payoffs [EUR/h]: each pair's congestion counts twice, as each of both bears it; p is (n,)."""
        return float(self.payoffs(p).sum())


def congested(
    players: Sequence[BoxedCost], price_eur_per_kwh: float, target_kw: float, externality: FloatArray | float
) -> Game:
    """The game of one connection that target_kw fits through.

    Args:
        players: cost and box of each module.
        price_eur_per_kwh: paid for energy.
        target_kw: P [kW].
        externality: c [EUR/h/kW^2], at least 0; one number, or one per module (row weights c_i, shape (n,)).

    Raises:
        InputError: a number that is not finite, or a weight below 0.
    """
    check_range("target_kw", target_kw, -np.inf, np.inf, "kW")
    n = len(players)
    weights = np.broadcast_to(np.asarray(externality, dtype=np.float64), (n,))
    return Game(tuple(players), price_eur_per_kwh, np.repeat(weights[:, None], n, axis=1), weights * target_kw)
