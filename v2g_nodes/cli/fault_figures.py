"""What a series of fault trials came to: figures for scripts, a table for people, a verdict."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from rich.table import Table

from v2g_nodes.cli.fault_arena import Outcome
from v2g_nodes.cli.fault_watch import SUMS
from v2g_nodes.cli.processes import Event

RECOVER_MUST_S, REJOIN_MUST_S, REJOIN_NO_SPARE_MUST_S, MERGE_MUST_S = 1.0, 1.0, 6.0, 1.0
CUTS = ("link", "halves")
SUM_MUST = 1e-3  # of the rating, as for the balance of an agreement
KEYS = (
    "trials", "recovered", "recover_s_median", "recover_s_p99", "recover_s_max", "rejoin_s_p99", "unsafe_setpoints",
    "power_jump_kw_max", "ramp_limit_kw", "rejoin_no_spare_s_max", "sum_above_target_kw_max",
    "setpoints_above_target_kw_max", "merge_s_max", "exclude_s_max", "orphans", "shared_memory_left", "kinds",
    "failures", "seed", "modules", "verdict",
)  # fmt: skip


@dataclass(frozen=True)
class Trial:
    """A trial made.

    Args:
        number: from 1.
        kind: name of the fault.
        outcome: what became of it.
        sum_above_target_kw: most by which base powers exceeded the target meanwhile [kW].
        setpoints_above_target_kw: the same of set-points, less what droop may have added [kW].
    """

    number: int
    kind: str
    outcome: Outcome
    sum_above_target_kw: float = 0.0
    setpoints_above_target_kw: float = 0.0


def summarise(
    trials: Sequence[Trial], extremes: Event, left: Mapping[str, int], rating_kw: float, ramp_limit_kw: float,
    run: Mapping[str, object], faults: Sequence[str],
) -> dict[str, object]:
    """All figures, in the order of KEYS.

    Args:
        trials: made.
        extremes: the worst that the witness saw; empty when no trial was made in a running station.
        left: orphans and shared_memory_left.
        rating_kw: of the station [kW].
        ramp_limit_kw: largest change of a set-point in 0.1 s [kW].
        run: seed and modules.
        faults: what else went wrong.
    """
    outcomes = [trial.outcome for trial in trials]
    recover = _known(outcome.recover_s for outcome in outcomes)
    rejoin = _known(outcome.rejoin_s for outcome in outcomes if outcome.spare_ready)
    no_spare = _known(outcome.rejoin_s for outcome in outcomes if not outcome.spare_ready)
    figures: dict[str, object] = {
        "trials": len(trials),
        "recovered": sum(outcome.recovered for outcome in outcomes),
        "recover_s_median": _quantile(recover, 0.5),
        "recover_s_p99": _quantile(recover, 0.99),
        "recover_s_max": _quantile(recover, 1.0),
        "rejoin_s_p99": _quantile(rejoin, 0.99),
        "unsafe_setpoints": extremes.get("unsafe_setpoints", 0) + extremes.get("constraint_violations", 0),
        "power_jump_kw_max": extremes.get("power_jump_kw_max", 0.0),
        "ramp_limit_kw": ramp_limit_kw,
        "rejoin_no_spare_s_max": _quantile(no_spare, 1.0),
        **_sums(trials),
        "merge_s_max": _quantile(_known(t.outcome.merge_s for t in trials if t.kind == "halves"), 1.0),
        "exclude_s_max": _quantile(_known(outcome.exclude_s for outcome in outcomes), 1.0),
        **left,
        "kinds": {kind: _of_kind([t for t in trials if t.kind == kind]) for kind in _kinds(trials)},
        "failures": [*(f"trial {t.number}, {t.kind}: {t.outcome.text}" for t in trials if t.outcome.text), *faults],
        **run,
    }
    cuts = _sums([trial for trial in trials if trial.kind in CUTS])
    figures["verdict"] = _verdict(figures, cuts, rating_kw, faults)
    return {key: figures[key] for key in KEYS}


def slow(kind: str, outcome: Outcome) -> str:
    """Which times took longer than they should, in words; empty when none did."""
    merge_s = outcome.merge_s if kind == "halves" else None
    rejoin_must_s = REJOIN_MUST_S if outcome.spare_ready else REJOIN_NO_SPARE_MUST_S
    times = (("survivors agreed", outcome.recover_s, RECOVER_MUST_S), ("rejoined", outcome.rejoin_s, rejoin_must_s),
             ("together again", merge_s, MERGE_MUST_S))
    return ", ".join(f"{what} after {seconds:.2f} s" for what, seconds, must_s in times
                     if seconds is not None and seconds > must_s)  # fmt: skip


def fault_table(figures: Mapping[str, object]) -> Table:
    """One line per kind of fault.

    Args:
        figures: of `summarise`.
    """
    table = Table(title="faults in the running station")
    for title in ("fault", "trials", "recovered", "survivors agreed [s]", "rejoined [s]", "together after end [s]",
                  "liar excluded [s]", "above target [kW]"):
        table.add_column(title, justify="left" if title == "fault" else "right")
    kinds = figures["kinds"]
    for kind, values in (kinds.items() if isinstance(kinds, dict) else ()):
        style = "" if values["recovered"] == values["trials"] else "red"
        shown = ("trials", "recovered", "recover_s_max", "rejoin_s_max", "merge_s_max", "exclude_s_max",
                 "sum_above_target_kw_max")  # fmt: skip
        table.add_row(kind, *(_shown(values[key]) for key in shown), style=style)
    return table


def _sums(trials: Sequence[Trial]) -> dict[str, float]:
    return {f"{key}_max": max((getattr(trial, key) for trial in trials), default=0.0) for key in SUMS}


def _of_kind(trials: Sequence[Trial]) -> dict[str, object]:
    outcomes = [trial.outcome for trial in trials]
    times = {f"{name}_max": _quantile(_known(getattr(outcome, name) for outcome in outcomes), 1.0)
             for name in ("recover_s", "rejoin_s", "merge_s", "exclude_s")}
    recovered = sum(outcome.recovered for outcome in outcomes)
    return {"trials": len(outcomes), "recovered": recovered, **times, **_sums(trials)}


def _verdict(
    figures: Mapping[str, object], cuts: Mapping[str, float], rating_kw: float, faults: Sequence[str]
) -> str:
    """`ok`, or in a few words what is not; what was not measured is not judged.

    Sums are judged where the station falls apart. A process killed while all change over to a new agreement leaves
    its module at the old one for up to a second, and the sum between the two.
    """
    sums = {f"{key.removesuffix('_max')} in a cut": kw for key, kw in cuts.items()}
    found = [*faults]
    if figures["recovered"] != figures["trials"]:
        found.append(f"recovered {figures['recovered']} of {figures['trials']}")
    limits = (
        ("recover_s_p99", RECOVER_MUST_S), ("rejoin_s_p99", REJOIN_MUST_S),
        ("rejoin_no_spare_s_max", REJOIN_NO_SPARE_MUST_S), ("merge_s_max", MERGE_MUST_S),
        ("unsafe_setpoints", 0), ("orphans", 0), ("shared_memory_left", 0),
        ("power_jump_kw_max", figures["ramp_limit_kw"]),
        *((key, SUM_MUST * rating_kw) for key in sums),
    )
    for key, limit in limits:
        value = figures[key] if key in figures else sums[key]
        if isinstance(value, (int, float)) and isinstance(limit, (int, float)) and value > limit:
            found.append(f"{key} {value:.3g}, allowed up to {limit:.3g}")
    return "; ".join(found) or "ok"


def _kinds(trials: Sequence[Trial]) -> list[str]:
    return list(dict.fromkeys(sorted(trial.kind for trial in trials)))


def _known(values: object) -> list[float]:
    return [value for value in values if value is not None]  # type: ignore[attr-defined]


def _quantile(values: Sequence[float], share: float) -> float | None:
    """None without values; an observed value, never one between two."""
    return float(np.quantile(values, share, method="higher")) if values else None


def _shown(value: object) -> str:
    if isinstance(value, float) and math.isfinite(value):
        return f"{value:.3f}"
    return "" if value is None else str(value)
