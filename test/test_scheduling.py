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


TICKING = """
import json, os, resource, threading
from v2g_nodes.core.priority import claim_real_time, run_ahead
if FORBIDDEN:
    resource.setrlimit(resource.RLIMIT_RTPRIO, (0, 0))
    if os.geteuid() == 0:
        os.setuid(65534)
steps, found = threading.Barrier(3), {}
def tick(name):
    run_ahead()
    for _ in range(3):
        steps.wait()
        steps.wait()
        found.setdefault(name, []).append(os.sched_getparam(0).sched_priority)
early, late = (threading.Thread(target=tick, args=(name,)) for name in ("early", "late"))
early.start(), late.start()
other = threading.Thread(target=threading.Event().wait, daemon=True)
other.start()
for priority in (0, 1, 2):
    steps.wait()
    if priority:
        claim_real_time(priority)
    steps.wait()
late = threading.Thread(target=lambda: (run_ahead(), found.update(started=os.sched_getparam(0).sched_priority)))
late.start(), late.join(), early.join()
print(json.dumps([found, os.sched_getparam(0).sched_priority, os.sched_getparam(other.native_id).sched_priority]))
"""


@pytest.mark.parametrize("forbidden", [False, True])
def test_a_ticking_thread_runs_one_priority_ahead_of_its_process_whichever_comes_first(forbidden: bool) -> None:
    if not forbidden and not permitted():
        pytest.skip("the real-time class is not permitted here")
    done = subprocess.run([sys.executable, "-c", f"FORBIDDEN = {forbidden}\n{TICKING}"], capture_output=True, text=True,
                          timeout=60, check=True)
    ticking = [0, 0, 0] if forbidden else [0, 2, 3]
    here, started = (0, 0) if forbidden else (2, 3)
    assert json.loads(done.stdout) == [{"early": ticking, "late": ticking, "started": started}, here, here]


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
