"""What the two-stage document prints in its tables, checked against itself (003.3)."""

from __future__ import annotations

import numpy as np

from v2g_nodes.planning.network.case_file import named_case
from v2g_nodes.sim.claims.claim import Finding, Register, Setting, judged, not_reproducible
from v2g_nodes.sim.claims.network_setting import CASES, has_cases

CLAIMS = Register("planning/network/case_file.py", "sim/claims/network_setting.py")
#: Table I of the source: objective, both parts, seconds, each of the optimum and of its method, and the printed gap [%]
TABLE_1 = {
    "case18": {"objective": (3070.656, 3070.734), "parts": ((423.640, 423.604), (2647.017, 2647.130)),
               "seconds": (1141.378, 17.578), "gap": 0.019, "saving": 98.460},
    "case69": {"objective": (2287.470, 2287.525), "parts": ((825.964, 826.177), (1461.506, 1461.349)),
               "seconds": (8979.523, 89.939), "gap": 0.007, "saving": 98.998},
}  # fmt: skip
#: Tables II and III of the source
FEASIBLE, SECONDS_2 = (97.531, 98.765, 100.0), (7.315, 15.054, 17.578)
GAP_3, SECONDS_3 = (0.051, 0.007), (71.648, 89.939)
GENERATION_USD_PER_MWH = 20.0


@CLAIMS.claim("003.3.1", "The feasible shares of Table II are those of 81 samples.", "each printed share is a number "
              "of 81ths to its digits, and of no smaller number of samples", "derived")  # fmt: skip
def sample_count(_: Setting) -> Finding:
    """Smallest number of samples that gives all shares."""
    for count in range(1, 400):
        if all(abs(round(share / 100.0 * count) / count * 100.0 - share) < 5e-4 for share in FEASIBLE):
            break
    return judged(count == 81, {"smallest_count": count})


@CLAIMS.claim("003.3.2", "In Table I the objective is the sum of the two parts.", "in every column to the last digit",
              "derived")  # fmt: skip
def parts_sum(_: Setting) -> Finding:
    """Largest difference."""
    worst = 0.0
    for table in TABLE_1.values():
        for k in range(2):
            worst = max(worst, abs(table["objective"][k] - sum(part[k] for part in table["parts"])))  # type: ignore[index,attr-defined]
    return judged(worst <= 1.5e-3, {"largest_difference": worst})


@CLAIMS.claim("003.3.3", "The load of MATPOWER's cases over a day at 20 USD/MWh costs 5568 and 1825 USD before losses, "
              "but the whole objective of case18 is printed as 3070.7.", "both figures within 0.1 %, and the first "
              "above the printed total", "derived")  # fmt: skip
def load_cost(_: Setting) -> Finding:
    """From the case files."""
    if not has_cases():
        return not_reproducible("package matpower is not installed")
    cost = {name: 24.0 * GENERATION_USD_PER_MWH * float(named_case(name).bus[:, 2].sum()) for name in CASES}
    close = abs(cost["case18"] / 5568.0 - 1.0) <= 1e-3 and abs(cost["case69"] / 1825.0 - 1.0) <= 1e-3
    return judged(close and cost["case18"] > 3070.7, {f"load_cost_usd_{name}": value for name, value in cost.items()})


@CLAIMS.claim("003.3.4", "Absolute totals of Tables I to III: 3070.7 and 2287.5 for the day, parts, 17.6 and 89.9 s.",
              "the same instance gives them", "printed")  # fmt: skip
def totals(_: Setting) -> Finding:
    """The instances are lost."""
    return not_reproducible("load of the day, stays, noise and its units are lost, MATPOWER's load alone costs more "
                            "than the total of case18 (003.3.3), and seconds belong to a machine; relations are "
                            "checked in 003.4 and 003.6")  # fmt: skip


@CLAIMS.claim("003.3.5", "The printed gap is that of the printed averages (0.019 % and 0.007 %).",
              "each within a tenth of it", "printed")  # fmt: skip
def gap_of_averages(_: Setting) -> Finding:
    """Gap of the averages."""
    gaps = {name: 100.0 * (t["objective"][1] / t["objective"][0] - 1.0) for name, t in TABLE_1.items()}  # type: ignore[index]
    holds = all(abs(gaps[name] / float(table["gap"]) - 1.0) <= 0.1 for name, table in TABLE_1.items())  # type: ignore[arg-type]
    return judged(holds, {f"gap_percent_{name}": gap for name, gap in gaps.items()},
                  "0.0025 and 0.0024 %: the reference of each sample has a tolerance of its own")  # fmt: skip


@CLAIMS.claim("003.3.6", "Time saved is 98.460 % and 98.998 %.", "one less ours over the solver's, to the last digit",
              "printed")  # fmt: skip
def time_saved(_: Setting) -> Finding:
    """From the printed seconds."""
    saved = {name: 100.0 * (1.0 - t["seconds"][1] / t["seconds"][0]) for name, t in TABLE_1.items()}  # type: ignore[index]
    return judged(all(abs(saved[name] - float(t["saving"])) <= 6e-4 for name, t in TABLE_1.items()),  # type: ignore[arg-type]
                  {f"saving_percent_{name}": value for name, value in saved.items()})  # fmt: skip


@CLAIMS.claim("003.3.7", "Table I uses the third radius of Table II and the radius 5 of Table III; there feasible "
              "share and time rise and the gap falls with the radius.", "times agree, and rows are monotone", "derived")
def radii(_: Setting) -> Finding:
    """Printed rows."""
    same = SECONDS_2[2] == TABLE_1["case18"]["seconds"][1] and SECONDS_3[1] == TABLE_1["case69"]["seconds"][1]  # type: ignore[index]
    monotone = all(np.diff(FEASIBLE) > 0) and all(np.diff(SECONDS_2) > 0) and GAP_3[0] > GAP_3[1]
    return judged(same and monotone and SECONDS_3[0] < SECONDS_3[1], {"same_times": same, "monotone": bool(monotone)})
