"""The last gate at work: requests out of bounds, too fast and not finite, and what leaves it."""

from __future__ import annotations

import math

import numpy as np
from drawing import ACCENT, COLD, axes, text_of

from v2g_nodes.core.gate import gate
from v2g_nodes.core.types import Box

DT_S, RAMP = 0.02, 1.0


def _request(t: float) -> float:
    if 1.0 <= t < 4.0:
        return 2.5
    if 4.0 <= t < 8.5:
        return 4.2
    return math.nan if 8.5 <= t < 10.5 else -1.0 if t >= 10.5 else 0.0


def _high(t: float) -> float:
    return 3.3 if t < 6.5 else 1.6


def draw() -> str:
    """The figure."""
    times = np.arange(0.0, 14.0, DT_S)
    sent, reasons, previous = [], [], 0.0
    for t in times:
        result = gate(_request(t), previous, Box(-3.3, _high(t)), RAMP, DT_S)
        previous = result.setpoint_kw
        sent.append(previous)
        reasons.append(result.reason)
    figure, (axis,) = axes(height=3.0)
    axis.step(times, [_request(t) for t in times], where="post", color="#8896a4", label="asked for (gap: not a number)")
    axis.step(times, [_high(t) for t in times], where="post", color=COLD, linewidth=0.9, label="hard upper limit")
    axis.plot(times, sent, color=ACCENT, linewidth=2, label="leaves the gate")
    last, told = "", -1.0
    for t, power, reason in zip(times, sent, reasons, strict=True):
        if reason and reason != last and t > told + 0.5:
            axis.annotate(reason.replace(" by", "\nby"), (t, power), xytext=(6, -6), textcoords="offset points",
                          va="top", fontsize=7, color="#5b6b7a")
            told = t
        last = reason
    axis.set_xlabel("time [s]")
    axis.set_ylabel("power [kW]")
    axis.legend(loc="upper right")
    return text_of(figure)
