"""Formulas of the formulation and its companions on algorithms that are wrong, shown to be so (000.4, items 1 to 9)."""

from __future__ import annotations

import math

import numpy as np

from v2g_nodes.core.graph import Edges, adjacency, build_edges, metropolis_weights, second_eigenvalue
from v2g_nodes.core.types import FloatArray
from v2g_nodes.sim.claims.claim import Finding, Register, Setting, judged, not_reproducible
from v2g_nodes.sim.claims.dispatch_setting import MODULES, TARGET_KW, Station, ring_weights, station

CLAIMS = Register("core", "sim/claims/dispatch_setting.py")
RHO = 0.02  # EUR/h/kW^2
SHARE_KW = TARGET_KW / MODULES


def primal_dual(at: Station, sign: float, steps: int) -> FloatArray:
    """The formulation's primal-dual step 3.3; sign +1 as printed, -1 turned round."""
    w = ring_weights(lazy=True)
    price: FloatArray = np.zeros(MODULES)
    p: FloatArray = np.zeros(MODULES)
    for _ in range(steps):
        p = at.proximal(price + RHO * p, RHO)
        price = price + sign * 0.2 * RHO * (w @ p - SHARE_KW)
    return p


def companion_admm(at: Station, linear: float, steps: int) -> FloatArray:
    """The companion's ADMM; linear +1 as printed, -1 turned round."""
    z: FloatArray = np.full(MODULES, SHARE_KW)
    price: FloatArray = np.zeros(MODULES)
    p = z
    for _ in range(steps):
        p = at.proximal(linear * price + RHO * z, RHO)
        s = p + price / RHO
        z = s - s.mean() + SHARE_KW
        price = price + RHO * (p - z)
    return p


def _meets(at: Station, powers: FloatArray) -> bool:
    """What a dispatch must: the balance, and a gap below 1 %."""
    return abs(float(powers.sum()) - TARGET_KW) <= 0.01 * TARGET_KW and abs(at.excess(powers)) <= 0.01


@CLAIMS.claim("000.4.1", "Efficiency 0.97 - 0.02 (p/P)^2 - 0.01 p/P with signed p makes a convex loss.",
              "equal losses for charging and discharging, and no negative curvature", "error")  # fmt: skip
def signed_efficiency(_: Setting) -> Finding:
    """Efficiency at either end, and where the loss bends down."""
    x: FloatArray = np.linspace(-0.999, -1e-3, 2000).astype(np.float64)

    def efficiency(p: FloatArray) -> FloatArray:
        return 0.97 - 0.02 * p**2 - 0.01 * p

    loss = (1.0 - efficiency(x)) * np.abs(x)
    bent = x[1:-1][np.diff(loss, 2) < 0.0]
    ends = efficiency(np.array([-1.0, 1.0]))
    figures = {"efficiency_charging": float(ends[0]), "efficiency_discharging": float(ends[1]),
               "concave_from_share": float(bent.min()) if len(bent) else 0.0,
               "concave_to_share": float(bent.max()) if len(bent) else 0.0}  # fmt: skip
    return judged(len(bent) == 0 and ends[0] == ends[1], figures,
                  "the linear term is a gain when charging; the loss is concave from -P/6 to 0: it needs |p|")


@CLAIMS.claim("000.4.2", "The cost is the plain sum of the loss in kW, the wear and the heat penalty.",
              "the optimum does not depend on the unit of power", "error")  # fmt: skip
def mixed_units(_: Setting) -> Finding:
    """Two modules share a power; the unit of the loss is changed from kW to W."""
    from scipy.optimize import minimize_scalar

    def split(unit: float) -> float:
        def total(p: float) -> float:
            loss = sum((0.03 + a * (x / 3.3) ** 2) * x for a, x in ((0.02, p), (0.2, 4.0 - p)))
            return float(unit * loss + 0.03 * p**1.5 + 0.006 * (4.0 - p) ** 1.5)

        return float(minimize_scalar(total, bounds=(0.7, 3.3), method="bounded").x)

    in_kw, in_w = split(1.0), split(1e3)
    return judged(abs(in_kw - in_w) < 1e-3, {"first_module_kw_if_loss_in_kw": in_kw, "first_module_kw_if_in_w": in_w},
                  "kW, EUR and K^2 can't be added: the loss needs a price")  # fmt: skip


@CLAIMS.claim("000.4.3", "The dual of the stated maximisation is: maximise over the price, minimise over the powers.",
              "its value is the optimum's within 1e-6", "error")  # fmt: skip
def dual_order(_: Setting) -> Finding:
    """Both orders over a fine grid of prices."""
    at, income = station(0), 0.10
    best = income * TARGET_KW - at.optimum.cost_eur_per_h
    grids = [np.linspace(box.low_kw, box.high_kw, 401).astype(np.float64) for box in at.boxes]
    costs = [cost.cost(grid) for cost, grid in zip(at.costs, grids, strict=True)]
    prices = income - at.optimum.lambda_ + np.linspace(-0.05, 0.05, 201)

    def values(pick: np.ufunc) -> list[float]:
        return [sum(float(pick.reduce((income - price) * grid - cost)) for grid, cost in zip(grids, costs, strict=True))
                + price * TARGET_KW for price in prices]  # fmt: skip

    printed, right = max(values(np.minimum)), min(values(np.maximum))
    return judged(abs(printed - best) <= 1e-6 * abs(best),
                  {"optimum_eur_per_h": best, "max_min_eur_per_h": printed, "min_max_eur_per_h": right},
                  "the other way round: minimise over the price, maximise over the powers")  # fmt: skip


@CLAIMS.claim("000.4.4a", "The primal-dual step 3.3 as printed meets the target at least cost.",
              "balance and gap within 1 %", "error")  # fmt: skip
def printed_primal_dual(setting: Setting) -> Finding:
    """Where it ends."""
    at = station(0)
    powers = primal_dual(at, 1.0, setting.pick(1500, 4000))
    return judged(_meets(at, powers), {"sum_kw": float(powers.sum()), "target_kw": TARGET_KW,
                                       "lower_ends_kw": -sum(box.high_kw for box in at.boxes)},
                  "the price moves the wrong way and all modules end at full charging")  # fmt: skip


@CLAIMS.claim("000.4.4b", "With the sign turned round the step 3.3 ends at the optimum.", "balance and gap within 1 %",
              "error")  # fmt: skip
def mended_primal_dual(setting: Setting) -> Finding:
    """Equal powers, as the fixed point is W p = target / n."""
    at = station(0)
    powers = primal_dual(at, -1.0, setting.pick(1500, 6000))
    return judged(_meets(at, powers), {"sum_kw": float(powers.sum()), "power_spread_kw": float(np.ptp(powers)),
                                       "excess": at.excess(powers)},
                  "prices are never averaged: it ends at the equal split")  # fmt: skip


@CLAIMS.claim("000.4.6", "The companion's distributed ADMM meets the target at least cost.",
              "balance and gap within 1 %", "error")  # fmt: skip
def printed_companion_admm(setting: Setting) -> Finding:
    """As printed, and with the sign of its second listing."""
    at, steps = station(0), setting.pick(1000, 3000)
    wrong, right = companion_admm(at, 1.0, steps), companion_admm(at, -1.0, steps)
    return judged(_meets(at, wrong), {"sum_kw": float(wrong.sum()), "sum_with_sign_turned_kw": float(right.sum()),
                                      "excess_with_sign_turned": at.excess(right)},
                  "positive feedback; its second listing has the right sign")  # fmt: skip


@CLAIMS.claim("000.5.4", "A regression test tells the wrong-sign variants of primal-dual and of the companion's ADMM "
              "from the right ones.", "both fail the acceptance, the turned ADMM passes it", "derived")  # fmt: skip
def wrong_signs_fail(setting: Setting) -> Finding:
    """The acceptance on both variants."""
    at, steps = station(1), setting.pick(1000, 3000)
    passed = {"primal_dual_printed": _meets(at, primal_dual(at, 1.0, steps)),
              "companion_admm_printed": _meets(at, companion_admm(at, 1.0, steps)),
              "companion_admm_turned": _meets(at, companion_admm(at, -1.0, steps))}  # fmt: skip
    return judged(list(passed.values()) == [False, False, True], passed)


@CLAIMS.claim("000.4.7", "Distributed gradient descent and gradient tracking that average the powers share a target "
              "at least cost.", "balance and gap within 1 %", "error")  # fmt: skip
def averaged_powers(setting: Setting) -> Finding:
    """Gradient tracking of the powers: all end at one common power."""
    at, w = station(0), ring_weights()
    p: FloatArray = np.full(MODULES, SHARE_KW)

    def gradient(powers: FloatArray) -> FloatArray:
        return np.array([float(c.marginal(powers[k : k + 1])[0]) for k, c in enumerate(at.costs)])

    before = gradient(p)
    track = before.copy()
    for _ in range(setting.pick(800, 4000)):
        p = np.array([box.clip(float(x)) for box, x in zip(at.boxes, w @ p - 0.5 * track, strict=True)])
        now = gradient(p)
        track, before = w @ track + now - before, now
    return judged(_meets(at, p), {"sum_kw": float(p.sum()), "power_spread_kw": float(np.ptp(p))},
                  "that solves 'one common power', not 'powers that add up to the target'")  # fmt: skip


@CLAIMS.claim("000.4.8a", "Theorem 8 of the companions bounds the dispatch.", "its terms have the target and the "
              "right sign", "error")  # fmt: skip
def theorem_8(_: Setting) -> Finding:
    """Its text is not to be copied."""
    return not_reproducible("the theorem's text is not in the project; noted there: no target in it, a wrong sign")


@CLAIMS.claim("000.4.8b", "Theorem 9: with delay tau the error shrinks by the factor (1 + tau/tau_c)^k.",
              "the factor is below 1", "error")  # fmt: skip
def theorem_9(_: Setting) -> Finding:
    """The factor at small delays and few steps."""
    factors = {f"k_{k}": (1.0 + 0.1) ** k for k in (1, 10, 50)}
    return judged(max(factors.values()) < 1.0, {"at_tau_a_tenth_of_tau_c": factors}, "it grows for every delay above 0")


@CLAIMS.claim("000.4.8c", "Theorem 10: averages stay right in the mean under any independent loss of messages.",
              "the mean moves by less than 1e-9 with one-way losses", "error")  # fmt: skip
def theorem_10(_run: Setting) -> Finding:
    """Symmetric and one-way losses of 20 % on the ring, the hearer keeping its own value."""
    moved = {}
    for name in ("symmetric", "one_way"):
        random, w = np.random.default_rng(3), ring_weights()
        values = np.arange(float(MODULES))
        for _ in range(200):
            lost = random.random((MODULES, MODULES)) < 0.2
            lost = lost | lost.T if name == "symmetric" else lost
            kept = np.where(lost & ~np.eye(MODULES, dtype=bool), 0.0, w)
            values = kept @ values + (1.0 - kept.sum(axis=1)) * values
        moved[f"mean_moved_{name}"] = abs(float(values.mean()) - 4.5)
    return judged(moved["mean_moved_one_way"] <= 1e-9, moved, "true for symmetric losses alone")


def _mixing(ids: range, edges: Edges) -> tuple[float, float, int]:
    sigma = second_eigenvalue(metropolis_weights(adjacency(ids, edges)))
    return sigma, 1.0 - sigma, math.ceil(math.log(1e-3) / math.log(sigma))


@CLAIMS.claim("000.4.9a", "A ring of ten with Metropolis weights: second eigenvalue 0.8727, gap 0.127, 51 rounds to a "
              "thousandth.", "each to the printed digits", "derived")  # fmt: skip
def ring_mixing(_: Setting) -> Finding:
    """Spectrum of the weights."""
    sigma, gap, rounds = _mixing(range(10), build_edges("ring", range(10)))
    return judged(round(sigma, 4) == 0.8727 and round(gap, 3) == 0.127 and rounds == 51,
                  {"second_eigenvalue": sigma, "gap": gap, "rounds": rounds})  # fmt: skip


@CLAIMS.claim("000.4.9b", "The companion: the ring of ten has a spectral gap of 0.19.", "gap within 0.01 of 0.19",
              "error")  # fmt: skip
def ring_gap_printed(_: Setting) -> Finding:
    """The printed figure belongs to the walk that never stays, which has an eigenvalue of -1."""
    gap = _mixing(range(10), build_edges("ring", range(10)))[1]
    walk = np.zeros((10, 10))
    for k in range(10):
        walk[k, [k - 1, (k + 1) % 10]] = 0.5
    return judged(abs(gap - 0.19) <= 0.01, {"gap": gap, "walk": 1.0 - math.cos(math.pi / 5),
                                            "walk_smallest_eigenvalue": float(np.linalg.eigvalsh(walk)[0])},
                  "0.19 is that of the walk with halves to either side, which does not converge")  # fmt: skip


@CLAIMS.claim("000.4.9c", "M50 (7 x 7 grid with one pendant): gap 0.0385, 177 rounds to a thousandth.",
              "gap within 2 %, rounds within 2 %", "derived")  # fmt: skip
def grid_mixing(_: Setting) -> Finding:
    """The pendant hangs at a corner."""
    edges = [(7 * r + c, 7 * r + c + 1) for r in range(7) for c in range(6)]
    edges += [(7 * r + c, 7 * r + c + 7) for r in range(6) for c in range(7)] + [(48, 49)]
    gap, rounds = _mixing(range(50), tuple(edges))[1:]
    return judged(abs(gap / 0.0385 - 1.0) <= 0.02 and abs(rounds / 177 - 1.0) <= 0.02, {"gap": gap, "rounds": rounds})


@CLAIMS.claim("000.4.9d", "L200 (ten heads in a ring, twenty modules around each): gap 0.0008, more than 8000 rounds.",
              "gap rounds to 0.0008, rounds above 8000", "derived")  # fmt: skip
def stars_mixing(_: Setting) -> Finding:
    """Heads are among the 200 modules or besides them: both are told."""
    found = {}
    for name, leaves in (("heads_besides", 20), ("heads_among", 19)):
        edges = [(k, (k + 1) % 10) for k in range(10)]
        edges += [(head, 10 + head * leaves + j) for head in range(10) for j in range(leaves)]
        ids = range(10 + 10 * leaves)
        found[name] = _mixing(ids, tuple((min(e), max(e)) for e in edges))
    figures = {f"{key}_{name}": value for name, parts in found.items()
               for key, value in zip(("gap", "rounds"), parts[1:], strict=True)}  # fmt: skip
    return judged(any(round(gap, 4) == 0.0008 and rounds > 8000 for _, gap, rounds in found.values()), figures)
