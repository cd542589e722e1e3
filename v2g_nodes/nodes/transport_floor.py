"""What the machine can do at best right now: starts the transport probes, collects their samples, cleans up.

No rclpy in this process.
"""

from __future__ import annotations

import json
import os
import selectors
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from typing import Any

from v2g_nodes.bringup_dds import loopback_environment
from v2g_nodes.core.errors import InputError, StartupError
from v2g_nodes.core.types import MODULES_MAX
from v2g_nodes.nodes.transport_probe import percentile

PROCESSES_MAX = 32  # participants of one host that see each other under plain LOCALHOST
READY_LIMIT_S = 30.0
ANSWER_LIMIT_S = 15.0  # beyond the time of the measurement
WARM_UP_S = 0.3
LOOK_S = 0.2  # pause between two looks at whether to stop
END_LIMIT_S = 4.0  # a probe's own alarm is at 3 s
PROBE = ("-m", "v2g_nodes.nodes.transport_probe")


@dataclass(frozen=True)
class TransportFloor:
    """Floors of one measurement; all times in ms.

    Args:
        modules: modules of the ring, and bare tickers.
        processes: processes the modules were spread over.
        round_ms_median: time of a round of the ring, without a pause between rounds, in the optimizers' class.
        round_ms_p99: 99th percentile of the same.
        hop_ms_p99: from publishing to the neighbour's callback, in the same rounds.
        timer_jitter_ms_p99: lateness of bare 200 Hz tickers, one process per module, at normal priority.
        hop_ms_median: median of the hops.
        burst_round_ms_median: time of a round in a burst of ten after a signal to all, with a pause between bursts.
        timer_jitter_real_time_ms_p99: lateness of the same tickers in the class of droop; None if not permitted.
        resends: frames sent again because nothing came for 25 ms.
        unfinished_bursts: modules that were in the middle of a burst at the end.
    """

    modules: int
    processes: int
    round_ms_median: float
    round_ms_p99: float
    hop_ms_p99: float
    timer_jitter_ms_p99: float
    hop_ms_median: float
    burst_round_ms_median: float
    timer_jitter_real_time_ms_p99: float | None
    resends: int
    unfinished_bursts: int


def measure_transport(
    modules: int, processes: int, seconds: float = 1.0, stopped: Callable[[], bool] = lambda: False
) -> TransportFloor:
    """Measure the floors of this machine now: first the ring, then the tickers.

    Args:
        modules: on the ring, 2..64.
        processes: to spread them over, 1..modules and at most 32.
        seconds: time for each of the two; half of it for each part (see `RingProbe`, `run_ticker`).
        stopped: whether a stop was asked for; looked at several times a second.

    Raises:
        KeyboardInterrupt: a stop was asked for.
        InputError: a number is out of range.
        StartupError: a probe did not start, connect or answer.
    """
    _check(modules, processes, seconds)
    ring = _measure("ring", _ring_tasks(modules, processes), seconds, stopped)
    tickers = _measure("ticker", [{}] * modules, seconds, stopped)
    rounds, hops = _joined(ring, "round_ms"), _joined(ring, "hop_ms")
    real_time = _joined(tickers, "lateness_real_time_ms")
    return TransportFloor(
        modules=modules,
        processes=processes,
        round_ms_median=percentile(rounds, 0.5),
        round_ms_p99=percentile(rounds, 0.99),
        hop_ms_p99=percentile(hops, 0.99),
        timer_jitter_ms_p99=percentile(_joined(tickers, "lateness_ms"), 0.99),
        hop_ms_median=percentile(hops, 0.5),
        burst_round_ms_median=percentile(_joined(ring, "burst_round_ms"), 0.5),
        timer_jitter_real_time_ms_p99=percentile(real_time, 0.99) if real_time else None,
        resends=sum(answer["resends"] for answer in ring),
        unfinished_bursts=sum(answer["unfinished"] for answer in ring),
    )


def share_out(modules: int, processes: int) -> list[tuple[int, ...]]:
    """Ids 1..modules in `processes` runs of neighbours whose lengths differ by one at the most."""
    edges = [index * modules // processes for index in range(processes + 1)]
    return [tuple(range(low + 1, high + 1)) for low, high in zip(edges, edges[1:], strict=False)]


def _check(modules: int, processes: int, seconds: float) -> None:
    if not 2 <= modules <= MODULES_MAX:
        raise InputError(f"modules: found {modules}, allowed 2..{MODULES_MAX}")
    allowed = min(modules, PROCESSES_MAX)
    if not 1 <= processes <= allowed:
        raise InputError(f"processes: found {processes}, allowed 1..{allowed} with {modules} modules")
    if not 0.5 <= seconds <= 600:
        raise InputError(f"seconds: found {seconds:g}, allowed 0.5..600")


def _ring_tasks(modules: int, processes: int) -> list[dict[str, Any]]:
    prefix = f"v2g_probe_{os.getpid()}_{time.monotonic_ns() % 1_000_000}"
    shares = share_out(modules, processes)
    return [{"prefix": prefix, "modules": modules, "processes": processes, "mine": mine} for mine in shares]


def _joined(answers: Iterable[dict[str, Any]], key: str) -> list[float]:
    return [value for answer in answers for value in answer.get(key, ())]


def _measure(
    kind: str, tasks: Sequence[dict[str, Any]], seconds: float, stopped: Callable[[], bool]
) -> list[dict[str, Any]]:
    environment = {**os.environ, **loopback_environment(os.environ)}
    with ExitStack() as stack:
        probes = [stack.enter_context(_Probe(kind, environment)) for _ in tasks]
        stack.callback(_dismiss, probes)  # all of them before waiting for the first
        for probe, task in zip(probes, tasks, strict=True):
            if task:
                probe.tell(task)
        _collect(probes, READY_LIMIT_S, stopped)
        start_ns = time.monotonic_ns() + int(WARM_UP_S * 1e9)
        for probe in probes:
            probe.tell({"start_ns": start_ns, "end_ns": start_ns + int(seconds * 1e9)})
        return _collect(probes, seconds + ANSWER_LIMIT_S, stopped)


def _dismiss(probes: Iterable[_Probe]) -> None:
    for probe in probes:
        probe.dismiss()


class _Probe:
    """One probe process; gone when the context ends, however it ends."""

    def __init__(self, kind: str, environment: dict[str, str]) -> None:
        self.kind = kind
        self.process = subprocess.Popen(
            [sys.executable, *PROBE, kind],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,  # Ctrl-C reaches this process only, which then ends the probes
        )
        self._received = b""

    def __enter__(self) -> _Probe:
        return self

    def __exit__(self, *_: object) -> None:
        self.dismiss()
        try:
            self.process.wait(END_LIMIT_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        if self.process.stdout is not None:
            self.process.stdout.close()

    def dismiss(self) -> None:
        """Close its standard input, at which it ends."""
        if self.process.stdin is not None:
            with suppress(BrokenPipeError):  # it has ended by itself
                self.process.stdin.close()

    def tell(self, message: dict[str, Any]) -> None:
        """Send one line."""
        if self.process.stdin is None:
            return
        try:
            self.process.stdin.write(json.dumps(message).encode() + b"\n")
            self.process.stdin.flush()
        except BrokenPipeError as error:
            raise StartupError(f"transport probe ({self.kind}) ended early") from error

    def answer(self) -> dict[str, Any] | None:
        """One line, if it is complete after reading what is there.

        Raises:
            StartupError: the process ended or reports an error.
        """
        chunk = os.read(self.process.stdout.fileno(), 1 << 20) if self.process.stdout is not None else b""
        if not chunk:
            raise StartupError(f"transport probe ({self.kind}) ended early, exit code {self.process.wait(END_LIMIT_S)}")
        self._received += chunk
        line, end, rest = self._received.partition(b"\n")
        if not end:
            return None
        self._received = rest
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise StartupError(f"transport probe ({self.kind}): {answer['error']}")
        return answer


def _collect(probes: Sequence[_Probe], limit_s: float, stopped: Callable[[], bool]) -> list[dict[str, Any]]:
    """One answer of each probe, in their order."""
    answers: dict[int, dict[str, Any]] = {}
    deadline_s = time.monotonic() + limit_s
    with selectors.DefaultSelector() as selector:
        for index, probe in enumerate(probes):
            selector.register(probe.process.stdout, selectors.EVENT_READ, index)  # type: ignore[arg-type]
        while len(answers) < len(probes):
            rest_s = deadline_s - time.monotonic()
            if rest_s <= 0:
                silent = len(probes) - len(answers)
                raise StartupError(f"{silent} of {len(probes)} transport probes silent for {limit_s:g} s")
            if stopped():
                raise KeyboardInterrupt
            for key, _ in selector.select(min(rest_s, LOOK_S)):
                answer = probes[key.data].answer()
                if answer is not None:
                    answers[key.data] = answer
                    selector.unregister(key.fileobj)
    return [answers[index] for index in range(len(probes))]
