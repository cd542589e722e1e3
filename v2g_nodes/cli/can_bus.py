"""Which bus a tool listens to: that of a station file, or one named on the command line."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Annotated

import typer

from v2g_nodes.canbus.protection import Protection, protection_of
from v2g_nodes.canbus.settings import MULTICAST, CanSettings
from v2g_nodes.cli.bus_ear import BusEar, Heard
from v2g_nodes.cli.stop_signals import StopSignals
from v2g_nodes.core.errors import InputError
from v2g_nodes.station import Station, load_station

DURATION_S = (0.1, 1e7)
SILENT_S = 1.0  # a bus that is not up by then is worth a word

StationFile = Annotated[
    str | None, typer.Option("--station", metavar="FILE", help="Station file; its section can says which bus.")]
Interface = Annotated[
    str | None, typer.Option(help="Kind of bus as python-can calls it, instead of a file. [default: udp_multicast]")]
Channel = Annotated[str | None, typer.Option(help="Network interface such as can0, or multicast group.")]
KeyFile = Annotated[str | None, typer.Option(metavar="FILE", help="Key of the bus, where frames carry a code by it.")]
Duration = Annotated[float | None, typer.Option(help="Seconds to listen. [default: until Ctrl-C]")]


@dataclass(frozen=True)
class BusChoice:
    """A bus and what is known of it.

    Args:
        settings: of the bus.
        station: whose bus it is; None where it was named on the command line.
    """

    settings: CanSettings
    station: Station | None = None

    @property
    def protection(self) -> Protection:
        """With the key of the bus, if it has one.

        Raises:
            InputError: its file can't be used.
        """
        return protection_of(self.settings.key_file)


def choose_bus(
    station: str | None, interface: str | None = None, channel: str | None = None, key_file: str | None = None
) -> BusChoice:
    """The bus that the options mean.

    Args:
        station: file.
        interface: python-can's name.
        channel: of the interface.
        key_file: overrides the station file's.

    Raises:
        InputError: options that contradict each other, or values that can't be used.
    """
    loaded = None
    if station is not None:
        if interface is not None or channel is not None:
            raise InputError("--interface and --channel with --station, allowed is either a file or a bus")
        loaded = load_station(station)
        settings = station_bus(loaded)
    else:
        interface = interface or MULTICAST
        if interface != MULTICAST and channel is None:
            raise InputError(f"--interface {interface} without --channel, allowed with one such as --channel can0")
        settings = CanSettings(interface, CanSettings.channel if channel is None else channel)
    if key_file is not None:
        settings = replace(settings, key_file=key_file)
    return BusChoice(settings, loaded)


def station_bus(station: Station) -> CanSettings:
    """The bus of a station.

    Raises:
        InputError: values that can't be used.
    """
    can = station.can
    return CanSettings(can.interface, can.channel, can.backup_channel or "", can.port, can.bitrate, can.data_bitrate,
                       can.options, can.key_file or "")


def check_duration(seconds: float | None, option: str = "--duration") -> None:
    """Refuse a time that is none.

    Raises:
        InputError: out of range.
    """
    if seconds is not None and not DURATION_S[0] <= seconds <= DURATION_S[1]:
        raise InputError(f"{option} {seconds:g}, allowed {DURATION_S[0]:g} to {DURATION_S[1]:g} s")


def listen(settings: CanSettings, seconds: float | None) -> Iterator[list[Heard]]:
    """What comes from the bus, turn by turn, an empty list where nothing came; ends in time or with Ctrl-C.

    A bus that does not come up, or is lost, is told on standard error.

    Args:
        settings: of the bus.
        seconds: how long; None = until a stop is asked for.

    Raises:
        InputError: settings that can never work.
    """
    told: dict[str, str] = {}
    begun_s = time.monotonic()
    with StopSignals() as stop, BusEar(settings) as ear:
        for turn in ear.turns(seconds, lambda: stop.requested):
            yield turn
            if time.monotonic() - begun_s > SILENT_S:
                for bus, state in ear.states.items():
                    if state.text != told.get(bus, ""):
                        told[bus] = state.text
                        print(f"v2g │ bus {bus}: {state.text or 'works again'}", file=sys.stderr)
        if ear.missed:
            print(f"v2g │ {ear.missed} frames came but were missed: this machine was too busy", file=sys.stderr)
