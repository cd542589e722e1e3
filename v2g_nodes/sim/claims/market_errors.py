"""Formulas of the regulation market slides that are wrong as printed (004.5)."""

from __future__ import annotations

import math

import numpy as np

from v2g_nodes.planning.market.capacity import squared_deviation
from v2g_nodes.planning.market.persistency import utility_of
from v2g_nodes.planning.market.synthetic import NEED, REBATE_MAX, drivers
from v2g_nodes.sim.claims.claim import Finding, Register, Setting, judged

CLAIMS = Register("planning/market", "sim/claims/market_setting.py")


@CLAIMS.claim("004.5.1", "P(z <= theta times the forward deviation) is at most exp(-theta^2 / 2).",
              "for a normal z and theta 0.5, 1, 2", "error")  # fmt: skip
def tails(_: Setting) -> Finding:
    """Both tails of a normal variable, whose deviation is its standard deviation."""
    rows = {theta: (0.5 * (1.0 + math.erf(theta / math.sqrt(2.0))), math.exp(-(theta**2) / 2.0))
            for theta in (0.5, 1.0, 2.0)}  # fmt: skip
    figures = {f"theta_{theta:g}": {"below": low, "above": 1.0 - low, "bound": bound}
               for theta, (low, bound) in rows.items()}  # fmt: skip
    return judged(all(low <= bound for low, bound in rows.values()), figures, "it bounds the tail above, P(z >= ...)")


@CLAIMS.claim("004.5.2", "Value at risk with the loss -(v0 + v'z) bounds the constraint that the fleet serves the bid.",
              "the largest bid it allows is served with 75 %", "error")  # fmt: skip
def loss_sign(run: Setting) -> Finding:
    """Bids that either sign allows, and how often they are served; 200 vehicles, 60 % plugged in."""
    random, draws = np.random.default_rng(0), run.pick(20_000, 200_000)
    able, need = 10.0 * random.binomial(200, 0.6, draws), random.normal(NEED.mean, NEED.forward, draws)
    bids = np.linspace(100.0, 8000.0, 80)

    def largest(sign: float) -> float:
        return max(float(c) for c in bids if np.quantile(sign * (need * c - able), 0.75) <= 0.0)

    printed, right = largest(-1.0), largest(1.0)
    served = {name: float(np.mean(able >= need * bid)) for name, bid in (("printed", printed), ("right", right))}
    return judged(served["printed"] >= 0.75, {"bid_printed_kw": printed, "served_printed": served["printed"],
                                              "bid_right_kw": right, "served_right": served["right"]},
                  "the loss is what is asked less what there is, without the minus")  # fmt: skip


@CLAIMS.claim("004.5.3a", "The standard deviation of a plug-in serves as its backward deviation.", "equal at shares "
              "0.3, 0.6 and 0.9", "error")  # fmt: skip
def deviation(_: Setting) -> Finding:
    """Both, by the share plugged in."""
    shares = np.array([0.3, 0.6, 0.9])
    printed, exact = (np.sqrt(squared_deviation(shares, True, kind)[0]) for kind in (False, True))
    return judged(np.allclose(printed, exact, atol=1e-9), {"share": shares.tolist(), "standard": printed.tolist(),
                  "backward": exact.tolist()}, "only up to one half")  # fmt: skip


@CLAIMS.claim("004.5.3b", "Form (3) with it bounds the conditional value at risk.", "for 5 vehicles, 95 % plugged in, "
              "and 20 vehicles, 99 %, at a level of 5 %", "error")  # fmt: skip
def bound_violated(_: Setting) -> Finding:
    """Exact conditional value at risk of -K against the bound, with either deviation."""
    figures: dict[str, object] = {}
    holds = True
    for count, share in ((5, 0.95), (20, 0.99), (200, 0.95)):
        true = _tail_mean(count, share, 0.05)
        bounds = [-count * share + math.sqrt(-2.0 * math.log(0.05)) * math.sqrt(
            count * float(squared_deviation(np.array(share), True, exact)[0])) for exact in (False, True)]
        figures[f"{count}_vehicles_{share:g}"] = {"true": true, "printed_bound": bounds[0], "exact_bound": bounds[1]}
        holds = holds and true <= bounds[0] + 1e-9
    return judged(holds, figures, "violated for few vehicles that are nearly all there; not with the exact deviation")


def _tail_mean(count: int, share: float, eta: float) -> float:
    """Mean of the worst eta of -K, K binomial."""
    left, total = eta, 0.0
    for k in range(count + 1):
        mass = min(left, math.comb(count, k) * share**k * (1.0 - share) ** (count - k))
        total, left = total - k * mass, left - mass
    return total / eta


@CLAIMS.claim("004.5.5", "u <= level x choice of the level is enough to make u the rebate paid.", "the drivers' "
              "optimality then rejects flows that are not optimal", "error")  # fmt: skip
def rebate_product(_: Setting) -> Finding:
    """Flow without rebates offered as the answer to full rebates: accepted by either bound on u?"""
    follower, rebates = drivers(), np.full(24, REBATE_MAX)
    dual = float(follower.solve(rebates).value[0])
    flow = follower.solve(np.zeros(24)).flow
    own = float(follower.primal_value(flow, np.zeros((1, 24)))[0])
    loose = own + float(rebates.sum())
    tight = own + float((rebates * follower.plugged(follower.solve(np.zeros(24)))[0]).sum())
    return judged(loose < dual, {"dual_usd": dual, "primal_with_u_up_to_level_usd": loose, "primal_with_u_up_to_level_"
                  "times_y_usd": tight}, "a wrong answer passes; u has to be at most level x share")  # fmt: skip


@CLAIMS.claim("004.5.6", "The second line of the drivers' dual sums over the arcs that are not plugged in alone.",
              "it then rejects flows that are not optimal", "error")  # fmt: skip
def dual_terms(_: Setting) -> Finding:
    """Flow without rebates against the dual with and without the plugged-in arcs' terms."""
    follower, rebates = drivers(), np.full(24, 0.1)
    answer, flow = follower.solve(rebates), follower.solve(np.zeros(24)).flow
    primal = float(follower.primal_value(flow, rebates[None, :])[0])
    mean = follower.mu + follower.network.plug_matrix @ rebates
    lam = mean - answer.potential[0] @ follower.network.incidence
    terms = 0.5 * (lam + np.hypot(lam, follower.sigma))
    outside = follower.network.plug_hour < 0
    rest = float(answer.potential[0] @ follower.network.supply)
    printed, whole = float(terms[outside].sum()) + rest, float(terms.sum()) + rest
    return judged(primal < printed, {"primal_usd": primal, "dual_printed_usd": printed, "dual_usd": whole},
                  "arcs plugged in carry utility plus rebate and have their terms too")  # fmt: skip


@CLAIMS.claim("004.5.7", "Observed shares of 0 and 1 can be calibrated as they are.", "their utilities are finite",
              "error")  # fmt: skip
def shares_at_the_end(_: Setting) -> Finding:
    """Utility by the share."""
    with np.errstate(divide="ignore", invalid="ignore"):
        ends = utility_of(np.array([0.0, 1.0]), np.ones(2))
    clipped = utility_of(np.array([1e-6, 1.0 - 1e-6]), np.ones(2))
    return judged(np.isfinite(ends).all(), {"finite_at_the_ends": int(np.isfinite(ends).sum()), "clipped_sigma":
                  clipped.tolist()}, "infinite: shares have to be clipped, here at 1e-6")  # fmt: skip
