"""What a station file may say about the bus."""

from __future__ import annotations

import pytest

from v2g_nodes.canbus.bus import open_bus
from v2g_nodes.canbus.settings import CanSettings
from v2g_nodes.core.errors import InputError


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"interface": " "}, "can.interface is ' ', allowed any name"),
        ({"channel": ""}, "can.channel is '', allowed any name"),
        ({"channel": "10.0.0.1"}, "can.channel is '10.0.0.1', allowed an IPv4 multicast group"),
        ({"backup_channel": "can1"}, "can.backup_channel is 'can1', allowed an IPv4 multicast group"),
        ({"interface": "socketcan", "channel": "can0", "backup_channel": "can0"}, "allowed another one"),
        ({"port": 80}, "can.port is 80, allowed 1024 to 65535"),
        ({"bitrate": 2_000_000}, "can.bitrate is 2000000 bit/s, allowed 10000 to 1000000 bit/s"),
        ({"bitrate": 500_000, "data_bitrate": 400_000}, "can.data_bitrate is 400000 bit/s, allowed 500000 to 8000000"),
    ],
)
def test_what_can_not_work_is_refused(changes: dict[str, object], text: str) -> None:
    with pytest.raises(InputError) as refused:
        CanSettings(**changes)  # type: ignore[arg-type]
    assert text in str(refused.value)


def test_channels_are_bus_a_and_b() -> None:
    assert CanSettings().channels == ("239.255.43.1",)
    pair = CanSettings(interface="socketcan", channel="can0", backup_channel="can1")
    assert pair.channels == ("can0", "can1")


def test_what_python_can_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[tuple[tuple[object, ...], dict[str, object]]] = []
    monkeypatch.setattr("can.Bus", lambda *channel, **arguments: told.append((channel, arguments)))
    rates = {"bitrate": 500_000, "data_bitrate": 2_000_000}
    adapter = CanSettings(interface="kvaser", channel="0", options={"single_handle": True, "fd": False}, **rates)
    open_bus(adapter, "0", [(0x20, 0xFF)], own_echo=True)
    open_bus(CanSettings(interface="socketcan", channel="can0", **rates), "can0")
    wanted = [{"can_id": 0x20, "can_mask": 0xFF, "extended": True}]
    common = {"receive_own_messages": True, "can_filters": wanted, "ignore_config": True}
    assert told[0] == (("0", "kvaser"), {**common, "fd": False, "single_handle": True, **rates})
    assert told[1] == (
        ("can0", "socketcan"),
        {"receive_own_messages": False, "can_filters": None, "ignore_config": True, "fd": True},
    )
