"""Lower bounds of the cone program of a slot that hold whatever the multipliers are, and good multipliers.

The program, per slot (EQUATIONS 003.1; i the parent of j, s the stations' power):

    min  f(pg) + h v + k l
    P_j - r l_j + pg_j  = sum_k P_k + pL_j + s_j + g_j v_j           : multiplier lp_j
    Q_j - x l_j + qg_j  = sum_k Q_k + qL_j - b_j v_j                  : lq_j
    v_j = v_i - 2 (r P_j + x Q_j) + (r^2 + x^2) l_j                   : mu_j
    l_j v_i >= P_j^2 + Q_j^2,   l_j <= limit (sigma_j),   v, pg, qg in boxes.

Its Lagrangian has a minimum in closed form. With a = lp_i - lp_j + 2 r mu, b = lq_i - lq_j + 2 x mu,
c = r lp_j + x lq_j - (r^2 + x^2) mu_j + k_j + sigma_j > 0 a branch costs at least -(a^2 + b^2)/(4 c) v_i, what is left
of v_i's factor meets its box, and generators are one-dimensional. So each set of multipliers gives an affine function
of s that is nowhere above the slot's cost, with no solver's tolerance in it; only the rounding of its few sums is
left, which is bounded and taken off.

Good multipliers: at an AC power flow without limits that bind, the conditions of optimality are linear and, on a tree,
solved by one pass up and one down, for all slots at once. lp is then the locational price. (DERIVED.)
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from v2g_nodes.core.types import FloatArray
from v2g_nodes.planning.network.grid import Grid
from v2g_nodes.planning.network.power_flow import Flow

V2_LARGEST = 4.0  # pu, of a bus without an upper limit: 2 pu voltage is no operation of any grid
ROUNDING = 4.0 * np.finfo(float).eps


@dataclass(frozen=True)
class Multipliers:
    """Shape (buses, slots) each; row 0 of `mu` and `sigma` is unused.

    Args:
        lp: of the active balance [EUR/h per pu].
        lq: of the reactive balance.
        mu: of the voltage drop.
        sigma: of the current limit, at least 0.
    """

    lp: FloatArray
    lq: FloatArray
    mu: FloatArray
    sigma: FloatArray


@dataclass(frozen=True)
class Sources:
    """What is minimised besides, or in place of, the generators' cost.

    Args:
        cost: factor of the generators' cost, 1 or 0.
        v2: of squared voltages, shape (buses, slots).
        current2: of squared currents, shape (buses, slots).
    """

    cost: float
    v2: FloatArray
    current2: FloatArray


def cost_sources(shape: tuple[int, ...]) -> Sources:
    """The generators' cost alone."""
    return Sources(1.0, np.zeros(shape), np.zeros(shape))


def flow_multipliers(grid: Grid, flow: Flow, sources: Sources) -> Multipliers:
    """Multipliers at a power flow whose only free generator is the slack bus's and where no limit binds.

    Args:
        grid: radial, slack bus alone.
        flow: settled.
        sources: what is minimised.

    Returns:
        Sensitivities of the minimised to loads, exact where the flow is.
    """
    slots = flow.p.shape[1]
    alpha, beta, gamma = (np.zeros((len(grid), slots)) for _ in range(3))  # mu = alpha lp + beta lq + gamma
    pull = np.zeros((3, len(grid), slots))  # what children add to the three, at their parent
    down = np.zeros((len(grid), 6, slots))  # own (lp, lq) from the parent's
    v2 = flow.v2
    for bus in range(len(grid) - 1, 0, -1):
        parent, r, x = grid.parent[bus], grid.r[bus], grid.x[bus]
        z2 = r * r + x * x
        al = alpha[bus] = pull[0, bus] - grid.shunt_g[bus]
        be = beta[bus] = pull[1, bus] + grid.shunt_b[bus]
        ga = gamma[bus] = pull[2, bus] - sources.v2[bus]
        ka, kb, kc = (value / v2[parent] for value in (r - z2 * al, x - z2 * be, sources.current2[bus] - z2 * ga))
        p, q = 2.0 * flow.p[bus], 2.0 * flow.q[bus]
        m11, m12, m21, m22 = (
            1 - 2 * r * al - p * ka,
            -2 * r * be - p * kb,
            -2 * x * al - q * ka,
            1 - 2 * x * be - q * kb,
        )
        n1, n2 = 2 * r * ga + p * kc, 2 * x * ga + q * kc
        one = 1.0 / (m11 * m22 - m12 * m21)
        i11, i12, i21, i22 = m22 * one, -m12 * one, -m21 * one, m11 * one
        e1, e2 = i11 * n1 + i12 * n2, i21 * n1 + i22 * n2
        down[bus] = i11, i12, e1, i21, i22, e2
        current2 = flow.current2[bus]
        fa, fb, fc = al + ka * current2, be + kb * current2, ga + kc * current2
        pull[0, parent] += fa * i11 + fb * i21
        pull[1, parent] += fa * i12 + fb * i22
        pull[2, parent] += fa * e1 + fb * e2 + fc
    lp, lq = np.zeros((2, len(grid), slots))
    generators = grid.generators
    supplied_mw = flow.p[0] * grid.base_mva
    lp[0] = sources.cost * grid.base_mva * (2.0 * generators.c2[0] * supplied_mw + generators.c1[0])
    for bus in range(1, len(grid)):
        parent = grid.parent[bus]
        i11, i12, e1, i21, i22, e2 = down[bus]
        lp[bus] = i11 * lp[parent] + i12 * lq[parent] + e1
        lq[bus] = i21 * lp[parent] + i22 * lq[parent] + e2
    return Multipliers(lp, lq, alpha * lp + beta * lq + gamma, np.zeros_like(lp))


@dataclass(frozen=True)
class Affine:
    """Constant and slope of a lower bound in each slot, in the stations' power.

    Args:
        constant: shape (slots,) [EUR/h for costs]; minus infinity where the multipliers prove nothing.
        slope: shape (buses, slots), per pu of active load at each bus.
    """

    constant: FloatArray
    slope: FloatArray


def lower_bound(grid: Grid, p_load: FloatArray, q_load: FloatArray, found: Multipliers, sources: Sources) -> Affine:
    """The least value of the Lagrangian, as a function of power added to the active loads.

    Args:
        grid: radial.
        p_load: active load without stations, shape (buses, slots) [pu].
        q_load: reactive load [pu].
        found: any multipliers.
        sources: what is minimised.
    """
    lp, lq, mu, sigma = found.lp, found.lq, found.mu, np.maximum(found.sigma, 0.0)
    inner, parent = slice(1, None), grid.parent[1:]
    r, x = grid.r[inner, None], grid.x[inner, None]
    a = lp[parent] - lp[inner] + 2.0 * r * mu[inner]
    b = lq[parent] - lq[inner] + 2.0 * x * mu[inner]
    c = r * lp[inner] + x * lq[inner] - (r * r + x * x) * mu[inner] + sources.current2[inner] + sigma[inner]
    with np.errstate(divide="ignore", invalid="ignore"):
        cone = np.where((a == 0.0) & (b == 0.0) & (c >= 0.0), 0.0, (a * a + b * b) / (4.0 * c))
    proves = ((c > 0.0) | (cone == 0.0)).all(axis=0)
    limit2 = np.where(np.isfinite(grid.current_max[inner]), grid.current_max[inner] ** 2, 0.0)[:, None]
    proves &= ((limit2 > 0.0) | (sigma[inner] == 0.0)).all(axis=0)
    factor = grid.shunt_g[:, None] * lp - grid.shunt_b[:, None] * lq + sources.v2
    factor[inner] += mu[inner]
    np.subtract.at(factor, parent, mu[inner] + np.where(np.isfinite(cone), cone, 0.0))
    low, high = (side[:, None] for side in voltage_box(grid))
    terms = [lp * p_load, lq * q_load, np.minimum(factor * low, factor * high), -sigma[inner] * limit2,
             _generators(grid, lp, lq, sources.cost)]  # fmt: skip
    # beside the sums, factors of v may carry the rounding of what they are made of
    size = sum(np.abs(term).sum(axis=0) for term in terms) + (
        np.abs(lp) + np.abs(lq) + np.abs(mu) + np.abs(factor)
    ).sum(axis=0) * float(high.max())
    constant = sum(term.sum(axis=0) for term in terms) - ROUNDING * len(grid) * size
    return Affine(np.where(proves, constant, -np.inf), lp)


def voltage_box(grid: Grid) -> tuple[FloatArray, FloatArray]:
    """Squared voltages allowed, shape (buses,) each; the slack bus's is fixed [pu]."""
    low, high = grid.v_min**2, np.minimum(grid.v_max**2, V2_LARGEST)
    low[0] = high[0] = grid.slack_voltage**2
    return low, high


def _generators(grid: Grid, lp: FloatArray, lq: FloatArray, cost: float) -> FloatArray:
    """Least f(P) - lp P and -lq Q of each generator, shape (generators, slots)."""
    g, base = grid.generators, grid.base_mva
    low, high = g.p_min_mw[:, None], g.p_max_mw[:, None]
    price, price_q = lp[g.bus] / base, lq[g.bus] / base
    linear, quadratic = cost * g.c1[:, None] - price, cost * g.c2[:, None]
    with np.errstate(divide="ignore", invalid="ignore"):
        inner = np.where(quadratic > 0.0, -linear / (2.0 * quadratic), np.where(linear > 0.0, low, high))
    power = np.clip(inner, low, high)
    active = np.where((quadratic == 0.0) & (linear == 0.0), 0.0, (quadratic * power + linear) * power)
    reactive = -np.maximum(price_q * g.q_max_mvar[:, None], price_q * g.q_min_mvar[:, None])
    return np.asarray(active + reactive + cost * g.c0[:, None])
