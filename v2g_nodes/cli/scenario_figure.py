"""One figure of all scenarios: power, price and charge of each over its time."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from v2g_nodes.cli.page import NO_METADATA, svg
from v2g_nodes.cli.report_figures import ACCENT, COLD, INK, STYLE
from v2g_nodes.core.errors import InputError
from v2g_nodes.core.types import FloatArray
from v2g_nodes.sim.scenario_figures import ScenarioResult

ENDINGS = (".png", ".svg", ".html")
ROW_INCHES, WIDTH_INCHES, DPI = 2.3, 13.0, 110


def check_figure(path: str | None) -> None:
    """Refuse a figure that can't be written before a long run.

    Raises:
        InputError: another ending, or a folder that does not exist.
    """
    if path is None:
        return
    if Path(path).suffix.lower() not in ENDINGS:
        raise InputError(f"--figure {path}: allowed are files that end in {', '.join(ENDINGS)}")
    if Path(path).is_dir() or not Path(path).resolve().parent.is_dir():
        raise InputError(f"--figure {path}: allowed is a file in a folder that exists")


def write_figure(results: Sequence[ScenarioResult], path: str) -> None:
    """Draw a row of panels for each scenario.

    Args:
        results: what to draw.
        path: with one of ENDINGS; an HTML page holds the drawing as SVG.
    """
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH_INCHES, ROW_INCHES * len(results)), layout="constrained")
        axes = figure.subplots(len(results), 3, squeeze=False, width_ratios=(2.0, 1.0, 1.0))
        for row, result in zip(axes, results, strict=True):
            _draw(row.tolist(), result)
        ending = Path(path).suffix.lower()
        if ending == ".png":
            figure.savefig(path, dpi=DPI)
        elif ending == ".svg":
            figure.savefig(path, format="svg", metadata=NO_METADATA)
        else:
            _write_page(figure, path)


def _write_page(figure: Figure, path: str) -> None:
    head = '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>Scenarios</title></head>'
    Path(path).write_text(f"{head}<body>{svg(figure)}</body></html>\n", encoding="utf-8")


def _draw(axes: Sequence[Axes], result: ScenarioResult) -> None:
    power, price, charge = axes
    series = {name: np.array(values) for name, values in result.series.items()}
    scale, unit = (3600.0, "h") if result.scenario.duration_s > 7200.0 else (60.0, "min")
    time: FloatArray = series["time_s"] / scale
    power.set_title(f"{result.scenario.name} ({result.scenario.station}): delivered power [kW]")
    power.plot(time, series["measured_kw"], color=ACCENT, linewidth=0.9, label="delivered")
    power.plot(time, series["target_kw"] + series["ideal_kw"], color=COLD, linewidth=0.9, linestyle=(0, (4, 2)),
               label="with droop")
    power.plot(time, series["target_kw"], color=INK, linewidth=1.0, drawstyle="steps-post", label="target agreed on")
    power.legend(loc="upper right", ncols=3)
    price.set_title("agreed price λ [€/kWh]")
    price.plot(time, series["price_lambda"], color=ACCENT, linewidth=0.9, drawstyle="steps-post")
    if result.scenario.target.rule == "price_threshold":
        price.plot(time, series["price"], color=INK, linewidth=0.9, drawstyle="steps-post", label="market")
        price.legend(loc="upper right")
    charge.set_title("mean state of charge [%]")
    charge.plot(time, 100.0 * series["soc"], color=ACCENT, linewidth=1.2)
    for axis in axes:
        axis.set_xlabel(f"time [{unit}]")
        axis.margins(x=0.01)
