"""How the news of a cut goes round a ring of eight: members that each module counts, by the real membership code."""

from __future__ import annotations

import numpy as np
from drawing import INK, axes, text_of

from v2g_nodes.core.graph import build_edges
from v2g_nodes.core.membership import Membership

MODULES = tuple(range(1, 9))
EDGES = build_edges("ring", MODULES)
BEAT_MS, SILENCE_MS, CUT_MS, HEAL_MS, END_MS = 50, 500, 400, 1600, 2400
CUT = {(2, 3), (6, 7)}  # into {3, 4, 5, 6} and {7, 8, 1, 2}
MS = 1_000_000


def draw() -> str:
    """The figure."""
    views = {k: Membership(k, EDGES, dict.fromkeys(MODULES, 3.3), 65536 * (k + 1), SILENCE_MS * MS) for k in MODULES}
    counts = []
    for beat in range(-20, END_MS // BEAT_MS + 1):
        now = (beat + 100) * BEAT_MS * MS
        cut = CUT_MS <= beat * BEAT_MS < HEAL_MS
        reports = {k: view.next_report() for k, view in views.items()}
        for k, view in views.items():
            for j in view.neighbours:
                if not (cut and (min(j, k), max(j, k)) in CUT):
                    view.hear(j, now)
                    view.take(reports[j], j)
            view.update(now)
        if beat >= 0:
            counts.append([len(view.group.members) for view in views.values()])
    table = np.array(counts).T
    figure, (axis,) = axes(height=2.7)
    times = np.arange(table.shape[1] + 1) * BEAT_MS / 1000.0
    image = axis.pcolormesh(times, np.arange(9) + 0.5, table, cmap="viridis", vmin=1, vmax=8)
    figure.colorbar(image, ax=axis, label="members")
    for t, words in ((CUT_MS, "links 2–3 and 6–7 cut"), (HEAL_MS, "mended")):
        axis.axvline(t / 1000.0, color=INK, linestyle="--", linewidth=1)
        axis.text(t / 1000.0, 8.6, words, ha="center", va="bottom", fontsize=7.5)
    axis.set_yticks(MODULES)
    axis.set_ylabel("module")
    axis.set_xlabel("time [s], a heartbeat each 50 ms")
    axis.grid(False)
    return text_of(figure)
