"""A station of eight that is cut into five and three: what each island may deliver, by the real rule of release."""

from __future__ import annotations

import numpy as np
from drawing import ACCENT, COLD, axes, text_of

from v2g_nodes.core.droop import fall_s
from v2g_nodes.core.release import release_rule
from v2g_nodes.core.target import MAJORITY, island_target_kw

TARGET_KW, MODULES, RATING_KW, RAMP = 12.0, 8, 3.3, 1.0
LARGE, SMALL = (1, 2, 3, 4, 5), (6, 7, 8)
SILENCE_S, AGREED_S = 0.5, 0.15
NS = 1_000_000_000


def draw() -> str:
    """The figure."""
    fall = fall_s(RATING_KW, RAMP)
    share = TARGET_KW / MODULES
    ratings = dict.fromkeys(range(1, MODULES + 1), round(1000 * RATING_KW))
    rules = {part: release_rule(round(SILENCE_S * NS), round(fall * NS)) for part in (LARGE, SMALL)}
    for rule in rules.values():
        rule.agree(share, TARGET_KW, share, -1000 * NS)
    times = np.arange(-1.0, 8.0, 0.02)
    powers: dict[tuple[int, ...], list[float]] = {LARGE: [], SMALL: []}
    told = False
    ramped = {LARGE: share, SMALL: share}
    for t in times:
        if t >= SILENCE_S and not told:
            told = True
            for part, rule in rules.items():
                owed = island_target_kw(TARGET_KW, part, [*ratings], ratings, MAJORITY)
                rule.group_changed(owed != 0.0, round(t * NS))
                if owed:
                    rule.agree(min(owed / len(part), RATING_KW), TARGET_KW, share, round((t + AGREED_S) * NS))
        for part, rule in rules.items():
            wanted = rule.power_kw(round(t * NS)) or 0.0
            step = 0.9 * RAMP * 0.02
            ramped[part] = min(max(wanted, ramped[part] - step), ramped[part] + step)
            powers[part].append(ramped[part] * len(part))
    figure, (axis,) = axes(height=2.9)
    both = np.array(powers[LARGE]) + np.array(powers[SMALL])
    axis.plot(times, powers[LARGE], color=ACCENT, label="island of five: owns the target")
    axis.plot(times, powers[SMALL], color=COLD, label="island of three: owes nothing")
    axis.plot(times, both, color="#111111", linewidth=2, label="both together")
    axis.axhline(TARGET_KW, color="#8896a4", linestyle="--", linewidth=0.9, label="target")
    axis.axvline(0.0, color="#c3ccd4")
    axis.text(0.05, 0.3, "cut", color="#5b6b7a")
    axis.axvline(SILENCE_S, color="#c3ccd4")
    axis.text(SILENCE_S + 0.05, 0.3, "noticed", color="#5b6b7a")
    axis.set_xlabel("time after the cut [s]")
    axis.set_ylabel("power [kW]")
    axis.legend(loc="center right")
    return text_of(figure)
