"""The grid around the station: answer of a small island, meter at the common coupling, grid-side inverter.

The frequency comes from a recording or from sim/synthetic.py. In `recorded` mode the station is too small
to move it; in `swing` mode its power acts back through the swing equation of a small island.
Powers are positive into the grid. Time comes in as dt.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from v2g_nodes.core.errors import InputError
from v2g_nodes.sim.synthetic import SyntheticFrequency, SyntheticSignal, synthetic_price

__all__ = ["InverterInterface", "PccMeter", "PccReading", "SwingGrid", "SwingParameters", "SyntheticFrequency",
           "SyntheticSignal", "frequency_trip_hz", "reactive_power_kvar", "synthetic_price", "voltage_trips"]

TRIP_50_HZ = (47.5, 51.5)  # Hz, VDE-AR-N 4105
TRIP_60_HZ = (56.5, 62.0)  # Hz, IEEE 1547-2018 table 18, UF2 / OF2
TRIP_VOLTAGE_PU = (0.85, 1.10)  # of nominal; trip limits of the EK3 station specification
DEAD_BAND_PU = (0.95, 1.05)  # no reactive power inside
FULL_Q_PU = (0.90, 1.10)  # all of it from here on
POWER_FACTOR_MIN = 0.9  # cos phi, and S_n = P_n / 0.9
SECONDS_PER_HOUR = 3600.0


@dataclass(frozen=True)
class SwingParameters:
    """A small island seen from the station.

    Args:
        base_kva: rating of the island's machines [kVA].
        inertia_h_s: inertia constant H [s].
        damping_pu: self-regulation and primary control D, power per unit over frequency per unit.
        secondary_s: time in which the island's own control takes over the station's power [s]; infinite: never.
        nominal_hz: 50 or 60.
    """

    base_kva: float
    inertia_h_s: float = 4.0
    damping_pu: float = 20.0
    secondary_s: float = 120.0
    nominal_hz: float = 50.0


class SwingGrid:
    """2H d(df)/dt = (p - p0)/S - D df, df in per unit of nominal, laid over an undisturbed frequency.

    p0 follows p with the time constant of the secondary control, so a steady station leaves the frequency
    where the recording has it. Each step is the exact solution for constant p, stable for any dt.
    """

    def __init__(self, parameters: SwingParameters, power_kw: float = 0.0) -> None:
        """Start in balance with the station's power.

        Args:
            parameters: the island.
            power_kw: power that the island counts on [kW].
        """
        self._parameters = parameters
        self._expected_kw = power_kw
        self._deviation_pu = 0.0

    @property
    def deviation_hz(self) -> float:
        """What the station adds to the undisturbed frequency [Hz]."""
        return self._deviation_pu * self._parameters.nominal_hz

    def update(self, power_kw: float, dt_s: float) -> float:
        """Advance by dt under the station's power.

        Args:
            power_kw: station power [kW], > 0 feeds the island.
            dt_s: step [s], >= 0.

        Returns:
            Deviation to add to the undisturbed frequency [Hz].
        """
        island = self._parameters
        settled = (power_kw - self._expected_kw) / island.base_kva / island.damping_pu
        decay = math.exp(-island.damping_pu * dt_s / (2.0 * island.inertia_h_s))
        self._deviation_pu = settled + (self._deviation_pu - settled) * decay
        self._expected_kw = power_kw + (self._expected_kw - power_kw) * math.exp(-dt_s / island.secondary_s)
        return self.deviation_hz

    def reset(self, power_kw: float = 0.0) -> None:
        """Back to balance at this power [kW]."""
        self._expected_kw = power_kw
        self._deviation_pu = 0.0


@dataclass(frozen=True)
class PccReading:
    """What the meter at the point of common coupling shows.

    Args:
        power_kw: net power into the grid [kW].
        exported_kwh: energy fed in since start [kWh].
        imported_kwh: energy drawn since start [kWh].
        cost_eur: paid for import less earned by export since start [EUR]; time without a price is left out.
    """

    power_kw: float
    exported_kwh: float
    imported_kwh: float
    cost_eur: float


class PccMeter:
    """Counts what passes between site and grid: station power less site load."""

    def __init__(self) -> None:
        """Start from zero."""
        self._reading = PccReading(0.0, 0.0, 0.0, 0.0)

    @property
    def reading(self) -> PccReading:
        """Latest reading."""
        return self._reading

    def update(self, station_kw: float, site_load_kw: float, price_eur_per_kwh: float, dt_s: float) -> PccReading:
        """Count one step of constant power.

        Args:
            station_kw: sum of the modules' powers [kW], > 0 discharges.
            site_load_kw: load behind the same connection [kW].
            price_eur_per_kwh: in force [EUR/kWh], NaN where there is none.
            dt_s: step [s].
        """
        net_kw = station_kw - site_load_kw
        energy_kwh = net_kw * dt_s / SECONDS_PER_HOUR
        before = self._reading
        earned = 0.0 if math.isnan(price_eur_per_kwh) else energy_kwh * price_eur_per_kwh
        self._reading = PccReading(
            power_kw=net_kw,
            exported_kwh=before.exported_kwh + max(energy_kwh, 0.0),
            imported_kwh=before.imported_kwh + max(-energy_kwh, 0.0),
            cost_eur=before.cost_eur - earned,
        )
        return self._reading


def reactive_power_kvar(voltage_pu: float, power_kw: float, rating_kw: float) -> float:
    """Q(V) of the grid-side inverter, S = P_n / 0.9: supports a low voltage, pulls down a high one.

    Dead band 0.95 to 1.05 pu, all of Q at 0.90 / 1.10 pu, linear between, then held inside cos phi >= 0.9
    and |Q| <= sqrt(S^2 - P^2) at every P. The limit is continuous down to P = 0 (the published law left it
    out there, so that Q jumped).

    Args:
        voltage_pu: voltage over nominal.
        power_kw: active power [kW], either sign, |power| <= rating.
        rating_kw: P_n [kW].

    Returns:
        Reactive power [kvar], > 0 delivers (raises the voltage).

    Raises:
        InputError: a value that is not finite, or a rating that is not above zero.
    """
    if not (math.isfinite(voltage_pu) and math.isfinite(power_kw) and math.isfinite(rating_kw) and rating_kw > 0):
        raise InputError(f"voltage {voltage_pu} pu, power {power_kw} kW, rating {rating_kw} kW; "
                         "allowed are finite numbers and a rating above 0")
    apparent_kva = rating_kw / POWER_FACTOR_MIN
    slope = math.tan(math.acos(POWER_FACTOR_MIN))  # Q over P at the smallest power factor
    if voltage_pu < DEAD_BAND_PU[0]:
        wanted = min(1.0, (DEAD_BAND_PU[0] - voltage_pu) / (DEAD_BAND_PU[0] - FULL_Q_PU[0]))
    else:
        wanted = -min(1.0, max(0.0, voltage_pu - DEAD_BAND_PU[1]) / (FULL_Q_PU[1] - DEAD_BAND_PU[1]))
    room_kvar = min(abs(power_kw) * slope, math.sqrt(max(0.0, apparent_kva**2 - power_kw**2)))
    return max(-room_kvar, min(room_kvar, wanted * rating_kw * slope))


@dataclass(frozen=True)
class InverterInterface:
    """Grid-side inverter of the station; the modules behind it are DC/DC and give no reactive power.

    Args:
        rating_kw: P_n [kW], the sum of the modules' ratings.
        nominal_v: nominal voltage, phase to phase [V].
        nominal_hz: 50 or 60.
    """

    rating_kw: float
    nominal_v: float = 400.0
    nominal_hz: float = 50.0

    def reactive_kvar(self, voltage_v: float, power_kw: float) -> float:
        """Q(V) at a measured voltage [V]; zero where none is measured (NaN)."""
        if math.isnan(voltage_v):
            return 0.0
        return reactive_power_kvar(voltage_v / self.nominal_v, power_kw, self.rating_kw)

    def trips(self, voltage_v: float, frequency_hz: float) -> bool:
        """Whether grid protection takes the station off; a value that is not measured (NaN) does not trip."""
        low_hz, high_hz = frequency_trip_hz(self.nominal_hz)
        return voltage_trips(voltage_v / self.nominal_v) or frequency_hz < low_hz or frequency_hz > high_hz


def voltage_trips(voltage_pu: float) -> bool:
    """Whether the voltage is outside 0.85 to 1.10 pu."""
    return voltage_pu < TRIP_VOLTAGE_PU[0] or voltage_pu > TRIP_VOLTAGE_PU[1]


def frequency_trip_hz(nominal_hz: float) -> tuple[float, float]:
    """Frequencies [Hz] below and above which grid protection trips.

    Raises:
        InputError: nominal is neither 50 nor 60.
    """
    if nominal_hz == 50.0:
        return TRIP_50_HZ
    if nominal_hz == 60.0:
        return TRIP_60_HZ
    raise InputError(f"nominal frequency {nominal_hz} Hz, allowed 50 or 60")
