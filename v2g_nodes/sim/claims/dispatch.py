"""Claims on dispatch: how the formulation's algorithms converge, what they cost and what they send (000)."""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Iterator

import numpy as np

from v2g_nodes.core.dispatch.reference import equal_split
from v2g_nodes.core.types import FloatArray
from v2g_nodes.sim.claims.claim import Finding, Register, Setting, judged
from v2g_nodes.sim.claims.dispatch_setting import (
    MODULES,
    RHOS,
    TARGET_KW,
    Station,
    admm,
    price_tracking,
    ring_weights,
    station,
    steps_to,
)

CLAIMS = Register("core", "sim/claims/dispatch_setting.py")
WIDER = 1.5  # factor by which a range of another instance may be passed at either end
ADMM_STEPS, BIAS_STEPS, TRACKING_STEPS = 120, 400, 1500
BETA, BETA_TOO_LARGE = 0.004, 0.008  # EUR/kWh per kW
INSTANCES = (16, 40)  # quick and full; medians of fewer depend on which


def _instances(setting: Setting, equal_wear: bool = False) -> list[Station]:
    return [station(seed, equal_wear) for seed in range(setting.pick(*INSTANCES))]


def _excess_of_equal_split(setting: Setting, equal_wear: bool) -> list[float]:
    return [at.excess(np.array(equal_split(at.boxes, TARGET_KW)))
            for at in _instances(Setting(False), equal_wear)[: setting.pick(20, 40)]]  # fmt: skip


@CLAIMS.claim("000.2.5", "Frequency as an Ornstein-Uhlenbeck process (0.1 per s, 0.01 Hz per root s) has a standard "
              "deviation of 0.0224 Hz, which the stated 0.02 Hz agrees with.", "measured within 5 % of 0.0224 Hz",
              "derived")  # fmt: skip
def frequency_deviation(setting: Setting) -> Finding:
    """Exact steps of one second."""
    theta, sigma = 0.1, 0.01
    count, keep = setting.pick(400_000, 4_000_000), math.exp(-0.1)
    from scipy.signal import lfilter

    noise = np.random.default_rng(1).standard_normal(count) * sigma * math.sqrt((1.0 - keep**2) / (2.0 * theta))
    measured = float(np.std(lfilter([1.0], [1.0, -keep], noise)))
    return judged(abs(measured / 0.0224 - 1.0) <= 0.05, {"standard_deviation_hz": measured, "samples": count})


@CLAIMS.claim("000.2.6", "An EK3 module's round trip at 3.3 kW is 90.3 %, from 95.3 % one way and 94.8 % the other.",
              "product within rounding, 0.05 points", "derived")  # fmt: skip
def round_trip(_: Setting) -> Finding:
    """Product of the printed efficiencies."""
    product = 100.0 * 0.953 * 0.948
    return judged(abs(product - 90.3) <= 0.05, {"round_trip_percent": product})


@CLAIMS.claim("000.5.1a", "With unlike wear (log-uniform 0.003 to 0.06) an equal split costs 33 % more than the "
              "optimum.", "median over instances within a factor of two of 33 %", "prototype")  # fmt: skip
def equal_split_unlike(setting: Setting) -> Finding:
    """Excess of the equal split over seeded instances."""
    excess = _excess_of_equal_split(setting, equal_wear=False)
    middle = float(np.median(excess))
    return judged(0.165 <= middle <= 0.66, {"excess_median": middle, "excess_min": min(excess),
                                            "excess_max": max(excess), "instances": len(excess)})  # fmt: skip


@CLAIMS.claim("000.5.1b", "With equal wear it costs only 0.16 % more, so a gap below 1 % proves nothing there.",
              "median below 1 % and within a factor of three of 0.16 %", "prototype")  # fmt: skip
def equal_split_alike(setting: Setting) -> Finding:
    """The same with one wear price."""
    excess = _excess_of_equal_split(setting, equal_wear=True)
    middle = float(np.median(excess))
    return judged(0.0016 / 3.0 <= middle <= 0.0048, {"excess_median": middle, "excess_max": max(excess),
                                                     "instances": len(excess)})  # fmt: skip


def _counts(setting: Setting, share: float, loss: float) -> tuple[dict[float, float], dict[str, object]]:
    """Median steps to a share, by rho; infinite where ADMM_STEPS are not enough."""
    found, course = {}, {}
    for rho in RHOS:
        counts = []
        for number, at in enumerate(_instances(setting)):
            seeds = range(setting.pick(2, 4)) if loss else range(1)
            for seed in seeds:
                powers = [p for p, _ in admm(at, rho, ADMM_STEPS, loss=loss, seed=seed)]
                counts.append(steps_to(at, powers, share) or math.inf)
                if number == 0 and seed == 0:
                    course[f"rho {rho:g}"] = [max(abs(at.excess(p)), 1e-12) for p in powers]
        found[rho] = float(np.median(counts))
    return found, {"excess_by_step": course}


def _admm_range(setting: Setting, share: float, loss: float, low: int, high: int) -> Finding:
    found, series = _counts(setting, share, loss)
    fits = all(low / WIDER <= count <= high * WIDER for count in found.values())
    figures = {f"iterations_rho_{rho:g}": count if math.isfinite(count) else "none" for rho, count in found.items()}
    return judged(fits, {**figures, "claimed": f"{low} to {high}"}, "instances of our own, seeded", series)


@CLAIMS.claim("000.5.2a", "ADMM on the bus (10 modules, 20 kW) reaches 1 % of cost and balance in 6 to 21 iterations "
              "for weights 0.01 to 0.2.", "medians over instances in 6 to 21, a factor of 1.5 wider at either end",
              "prototype")  # fmt: skip
def admm_to_1_percent(setting: Setting) -> Finding:
    """Iterations of the exact average."""
    return _admm_range(setting, 0.01, 0.0, 6, 21)


@CLAIMS.claim("000.5.2b", "It reaches 0.1 % in 12 to 31.", "medians in 12 to 31, a factor of 1.5 wider", "prototype")
def admm_to_01_percent(setting: Setting) -> Finding:
    """The same, ten times nearer."""
    return _admm_range(setting, 0.001, 0.0, 12, 31)


@CLAIMS.claim("000.5.2c", "With 20 % of the values lost and the last one held it reaches 1 % in 7 to 25.",
              "medians in 7 to 25, a factor of 1.5 wider", "prototype")  # fmt: skip
def admm_with_loss(setting: Setting) -> Finding:
    """Losses drawn per value and hearer."""
    return _admm_range(setting, 0.01, 0.2, 7, 25)


@CLAIMS.claim("000.5.3a", "ADMM with a few averaging rounds on the ring instead of the mean keeps the shares' sum at "
              "the target.", "sum off by at most 1e-9 kW at every step", "derived")  # fmt: skip
def inner_rounds_keep_the_sum(setting: Setting) -> Finding:
    """Largest error over all steps."""
    worst = 0.0
    for rounds in (1, 5, 20):
        inner = np.linalg.matrix_power(ring_weights(), rounds)
        for at in _instances(setting):
            worst = max(worst, *(abs(z.sum() - TARGET_KW) for _, z in admm(at, 0.05, 60, inner)))
    return judged(worst <= 1e-9, {"largest_error_kw": worst})


@CLAIMS.claim("000.5.3b", "It ends beside the optimum: 1 round 1.2 to 7.7 %, 5 rounds 0.08 to 2.2 %, more with a "
              "larger weight; 20 rounds at most 0.14 %.", "medians over instances within a factor of two of each end, "
              "and rising with the weight for 1 and 5 rounds", "prototype")  # fmt: skip
def inner_rounds_bias(setting: Setting) -> Finding:
    """Excess cost at the end, by rounds and weight."""
    rhos, bias, least = (RHOS[0], RHOS[2], RHOS[4]), {}, {}
    instances = _instances(setting)
    for rounds in (1, 5, 20):
        inner = np.linalg.matrix_power(ring_weights(), rounds)
        found = [[at.excess(_last(admm(at, rho, BIAS_STEPS, inner))) for at in instances] for rho in rhos]
        bias[rounds], least[rounds] = [float(np.median(one)) for one in found], min(map(min, found))
    rising = all(np.all(np.diff(bias[rounds]) > 0.0) for rounds in (1, 5))
    ends = ((1, 0.012, 0.077), (5, 0.0008, 0.022))
    inside = all(low / 2 <= bias[k][0] <= 2 * low and high / 2 <= bias[k][-1] <= 2 * high for k, low, high in ends)
    figures = {f"excess_{rounds}_rounds": values for rounds, values in bias.items()}
    return judged(
        rising and inside and max(bias[20]) <= 0.0028,
        {"rho": list(rhos), **figures, "smallest_excess_1_round": least[1], "rising": rising},
        "how large the bias is depends on the instance and on who sits beside whom; the prototype had one of each",
        {"bias": {"rho": list(rhos), **{f"{rounds} rounds": values for rounds, values in bias.items()}}},
    )


def _last(course: Iterator[tuple[FloatArray, FloatArray]]) -> FloatArray:
    last: FloatArray = np.zeros(MODULES)
    for powers, _ in course:
        last = powers
    return last


@CLAIMS.claim("000.5.3c", "Price tracking on the ring with a gain of 0.004 is exact (1e-15) and within 1 % after 45 "
              "iterations.", "excess at the end below 1e-9 on all instances; median iterations within a factor of 1.5 "
              "of 45", "prototype")  # fmt: skip
def price_tracking_is_exact(setting: Setting) -> Finding:
    """Excess at the end and iterations to 1 %."""
    ends, counts = [], []
    lines: dict[str, list[float]] = {}
    for number, at in enumerate(_instances(setting)):
        powers = [p for p, _ in price_tracking(at, BETA, TRACKING_STEPS)]
        ends.append(abs(at.excess(powers[-1])))
        counts.append(steps_to(at, powers, 0.01) or math.inf)
        lines |= {f"price tracking, instance {number}": [max(abs(at.excess(p)), 1e-12) for p in powers[:200]]}
    middle = float(np.median(counts))
    return judged(max(ends) <= 1e-9 and 45 / WIDER <= middle <= 45 * WIDER,
                  {"excess_at_end_max": max(ends), "iterations_to_1_percent": middle if math.isfinite(middle) else
                   "none", "instances": len(ends), "converged": sum(end <= 1e-9 for end in ends)},
                  "the gain is at the edge of what converges: instances of our own, seeded, may be beyond it",
                  {"excess_by_step": dict(list(lines.items())[:4])})  # fmt: skip


@CLAIMS.claim("000.5.3d", "With a gain of 0.008 or more it diverges.", "1 % is not kept at the end on more than half "
              "of the instances", "prototype")  # fmt: skip
def price_tracking_diverges(setting: Setting) -> Finding:
    """How many instances never settle."""
    lost = [steps_to(at, [p for p, _ in price_tracking(at, BETA_TOO_LARGE, TRACKING_STEPS // 2)], 0.01) is None
            for at in _instances(setting)]  # fmt: skip
    return judged(sum(lost) > len(lost) / 2, {"diverged": sum(lost), "instances": len(lost)})


@CLAIMS.claim("000.5.6", "The companions' optimisation messages are 16 bytes (state, grid signal) and 7 bytes (join, "
              "leave), all at most 64.", "packed sizes exactly so", "derived")  # fmt: skip
def message_sizes(_: Setting) -> Finding:
    """Packed layout, little-endian, without padding."""
    layouts = {"state": "<BBfffBB", "grid_signal": "<BBfffH", "join_leave": "<BBBf"}
    sizes = {f"{name}_bytes": struct.calcsize(layout) for name, layout in layouts.items()}
    return judged(list(sizes.values()) == [16, 16, 7], sizes,
                  series={"bytes": {**sizes, "most in a frame": 64}})


def _iterations(run: Callable[[Station], list[FloatArray]]) -> float:
    """Median over all instances of a full run: fewer decide otherwise, and it is quick."""
    counts = [steps_to(at, run(at), 0.01) or math.inf for at in _instances(Setting(False))]
    return float(np.median(counts))


def _expected(claimed: int, found: float, what: str) -> Finding:
    return judged(found <= claimed, {"iterations_to_1_percent_median": found if math.isfinite(found) else "none",
                                     "claimed": claimed}, what)  # fmt: skip


@CLAIMS.claim("000.2.1", "The simulation companion expects 25 iterations of ADMM.", "1 % within 25, median over "
              "instances, exact average, weight 0.05", "printed")  # fmt: skip
def expected_admm(_: Setting) -> Finding:
    """On the bus."""
    found = _iterations(lambda at: [p for p, _ in admm(at, 0.05, ADMM_STEPS)])
    return _expected(25, found, "the companion does not say on which station")


@CLAIMS.claim("000.2.2", "It expects 35 iterations of ADMM with five averaging rounds each.", "1 % within 35, median, "
              "ring of ten, weight 0.01", "printed")  # fmt: skip
def expected_inner_rounds(_: Setting) -> Finding:
    """On the ring."""
    inner = np.linalg.matrix_power(ring_weights(), 5)
    found = _iterations(lambda at: [p for p, _ in admm(at, 0.01, ADMM_STEPS, inner)])
    return _expected(35, found, "the bias of so few rounds is above 1 %, see 000.5.3b, on stations of our own")


@CLAIMS.claim("000.2.4", "It expects 50 iterations of gradient tracking.", "1 % within 50, median, ring of ten, gain "
              "0.004", "printed")  # fmt: skip
def expected_tracking(_: Setting) -> Finding:
    """Prices are tracked, not powers."""
    found = _iterations(lambda at: [p for p, _ in price_tracking(at, BETA, 300)])
    return _expected(50, found, "prices are tracked; tracking powers solves another problem, see 000.4.7")
