"""What modules' meters show ends in the audit log, whole and in time."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from v2g_nodes.msg import ModuleStatus

from v2g_nodes.audit import AuditLog, verify
from v2g_nodes.nodes import streams
from v2g_nodes.nodes.settlement_log import INTERVAL_S, SettlementLog

from .conftest import Bench
from .test_monitor import Play


def lines(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def meter(discharged_kwh: float, module_id: int = 1, session: str = "s1") -> ModuleStatus:
    return ModuleStatus(module_id=module_id, vehicle_plugged=bool(session), session_id=session,
                        discharged_kwh=discharged_kwh)


def test_each_quarter_of_an_hour_and_the_rest_is_written_down(tmp_path: Path) -> None:
    file = tmp_path / "audit.log"
    audit = AuditLog(file)
    log = SettlementLog(audit, "/station_monitor")
    for second in range(0, 2000, 10):
        log.see(meter(second / 1000.0), 0.25)
        log.settle(float(second), 3600.0 + second)
    log.settle(2000.0, 5600.0, at_once=True)
    audit.flush()
    written = lines(file)
    assert [entry["action"] for entry in written] == ["settlement"] * 3
    assert [entry["details"]["seconds"] for entry in written] == [INTERVAL_S, INTERVAL_S, 200.0]
    assert [entry["details"]["from_time_of_day_s"] for entry in written] == [3600.0, 4500.0, 5400.0]
    assert sum(entry["details"]["discharged_kwh"] for entry in written) == pytest.approx(1.99)
    assert sum(entry["details"]["cost_eur"] for entry in written) == pytest.approx(-0.25 * 1.99)
    assert verify(file) == []


def test_the_monitor_settles_what_was_open_when_it_ends(bench: Bench, tmp_path: Path) -> None:
    file = tmp_path / "audit.log"
    play = Play(bench, audit_file=str(file))
    play.signal()
    for counter in (5.0, 5.25):
        play.out[streams.STATUS.topic, 1].publish(meter(counter))
        bench.until(lambda c=counter: 1 in play.monitor._words.status  # type: ignore[misc]
                    and play.monitor._words.status[1][1].discharged_kwh == c)
    play.monitor.trigger_deactivate()
    (entry,) = lines(file)
    assert entry["who"] == "/station_monitor"
    details = entry["details"]
    assert (details["module_id"], details["session_id"], details["discharged_kwh"]) == (1, "s1", 0.25)
    assert details["cost_eur"] == pytest.approx(-0.025)


def test_without_a_file_nothing_is_written(bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    play = Play(bench)
    play.out[streams.STATUS.topic, 1].publish(meter(1.0))
    bench.until(lambda: play.monitor._words.status)
    play.monitor.trigger_deactivate()
    assert [*tmp_path.iterdir()] == []
