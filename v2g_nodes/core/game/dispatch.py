"""The efficient split of a target, for many reported fleets at once: the choice rule of the mechanisms.

    minimise sum_i f_i(p_i) + V |P - sum_i p_i|   with p_i in its box

V prices every kilowatt that is not delivered, so that a station without one of its modules still has an answer. With
V above all marginal costs that is the exact dispatch (core/dispatch/reference.py, against which it is tested).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from v2g_nodes.core.game.curves import BoolArray, Curves
from v2g_nodes.core.types import FloatArray

SHORTAGE_EUR_PER_KWH = 1.0  # chosen: ten times the usual price of energy, above all marginal costs of the modules
_BALANCE_KW = 1e-11  # kW, the price search stops at this imbalance; the rest is spread
_STEPS_MAX = 200


@dataclass(frozen=True)
class Split:
    """Powers for each of B fleets.

    Args:
        powers_kw: (B, n) [kW].
        price_eur_per_kwh: (B,), marginal cost of the target; within +- V.
        shortage_kw: (B,), target minus delivered power [kW]; 0 wherever the price is within V.
    """

    powers_kw: FloatArray
    price_eur_per_kwh: FloatArray
    shortage_kw: FloatArray


def split_target(curves: Curves, target_kw: float, shortage: float = SHORTAGE_EUR_PER_KWH) -> Split:
    """The cheapest powers of each fleet.

    The sum of responses rises with the price, so the price is bracketed by +- V and narrowed down by Newton steps
    inside the bracket, else bisections. Powers never fall with the price, so a mean of both sides closes the balance
    without leaving a box.

    Args:
        curves: of shape (B, n).
        target_kw: [kW], the same for all.
        shortage: price V of power not delivered [EUR/kWh], above 0.
    """
    count = curves.low_kw.shape[0]
    left: FloatArray = np.full(count, -shortage)
    right: FloatArray = np.full(count, shortage)
    p_left, p_right = curves.responses(left[:, None]), curves.responses(right[:, None])
    e_left, e_right = p_left.sum(axis=1) - target_kw, p_right.sum(axis=1) - target_kw
    over, under = e_left >= 0.0, e_right <= 0.0
    price: FloatArray = np.zeros(count)
    last: FloatArray = np.full(count, np.inf)
    done = over | under
    for _ in range(_STEPS_MAX):
        middle = 0.5 * (left + right)
        price = np.where((left < price) & (price < right), price, middle)
        done |= ~((left < price) & (price < right))
        if done.all():
            break
        powers = curves.responses(price[:, None])
        error = powers.sum(axis=1) - target_kw
        low, high = ~done & (error < 0.0), ~done & (error >= 0.0)
        left, right = np.where(low, price, left), np.where(high, price, right)
        p_left, p_right = np.where(low[:, None], powers, p_left), np.where(high[:, None], powers, p_right)
        e_left, e_right = np.where(low, error, e_left), np.where(high, error, e_right)
        done |= np.abs(error) <= _BALANCE_KW
        slope, crawling = _supply_slope(curves, powers), np.abs(error) > 0.5 * last
        last = np.abs(error)
        with np.errstate(divide="ignore", invalid="ignore"):
            price = np.where((slope > 0.0) & ~crawling, price - error / slope, 0.5 * (left + right))
    return _closed(curves, target_kw, (left, right), (p_left, p_right), (over, under))


def _closed(
    curves: Curves, target_kw: float, prices: tuple[FloatArray, FloatArray], powers: tuple[FloatArray, FloatArray],
    beyond: tuple[BoolArray, BoolArray],
) -> Split:  # fmt: skip
    """Powers between both sides of the bracket that meet the target, or those at +- V where nothing does."""
    over, under = beyond
    e_left, e_right = (p.sum(axis=1) - target_kw for p in powers)
    with np.errstate(divide="ignore", invalid="ignore"):
        share = np.clip(np.where(e_left < e_right, e_left / (e_left - e_right), 0.0), 0.0, 1.0)
    share = np.where(over, 0.0, np.where(under, 1.0, share))[:, None]
    mixed = np.clip(powers[0] + share * (powers[1] - powers[0]), curves.low_kw, curves.high_kw)
    short = np.where(over | under, target_kw - mixed.sum(axis=1), 0.0)
    return Split(mixed, np.where(share[:, 0] < 0.5, *prices), short)


def _supply_slope(curves: Curves, powers: FloatArray) -> FloatArray:
    """Slope of the summed power by the price, (B,); modules at an end or at 0 don't move."""
    free = (powers > curves.low_kw) & (powers < curves.high_kw) & (powers != 0.0)
    a = np.abs(np.where(free, powers, 1.0))
    with np.errstate(divide="ignore"):
        result: FloatArray = np.where(free, 1.0 / curves.bend(a), 0.0).sum(axis=1)
    return result
