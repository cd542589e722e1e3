"""Statements of the formulation's companions on bus, droop, heat and prices that are wrong (000.4, items 10 to 17)."""

from __future__ import annotations

import math

import numpy as np

from v2g_nodes.canbus.bit_time import frame_time_s
from v2g_nodes.canbus.settings import CanSettings
from v2g_nodes.core.droop import Droop
from v2g_nodes.sim.claims.claim import Finding, Register, Setting, judged, not_reproducible

CLAIMS = Register("canbus/bit_time.py", "core/droop.py")


@CLAIMS.claim("000.4.10a", "A frame of 16 bytes takes about 95 us at 1 and 5 Mbit/s, within 15 %; one of each of 10, "
              "50, 200 modules 0.97, 4.8, 19 ms.", "mean of with and without stuff bits within 15 % of each",
              "derived")  # fmt: skip
def frame_time(_: Setting) -> Finding:
    """Bits of the standard's frame."""
    times = [1e6 * frame_time_s(16, CanSettings(), "none"), 1e6 * frame_time_s(16, CanSettings(), "worst")]
    mean = sum(times) / 2.0
    cycles = {f"cycle_{n}_modules_ms": mean * n / 1e3 for n in (10, 50, 200)}
    fits = abs(mean / 95.0 - 1.0) <= 0.15 and all(
        abs(found / claimed - 1.0) <= 0.15 for found, claimed in zip(cycles.values(), (0.97, 4.8, 19.0), strict=True))
    return judged(fits, {"frame_us_without_stuff_bits": times[0], "frame_us_worst": times[1], **cycles})


@CLAIMS.claim("000.4.10b", "An iteration of the station takes less than 1 ms, whatever its size.",
              "one frame of each of 10, 50 and 200 modules fits into 1 ms", "error")  # fmt: skip
def iteration_time(_: Setting) -> Finding:
    """Worst case of stuff bits not even counted."""
    frame_ms = 1e3 * frame_time_s(16, CanSettings(), "none")
    cycles = {f"cycle_{n}_modules_ms": n * frame_ms for n in (10, 50, 200)}
    return judged(max(cycles.values()) < 1.0, {**cycles, "most_modules_in_1_ms": int(1.0 / frame_ms)},
                  "one broadcast per module and iteration, and about ten modules, are what 1 ms holds")  # fmt: skip


@CLAIMS.claim("000.4.10c", "16 bytes each millisecond keep to the budget of 100 kbit/s.", "payload at most 100 kbit/s",
              "error")  # fmt: skip
def message_budget(_: Setting) -> Finding:
    """Payload alone."""
    rate = 16 * 8 / 1e-3 / 1e3
    return judged(rate <= 100.0, {"payload_kbit_per_s": rate}, "12.5 bytes a millisecond: it is an average to keep")


@CLAIMS.claim("000.4.11", "The companion's grid signal P = +K (f - 50 Hz), discharge above 0, supports the frequency.",
              "the frequency dips less with it than without", "error")  # fmt: skip
def droop_sign(setting: Setting) -> Finding:
    """A small grid loses generation: lowest frequency without droop, with that sign, and with ours."""
    lowest = {}
    for name, sign in (("without", 0.0), ("printed", -1.0), ("ours", 1.0)):
        droop, deviation, low = Droop(100.0, 50.0, 0.0, 3.3), 0.0, 0.0
        for _ in range(setting.pick(600, 2000)):
            power = sign * droop.contribution_kw(50.0 + deviation)
            deviation += 0.02 * ((power - 20.0) / 400.0 - 0.2 * deviation)  # inertia 400 kW s/Hz, load 80 kW/Hz
            deviation = max(deviation, -5.0)
            low = min(low, deviation)
        lowest[f"lowest_deviation_hz_{name}"] = low
    better = lowest["lowest_deviation_hz_printed"] >= lowest["lowest_deviation_hz_without"]
    return judged(better, lowest, "discharge must rise when the frequency falls")


@CLAIMS.claim("000.4.12", "The price model sin(2 pi (h - 14) / 24) peaks at 14 h.", "its peak is at 14 h", "error")
def price_peak(_: Setting) -> Finding:
    """Hour of the largest value, of the sine and of a cosine."""
    hour = np.arange(0.0, 24.0, 0.1)
    peaks = {name: float(hour[np.argmax(f(2.0 * np.pi * (hour - 14.0) / 24.0))]) for name, f in
             (("sin_peak_h", np.sin), ("cos_peak_h", np.cos))}  # fmt: skip
    return judged(abs(peaks["sin_peak_h"] - 14.0) < 0.2, peaks, "it peaks at 20 h; a peak at 14 h needs the cosine")


@CLAIMS.claim("000.4.13a", "Module temperature follows dT = P_loss R - (T - T_a) / tau.", "the rise of 160 W at 0.5 "
              "K/W ends within 10 % of 80 K", "error")  # fmt: skip
def temperature_rise(_: Setting) -> Finding:
    """Steady rise of both forms."""
    loss_w, resistance, tau = 160.0, 0.5, 180.0
    printed = right = 0.0
    for _step in range(20_000):
        printed += 0.1 * (loss_w * resistance - printed / tau)
        right += 0.1 * (loss_w * resistance - right) / tau
    return judged(abs(printed / 80.0 - 1.0) <= 0.1, {"rise_printed_k": printed, "rise_divided_by_tau_k": right},
                  "the first term is not divided by tau: 180 times too much")  # fmt: skip


@CLAIMS.claim("000.4.13b", "The companion's closed-form power step minimises the local cost.", "it meets the "
              "optimality condition", "error")  # fmt: skip
def closed_form_step(_: Setting) -> Finding:
    """Its formula is not to be copied."""
    return not_reproducible("the formula is not in the project; noted there: wrong sign of beta, no wear")


@CLAIMS.claim("000.4.14a", "The CAN identifier 0x7FF has the highest priority.", "it wins arbitration against all "
              "others", "error")  # fmt: skip
def identifier_priority(_: Setting) -> Finding:
    """Bit by bit, a dominant zero wins."""
    others = [0x000, 0x001, 0x100, 0x3FF, 0x7FE]
    wins = sum(_wins(0x7FF, other) for other in others)
    return judged(wins == len(others), {"wins": wins, "of": len(others)}, "it is the lowest: zeros are dominant")


def _wins(one: int, other: int) -> bool:
    for bit in range(10, -1, -1):
        mine, theirs = one >> bit & 1, other >> bit & 1
        if mine != theirs:
            return mine == 0
    return False


@CLAIMS.claim("000.4.14b", "The documents' identifier maps, front end and modules fit each other, and a module can "
              "give reactive power.", "a computation shows it", "error")  # fmt: skip
def hardware_words(_: Setting) -> Finding:
    """Not a matter of computation."""
    return not_reproducible("statements on hardware: two identifier maps differ, the front end named is one-way, and a "
                            "DC/DC module has no reactive power")  # fmt: skip


@CLAIMS.claim("000.4.15", "Reactive power with the limit of cos phi 0.9 that acts where P is not 0 is a steady "
              "function of P.", "no jump above 1 % of the rating at P = 0", "error")  # fmt: skip
def reactive_jump(_: Setting) -> Finding:
    """Q asked in full at 0.90 pu, at P = 0 and just above."""
    rating = 3.3 / 0.9

    def q_kvar(p_kw: float) -> float:
        most = math.sqrt(rating**2 - p_kw**2)
        return min(most, abs(p_kw) * math.tan(math.acos(0.9))) if p_kw != 0.0 else most

    jump = q_kvar(0.0) - q_kvar(1e-6)
    return judged(jump <= 0.01 * rating, {"jump_kvar": jump, "rating_kva": rating},
                  "it falls from all to nothing as soon as a watt flows")  # fmt: skip


@CLAIMS.claim("000.4.16", "A droop of 100 kW/Hz is typical for a station, whatever its size.", "2 to 12 % droop for "
              "33 kW and for 660 kW", "error")  # fmt: skip
def droop_constant(_: Setting) -> Finding:
    """Droop in percent by the rating."""
    droop = {f"droop_percent_{kw:g}_kw": 100.0 * kw / (100.0 * 50.0) for kw in (33.0, 165.0, 660.0)}
    return judged(all(2.0 <= one <= 12.0 for one in droop.values()), droop,
                  "it has to follow the rating: 4 % are P / 2 Hz")


@CLAIMS.claim("000.4.17", "The documents ask for the same targets.", "time of convergence, response and loss agree",
              "error")  # fmt: skip
def targets_agree(_: Setting) -> Finding:
    """Printed numbers side by side."""
    pairs = {"convergence_ms": [50, 100], "response_ms": [100, 500], "loss_percent": [20, 10]}
    return judged(all(one == other for one, other in pairs.values()), pairs, "the formulation's are used, 000.7.1")


@CLAIMS.claim("000.4.18", "The documents' prices of wear agree.", "5 EUR/MWh and 0.05 USD/kWh within a factor of two",
              "error")  # fmt: skip
def wear_prices(_: Setting) -> Finding:
    """Both per kWh."""
    ratio = 0.05 / (5.0 / 1e3)
    return judged(0.5 <= ratio <= 2.0, {"ratio": ratio}, "they differ tenfold")
