"""Settled answers of the three droop laws to grid frequency, computed by the laws themselves."""

from __future__ import annotations

import numpy as np
from drawing import COLORS, axes, text_of

from v2g_nodes.core.droop_settings import LAWS, DroopSettings, build_law

RATING_KW = 3.3


def draw() -> str:
    """The figure."""
    figure, (axis,) = axes(height=3.0)
    frequency = np.linspace(49.0, 51.0, 801)
    for law, color in zip(LAWS, COLORS, strict=False):
        made = build_law(DroopSettings(RATING_KW / 0.2, 50.0, 0.010, 1.0, 5.0, law, RATING_KW))
        answer = [made.contribution_kw(float(f)) for f in frequency]
        axis.plot(frequency, np.clip(answer, -RATING_KW, RATING_KW), color=color, label=law)
    axis.set_xlabel("grid frequency [Hz]")
    axis.set_ylabel("power beside the base power [kW]")
    axis.set_title("A module of 3.3 kW, default settings, limited to its rating")
    axis.legend()
    return text_of(figure)
