"""Formulas of the charging slides that are wrong as printed (001.5)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from v2g_nodes.core.types import FloatArray
from v2g_nodes.sim.claims.claim import Finding, Register, Setting, judged
from v2g_nodes.sim.claims.valley_setting import SAME_AS, best_price, coupled, schedule, setting

CLAIMS = Register("planning/valley", "sim/claims/valley_setting.py")
STEPS = 200


def _ends_off(update: Callable[[FloatArray, FloatArray], FloatArray]) -> float:
    """Distance of the price from the optimum after the update was repeated, relative; 1e9 where it has run away.

    Args:
        update: next price from price and power of one vehicle, shapes (slots,).
    """
    fleet, cost = setting(SAME_AS)
    best, one = best_price(fleet, cost), fleet.take(slice(0, 1))
    price = cost.marginal(np.zeros(cost.slots))
    for _ in range(STEPS):
        price = np.clip(update(price, schedule(one, cost, price)[0]), -1e9, 1e9)
    return min(float(np.abs(price - best).max() / best.max()), 1e9)


@CLAIMS.claim("001.5.1", "Slide: the price moves by eta times the sum over vehicles of base demand plus power, less "
              "the price.", "repeated, it ends within 1 % of the optimal price", "error")  # fmt: skip
def printed_price(_run: Setting) -> Finding:
    """As printed, and with marginal cost and the base demand once."""
    _, cost = setting(SAME_AS)
    printed = _ends_off(lambda p, u: p + 0.8 * (SAME_AS * (cost.base_kw + u) - p))
    right = _ends_off(lambda p, u: p + 0.8 * (cost.marginal(SAME_AS * u) - p))
    return judged(printed <= 0.01, {"off_printed": printed, "off_with_marginal_cost": right},
                  "the marginal cost c' is lost and the base demand stands inside the sum")  # fmt: skip


@CLAIMS.claim("001.5.2", "Slide: a vehicle's own estimate is p + eta (c(d) + N u - p).", "its fixed point is within "
              "1 % of the optimal price", "error")  # fmt: skip
def printed_consensus(_run: Setting) -> Finding:
    """As printed, and with c'(d + N u)."""
    _, cost = setting(SAME_AS)

    def generation(y: FloatArray) -> FloatArray:
        result: FloatArray = cost.price_eur_per_kwh * y + 0.5 * cost.slope * y**2
        return result

    printed = _ends_off(lambda p, u: p + 0.8 * (generation(cost.base_kw) + SAME_AS * u - p))
    right = _ends_off(lambda p, u: p + 0.8 * (cost.marginal(SAME_AS * u) - p))
    return judged(printed <= 0.01, {"off_printed": printed, "off_with_marginal_cost": right},
                  "a cost and a power are added to a price: it must be c'(d + N u)")  # fmt: skip


@CLAIMS.claim("001.5.3", "A demand charge that is strictly increasing is enough for a unique answer of a vehicle.",
              "with a linear one, answers to prices that differ by 1e-9 differ by less than 1 kW", "error")  # fmt: skip
def linear_charge(_: Setting) -> Finding:
    """Two slots of nearly equal price and a linear own cost: all energy in one or the other."""
    prices = np.array([0.1, 0.1 + 1e-9])
    power = [np.where(np.arange(2) == int(np.argmin(p)), 10.0, 0.0) for p in (prices, prices[::-1])]
    jump = float(np.abs(power[0] - power[1]).max())
    return judged(jump < 1.0, {"jump_kw": jump}, "a linear charge is strictly increasing; it must be strictly convex")


@CLAIMS.claim("001.5.4", "The range of gains up to 1.017 is a property of the method.", "the bound stays within 1 % "
              "for half and for twice the quadratic cost", "error")  # fmt: skip
def general_range(_: Setting) -> Finding:
    """The bound for other quadratic costs; 0 = none."""
    from dataclasses import replace

    fleet, cost = setting()
    found = {f"eta_at_{factor:g}_times_the_quadratic_cost":
             coupled(replace(fleet, quadratic=factor * fleet.quadratic), cost).eta_source for factor in (0.5, 1.0, 2.0)}
    return judged(all(abs(one / 1.017 - 1.0) <= 0.01 for one in found.values()), found, "it belongs to one setting")


@CLAIMS.claim("001.5.5", "The bounds use the Lipschitz constants of the cost c and of the inverse of g.",
              "the response is bounded by 2 nu |p - q| with that nu", "error")  # fmt: skip
def lipschitz(_: Setting) -> Finding:
    """Inverse of g = a u^2 + b u at small u against the inverse of its slope."""
    a, b, step = 0.003, 0.11, 1e-3
    inverse_cost = (-b + np.sqrt(b**2 + 4.0 * a * step)) / (2.0 * a) / step  # steepest at 0, about 1/b
    inverse_slope = 1.0 / (2.0 * a)
    fleet, cost = setting(SAME_AS)
    p = best_price(fleet, cost)
    q = p + np.where(np.arange(len(p)) == int(np.argmin(p)), 1e-6, 0.0)
    one = fleet.take(slice(0, 1))
    moved = float(np.abs(schedule(one, cost, p) - schedule(one, cost, q)).sum()) / float(np.abs(p - q).sum())
    return judged(moved <= 2.0 * inverse_cost, {"moved_per_price": moved, "bound_as_printed": 2.0 * inverse_cost,
                                                "bound_with_slopes": 2.0 * inverse_slope},
                  "they are the constants of c' and of the inverse of g'")  # fmt: skip
