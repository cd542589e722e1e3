"""Random stations as players."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from v2g_nodes.cli.dispatch_trial import random_instance
from v2g_nodes.core.cost import LocalCost
from v2g_nodes.core.supply import BoxedCost
from v2g_nodes.core.types import MODULES_MAX, Box

SIZES = (3, 20)  # modules of the stations that are searched for lies


@dataclass(frozen=True)
class Fleet:
    """One station.

    Args:
        costs: true cost of each module.
        boxes: true boxes.
        target_kw: a random target that the boxes can meet, either sign.
    """

    costs: tuple[LocalCost, ...]
    boxes: tuple[Box, ...]
    target_kw: float

    @property
    def players(self) -> tuple[BoxedCost, ...]:
        """Cost and box of each module."""
        return tuple(map(BoxedCost, self.costs, self.boxes))


def random_fleet(modules: int, seed: int, trial: int = 0) -> Fleet:
    """A station as `v2g bench dispatch` draws them; more modules than a bus holds come from several.

    Args:
        modules: at least 1.
        seed: names the stations.
        trial: which of them.
    """
    costs: list[LocalCost] = []
    boxes: list[Box] = []
    target_kw, part = 0.0, 0
    while len(costs) < modules:
        size = min(MODULES_MAX, modules - len(costs))
        one = random_instance("bus", size, seed, trial + 1_000_003 * part)
        costs, boxes = [*costs, *one.costs], [*boxes, *one.boxes]
        target_kw, part = target_kw + one.clipped_kw, part + 1
    return Fleet(tuple(costs), tuple(boxes), target_kw)


def random_fleets(count: int, seed: int) -> list[Fleet]:
    """Stations of 3 to 20 modules; targets of both signs."""
    sizes = np.random.default_rng([seed, 11]).integers(SIZES[0], SIZES[1] + 1, count)
    return [random_fleet(int(size), seed, trial) for trial, size in enumerate(sizes, 1)]
