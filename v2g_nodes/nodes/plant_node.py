"""`plant`: the simulated grid around the station: frequency response, meter, grid-side inverter, and time itself."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

from rosgraph_msgs.msg import Clock

from v2g_nodes.core.droop_settings import PLAIN
from v2g_nodes.core.grid_code.service import Service
from v2g_nodes.core.grid_code.settings import grid_code
from v2g_nodes.core.grid_code.volt_var import STATION, VoltVar, volt_var_curve
from v2g_nodes.msg import Applied, GridSignal, Meter
from v2g_nodes.nodes import convert, streams
from v2g_nodes.nodes.base import ManagedNode
from v2g_nodes.nodes.diagnostics import Diagnostics, node_name
from v2g_nodes.nodes.law_parameters import LawParameters, numbers_of
from v2g_nodes.nodes.parameters import parameter
from v2g_nodes.nodes.source_diagnostics import plant_status
from v2g_nodes.nodes.sources import RecordingParameters, Recordings, RunClock
from v2g_nodes.sim.grid import POWER_FACTOR_MIN, InverterInterface, PccMeter, SwingGrid, SwingParameters
from v2g_nodes.sim.inverter import GridInverter

CLOCK_S = 0.02  # s, wall period of /clock
STEP_S = 0.1  # s, wall period of the meter and the grid's response
METER_S = 1.0  # s, wall period of the meter's message


@dataclass(frozen=True)
class PlantParameters(RecordingParameters, LawParameters):
    """Parameters of the plant node."""

    module_ids: tuple[int, ...] = parameter((), "all modules of the station")
    response: str = parameter("recorded", "recorded = the station does not move the frequency; swing = it does")
    publish_measurement: bool = parameter(False, "publish the frequency on /grid/measurement")
    period_s: float = parameter(1.0, "period of /grid/measurement", "s", 0.02, 10.0)
    base_kva: float = parameter(1000.0, "rating of the island", "kVA", 1.0, 1e7)
    inertia_h_s: float = parameter(4.0, "inertia constant H", "s", 0.1, 20.0)
    damping_pu: float = parameter(20.0, "primary control of the island", "pu/pu", 0.1, 1000.0)
    secondary_s: float = parameter(120.0, "time in which the island takes over the station's power", "s", 1.0, 1e6)
    nominal_v: float = parameter(400.0, "nominal voltage, phase to phase", "V", 100.0, 1000.0)
    site_load_kw: float = parameter(0.0, "load behind the same connection", "kW", 0.0, 1e5, settable=True)
    rating_kw: float = parameter(3.3, "rating of the station", "kW", 0.1, 1e5)
    inverter_law: str = parameter("station", "Q(V): station = of its specification; ieee1547, en50549 = grid codes")
    inverter_category: str = parameter("B", "normal operating performance category of IEEE 1547-2018: A or B")
    inverter_priority: str = parameter("reactive", "what gives way last inside the apparent power: reactive, active")
    inverter_settings: str = parameter("{}", "settings of Q(V) that differ from the code's defaults, as JSON")


class PlantNode(ManagedNode[PlantParameters]):
    """See module docstring."""

    PARAMETERS = PlantParameters

    def configure(self) -> None:
        """Build grid, meter and inverter; time runs from here on.

        Raises:
            InputError: a recording or a nominal frequency that can't be used.
        """
        p = self.p
        self._recordings = Recordings(p)
        self._run = RunClock(p, time.time(), time.monotonic())
        self._grid = SwingGrid(SwingParameters(p.base_kva, p.inertia_h_s, p.damping_pu, p.secondary_s, p.nominal_hz))
        self._meter = PccMeter()
        self._inverter = self._make_inverter()
        self._passed = self._inverter.update(0.0, p.nominal_v, p.nominal_hz, 0.0)
        self._applied: dict[int, tuple[int, float]] = {}  # steady time of receipt [ns], power [kW]
        self._frequency_hz = math.nan
        self._sequence = 0
        self._stepped_s = self._run.elapsed_s(time.monotonic())
        self._told: Meter | None = None
        self._diagnostics = Diagnostics(self, lambda: [plant_status(node_name(self), p, self._told, self._silent())])
        self._meter_out = self.publisher(streams.GRID_METER.of_host(self.get_namespace()))
        self._measurement_out = self.publisher(streams.GRID_MEASUREMENT) if p.publish_measurement else None
        if p.speed != 1.0:
            self._clock_out = self.publisher(streams.CLOCK)
            self.every(CLOCK_S, self._send_clock)

    def _make_inverter(self) -> GridInverter:
        p = self.p
        service, volt_var = None, None
        if p.law != PLAIN:
            service = Service(grid_code(p.law, p.law_category, p.law_changes))
        if p.inverter_law != STATION:
            changes = numbers_of("inverter_settings", p.inverter_settings)
            curve = volt_var_curve(p.inverter_law, p.inverter_category, p.inverter_priority, changes)
            volt_var = VoltVar(curve, p.rating_kw / POWER_FACTOR_MIN)
        return GridInverter(InverterInterface(p.rating_kw, p.nominal_v, p.nominal_hz), service, volt_var)

    def activate(self) -> None:
        """Listen to the modules, step the grid."""
        for module_id in self.p.module_ids:
            self.listen(streams.APPLIED, self._on_applied, f"/ek3_{module_id:02d}")
        self.listen(streams.GRID_SIGNAL, self._on_signal)
        self.every(STEP_S, self._step)
        self.every(METER_S, self._send_meter)
        self._diagnostics.start()
        if self._measurement_out is not None:
            self.every(self.p.period_s / self.p.speed, self._send_measurement)

    def _on_applied(self, message: Applied) -> None:
        if math.isfinite(message.power_kw):
            self._applied[message.module_id] = (time.monotonic_ns(), message.power_kw)

    def _station_kw(self) -> float:
        """Sum of the modules that are heard; one whose process is dead has timed out and feeds nothing."""
        silent = self._silent()
        return sum(power_kw for k, (_, power_kw) in self._applied.items() if k not in silent)

    def _silent(self) -> list[int]:
        """Modules that are not heard."""
        oldest_ns = time.monotonic_ns() - round(streams.APPLIED.max_age_s * 1e9)
        never = (oldest_ns - 1, 0.0)
        return [k for k in self.p.module_ids if self._applied.get(k, never)[0] < oldest_ns]

    def _on_signal(self, message: GridSignal) -> None:
        self._frequency_hz = float(message.frequency_hz)

    def _send_clock(self) -> None:
        self._clock_out.publish(Clock(clock=convert.to_time(self._run.ros_s(time.monotonic()))))

    def _step(self) -> None:
        now_s = time.monotonic()
        elapsed_s = self._run.elapsed_s(now_s)
        dt_s, self._stepped_s = max(elapsed_s - self._stepped_s, 0.0), elapsed_s
        time_of_day_s = self._run.time_of_day_s(now_s)
        self._passed = self._inverter.update(
            self._station_kw(), self._voltage_v(time_of_day_s), self._frequency_hz, dt_s)
        power_kw = self._passed.power_kw
        price = self._recordings.price_eur_per_kwh(time_of_day_s)
        self._meter.update(power_kw, self._site_load_kw(time_of_day_s), price, dt_s)
        if self.p.response == "swing":
            self._grid.update(power_kw, dt_s)

    def _send_measurement(self) -> None:
        if self._measurement_out is None:
            return
        now_s = time.monotonic()
        time_of_day_s = self._run.time_of_day_s(now_s)
        undisturbed_hz = self._recordings.frequency_hz(time_of_day_s)
        if math.isnan(undisturbed_hz):
            return
        self._sequence = (self._sequence + 1) % 2**32
        self._measurement_out.publish(
            GridSignal(
                stamp=convert.to_time(self._run.ros_s(now_s)),
                source_id=1,
                sequence=self._sequence,
                time_of_day_s=time_of_day_s,
                frequency_hz=undisturbed_hz + self._grid.deviation_hz,
                voltage_v=self._voltage_v(time_of_day_s),
                price_eur_per_kwh=math.nan,
                site_load_kw=self._site_load_kw(time_of_day_s),
            )
        )

    def _site_load_kw(self, time_of_day_s: float) -> float:
        return self._recordings.site_load_kw(time_of_day_s, self.p.site_load_kw)

    def _voltage_v(self, time_of_day_s: float) -> float:
        recorded = self._recordings.voltage_v(time_of_day_s)
        return self.p.nominal_v if math.isnan(recorded) else recorded

    def _send_meter(self) -> None:
        now_s = time.monotonic()
        reading, power_kw = self._meter.reading, self._station_kw()
        voltage_v = self._voltage_v(self._run.time_of_day_s(now_s))
        self._told = Meter(
            stamp=convert.to_time(self._run.ros_s(now_s)),
            station_kw=power_kw,
            net_kw=reading.power_kw,
            reactive_kvar=self._passed.reactive_kvar,
            voltage_v=voltage_v,
            frequency_hz=self._frequency_hz,
            exported_kwh=reading.exported_kwh,
            imported_kwh=reading.imported_kwh,
            cost_eur=reading.cost_eur,
            tripped=self._passed.tripped,
        )
        self._meter_out.publish(self._told)
