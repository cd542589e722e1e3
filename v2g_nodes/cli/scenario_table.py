"""Results of scenarios as a table and as JSON."""

from __future__ import annotations

import math
from collections.abc import Sequence

from rich.table import Table
from rich.text import Text

from v2g_nodes.core.graph import adjacency, diameter
from v2g_nodes.sim.scenario_figures import FIGURES, Judgement, ScenarioResult, judge
from v2g_nodes.sim.scenario_graph import metropolis_rounds, station_graph

COUNTS = {"epochs", "cold_epochs", "rounds_max", "clipped_epochs", "constraint_violations", "gate_clips",
          "forced_steps", "failures", "islands"}  # fmt: skip


def faults(result: ScenarioResult, whole: bool) -> list[Judgement]:
    """Limits that are not met. In a run that is not the whole one a figure that was not measured is not judged."""
    return [item for item in judge(result) if not (item.met or (not whole and math.isnan(item.value)))]


def summary(result: ScenarioResult, whole: bool) -> dict[str, object]:
    """One scenario as it stands in the JSON; what was not measured is null.

    Args:
        result: of the run.
        whole: it was not shortened.
    """
    scenario = result.scenario
    missed = faults(result, whole)
    limits = {
        item.figure: {"max" if item.upper else "min": item.bound, "met": item not in missed, "why": item.why}
        for item in judge(result)
    }
    return {
        "name": scenario.name,
        "station": scenario.station,
        "modules": result.modules,
        "rating_kw": result.rating_kw,
        "diameter": diameter(adjacency(*station_graph(scenario.station))),
        "metropolis_rounds": metropolis_rounds(scenario.station),
        "algorithm": result.algorithm,
        "seed": scenario.seed,
        "duration_s": scenario.epochs * scenario.epoch_s,
        "shortened": not whole,
        "epoch_s": scenario.epoch_s,
        "tick_s": scenario.tick_s,
        "loss": scenario.faults.loss,
        **{name: _plain(name, result.figures.get(name, math.nan)) for name in FIGURES},
        "limits": limits,
        "verdict": "not met" if missed else "ok",
        "why": "; ".join(map(str, missed)),
    }


def table(results: Sequence[ScenarioResult], whole: bool) -> Table:
    """A line for each scenario: what it was, what it came to against its limits, the verdict."""
    shown = Table(title="scenarios", show_lines=True)
    shown.add_column("scenario", no_wrap=True)
    shown.add_column("figures and limits", no_wrap=True)
    for result in results:
        scenario, figures, missed = result.scenario, result.figures, faults(result, whole)
        verdict = Text(" not met", style="bold red") if missed else Text(" ok", style="green")
        shown.add_row(
            Text("\n").join([
                Text(scenario.name, style="bold") + verdict,
                Text(f"{scenario.epochs * scenario.epoch_s:g} s at {figures['speed_over_real_time']:.0f} x real time"),
                Text(f"{scenario.station}, {result.modules} modules, {result.rating_kw:.1f} kW"),
                Text(f"{figures['epochs']:.0f} epochs, every {scenario.epoch_s:g} s"),
                Text(f"rounds {figures['rounds_median']:g}, at most {figures['rounds_max']:g}"),
                Text(f"(Metropolis: {metropolis_rounds(scenario.station)})"),
            ]),
            Text("\n").join([_line(item, item in missed) for item in judge(result)]),
        )
    shown.caption = "round: one broadcast of each module; Metropolis: rounds of one average to 1e-3"
    return shown


def _line(item: Judgement, missed: bool) -> Text:
    text = f"{item.figure:<23}{item.value:>9.3g} {'≤' if item.upper else '≥'} {item.bound:.3g}"
    return Text(text, style="red" if missed else "")


def _plain(name: str, value: float) -> float | int | None:
    if math.isnan(value):
        return None
    return round(value) if name in COUNTS else value
