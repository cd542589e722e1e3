"""Costs of many modules at once, true or reported: the arithmetic that all games share.

    f(p) = kink a + square a^2 + cube a^3 + wear a^delta + psi [warmth + theta a^2]_+^2 - psi [warmth]_+^2 + shift p

with a = |p|, in EUR/h: the local cost of core/cost.py above what the module costs standing still, so f(0) = 0 and a
module that is away costs nothing. `shift` is zero in true costs; a module may report one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
from numpy.typing import NDArray

from v2g_nodes.core.cost import LocalCost
from v2g_nodes.core.errors import InputError
from v2g_nodes.core.types import Box, FloatArray

BoolArray = NDArray[np.bool_]

_STEPS_MAX = 120  # bisection alone halves any bracket of doubles below _STEP_KW in fewer
_STEP_KW = 1e-14  # kW, the search for a power stops at this step


@dataclass(frozen=True)
class Curves:
    """Costs and boxes; all arrays have the shape (..., n): modules last, whole fleets before them.

    Args:
        low_kw: lower ends of the boxes [kW].
        high_kw: upper ends [kW], at least low_kw.
        kink: [EUR/kWh], at least 0.
        square: [EUR/h/kW^2], at least 0.
        cube: [EUR/h/kW^3], at least 0.
        wear: [EUR/h/kW^delta], at least 0.
        delta: exponent of wear, above 1, at most 3.
        psi: price of heat [EUR/h/K^2].
        theta: rise of temperature [K/kW^2].
        warmth: temperature above the threshold at p = 0 [K].
        shift: added to the marginal cost [EUR/kWh].
    """

    low_kw: FloatArray
    high_kw: FloatArray
    kink: FloatArray
    square: FloatArray
    cube: FloatArray
    wear: FloatArray
    delta: FloatArray
    psi: FloatArray
    theta: FloatArray
    warmth: FloatArray
    shift: FloatArray

    @property
    def modules(self) -> int:
        """Number of modules n."""
        return int(self.low_kw.shape[-1])

    def copies(self, count: int) -> Curves:
        """The same fleet `count` times, shape (count, n), each array its own memory."""
        return Curves(*(np.repeat(getattr(self, f.name)[None, :], count, axis=0) for f in fields(self)))

    def within(self, low_kw: FloatArray, high_kw: FloatArray) -> Curves:
        """The same costs with other boxes."""
        return replace(self, low_kw=low_kw, high_kw=high_kw)

    def cost(self, p: FloatArray) -> FloatArray:
        """f(p) [EUR/h]; p [kW], any shape that fits (..., n)."""
        a = np.abs(p)
        heat, cold = np.maximum(self.warmth + self.theta * a * a, 0.0), np.maximum(self.warmth, 0.0)
        loss = a * (self.kink + a * (self.square + a * self.cube))
        # difference of squares by factors: no digits are lost where heat is nearly the cold one
        thermal = self.psi * (heat - cold) * (heat + cold)
        result: FloatArray = loss + self.wear * a**self.delta + thermal + self.shift * p
        return result

    def steepness(self, a: FloatArray) -> FloatArray:
        """Marginal cost at a >= 0 from the right, without the shift [EUR/kWh]."""
        heat = np.maximum(self.warmth + self.theta * a * a, 0.0)
        slope = self.kink + a * (2.0 * self.square + 3.0 * self.cube * a + 4.0 * self.psi * self.theta * heat)
        result: FloatArray = slope + self.wear * self.delta * a ** (self.delta - 1.0)
        return result

    def marginal_ends(self, p: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Left and right limit of the marginal cost f'(p) [EUR/kWh]; they differ at 0 only."""
        sloped = np.sign(p) * self.steepness(np.abs(p))
        still = np.where(p == 0.0, self.kink, 0.0)
        return sloped - still + self.shift, sloped + still + self.shift

    def bend(self, a: FloatArray) -> FloatArray:
        """Second derivative f''(a) at a > 0 [EUR/h/kW^2]."""
        heat = self.warmth + self.theta * a * a
        thermal = 4.0 * self.psi * self.theta * np.where(heat > 0.0, heat + 2.0 * self.theta * a * a, 0.0)
        wear = self.wear * self.delta * (self.delta - 1.0) * a ** (self.delta - 2.0)
        result: FloatArray = 2.0 * self.square + 6.0 * self.cube * a + thermal + wear
        return result

    def least_bend(self) -> FloatArray:
        """A lower bound of f'' on the boxes [EUR/h/kW^2]: each part at the power in the box where it is least."""
        most = np.maximum(np.abs(self.low_kw), np.abs(self.high_kw))
        least = np.maximum(np.maximum(self.low_kw, -self.high_kw), 0.0)
        # wear bends least at the far end for exponents below 2, all else at the near one
        wear_at = np.maximum(np.where(self.delta < 2.0, most, least), 1e-12)
        wear = self.wear * self.delta * (self.delta - 1.0) * wear_at ** (self.delta - 2.0)
        heat = np.maximum(self.warmth + self.theta * least * least, 0.0)
        thermal = 4.0 * self.psi * self.theta * heat
        result: FloatArray = 2.0 * self.square + 6.0 * self.cube * least + thermal + wear
        return result

    def responses(self, price: FloatArray, weight: FloatArray | float = 0.0) -> FloatArray:
        """Best response: the p in the box that minimises f(p) + weight p^2 / 2 - price p.

        Newton steps in sqrt(a), in which wear with exponent 1.5 is a straight line, inside a bracket; a step that
        leaves the bracket becomes a bisection.

        Args:
            price: [EUR/kWh], any shape that fits (..., n).
            weight: at least 0 [EUR/h/kW^2], any shape that fits.

        Returns:
            Powers [kW], never outside the boxes.
        """
        sought = price - self.shift
        sign = np.where(sought >= 0.0, 1.0, -1.0)
        sought = np.abs(sought)
        near = np.maximum(np.where(sign > 0.0, self.low_kw, -self.high_kw), 0.0)
        far = np.maximum(np.where(sign > 0.0, self.high_kw, -self.low_kw), 0.0)
        a = self._where_steep(sought, weight, near, far)
        result: FloatArray = np.minimum(np.maximum(sign * a, self.low_kw), self.high_kw) + 0.0
        return result

    def _where_steep(
        self, sought: FloatArray, weight: FloatArray | float, near: FloatArray, far: FloatArray
    ) -> FloatArray:
        """The a in [near, far] where steepness + weight a meets what is sought, else the end next to it."""
        right = np.where(self.steepness(near) + weight * near >= sought, near, far)
        left = np.where(self.steepness(far) + weight * far <= sought, right, near)
        a: FloatArray = 0.5 * (left + right)
        for _ in range(_STEPS_MAX):
            error = self.steepness(a) + weight * a - sought
            left, right = np.where(error < 0.0, a, left), np.where(error < 0.0, right, a)
            root = np.sqrt(a)
            with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
                step = error / (2.0 * root * (self.bend(a) + weight))
                guess = np.maximum(root - step, 0.0) ** 2
            following = np.where((guess >= left) & (guess <= right), guess, 0.5 * (left + right))
            moved = float(np.abs(following - a).max(initial=0.0))
            a = following
            if moved <= _STEP_KW:
                break
        return a


def curves_of(costs: Sequence[LocalCost], boxes: Sequence[Box]) -> Curves:
    """True costs and boxes of a fleet, shape (n,).

    Args:
        costs: one per module.
        boxes: as many.

    Raises:
        InputError: numbers don't match, no module, or a box crossed or not finite.
    """
    if not costs or len(costs) != len(boxes):
        raise InputError(f"{len(costs)} costs and {len(boxes)} boxes, allowed as many, at least 1")
    for k, box in enumerate(boxes):
        if not -np.inf < box.low_kw <= box.high_kw < np.inf:
            raise InputError(f"box {k} is [{box.low_kw!r}, {box.high_kw!r}] kW, allowed low <= high, both finite")
    return Curves(*np.array([_row(cost, box) for cost, box in zip(costs, boxes, strict=True)]).T)


def _row(cost: LocalCost, box: Box) -> tuple[float, ...]:
    q = cost.parameters
    kink, price = q.loss_price_eur_per_kwh * (1.0 - q.eta_max), q.loss_price_eur_per_kwh
    wear, delta = q.wear_gamma * (1.0 + q.soc_kappa * (cost.soc - 0.5) ** 2), q.wear_delta
    if delta == 1.0:  # linear wear is one more part of the kink
        kink, wear, delta = kink + wear, 0.0, 1.5
    return (box.low_kw, box.high_kw, kink, price * q.beta / q.p_max_kw, price * q.alpha / q.p_max_kw**2, wear, delta,
            q.thermal_psi, q.thermal_theta_k_per_kw2, cost.temperature_c - q.thermal_threshold_c, 0.0)
