"""Thousands of joins, leaves, deaths, stops and cuts on simulated random stations, all of it checked all the time.

    .venv/bin/python benchmarks/churn.py --events 10000 --seed 1 [--loss 0.2] [--processes 2] [--json FILE]
    .venv/bin/python benchmarks/churn.py --seed 1 --story 17

The second form plays one story of a campaign again and shows what happened. Exit code 1 when a fault was found.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import sys
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any

import numpy as np

from v2g_nodes.sim.churn_events import CHURN_WEIGHTS
from v2g_nodes.sim.churn_story import Story, StoryOptions, StoryTeller

EVENTS_PER_STORY = 40


def play(options: StoryOptions) -> Story:
    return StoryTeller(options).tell()


def play_all(stories: Sequence[StoryOptions], processes: int) -> list[Story]:
    """All stories, in their order; faults are shown as they come."""
    told: dict[int, Story] = {}
    began_s = shown_s = time.monotonic()
    with ProcessPoolExecutor(processes, multiprocessing.get_context("spawn")) as pool:
        futures = {pool.submit(play, options): options.number for options in stories}
        for future in as_completed(futures):
            story = told[futures[future]] = future.result()
            if story.faults:
                print("\n    ".join(["FAULT", *story.faults]), flush=True)
            if time.monotonic() - shown_s > 10.0 or len(told) == len(stories):
                shown_s = time.monotonic()
                events = sum(sum(s.events.values()) for s in told.values())
                faulty = sum(bool(s.faults) for s in told.values())
                print(
                    f"{shown_s - began_s:5.0f} s: {len(told)} of {len(stories)} stories, {events} events, "
                    f"{faulty} with faults",
                    flush=True,
                )
    return [told[options.number] for options in stories]


def spread(values: Sequence[float]) -> dict[str, float]:
    return {
        "times": len(values),
        "median_s": round(float(np.median(values)), 3),
        "p99_s": round(float(np.quantile(values, 0.99)), 3),
        "max_s": round(max(values), 3),
    }


def summarise(told: Sequence[Story]) -> dict[str, Any]:
    events: Counter[str] = sum((story.events for story in told), Counter())
    kinds = sorted({kind for story in told for kind in story.settle_s})
    settled = {kind: [s for story in told for s in story.settle_s.get(kind, [])] for kind in kinds}
    return {
        "stories": len(told),
        "churn_events": sum(events[kind] for kind in CHURN_WEIGHTS),
        "events": dict(sorted(events.items())),
        "modules_min": min(story.modules for story in told),
        "modules_max": max(story.modules for story in told),
        "simulated_s": round(sum(story.simulated_s for story in told)),
        "module_s": round(sum(story.simulated_s * story.modules for story in told)),
        "complete_agreements": sum(story.agreements for story in told),
        "stories_with_faults": sum(bool(story.faults) for story in told),
        "largest_excess_share": round(max((s.excess_share for s in told if not s.trading), default=0.0), 6),
        "longest_excess_s": max((s.excess_s for s in told if not s.trading), default=0.0),
        "largest_excess_share_trading": round(max((s.excess_share for s in told if s.trading), default=0.0), 6),
        "longest_excess_s_trading": max((s.excess_s for s in told if s.trading), default=0.0),
        "owners_due": sum(story.owners_due for story in told),
        "owners_missing": sum(story.owners_missing for story in told),
        "settle": {kind: spread(values) for kind, values in settled.items()},
    }


def show(summary: dict[str, Any]) -> None:
    print(f"{'settled after':14} {'times':>6} {'median s':>9} {'p99 s':>7} {'max s':>7}")
    for kind, row in summary["settle"].items():
        print(f"{kind:14} {row['times']:6} {row['median_s']:9.3f} {row['p99_s']:7.3f} {row['max_s']:7.3f}")
    for key, value in summary.items():
        if key != "settle":
            print(f"{key}: {value}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=10_000, help="that change who can agree with whom")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--loss", type=float, default=0.0, help="share of messages lost, 0 to below 1")
    parser.add_argument("--modules", type=int, default=64, help="of the largest station, 2 to 64")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--story", type=int, help="only this one")
    parser.add_argument("--json", type=Path, help="where to write the figures")
    options = parser.parse_args()
    numbers = range(-(-options.events // EVENTS_PER_STORY)) if options.story is None else [options.story]
    stories = [
        StoryOptions(options.seed, number, EVENTS_PER_STORY, options.loss, options.modules) for number in numbers
    ]
    began_s = time.monotonic()
    summary = summarise(play_all(stories, min(options.processes, len(stories))))
    took_s = time.monotonic() - began_s
    summary |= {"seed": options.seed, "loss": options.loss, "wall_s": round(took_s, 1)}
    show(summary)
    if options.json:
        options.json.write_text(json.dumps(summary, indent=2) + "\n")
    return 1 if summary["stories_with_faults"] else 0


if __name__ == "__main__":
    sys.exit(main())
