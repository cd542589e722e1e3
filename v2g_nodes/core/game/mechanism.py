"""What the station pays modules whose costs only they know: Clarke payments (VCG) and, as the contrast, pay-as-bid.

The station asks for costs and boxes, splits its target P at the least reported cost (dispatch.py; C below is that
least cost, shortage at the price V included) and pays module i

    VCG:         t_i = C(without i) - ( C(all) - f^_i(p_i) )      what its being there saves the others
    pay-as-bid:  t_i = f^_i(p_i)                                  what it says it bears

in EUR/h, f^ being reported. A module gains t_i - f_i(p_i); under VCG that is C(without i) minus what all bear at its
true cost, and the split is the least of that when i tells the truth, whatever the others say.

- Taking part: with 0 in its box a module gains at least 0, because the others' split with p_i = 0 was possible. A
  module that must charge or discharge may have to pay; that is told, not mended.
- A pivotal module, without which the target can't be met, is paid for the shortage it prevents, V a kilowatt. V is
  the same in every problem, as if the grid were one more player with a known cost, so truth stays best.
- A module that is given more than its true box allows delivers the nearest power it can and owes V per kilowatt that
  is missing: its true cost, continued beyond its box.
- Budget: the payments add up to at least the cost, and to what they do; VCG balances nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from v2g_nodes.core.checks import check_positive, check_range
from v2g_nodes.core.cost import LocalCost
from v2g_nodes.core.errors import InputError
from v2g_nodes.core.game.curves import BoolArray, Curves, curves_of
from v2g_nodes.core.game.dispatch import SHORTAGE_EUR_PER_KWH, Split, split_target
from v2g_nodes.core.types import Box, FloatArray, IntArray

MECHANISMS = ("vcg", "pay-as-bid")
_SHORT_KW = 1e-9  # kW, a shortage below is rounding


@dataclass(frozen=True)
class Settlement:
    """Who does what for how much, all modules truthful.

    Args:
        powers_kw: shape (n,).
        payments_eur_per_h: from the station to each module, shape (n,).
        gains_eur_per_h: payment minus cost, shape (n,); 0 is standing still.
        price_eur_per_kwh: marginal cost of the target.
        shortage_kw: target minus delivered power; other than 0 where all boxes together are too small.
        willing: whether 0 is in the box, so that the module's gain is at least 0 under VCG; shape (n,).
        pivotal: whether more power is missing without the module; shape (n,).
    """

    powers_kw: FloatArray
    payments_eur_per_h: FloatArray
    gains_eur_per_h: FloatArray
    price_eur_per_kwh: float
    shortage_kw: float
    willing: BoolArray
    pivotal: BoolArray

    def budget_eur_per_h(self, price_eur_per_kwh: float) -> float:
        """What is left of the energy sold at a price after the payments; below 0 is a deficit."""
        return price_eur_per_kwh * float(self.powers_kw.sum()) - float(self.payments_eur_per_h.sum())


def settle(
    costs: Sequence[LocalCost], boxes: Sequence[Box], target_kw: float, mechanism: str = "vcg",
    shortage: float = SHORTAGE_EUR_PER_KWH,
) -> Settlement:  # fmt: skip
    """Run a mechanism on truthful modules.

    Args:
        costs: true cost of each of n modules.
        boxes: true boxes.
        target_kw: P [kW]; any finite number, what can't be met is shortage.
        mechanism: one of MECHANISMS.
        shortage: V [EUR/kWh], above 0.

    Raises:
        InputError: numbers of costs and boxes differ, or a value is not allowed.
    """
    check_mechanism(mechanism)
    check_range("target_kw", target_kw, -np.inf, np.inf, "kW")
    check_positive("shortage", shortage, "EUR/kWh")
    curves = curves_of(costs, boxes)
    n = curves.modules
    one = curves.copies(1)
    split = split_target(one, target_kw, shortage)
    p, cost = split.powers_kw[0], one.cost(split.powers_kw)
    away = without(curves.copies(n), np.arange(n))
    alone = split_target(away, target_kw, shortage)
    paid = cost[0] if mechanism == "pay-as-bid" else (
        least_cost(away, alone, shortage) - (least_cost(one, split, shortage) - cost[0]))  # fmt: skip
    missing = np.abs(alone.shortage_kw) > np.abs(split.shortage_kw) + _SHORT_KW
    return Settlement(p, paid, paid - cost[0], float(split.price_eur_per_kwh[0]), float(split.shortage_kw[0]),
                      (curves.low_kw <= 0.0) & (curves.high_kw >= 0.0), missing)  # fmt: skip


def check_mechanism(mechanism: str) -> None:
    """Refuse a name that is not in MECHANISMS.

    Raises:
        InputError: with name and what is allowed.
    """
    if mechanism not in MECHANISMS:
        raise InputError(f"mechanism is {mechanism!r}, allowed {', '.join(MECHANISMS)}")


def without(curves: Curves, module: IntArray) -> Curves:
    """Fleets (B, n) from which one module each, (B,), has gone: it stays at 0 and costs nothing."""
    rows, low, high = np.arange(module.size), curves.low_kw.copy(), curves.high_kw.copy()
    low[rows, module], high[rows, module] = 0.0, 0.0
    return curves.within(low, high)


def least_cost(curves: Curves, split: Split, shortage: float) -> FloatArray:
    """C of each fleet (B,) [EUR/h]: costs of all modules and of what is short."""
    result: FloatArray = curves.cost(split.powers_kw).sum(axis=1) + shortage * np.abs(split.shortage_kw)
    return result
