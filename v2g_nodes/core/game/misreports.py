"""Does lying pay? Random lies about costs and boxes, each settled like the truth.

In every try one module of a station lies while the others tell the truth or, in every other try, lie as well: truth
must be best whatever the others say. Lies are a factor on the cost, a shift of the marginal cost, a smaller box
(capacity withheld), a larger one, other curvature (factors on wear and square, another exponent), and all at once.
Their size is drawn log-uniform over three decades, because lies next to the truth are where an error of the mechanism
or of its solver would show first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from v2g_nodes.core.checks import check_positive, check_range
from v2g_nodes.core.cost import LocalCost
from v2g_nodes.core.game.curves import BoolArray, Curves, curves_of
from v2g_nodes.core.game.dispatch import SHORTAGE_EUR_PER_KWH, split_target
from v2g_nodes.core.game.mechanism import check_mechanism, least_cost, without
from v2g_nodes.core.types import Box, FloatArray, IntArray

LIES = ("scale", "shift", "withhold", "overstate", "curvature", "all")
TOLERANCE = 1e-9  # of the least cost of the station, at least of 1 EUR/h: gains below are rounding
SCALE_SPAN, SHIFT_EUR_PER_KWH, BOX_SPAN = 1.6, 0.15, 0.5  # chosen: factors of e^-1.6 to e^1.6 = 0.2 to 5; half a box
DELTA_SPAN = (1.05, 2.95)  # exponents of wear that costs allow, short of their ends
_DECADES = 3.0
_BATCH = 1000  # tries settled at once


@dataclass(frozen=True)
class Search:
    """What became of T tries.

    Args:
        mechanism: that paid.
        gains_eur_per_h: of the liar over its truth, everything else equal, shape (T,).
        limits_eur_per_h: gains above this are profits, shape (T,).
        modules: who lied, shape (T,).
        lies: index in LIES, shape (T,).
    """

    mechanism: str
    gains_eur_per_h: FloatArray
    limits_eur_per_h: FloatArray
    modules: IntArray
    lies: IntArray

    @property
    def tries(self) -> int:
        """T."""
        return int(self.gains_eur_per_h.size)

    @property
    def profitable(self) -> int:
        """How many lies paid."""
        return int((self.gains_eur_per_h > self.limits_eur_per_h).sum())

    @property
    def best_gain_eur_per_h(self) -> float:
        """Of the best lie; below 0 when every lie cost something."""
        return float(self.gains_eur_per_h.max())


def search_misreports(
    costs: Sequence[LocalCost], boxes: Sequence[Box], target_kw: float, mechanism: str, tries: int, seed: int,
    shortage: float = SHORTAGE_EUR_PER_KWH,
) -> Search:  # fmt: skip
    """Try random lies on one station.

    Args:
        costs: true cost of each module.
        boxes: true boxes.
        target_kw: P [kW].
        mechanism: one of MECHANISMS; the lies depend on the seed only, so that mechanisms see the same ones.
        tries: T, at least 1.
        seed: names the lies, at least 0.
        shortage: V [EUR/kWh].

    Raises:
        InputError: a value that is not allowed.
    """
    check_mechanism(mechanism)
    check_range("tries", tries, 1, 10_000_000)
    check_range("target_kw", target_kw, -np.inf, np.inf, "kW")
    check_positive("shortage", shortage, "EUR/kWh")
    truth, rng = curves_of(costs, boxes), np.random.default_rng([seed, 7])
    parts = [_settle_lies(truth, target_kw, mechanism, min(_BATCH, tries - first), rng, shortage)
             for first in range(0, tries, _BATCH)]  # fmt: skip
    gains, limits, modules, lies = (np.concatenate(column) for column in zip(*parts, strict=True))
    return Search(mechanism, gains, limits, modules, lies)


def lie(truth: Curves, kinds: IntArray, rng: np.random.Generator) -> Curves:
    """Reports of the kinds asked for, an index of LIES for each entry of truth, shape (T, n)."""
    shape = truth.low_kw.shape
    size = 10.0 ** -rng.uniform(0.0, _DECADES, shape)
    every = kinds == LIES.index("all")

    def draw(*names: str) -> FloatArray:
        """Between -1 and 1 by the size of the lie where one of these is told, else 0."""
        told = every.copy()
        for name in names:
            told |= kinds == LIES.index(name)
        result: FloatArray = np.where(told, size * rng.uniform(-1.0, 1.0, shape), 0.0)
        return result

    scale = np.exp(SCALE_SPAN * draw("scale"))
    wear, square, bent = (draw("curvature") for _ in range(3))
    cut, stretch = -np.abs(draw("withhold")), np.abs(draw("overstate"))
    width, sides = truth.high_kw - truth.low_kw, rng.random((2, *shape))
    moved = BOX_SPAN * width * (cut + stretch)
    delta = truth.delta + np.where(bent > 0.0, DELTA_SPAN[1] - truth.delta, truth.delta - DELTA_SPAN[0]) * bent
    return replace(
        truth, low_kw=truth.low_kw - sides[0] * moved, high_kw=truth.high_kw + sides[1] * moved,
        kink=scale * truth.kink, square=scale * np.exp(SCALE_SPAN * square) * truth.square, cube=scale * truth.cube,
        wear=scale * np.exp(SCALE_SPAN * wear) * truth.wear, delta=delta, psi=scale * truth.psi,
        shift=truth.shift + SHIFT_EUR_PER_KWH * draw("shift"),
    )  # fmt: skip


def _settle_lies(
    truth: Curves, target_kw: float, mechanism: str, tries: int, rng: np.random.Generator, shortage: float
) -> tuple[FloatArray, FloatArray, IntArray, IntArray]:
    n, rows = truth.modules, np.arange(tries)
    kinds, module = rng.integers(len(LIES), size=(tries, n)), rng.integers(n, size=tries)
    true = truth.copies(tries)
    lies = lie(true, kinds, rng)
    others_lie = np.zeros((tries, n), dtype=bool)
    others_lie[1::2] = True
    others_lie[rows, module] = False
    honest = _chosen(others_lie, lies, true)
    others_lie[rows, module] = True
    lying = _chosen(others_lie, lies, true)
    away = without(honest, module)
    apart = least_cost(away, split_target(away, target_kw, shortage), shortage)
    gains: list[FloatArray] = []
    bill: FloatArray = np.ones(tries)
    for reports in (lying, honest):
        split = split_target(reports, target_kw, shortage)
        reported, bill = reports.cost(split.powers_kw)[rows, module], least_cost(reports, split, shortage)
        paid = reported if mechanism == "pay-as-bid" else apart - (bill - reported)
        given = split.powers_kw
        done = np.clip(given, truth.low_kw, truth.high_kw)
        borne = (true.cost(done) + shortage * np.abs(given - done))[rows, module]
        gains.append(paid - borne)
    return gains[0] - gains[1], TOLERANCE * np.maximum(1.0, bill), module, kinds[rows, module]


def _chosen(which: BoolArray, lies: Curves, truth: Curves) -> Curves:
    names = truth.__dataclass_fields__
    return Curves(*(np.where(which, getattr(lies, name), getattr(truth, name)) for name in names))
