"""Local cost of one module, its marginal cost and its best response to a price.

Power p > 0 discharges the vehicle to the grid; the cost counts |p|, so it is even in p:

    f(p) = c_loss [ (1 - eta_max) |p| + beta p^2 / P + alpha |p|^3 / P^2 ]      conversion loss
         + gamma |p|^delta (1 + kappa (SOC - 1/2)^2)                            wear of the battery
         + psi [ T + theta p^2 - T_th ]_+^2                                     heat

in EUR/h. Sources: the loss polynomial with eta_max, alpha, beta and the wear exponent are those of the V2G
problem formulation for EK3 modules; the price c_loss that turns lost kW into EUR/h is derived from its units;
gamma, kappa, psi, theta and T_th are chosen and belong in the station file.

f is convex with a kink at p = 0, so there is a dead zone of prices in which a module stays at zero.
"""

from __future__ import annotations

import math
from copy import copy
from dataclasses import dataclass

import numpy as np

from v2g_nodes.core.checks import check_positive, check_range
from v2g_nodes.core.errors import InputError
from v2g_nodes.core.types import Box, FloatArray

_STEP_KW = 1e-12  # kW, Newton stops below this step; the answer is good to 1e-10 kW
_STEPS_MAX = 120  # bisection alone needs fewer from any bracket of doubles above _STEP_KW
_EPS = 2.0**-52  # relative rounding of a double


@dataclass(frozen=True)
class CostParameters:
    """Parameters of the local cost. The order of the fields is the order on the wire (DecisionRecord).

    Args:
        p_max_kw: rating P [kW], above 0.
        eta_max: efficiency at small power, above 0 and at most 1.
        alpha: cubic loss coefficient, at least 0.
        beta: square loss coefficient, at least 0.
        loss_price_eur_per_kwh: price of lost energy [EUR/kWh], at least 0.
        wear_gamma: wear price [EUR/h/kW^delta], at least 0.
        wear_delta: wear exponent, 1 to 3.
        soc_kappa: rise of wear away from half charge, at least 0.
        thermal_psi: price of heat above the threshold [EUR/h/K^2], at least 0.
        thermal_theta_k_per_kw2: temperature rise per square of power [K/kW^2], at least 0.
        thermal_threshold_c: temperature above which heat costs [deg C].

    Raises:
        InputError: a value out of range, or a cost without curvature, whose best response would jump.
    """

    p_max_kw: float
    eta_max: float
    alpha: float
    beta: float
    loss_price_eur_per_kwh: float
    wear_gamma: float
    wear_delta: float
    soc_kappa: float
    thermal_psi: float
    thermal_theta_k_per_kw2: float
    thermal_threshold_c: float

    def __post_init__(self) -> None:
        check_positive("p_max_kw", self.p_max_kw, "kW")
        check_positive("eta_max", self.eta_max)
        check_range("eta_max", self.eta_max, 0.0, 1.0)
        check_range("alpha", self.alpha, 0.0, math.inf)
        check_range("beta", self.beta, 0.0, math.inf)
        check_range("loss_price_eur_per_kwh", self.loss_price_eur_per_kwh, 0.0, math.inf, "EUR/kWh")
        check_range("wear_gamma", self.wear_gamma, 0.0, math.inf, "EUR/h/kW^delta")
        check_range("wear_delta", self.wear_delta, 1.0, 3.0)
        check_range("soc_kappa", self.soc_kappa, 0.0, math.inf)
        check_range("thermal_psi", self.thermal_psi, 0.0, math.inf, "EUR/h/K^2")
        check_range("thermal_theta_k_per_kw2", self.thermal_theta_k_per_kw2, 0.0, math.inf, "K/kW^2")
        check_range("thermal_threshold_c", self.thermal_threshold_c, -273.15, math.inf, "deg C")
        loss_curvature = self.loss_price_eur_per_kwh * (self.alpha + self.beta)
        wear_curvature = self.wear_gamma * (self.wear_delta - 1.0)
        if not loss_curvature + wear_curvature > 0.0:
            raise InputError(
                f"cost has no curvature: loss_price*(alpha+beta) is {loss_curvature!r} and "
                f"wear_gamma*(wear_delta-1) is {wear_curvature!r}, allowed is at least one above 0"
            )


def conversion_loss_kw(parameters: CostParameters, power_kw: float) -> float:
    """Power lost in the converter [kW]: (1 - eta_max)|p| + beta p^2/P + alpha |p|^3/P^2 (see the head of this file)."""
    a, p_max = abs(power_kw), parameters.p_max_kw
    return a * (1.0 - parameters.eta_max + a / p_max * (parameters.beta + parameters.alpha * a / p_max))


def battery_wear_eur_per_h(parameters: CostParameters, soc: float, power_kw: float) -> float:
    """The part of the cost that is wear of the battery [EUR/h] (see the head of this file)."""
    return float(_wear_weight(parameters, soc) * abs(power_kw) ** parameters.wear_delta)


def _wear_weight(parameters: CostParameters, soc: float) -> float:
    return parameters.wear_gamma * (1.0 + parameters.soc_kappa * (soc - 0.5) ** 2)


class LocalCost:
    """Cost of one module with state of charge and temperature frozen.

    Args:
        parameters: the module's cost parameters.
        soc: state of charge, 0 to 1.
        temperature_c: temperature before the power of this decision heats it [deg C].

    Raises:
        InputError: soc or temperature not finite or out of range.
    """

    def __init__(self, parameters: CostParameters, soc: float, temperature_c: float) -> None:
        check_range("soc", soc, 0.0, 1.0)
        check_range("temperature_c", temperature_c, -273.15, 1000.0, "deg C")
        self.parameters = parameters
        self.soc = soc
        self.temperature_c = temperature_c
        c, p_max = parameters.loss_price_eur_per_kwh, parameters.p_max_kw
        # f = kink a + square a^2 + cube a^3 + wear a^delta + psi [excess + theta a^2]_+^2 with a = |p|
        self._kink = c * (1.0 - parameters.eta_max)
        self._square = c * parameters.beta / p_max
        self._cube = c * parameters.alpha / p_max**2
        self._wear = _wear_weight(parameters, soc)
        self._delta = parameters.wear_delta
        self._psi = parameters.thermal_psi
        self._theta = parameters.thermal_theta_k_per_kw2
        self._excess = temperature_c - parameters.thermal_threshold_c
        self._weighted: dict[float, LocalCost] = {}
        if self._delta == 1.0:  # linear wear is one more part of the kink
            self._kink, self._wear, self._delta = self._kink + self._wear, 0.0, 1.5

    def with_square(self, weight: float) -> LocalCost:
        """The cost f(p) + weight p^2 / 2, whose best responses are proximal steps; weight [EUR/h/kW^2] >= 0."""
        if weight not in self._weighted:
            weighted = copy(self)
            weighted._square += weight / 2.0
            self._weighted = {weight: weighted}  # an algorithm keeps to one weight
        return self._weighted[weight]

    def cost(self, p: FloatArray) -> FloatArray:
        """Cost f(p) [EUR/h]; p [kW], any shape."""
        a = np.abs(np.asarray(p, dtype=np.float64))
        over = np.maximum(self._excess + self._theta * a * a, 0.0)
        loss = a * (self._kink + a * (self._square + a * self._cube))
        result: FloatArray = loss + self._wear * a**self._delta + self._psi * over * over
        return result

    def marginal(self, p: FloatArray) -> FloatArray:
        """Marginal cost f'(p) [EUR/kWh]; p [kW], any shape.

        Non-decreasing and odd. At p = 0 the answer is 0, the middle of `marginal_range(0.0)`.
        """
        p = np.asarray(p, dtype=np.float64)
        a = np.abs(p)
        over = np.maximum(self._excess + self._theta * a * a, 0.0)
        slope = self._kink + a * (2.0 * self._square + 3.0 * a * self._cube + 4.0 * self._psi * self._theta * over)
        result: FloatArray = np.sign(p) * (slope + self._wear * self._delta * a ** (self._delta - 1.0))
        return result

    def marginal_range(self, power_kw: float) -> tuple[float, float]:
        """Left and right limit of the marginal cost [EUR/kWh]; they differ at 0 only."""
        if power_kw == 0.0:
            return -self._kink, self._kink
        value = math.copysign(self._magnitude(abs(power_kw)), power_kw)
        return value, value

    def curvature(self, p: FloatArray) -> FloatArray:
        """Second derivative f''(p) [EUR/h/kW^2] away from the kink; p [kW], any shape.

        At p = 0 it is the limit from either side: infinite for a wear exponent below 2.
        """
        a = np.abs(np.asarray(p, dtype=np.float64))
        heat = self._excess + self._theta * a * a
        thermal = np.where(heat > 0.0, 4.0 * self._psi * self._theta * (heat + 2.0 * self._theta * a * a), 0.0)
        result: FloatArray = 2.0 * self._square + 6.0 * self._cube * a + thermal
        if self._wear > 0.0:
            with np.errstate(divide="ignore"):  # 0 to a negative power is the infinity promised above
                result = result + self._wear * self._delta * (self._delta - 1.0) * a ** (self._delta - 2.0)
        return result

    def response(self, prices: FloatArray, box: Box) -> FloatArray:
        """Best response: the p in the box that minimises f(p) - price * p.

        That is the inverse of the marginal cost, clipped to the box. It never leaves the box, not even by a
        rounding, and never falls with the price within one call.

        Args:
            prices: prices [EUR/kWh], shape (k,), any order; plus and minus infinity give the ends of the box.
            box: feasible range [kW].

        Returns:
            Powers [kW], shape (k,), good to 1e-10 kW as far as the rounding of the price allows.

        Raises:
            InputError: a price is NaN, or the box is crossed or not finite.
        """
        low, high = _ends(box)
        values: list[float] = np.asarray(prices, dtype=np.float64).tolist()
        if any(price != price for price in values):
            raise InputError(f"prices hold NaN: {values}, allowed are numbers and infinities")
        order = sorted(range(len(values)), key=values.__getitem__)
        first = next((rank for rank, k in enumerate(order) if values[k] >= 0.0), len(order))
        result = [0.0] * len(values)
        up, down = order[first:], order[:first][::-1]
        for k, a in zip(up, self._magnitudes([values[k] for k in up], low, high), strict=True):
            result[k] = a
        for k, a in zip(down, self._magnitudes([-values[k] for k in down], -high, -low), strict=True):
            result[k] = -a
        return np.array(result, dtype=np.float64) + 0.0  # turns -0.0 into 0.0

    def response_slope(self, prices: FloatArray, box: Box) -> FloatArray:
        """Slope dp/dprice of the best response [kW per EUR/kWh], shape (k,).

        1 / f''(p) inside the box, 0 at its ends and in the dead zone around p = 0.
        """
        powers = self.response(prices, box)
        inside = (powers > box.low_kw) & (powers < box.high_kw) & (powers != 0.0)
        result: FloatArray = np.zeros_like(powers)
        result[inside] = 1.0 / self.curvature(powers[inside])
        return result

    def _magnitude(self, a: float) -> float:
        """Marginal cost at a >= 0, from the right [EUR/kWh]."""
        value = self._kink + a * (2.0 * self._square + 3.0 * a * self._cube)
        if self._wear > 0.0:
            value += self._wear * self._delta * a ** (self._delta - 1.0)
        over = self._excess + self._theta * a * a
        return value + 4.0 * self._psi * self._theta * a * over if over > 0.0 else value

    def _magnitudes(self, prices: list[float], low: float, high: float) -> list[float]:
        """Best responses to ascending prices >= 0 in [low, high]; the caller mirrors negative prices."""
        if high <= 0.0:  # the unconstrained answer is >= 0
            return [high] * len(prices)
        start = max(low, 0.0)
        at_start, at_high = self._magnitude(start), self._magnitude(high)
        result = []
        for price in prices:
            if price <= at_start:
                result.append(start)
            elif price >= at_high:
                result.append(high)
            else:  # the answer to the price before bounds this one from below
                start = min(max(self._root(price, start, high), start), high)
                at_start = price
                result.append(start)
        return result

    def _root(self, price: float, low: float, high: float) -> float:
        """The a in [low, high] whose marginal cost is the price.

        Newton on ln(marginal - kink) over t = ln a. The marginal is a sum of powers of a, whose logarithm is
        convex in t with slopes between delta - 1 and 3, so Newton needs a handful of steps from anywhere; heat
        that sets in within the bracket breaks the convexity, so a step out of the bracket becomes a bisection.

        Args:
            price: marginal cost sought [EUR/kWh], above the one at `low`, below the one at `high`.
            low: lower bracket [kW], >= 0.
            high: upper bracket [kW].
        """
        low = max(low, _STEP_KW)
        if low >= high or self._magnitude(low) >= price:
            return low
        rest = price - self._kink
        log_rest, rounding = math.log(rest), _EPS * price
        linear, quadratic = 2.0 * self._square, 3.0 * self._cube
        wear, exponent = self._wear * self._delta, self._delta - 1.0
        heat, theta, excess = 4.0 * self._psi * self._theta, self._theta, self._excess
        t_low, t_high = math.log(low), math.log(high)
        t, width = t_high, math.inf
        for _ in range(_STEPS_MAX):
            a = math.exp(t)
            part_linear, part_quadratic, part_wear = linear * a, quadratic * a * a, wear * math.exp(exponent * t)
            value = part_linear + part_quadratic + part_wear
            slope = part_linear + 2.0 * part_quadratic + exponent * part_wear
            over = excess + theta * a * a
            if over > 0.0:
                value += heat * a * over
                slope += heat * a * (over + 2.0 * theta * a * a)
            if abs(value - rest) <= rounding:
                return a
            if value < rest:
                t_low = t
            else:
                t_high = t
            # a zero slope is an underflow of tiny coefficients
            following = t - (math.log(value) - log_rest) * value / slope if slope > 0.0 else math.nan
            # a Newton step must stay in the bracket and shrink; a bisection always halves it
            if not (t_low <= following <= t_high and abs(following - t) <= 0.5 * width):
                following = 0.5 * (t_low + t_high)
            width = abs(following - t)
            if width * a < _STEP_KW:
                return math.exp(following)
            t = following
        return math.exp(t)


def _ends(box: Box) -> tuple[float, float]:
    low, high = box.low_kw, box.high_kw
    if not -math.inf < low <= high < math.inf:
        raise InputError(f"box is [{low!r}, {high!r}] kW, allowed is low <= high, both finite")
    return low, high
