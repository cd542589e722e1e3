"""Real-time class and core of a process, as the station file asks for them; tried in processes of their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from v2g_nodes.core.priority import DROOP_PRIORITY, OPTIMIZER_PRIORITY

PROGRAM = """
import json, os, resource, sys, threading
from v2g_nodes.nodes.scheduling import raise_priority, schedule
if sys.argv[2] == "forbidden":
    resource.setrlimit(resource.RLIMIT_RTPRIO, (0, 0))
    if os.geteuid() == 0:
        os.setuid(65534)
stop = threading.Event()
thread = threading.Thread(target=stop.wait)
thread.start()
nodes = json.loads(sys.argv[1])
said = list(schedule(nodes))
begun = os.sched_getparam(0).sched_priority
raise_priority(nodes)
classes = [os.sched_getscheduler(t) == os.SCHED_FIFO for t in (0, thread.native_id)]
print(json.dumps({"said": said, "fifo": classes, "priority": [begun, os.sched_getparam(0).sched_priority],
                  "cores": [sorted(os.sched_getaffinity(t)) for t in (0, thread.native_id)]}))
stop.set()
"""
CORES = sorted(os.sched_getaffinity(0))


def scheduled(kind: str, forbidden: bool = False, **parameters: object) -> dict[str, object]:
    """What became of a process that was to run a node of this kind."""
    nodes = json.dumps([{"kind": "module", "parameters": parameters}, {"kind": kind, "parameters": parameters}])
    done = subprocess.run([sys.executable, "-c", PROGRAM, nodes, "forbidden" if forbidden else ""],
                          capture_output=True, text=True, timeout=60, check=True)
    found = json.loads(done.stdout)
    assert isinstance(found, dict)
    return found


def permitted() -> bool:
    return scheduled("droop")["fifo"] == [True, True]


def test_droop_gets_the_real_time_class_unless_it_is_off() -> None:
    if not permitted():
        pytest.skip("the real-time class is not permitted here")
    assert scheduled("droop", real_time="on") == {
        "said": [], "fifo": [True, True], "priority": [OPTIMIZER_PRIORITY, DROOP_PRIORITY],
        "cores": [CORES, CORES]}, "no droop elsewhere waits while this one is made"
    assert scheduled("droop", real_time="off")["fifo"] == [False, False]
    assert scheduled("plant", real_time="on")["fifo"] == [False, False]


def test_where_it_is_not_permitted_this_is_said_with_what_to_set_and_control_goes_on() -> None:
    found = scheduled("droop", forbidden=True, real_time="on")
    assert found["fifo"] == [False, False]
    (said,) = found["said"]  # type: ignore[misc]
    assert "droop.real_time is on, but real-time scheduling is not permitted here" in said
    assert "rtprio" in said
    assert scheduled("droop", forbidden=True)["said"] == [
        "real-time scheduling is not permitted here; control runs at normal priority"]
    assert scheduled("droop", forbidden=True, real_time="off")["said"] == []


def test_droop_is_pinned_with_all_its_threads_and_others_are_not() -> None:
    core = CORES[-1]
    assert scheduled("droop", cpu=core, real_time="off")["cores"] == [[core], [core]]
    assert scheduled("optimizer", cpu=core, real_time="off")["cores"] == [CORES, CORES]


def test_a_core_that_is_not_there_is_named() -> None:
    found = scheduled("droop", cpu=1023, real_time="off")
    allowed = ", ".join(map(str, CORES))
    assert found["said"] == [f"warning: droop.cpu is 1023, allowed here {allowed}; droop runs on any of them"]
    assert found["cores"] == [CORES, CORES]
