"""Drivers from data: trips of a mobility survey as flows of a day, plug-in shares from recorded charging sessions.

A survey tells when trips begin, where they go and how many a day has, not where they come from. Chosen: all are at home
at 0 h and again at 24 h; a trip's origin is any other place, in proportion to the drivers there; a drive takes one
hour; trips that find nobody to make them are left out, and their number is told. Errands, leisure and so on are one
place, elsewhere. Sessions tell when vehicles are connected, not how many vehicles there are, so they give the shape
over the day of the share plugged in among those at the place, and the largest share is set.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from v2g_nodes.core.checks import check_count, check_range
from v2g_nodes.core.types import FloatArray
from v2g_nodes.planning.market.calibration import FLOW_MIN, calibrate
from v2g_nodes.planning.market.persistency import Follower
from v2g_nodes.planning.market.synthetic import HOME, HOURS, OTHER, WORK, day_network, plugged_at_home

PLACES = (HOME, WORK, OTHER)
LEAVE_MAX = 0.95  # of those at a place within an hour
HOME_SHARE = 0.95  # largest share plugged in of those at home, as of the made drivers
PRESENT_MIN = 0.01  # share of drivers at a place below which sessions there tell nothing


@dataclass(frozen=True)
class SurveyDay:
    """Drivers and how well they match the survey.

    Args:
        drivers: calibrated.
        missed: share of the survey's trips that nobody was there to make.
        late: share of drivers whom the end of the day sends home.
        present: share of drivers at home, at work and elsewhere at the start of each hour, shape (hours, 3).
    """

    drivers: Follower
    missed: float
    late: float
    present: FloatArray


def survey_day(
    trips: FloatArray, value_usd: float, plug_home: FloatArray | None = None, plug_work: FloatArray | None = None
) -> SurveyDay:  # fmt: skip
    """Flows of the survey's trips, and the drivers whose optimum they are.

    Args:
        trips: per driver, begun in each hour, to home, work and elsewhere, shape (24, 3).
        value_usd: worth of a day [USD].
        plug_home: share plugged in of those who stay at home, shape (24,); None: as of the made drivers.
        plug_work: share plugged in of those who stay at work, shape (24,); None: no chargers there.

    Raises:
        InputError: a negative number, or shapes that do not fit.
    """
    check_count("trips", list(trips), HOURS)
    for hour, row in enumerate(trips):
        for name, number in zip(PLACES, row, strict=True):
            check_range(f"trips to {name} in hour {hour}", float(number), 0.0, 10.0)
    home = np.array([plugged_at_home(hour) for hour in range(HOURS)]) if plug_home is None else plug_home
    plugs = {HOME: home, WORK: np.zeros(HOURS) if plug_work is None else plug_work, OTHER: np.zeros(HOURS)}
    present, made, late = np.zeros((HOURS, len(PLACES))), np.zeros(trips.shape), 0.0

    def moves(hour: int, place: str, at: Mapping[str, float]) -> list[tuple[str, bool, float]]:
        nonlocal late
        present[hour, PLACES.index(place)] = at[place]
        last = hour == HOURS - 1
        going = {} if last and place == HOME else {HOME: 1.0} if last else _leaving(trips[hour], place, at)
        late += at[place] if last and place != HOME else 0.0
        if place == OTHER and not last:  # on to another such place: no move here
            made[hour, PLACES.index(OTHER)] += at[OTHER] * trips[hour, PLACES.index(OTHER)] / sum(at.values())
        for target, part in going.items():
            made[hour, PLACES.index(target)] += at[place] * part
        stay, plugged = 1.0 - sum(going.values()), float(np.clip(plugs[place][hour], 0.0, 0.98))
        found = [(place, True, stay * plugged), (place, False, stay * (1.0 - plugged)),
                 *((target, False, part) for target, part in going.items())]  # fmt: skip
        return [move for move in found if move[2] > 0.1 * FLOW_MIN]

    network, flow = day_network(HOURS, moves)
    wanted = trips[:-1].sum()
    missed = np.maximum(trips[:-1] - made[:-1], 0.0).sum() / wanted if wanted > 0.0 else 0.0
    return SurveyDay(calibrate(network, flow, value_usd), float(missed), late, present)


def _leaving(trips: FloatArray, place: str, at: Mapping[str, float]) -> dict[str, float]:
    """Share of those at a place who go to each other place."""
    going: dict[str, float] = {}
    for target, number in zip(PLACES, trips, strict=True):
        origins = sum(share for name, share in at.items() if name != target or target == OTHER)
        if target != place and origins > 0.0:
            going[target] = float(number) / origins
    total = sum(going.values())
    return going if total <= LEAVE_MAX else {target: part * LEAVE_MAX / total for target, part in going.items()}


def connected_by_hour(arrival_h: FloatArray, length_h: FloatArray, weight: FloatArray) -> FloatArray:
    """Vehicles connected in each hour of the day, on average over the hour, shape (24,).

    Args:
        arrival_h: hour of the day of each session [h].
        length_h: of each session, what is beyond a day is left out [h].
        weight: of each session.
    """
    start, end = arrival_h[:, None], (arrival_h + np.minimum(length_h, 24.0))[:, None]
    hour = np.arange(2 * HOURS)
    within = np.clip(np.minimum(end, hour + 1.0) - np.maximum(start, hour), 0.0, 1.0)
    found: FloatArray = (weight @ within).reshape(2, HOURS).sum(axis=0)
    return found


def plug_shares(connected: FloatArray, present: FloatArray, largest: float) -> FloatArray:
    """Share plugged in among those present, in the shape of recorded sessions, shape (24,).

    Args:
        connected: vehicles connected in each hour, to any scale, shape (24,).
        present: share of drivers at the place, shape (24,).
        largest: share of the hour in which most of those present are plugged in, 0 to 1.

    Raises:
        InputError: largest out of range.
    """
    check_range("largest share plugged in", largest, 0.0, 1.0)
    some = present >= PRESENT_MIN
    ratio = np.where(some, connected / np.where(some, present, 1.0), 0.0)
    return largest * ratio / ratio.max() if ratio.max() > 0.0 else ratio
