"""Power limits against temperature, as piecewise linear tables."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass

from v2g_nodes.core.checks import check_range
from v2g_nodes.core.errors import InputError


@dataclass(frozen=True)
class DeratingTable:
    """Fraction of the rating allowed at a temperature: linear between points, constant beyond the ends.

    Args:
        points: (temperature [deg C], fraction 0 to 1), temperatures ascending.

    Raises:
        InputError: no point, temperatures not ascending, or a fraction out of range.
    """

    points: tuple[tuple[float, float], ...]

    def __post_init__(self) -> None:
        temperatures = [t for t, _ in self.points]
        if not temperatures:
            raise InputError("derating table has 0 points, allowed at least 1")
        if not all(a < b for a, b in zip(temperatures, temperatures[1:], strict=False)):
            raise InputError(f"derating temperatures are {temperatures} deg C, allowed ascending")
        for temperature_c, fraction in self.points:
            check_range("derating temperature", temperature_c, -273.15, 1000.0, "deg C")
            check_range(f"derating fraction at {temperature_c:g} deg C", fraction, 0.0, 1.0)

    def at(self, temperature_c: float) -> float:
        """Fraction allowed at this temperature; the hottest point's for NaN."""
        points = self.points
        if temperature_c < points[0][0]:  # the usual case, asked many times a tick
            return points[0][1]
        above = bisect_right(points, temperature_c, key=lambda point: point[0])
        if above == len(points):  # also NaN, which sorts behind every number here
            return points[-1][1]
        (t0, f0), (t1, f1) = points[above - 1], points[above]
        return f0 + (f1 - f0) * (temperature_c - t0) / (t1 - t0)


@dataclass(frozen=True)
class Derating:
    """The three tables of a module; the smallest fraction counts.

    Args:
        ambient: against ambient temperature, both directions.
        discharge: discharging, against junction temperature.
        charge: charging, against junction temperature.
    """

    ambient: DeratingTable
    discharge: DeratingTable
    charge: DeratingTable

    def fractions(self, junction_c: float, ambient_c: float | None) -> tuple[float, float]:
        """Allowed fractions of the rating (charging, discharging).

        Args:
            junction_c: hottest junction [deg C].
            ambient_c: [deg C]; None where no sensor tells, then the junction alone counts.
        """
        both = 1.0 if ambient_c is None else self.ambient.at(ambient_c)
        return min(both, self.charge.at(junction_c)), min(both, self.discharge.at(junction_c))


#: EK3 specification. Its ambient table is in kW for the 3.3 kW module; as fractions it suits the spread of ratings.
EK3_DERATING = Derating(
    ambient=DeratingTable(
        (
            (35.0, 3.3 / 3.3),
            (40.0, 3.0 / 3.3),
            (45.0, 2.7 / 3.3),
            (50.0, 2.3 / 3.3),
            (55.0, 1.8 / 3.3),
            (60.0, 0.0),
        )
    ),
    discharge=DeratingTable(
        ((100.0, 1.0), (105.0, 0.9), (110.0, 0.8), (115.0, 0.65), (120.0, 0.5), (125.0, 0.3), (130.0, 0.0))
    ),
    charge=DeratingTable(
        ((100.0, 1.0), (105.0, 1.0), (110.0, 0.95), (115.0, 0.85), (120.0, 0.7), (125.0, 0.5), (130.0, 0.25))
    ),
)
