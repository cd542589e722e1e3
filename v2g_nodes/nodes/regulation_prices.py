"""What the regulation market pays, for the node that plans bids and the one that settles them."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from v2g_nodes.nodes.parameters import parameter
from v2g_nodes.nodes.sources import RecordingParameters, Recordings
from v2g_nodes.planning.market.station_day import made_capability
from v2g_nodes.sim.series import read_columns


@dataclass(frozen=True)
class RegulationParameters(RecordingParameters):
    """Parameters of every node that knows the regulation market."""

    market_csv: str = parameter("", "recording of regulation prices: capability, performance; empty = none")
    market_day: str = parameter("", "day to take from it, YYYY-MM-DD; empty = the first full one")
    reference_mileage_per_h: float = parameter(
        6.0, "mileage of the slow signal, over which the performance price pays", "1/h", 0.1, 1e3)


def signal_recordings(p: RecordingParameters) -> Recordings:
    """The regulation signal; the other recordings are not read.

    Raises:
        InputError: the file can't be used.
    """
    return Recordings(replace(p, frequency_csv="", prices_csv="", site_load_csv=""))


class RegulationPrices:
    """Capability and performance price by local time of day; without a recording those of a made day.

    Args:
        p: which recording.

    Raises:
        InputError: the file can't be used.
    """

    def __init__(self, p: RegulationParameters) -> None:
        self._made = made_capability() if p.missing == "synthetic" else None
        self._columns = read_columns(p.market_csv, ("capability",), ("performance",), day=p.market_day or None,
                                     utc_offset_h=p.utc_offset_h) if p.market_csv else None  # fmt: skip

    def capability_eur_per_kwh(self, time_of_day_s: float) -> float:
        """For a kW offered over an hour [EUR/kWh]; NaN without one."""
        if self._columns is not None:
            return self._columns["capability"].at(time_of_day_s)
        return math.nan if self._made is None else self._made(time_of_day_s)

    def performance_eur_per_kwh(self, time_of_day_s: float) -> float:
        """The same, to be multiplied by mileage over reference mileage; 0 where the market has only one price."""
        if self._columns is not None:
            return self._columns["performance"].at(time_of_day_s) if "performance" in self._columns else 0.0
        return math.nan if self._made is None else 0.0
