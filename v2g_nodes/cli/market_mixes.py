"""The source's computational study: mixes of two clusters, random instances of each, solved within a limit.

Cluster 1 are commuters and cluster 2 drivers mostly at home, the made kinds, varied at random; instance k has the same
drivers in every mix. All methods solve the source's model, the plain deviation of a plug-in included (--variance). With
a campaign every instance is a file of its own, so that an interrupted study goes on where it was.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from v2g_nodes import __version__
from v2g_nodes.cli.market_inputs import MarketInputs, MarketOptions, read_market
from v2g_nodes.cli.market_peers import PEERS, run_peer
from v2g_nodes.cli.market_runs import Limits
from v2g_nodes.cli.progress import Tell
from v2g_nodes.core.errors import InputError
from v2g_nodes.planning.market.levels import plan_levels
from v2g_nodes.planning.market.platform import Platform

SHARES = (0.4, 0.45, 0.5, 0.55, 0.6, 0.65, 0.7)  # of cluster 1, as in the source
KINDS = ("commuter", "home")
OURS = "v2g"
INSTANCES, CAMPAIGN_INSTANCES = 5, 50

Solve = Callable[[Platform, str, Limits], dict[str, Any]]


@dataclass(frozen=True)
class MixStudy:
    """What is solved.

    Args:
        options: of the command; drivers come from the mix.
        limits: of every run.
        instances: of every mix.
        peer: SCIP with and without valid inequalities too.
        campaign: folder of the instances' files; None: nothing is kept.
    """

    options: MarketOptions
    limits: Limits
    instances: int
    peer: bool
    campaign: Path | None

    @property
    def methods(self) -> tuple[str, ...]:
        """Ours and the peers."""
        return (OURS, *PEERS) if self.peer else (OURS,)


def run_mixes(study: MixStudy, tell: Tell, shares: tuple[float, ...] = SHARES) -> dict[str, Any]:
    """Solve all instances that no file tells of yet.

    Args:
        study: what is solved.
        tell: what goes on.
        shares: of cluster 1.

    Returns:
        Figures: a row per mix, and every instance.

    Raises:
        InputError: a file of the campaign comes from other settings or is none.
    """
    # all files are looked at before the first instance is solved
    every = [(share, seed, _load(study, share, seed)) for share in shares for seed in range(1, study.instances + 1)]
    done = []
    for share, seed, kept in every:
        one = kept
        if one is None:
            one = _solve(study, share, seed, tell)
            if study.campaign is not None:
                write_whole(_path(study.campaign, share, seed), one)
        done.append(one)
    return {"mixes": mix_rows(done, study), "instances_solved_before": sum(kept is not None for *_, kept in every),
            "gap_asked": study.limits.gap, "limit_seconds": study.limits.limit_s, "instances": done}  # fmt: skip


def mix_rows(done: list[dict[str, Any]], study: MixStudy) -> list[dict[str, Any]]:
    """The source's table: per mix and method the mean time, a time-out counting as the limit, solved share and gap."""
    rows = []
    for share in dict.fromkeys(one["share"] for one in done):
        group = [one["methods"] for one in done if one["share"] == share]
        row: dict[str, Any] = {"cluster_1": share, "cluster_2": round(1.0 - share, 10), "instances": len(group)}
        for name in study.methods:
            runs = [methods[name] for methods in group]
            open_gaps = [run["gap"] for run in runs if not run["solved"] and run["gap"] is not None]
            row[name] = {
                "seconds": float(np.mean([run["seconds"] for run in runs])),
                "time_outs": sum(not run["solved"] for run in runs),
                "solved_share": float(np.mean([run["solved"] for run in runs])),
                "gap_unsolved": float(np.mean(open_gaps)) if open_gaps else None,
                "gap_max": max((run["gap"] for run in runs if run["gap"] is not None), default=None),
            }  # fmt: skip
            # where ours timed out, neither side of the ratio is known
            row[name]["ratio"] = None if row[OURS]["time_outs"] else row[name]["seconds"] / row[OURS]["seconds"]
        rows.append(row)
    return rows


def _inputs(study: MixStudy, share: float, seed: int) -> MarketInputs:
    clusters = ",".join(f"{kind}={part:g}" for kind, part in zip(KINDS, (share, round(1.0 - share, 10)), strict=True))
    return read_market(replace(study.options, clusters=clusters, seed=seed, variance=True))


def _solve(study: MixStudy, share: float, seed: int, tell: Tell) -> dict[str, Any]:
    platform = _inputs(study, share, seed).platform
    methods = {}
    for name in study.methods:
        tell(f"mix {share:g}/{1.0 - share:g}, instance {seed} of {study.instances}, {name}")
        methods[name] = _ours(platform, study.limits) if name == OURS else run_peer(
            platform, name, study.limits.gap, study.limits.limit_s)  # fmt: skip
    return {"share": share, "seed": seed, "settings": _settings(study, platform), "methods": methods}


def _ours(platform: Platform, limits: Limits) -> dict[str, Any]:
    began, worked = time.perf_counter(), time.process_time()
    plan = plan_levels(platform, limits.gap, limits.limit_s)
    seconds, solved = time.perf_counter() - began, plan.gap <= limits.gap
    return {
        "profit_per_ev_month": platform.monthly * plan.profit,
        "profit_bound": platform.monthly * plan.bound if np.isfinite(plan.bound) else None,
        "gap": plan.gap if np.isfinite(plan.gap) else None, "solved": solved,
        "seconds": seconds if solved else limits.limit_s, "cpu_seconds": time.process_time() - worked,
        "status": "gap reached" if solved else "time limit", "bound_proven": plan.proven,
    }  # fmt: skip


def _settings(study: MixStudy, platform: Platform) -> dict[str, Any]:
    """What has to be the same for two instances to belong to one study; data count by their content."""
    options = {name: value for name, value in asdict(study.options).items()
               if name not in {"clusters", "seed", "variance", "signal", "prices"}}  # fmt: skip
    return {"version": __version__, **options, **asdict(study.limits), "peer": study.peer, "data": _digest(platform)}


def _digest(platform: Platform) -> str:
    sha = hashlib.sha256()
    for values in (platform.prices, platform.levels, platform.vehicles,
                   *(part for f in platform.followers for part in (f.mu, f.sigma)),
                   *([form.kw, form.factor, form.mean, form.deviation] for forms in platform.forms for form in forms)):
        sha.update(np.round(np.asarray(values, dtype=float), 9).tobytes())
    return sha.hexdigest()[:16]


def _path(folder: Path, share: float, seed: int) -> Path:
    return folder / f"mix_{share:.2f}_instance_{seed:03d}.json"


def _load(study: MixStudy, share: float, seed: int) -> dict[str, Any] | None:
    """What a file tells of an instance; None where there is none."""
    if study.campaign is None or not (path := _path(study.campaign, share, seed)).exists():
        return None
    try:
        one = json.loads(path.read_text(encoding="utf-8"))
        kept, methods = one["settings"], one["methods"]
        whole = (one["share"], one["seed"]) == (share, seed) and all(
            {"solved", "seconds", "gap"} <= set(methods[name]) for name in kept["peer"] * list(PEERS) + [OURS])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path}: {type(error).__name__} {error}, allowed is an instance of this study") from error
    if not whole:
        raise InputError(f"{path}: not mix {share:g}, instance {seed}, allowed is that instance")
    _check_same(path, kept, _settings(study, _inputs(study, share, seed).platform))
    return dict(one)


def _check_same(path: Path, kept: Mapping[str, Any], asked: Mapping[str, Any]) -> None:
    for name, value in asked.items():
        if kept.get(name) != value:
            raise InputError(f"{path}: {name} was {kept.get(name)!r}, allowed {value!r} as asked for now")


def write_whole(path: Path, value: Mapping[str, Any]) -> None:
    """Write a JSON file that is there as a whole or not at all.

    Raises:
        InputError: it can't be written.
    """
    part = path.with_name(f".{path.name}.part")
    try:
        part.write_text(json.dumps(value, allow_nan=False) + "\n", encoding="utf-8")
        part.replace(path)
    except OSError as error:
        raise InputError(f"--campaign {path}: {error.strerror}, allowed is a folder that can be written to") from error
    finally:
        part.unlink(missing_ok=True)
