"""What the regulation market pays, for the node that plans bids and the one that settles them."""

from __future__ import annotations

import math
from dataclasses import dataclass

from v2g_nodes.nodes.parameters import parameter
from v2g_nodes.nodes.sources import RecordingParameters
from v2g_nodes.planning.market.station_day import made_capability_eur_per_kwh
from v2g_nodes.sim.series import read_columns


@dataclass(frozen=True)
class RegulationParameters(RecordingParameters):
    """Parameters of every node that knows the regulation market."""

    market_csv: str = parameter("", "recording of regulation prices: capability, performance; empty = none")
    market_day: str = parameter("", "day to take from it, YYYY-MM-DD; empty = the first full one")
    reference_mileage_per_h: float = parameter(
        6.0, "mileage of the slow signal, over which the performance price pays", "1/h", 0.1, 1e3)


class RegulationPrices:
    """Capability and performance price by local time of day; without a recording those of a made day.

    Args:
        p: which recording.

    Raises:
        InputError: the file can't be used.
    """

    def __init__(self, p: RegulationParameters) -> None:
        self._made = p.missing == "synthetic"
        self._columns = read_columns(p.market_csv, ("capability",), ("performance",), day=p.market_day or None,
                                     utc_offset_h=p.utc_offset_h) if p.market_csv else None  # fmt: skip

    def capability_eur_per_kwh(self, time_of_day_s: float) -> float:
        """For a kW offered over an hour [EUR/kWh]; NaN without one."""
        if self._columns is not None:
            return self._columns["capability"].at(time_of_day_s)
        return made_capability_eur_per_kwh(time_of_day_s) if self._made else math.nan

    def performance_eur_per_kwh(self, time_of_day_s: float) -> float:
        """The same, to be multiplied by mileage over reference mileage; 0 where the market has only one price."""
        if self._columns is not None:
            return self._columns["performance"].at(time_of_day_s) if "performance" in self._columns else 0.0
        return 0.0 if self._made else math.nan
