"""One process of the transport benchmark: bare ROS messages in a ring, or a bare ticker. No computation in either.

`python -m v2g_nodes.nodes.transport_probe ring|ticker` reads one JSON line (`RingTask` or `TickerTask`), answers with
`{"ready": true}` when it is connected, reads `{"start_ns": ..., "end_ns": ...}` on the steady clock, measures between
the two and answers with one JSON line of samples. End of standard input ends it at any time.
"""

from __future__ import annotations

import json
import select
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from v2g_nodes.bringup_dds import check_loopback
from v2g_nodes.core.priority import DROOP_PRIORITY, OPTIMIZER_PRIORITY, claim_real_time
from v2g_nodes.nodes.ticker import Tick, Ticker

NS_PER_MS = 1_000_000
NS_PER_S = 1_000_000_000
RESEND_NS = 25 * NS_PER_MS  # as dispatch.resend_ms of the station
TICK_RATE_HZ = 200.0  # as droop
CONNECT_LIMIT_S = 20.0
QUEUE_DEPTH = 10  # as the stream table
BURST_ROUNDS = 10  # two passes of the averaging on a ring of ten
BURST_PERIOD_S = 0.05
BURST_STEP = 1_000_000  # round numbers of one burst end below those of the next


@dataclass(frozen=True)
class RingTask:
    """Work of one ring process.

    Args:
        prefix: of the topics, unique to the run.
        modules: ids of the whole ring, 1..modules.
        processes: ring processes.
        mine: ids served by this process.
    """

    prefix: str
    modules: int
    processes: int
    mine: tuple[int, ...]


@dataclass
class RingModule:
    """One module of the ring: next round as soon as both neighbours' frames of this one are there. Pure logic.

    A later frame of a neighbour stands for its earlier ones, so a lost one costs time but no deadlock.

    Args:
        neighbors: ids.
        round: current round.
        limit: no round from here on.
        began_ns: steady clock at `begin`.
        resends: frames sent again.
        sent_ns: steady clock when the last frame was sent.
        ended_ns: steady clock at the end of every round since `begin`.
    """

    neighbors: frozenset[int]
    round: int = 0
    limit: int = 0
    began_ns: int = 0
    sent_ns: int = 0
    resends: int = 0
    ended_ns: list[int] = field(default_factory=list)
    _latest: dict[int, int] = field(default_factory=dict)

    def begin(self, first_round: int, rounds: int, now_ns: int) -> None:
        """Start over at `first_round`, for so many rounds; numbers have to rise from one `begin` to the next."""
        self.round, self.limit, self.began_ns = first_round, first_round + rounds, now_ns
        self.ended_ns = []

    def receive(self, sender: int, frame_round: int, now_ns: int) -> bool:
        """Take a frame.

        Args:
            sender: id of the neighbour.
            frame_round: its round.
            now_ns: steady clock.

        Returns:
            Whether a round ended with it.
        """
        self._latest[sender] = max(frame_round, self._latest.get(sender, -1))
        if self.round >= self.limit or any(self._latest.get(k, -1) < self.round for k in self.neighbors):
            return False
        self.round += 1
        self.ended_ns.append(now_ns)
        return True

    @property
    def busy(self) -> bool:
        """Whether there are rounds to do."""
        return self.round < self.limit

    def overdue(self, now_ns: int) -> bool:
        """Whether nothing was sent for so long that the last frame has to go again."""
        return self.busy and now_ns - self.sent_ns >= RESEND_NS


def ring_neighbors(module: int, modules: int) -> frozenset[int]:
    """Ids of the two neighbours on a ring 1..modules (one, if the ring has two)."""
    return frozenset({(module - 2) % modules + 1, module % modules + 1})


def percentile(values: list[float], fraction: float) -> float:
    """Smallest value that at least `fraction` of all are not above; no numpy in this process."""
    if not values:
        raise ValueError("no values")
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, max(0, -int(-fraction * len(ordered) // 1) - 1))]


class RingProbe:
    """The ROS side of a ring process: rounds without a pause in the first half of the window, bursts in the second.

    A burst is what an epoch of the station is to the transport: a signal to all, then some rounds, then quiet.

    Args:
        task: what to do.
        process: a `RosProcess`.
    """

    def __init__(self, task: RingTask, process: Any) -> None:  # noqa: ANN401 - its import would cost the ticker rclpy
        import numpy as np
        from rclpy.node import Node
        from rclpy.qos import QoSProfile, ReliabilityPolicy

        from v2g_nodes.msg import Curve

        self._np, self._curve = np, Curve
        self._start_ns = self._middle_ns = self._end_ns = 0
        self._samples: dict[str, list[float]] = {"round_ms": [], "hop_ms": [], "burst_round_ms": []}
        self._bursts = 0
        self._qos = QoSProfile(depth=QUEUE_DEPTH, reliability=ReliabilityPolicy.BEST_EFFORT)
        self._task = task
        self.node = Node(
            f"{task.prefix}_{task.mine[0]}",
            context=process.context,
            start_parameter_services=False,
            enable_rosout=False,
        )
        self.modules = {k: RingModule(ring_neighbors(k, task.modules)) for k in task.mine}
        self._publishers = {k: self._publisher(f"m{k}") for k in task.mine}
        for k, module in self.modules.items():
            for neighbor in module.neighbors:
                self._listen(f"m{neighbor}", self._receiver(k))
        self._listen("signal", self._begin_burst)
        self._signal = self._publisher("signal") if 1 in self.modules else None
        process.add(self.node)

    def connected(self) -> bool:
        """Whether every module's frames have all their readers and writers."""
        wanted = [(p, len(self.modules[k].neighbors)) for k, p in self._publishers.items()]
        if self._signal is not None:
            wanted.append((self._signal, self._task.processes))
        return all(publisher.get_subscription_count() >= readers for publisher, readers in wanted) and all(
            self.node.count_publishers(subscription.topic_name) > 0 for subscription in self.node.subscriptions
        )

    def start(self, start_ns: int, end_ns: int) -> None:
        """Begin at once; what happens from `start_ns` to `end_ns` on the steady clock is measured."""
        self._start_ns, self._middle_ns, self._end_ns = start_ns, (start_ns + end_ns) // 2, end_ns
        self.node.create_timer(RESEND_NS / NS_PER_S, self._resend)
        if self._signal is not None:
            self.node.create_timer(BURST_PERIOD_S, self._send_signal)
        for k, module in self.modules.items():
            module.begin(0, BURST_STEP, time.monotonic_ns())
            self._send(k)

    def result(self) -> dict[str, object]:
        """Samples of all modules [ms], bursts that did not finish, frames sent again."""
        unfinished = sum(module.busy for module in self.modules.values())
        return {**self._samples, "unfinished": unfinished, "resends": sum(m.resends for m in self.modules.values())}

    def _publisher(self, topic: str) -> Any:  # noqa: ANN401 - rclpy is imported late
        return self.node.create_publisher(self._curve, f"/{self._task.prefix}/{topic}", self._qos)

    def _listen(self, topic: str, callback: Callable[[Any], None]) -> None:
        self.node.create_subscription(self._curve, f"/{self._task.prefix}/{topic}", callback, self._qos)

    def _receiver(self, k: int) -> Callable[[Any], None]:
        module, int64, hops = self.modules[k], self._np.int64, self._samples["hop_ms"]

        def receive(frame: Any) -> None:  # noqa: ANN401 - message classes are untyped
            now_ns = time.monotonic_ns()
            if self._start_ns <= now_ns < self._middle_ns:
                hops.append((now_ns - int(frame.values[:4].view(int64)[0])) / NS_PER_MS)
            if module.receive(frame.module_id, frame.tag, now_ns):
                if module.busy and now_ns < self._end_ns:
                    self._send(k)
                self._record(module)

        return receive

    def _record(self, module: RingModule) -> None:
        ended_ns = module.ended_ns
        if module.limit == BURST_STEP:
            if len(ended_ns) > 1 and self._start_ns <= ended_ns[-2] and ended_ns[-1] < self._middle_ns:
                self._samples["round_ms"].append((ended_ns[-1] - ended_ns[-2]) / NS_PER_MS)
        elif not module.busy:
            self._samples["burst_round_ms"].append((ended_ns[-1] - module.began_ns) / len(ended_ns) / NS_PER_MS)

    def _send(self, k: int) -> None:
        module = self.modules[k]
        frame = self._curve(module_id=k, tag=module.round, round=module.round & 0xFF)
        module.sent_ns = time.monotonic_ns()
        frame.values[:4] = self._np.array([module.sent_ns]).view(self._np.int16)
        self._publishers[k].publish(frame)

    def _send_signal(self) -> None:
        if self._signal is not None and self._middle_ns <= time.monotonic_ns() < self._end_ns:
            self._bursts += 1
            self._signal.publish(self._curve(tag=self._bursts * BURST_STEP))

    def _begin_burst(self, signal: Any) -> None:  # noqa: ANN401 - message classes are untyped
        now_ns = time.monotonic_ns()
        for k, module in self.modules.items():
            module.begin(signal.tag, BURST_ROUNDS, now_ns)
            self._send(k)

    def _resend(self) -> None:
        now_ns = time.monotonic_ns()
        for k, module in self.modules.items():
            if now_ns < self._end_ns and module.overdue(now_ns):
                module.resends += 1
                self._send(k)


class RingProcess:
    """A ring process from its first line on standard input to its result."""

    def __init__(self) -> None:
        from v2g_nodes.nodes.spin import RosProcess

        self.process = RosProcess()
        self._probe: RingProbe | None = None
        self._connecting: Any = None
        self._limit_s = time.monotonic() + CONNECT_LIMIT_S

    def run(self) -> int:
        """Exit code."""
        self.process.watch_stdin(self._on_line)
        return self.process.run()

    def _on_line(self, line: str) -> None:
        message = json.loads(line)
        if self._probe is None:
            self._probe = self._connect(RingTask(**message))
            return
        claim_real_time(OPTIMIZER_PRIORITY)  # not before: the limit on a runaway must not count the imports
        self._probe.start(message["start_ns"], message["end_ns"])
        rest_s = (message["end_ns"] - time.monotonic_ns()) / NS_PER_S
        self._probe.node.create_timer(max(0.0, rest_s) + 0.01, self._finish)

    def _connect(self, task: RingTask) -> RingProbe:
        probe = RingProbe(task, self.process)
        check_loopback()
        self._connecting = probe.node.create_timer(0.02, self._look)
        return probe

    def _look(self) -> None:
        if self._probe is not None and self._probe.connected():
            self._connecting.cancel()
            _answer({"ready": True})
        elif time.monotonic() > self._limit_s:
            _answer({"error": f"ring not connected after {CONNECT_LIMIT_S:g} s"})
            self.process.stop("not connected", exit_code=1)

    def _finish(self) -> None:
        if self._probe is not None:
            _answer(self._probe.result())
        self.process.stop("done")


def run_ring() -> int:
    """A ring process, measured in the class in which optimizers run here; does not return."""
    from v2g_nodes.nodes.spin import leave

    exit_code = 1
    try:
        exit_code = RingProcess().run()
    finally:
        leave(exit_code)
    return exit_code


def run_ticker() -> int:
    """A ticker process: normal priority, then the class of the droop process if permitted."""
    _answer({"ready": True})
    window = json.loads(sys.stdin.readline() or '{"end_ns": 0}')
    half_s = (window["end_ns"] - time.monotonic_ns()) / 2e9
    result: dict[str, object] = {"lateness_ms": _tick_for(half_s)}
    if claim_real_time(DROOP_PRIORITY):
        result["lateness_real_time_ms"] = _tick_for(half_s)
    _answer(result)
    return 0


def _tick_for(seconds: float) -> list[float]:
    lateness_ms: list[float] = []

    def on_tick(tick: Tick) -> None:
        if tick.lateness_ns is not None:
            lateness_ms.append(tick.lateness_ns / NS_PER_MS)

    ticker = Ticker(TICK_RATE_HZ, on_tick)
    ticker.start()
    select.select([sys.stdin], [], [], max(0.0, seconds))  # ends at once when whoever started this is gone
    ticker.stop()
    return lateness_ms


def _answer(message: dict[str, object]) -> None:
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


def main() -> int:
    """Entry point; the one argument says which kind of process."""
    kinds = {"ring": run_ring, "ticker": run_ticker}
    if len(sys.argv) != 2 or sys.argv[1] not in kinds:
        print(f"transport_probe: found {sys.argv[1:]}, allowed is one of {sorted(kinds)}", file=sys.stderr)
        return 2
    return kinds[sys.argv[1]]()


if __name__ == "__main__":
    sys.exit(main())
