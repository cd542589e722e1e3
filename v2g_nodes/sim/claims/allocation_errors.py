"""Statements of the resource allocation document that mislead or are wrong (002.5)."""

from __future__ import annotations

import numpy as np

from v2g_nodes.planning.allocation import barrier
from v2g_nodes.planning.allocation.fleet import fleet_of
from v2g_nodes.planning.allocation.grid import wish
from v2g_nodes.planning.allocation.slot_graph import laplacian
from v2g_nodes.sim.claims.allocation_setting import SLOT_H, SLOTS, fleet, payoffs, unlike
from v2g_nodes.sim.claims.claim import Finding, Register, Setting, judged

CLAIMS = Register("planning/allocation", "sim/claims/allocation_setting.py")
STEP, STEPS = 0.04, 4000


def _flow(sign: float) -> tuple[float, float]:
    """Spread of payoffs at the start and after the dynamics with resource flowing up (+1) or down (-1) the payoffs."""
    at = fleet(3, 0.2)
    group, graph = fleet_of(at.vehicles, SLOTS, SLOT_H), laplacian("ring", SLOTS)
    x = group.even()

    def spread() -> float:
        return float(np.ptp(payoffs(x, group.reference, 0.2, 1.0), axis=1).max())

    first = spread()
    for _ in range(STEPS):
        x = np.clip(x + sign * STEP * payoffs(x, group.reference, 0.2, 1.0) @ graph, -1e6, 1e6)
    return first, spread()


@CLAIMS.claim("002.5.1", "The functions are payoffs, and resource flows to strategies of higher payoff, as in "
              "replicator or Smith dynamics.", "flowing up the payoffs makes them agree", "error")  # fmt: skip
def payoff_sign(_: Setting) -> Finding:
    """Both directions."""
    (first, up), down = _flow(1.0), _flow(-1.0)[1]
    return judged(up < 1e-3 * first, {"spread_at_start": first, "spread_flowing_up": up, "spread_flowing_down": down},
                  "they are cost slopes: resource must flow from high to low")  # fmt: skip


@CLAIMS.claim("002.5.2", "One connected graph over the strategies of all vehicles serves, as drawn for three vehicles "
              "and four slots.", "each vehicle keeps its energy (20.16, 16.8, 13.44 kWh) to 1e-6 kWh", "error")
def one_graph(_run: Setting) -> Finding:
    """Energies on the way with the owners' wishes, and at rest where all owners wish for the same rate."""
    at = unlike()
    group, graph = fleet_of(at.vehicles, SLOTS, SLOT_H), laplacian("ring", 3 * SLOTS)
    x, drift = group.even(), 0.0
    for _ in range(STEPS):
        x = x - STEP * (graph @ payoffs(x, group.reference, 0.2, 1.0).ravel()).reshape(x.shape)
        drift = max(drift, float(np.abs(x.sum(axis=1) - group.energy).max()))
    hessian = np.kron(np.eye(3), 0.2 * np.eye(SLOTS)) + 0.8 * np.kron(np.ones((3, 3)), wish(SLOTS, 1.0))
    rest = group.even()
    for _ in range(3):  # implicit steps so long that it is at rest
        flow = graph @ payoffs(rest, np.full_like(rest, 1.4), 0.2, 1.0).ravel()
        rest = rest - np.linalg.solve(np.eye(rest.size) / 1e6 + graph @ hessian, flow).reshape(rest.shape)
    figures = {"due_kwh": group.energy.tolist(), "largest_drift_kwh": drift, "at_rest_same_wish_kwh":
               rest.sum(axis=1).tolist()}  # fmt: skip
    return judged(drift <= 1e-6, figures, "energy leaks from battery to battery (in the prototype to 16.93, 16.8, "
                  "16.67 kWh): each vehicle needs a graph of its own")  # fmt: skip


@CLAIMS.claim("002.5.3", "The commitment may go down to 0.", "at 0 the optimum is unique", "error")
def zero_commitment(_: Setting) -> Finding:
    """Directions that keep every energy and change nothing: moves of power between two vehicles."""
    basis = np.linalg.svd(np.ones((1, SLOTS)))[2][1:].T  # keeps a vehicle's energy
    keep = np.kron(np.eye(2), basis)
    flat = {}
    for alpha in (0.0, 0.05):
        hessian = np.kron(np.eye(2), alpha * np.eye(SLOTS)) + (1.0 - alpha) * np.kron(np.ones((2, 2)), wish(SLOTS, 1.0))
        flat[alpha] = int((np.linalg.eigvalsh(keep.T @ hessian @ keep) < 1e-9).sum())
    return judged(flat[0.0] == 0, {"flat_directions_at_0": flat[0.0], "flat_directions_at_0.05": flat[0.05]},
                  "only the sum over vehicles is determined: it must be above 0")  # fmt: skip


@CLAIMS.claim("002.5.4", "The barrier on the state of charge stands in every slot, the last one too.", "it is finite "
              "where the energy due fills the battery", "error")  # fmt: skip
def last_slot(_: Setting) -> Finding:
    """Barrier at the goal when the goal is the upper limit."""
    value = float(barrier.potential(np.array(24.0), np.array(3.6), np.array(24.0)))
    near = float(barrier.potential(np.array(24.0 - 1e-6), np.array(3.6), np.array(24.0)))
    return judged(np.isfinite(value), {"finite_at_goal": bool(np.isfinite(value)), "one_mwh_below": near},
                  "infinite: the last slot has to be left out, its charge is given anyway")  # fmt: skip


@CLAIMS.claim("002.5.5", "Theorem 2: the strategies are a strictly passive system from output to resource.",
              "stored energy falls strictly faster than the power that leaves", "error")  # fmt: skip
def strictly_passive(_run: Setting) -> Finding:
    """Balance of V = e' L+ e / 2 along e' = -L y for random outputs: supplied power less its rate of change."""
    graph, random = laplacian("ring", SLOTS), np.random.default_rng(2)
    inverse = np.linalg.pinv(graph)
    worst = 0.0
    for _ in range(200):
        e, y = random.standard_normal((2, SLOTS))
        e -= e.mean()
        worst = max(worst, abs(float(-y @ e) - float(e @ inverse @ (-graph @ y))))
    return judged(worst > 1e-9, {"largest_dissipation": worst},
                  "the integrator is only lossless; convergence comes from the strictly monotone payoffs")  # fmt: skip
