"""`v2g bench dispatch`: the dispatch algorithms on the lossy-network simulator."""

from __future__ import annotations

from typing import Annotated

import typer

from v2g_nodes.cli.average_table import ROUNDS_MAX, average_rounds
from v2g_nodes.cli.dispatch_privacy import check_privacy, compare_privacy, privacy_summary
from v2g_nodes.cli.dispatch_table import SIZES, compare_all
from v2g_nodes.cli.dispatch_trial import Case, run_trial, summary, usual_averaging
from v2g_nodes.cli.output import Json, check_writable, emit, progress
from v2g_nodes.core.averaging.plans import AVERAGINGS
from v2g_nodes.core.dispatch.methods import METHODS, averagings
from v2g_nodes.core.errors import InputError
from v2g_nodes.core.graph import TOPOLOGIES
from v2g_nodes.core.privacy.masks import MASKS, NONE
from v2g_nodes.core.types import MODULES_MAX


def bench_dispatch(
    method: Annotated[str, typer.Option(help=f"Algorithm: {', '.join(METHODS)}.")] = "supply_curve",
    topology: Annotated[
        str | None, typer.Option(help=f"Who hears whom: {', '.join(TOPOLOGIES)}. Default ring; with --all each.")
    ] = None,
    modules: Annotated[
        int | None, typer.Option(help=f"Number of modules, 1 to {MODULES_MAX}. Default 8; with --all 5, 16 and 64.")
    ] = None,
    loss: Annotated[float, typer.Option(help="Share of frames lost, 0 to 0.9.")] = 0.0,
    burst: Annotated[float, typer.Option(help="Mean length of a burst of losses, in rounds; 1 = independent.")] = 1.0,
    averaging: Annotated[
        str | None,
        typer.Option(help=f"Average the algorithm runs on: {', '.join(AVERAGINGS)}. Default: the one that suits it."),
    ] = None,
    privacy: Annotated[
        str,
        typer.Option(help=f"{NONE}, or {MASKS}: curves are hidden; each station agrees without and with them."),
    ] = NONE,
    trials: Annotated[int | None, typer.Option(help="Random stations and targets. Default 20; with --all 3.")] = None,
    seed: Annotated[int, typer.Option(help="Names the trials.")] = 0,
    all_: Annotated[
        bool, typer.Option("--all", help="All algorithms side by side, without and with losses; a Markdown table.")
    ] = False,
    json: Json = None,
) -> None:
    """Let random stations agree from a cold start, over a network that may lose frames, and compare with the optimum.

    Rounds are broadcasts of each module; the gap is taken against a centralised reference on the same snapshot. An
    iteration is one answer of all modules to the group and takes one round or, on an inner average, as many as that.

    With --privacy masks the figures are those with masks, `..._without` those of the same stations and losses without;
    `start_...` and `calm_...` are of whole stations that come together, link reports and keys among what they send.
    """
    _check("--method", method, METHODS)
    if topology is not None:
        _check("--topology", topology, TOPOLOGIES)
    if modules is not None:
        _check_range("--modules", modules, 1, MODULES_MAX)
    _check_range("--loss", loss, 0.0, 0.9)
    _check_range("--burst", burst, 1.0, 1000.0)
    check_privacy(privacy, method, all_)
    if averaging is not None:
        _check("--averaging", averaging, averagings(method))
    if trials is not None:
        _check_range("--trials", trials, 1, 1_000_000)
    _check_range("--seed", seed, 0, 2**63 - 1)
    check_writable(json)
    if all_:
        topologies, sizes = (topology,) if topology else TOPOLOGIES, (modules,) if modules else SIZES
        compare_all(topologies, sizes, trials or 3, seed, json)
        return
    modules = modules or 8
    topology = topology or "ring"
    averaging = averaging or usual_averaging(method, topology, modules)
    rounds = average_rounds(averaging, topology, modules)
    if rounds > ROUNDS_MAX:
        raise InputError(f"--averaging {averaging}: one average takes {rounds} rounds here, allowed {ROUNDS_MAX}")
    case = Case(method, averaging, topology, modules, loss, burst, seed)
    if privacy == MASKS:
        compared = [compare_privacy(case, k) for k in progress(trials or 20, "trials")]
        emit(privacy_summary(case, compared), json, title="dispatch on the network simulator, curves hidden")
        return
    results = [run_trial(case, k) for k in progress(trials or 20, "trials")]
    emit(summary(case, results), json, title="dispatch on the network simulator")


def _check(option: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise InputError(f"{option} {value}: allowed {', '.join(allowed)}")


def _check_range(option: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise InputError(f"{option} {value:g}: allowed {low:g} to {high:g}")
