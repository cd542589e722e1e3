"""Our dispatch and the toolbox disropt (distributed optimisation over MPI) on the same instances, side by side.

    .venv/bin/python benchmarks/disropt_peer.py --python disropt_env/bin/python [--modules 8] [--topology ring]

disropt runs in an environment of its own, never in the project's, under MPI of the operating system:

    sudo apt-get install openmpi-bin libopenmpi-dev
    python3 -m venv disropt_env
    disropt_env/bin/pip install -r benchmarks/disropt_requirements.txt

Instances are those of `v2g bench dispatch`, without loss. A round is one broadcast of each module for us and one
iteration for disropt, though some of its algorithms exchange two or three times in one (column "exchanges"). Our time
is that of all modules one after the other in one process without transport; disropt's is wall time of one MPI rank per
module, which share the cores of the machine, without start-up. Both are cold.

Powers of disropt are moved into their boxes before they are judged. Then the balance error is |sum p - P| and the gap
is against the cheapest powers of the same sum, so that each says what the other doesn't. A method has agreed within
1 % from the round on after which both stay below. What disropt calls its result (a running average) and the powers at
its last prices are judged apart and the better one is shown. With the defaults it takes ten minutes on two cores.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import FrameType

import numpy as np
from rich.console import Console
from rich.table import Table

from v2g_nodes.cli.dispatch_trial import Instance, build_agents, random_instance
from v2g_nodes.core.dispatch.methods import METHODS
from v2g_nodes.core.dispatch.reference import dispatch_gap
from v2g_nodes.core.graph import TOPOLOGIES, adjacency
from v2g_nodes.core.types import MODULES_MAX, FloatArray
from v2g_nodes.sim.network import LossyNetwork, play_epoch

AGENT = Path(__file__).with_name("disropt_agent.py")
WITHIN = 0.01  # balance and gap
REPEATS = 20  # of our own run, which takes milliseconds; the median counts
START_S = 120.0  # starting all ranks
ROUND_S = 2.0  # allowed per round, far above any seen
STOP_S = 5.0  # for mpirun to end its ranks


@dataclass(frozen=True)
class Rule:
    """An algorithm of disropt with its step rule.

    Args:
        algorithm: name in benchmarks/disropt_agent.py.
        step: first step, or the penalty of ADMM; times span over mean rating [EUR/kWh per kW], by which
            primal_decomposition divides.
        decay: step falls as 1 / (1 + round)^decay.
    """

    algorithm: str
    step: float
    decay: float = 0.0

    def __str__(self) -> str:
        return f"{self.algorithm} {self.step:g}" + (f"/(1+k)^{self.decay:g}" if self.decay else "")


#: the best rule of each algorithm, and what it was chosen from: --sweep
BEST = (
    Rule("gradient_tracking", 0.012),
    Rule("admm", 0.01),
    Rule("subgradient", 0.1, 0.75),
    Rule("dual_subgradient", 0.1, 0.75),
    Rule("primal_decomposition", 0.1, 0.2),
)
SWEEP = (
    *(Rule("gradient_tracking", step) for step in (0.003, 0.005, 0.01, 0.012, 0.02)),
    *(Rule("admm", step) for step in (0.003, 0.01, 0.02, 0.03, 0.1, 0.3)),
    *(Rule("subgradient", step, decay) for step in (0.03, 0.1, 0.3, 1.0) for decay in (0.0, 0.5, 0.75, 1.0)),
    *(Rule("dual_subgradient", step, decay) for step in (0.1, 0.3) for decay in (0.5, 0.75, 1.0)),
    *(Rule("primal_decomposition", step) for step in (0.01, 0.03, 0.1, 0.3, 1.0)),
    *(Rule("primal_decomposition", *rule) for rule in ((0.1, 0.2), (0.1, 0.5), (0.3, 0.5), (0.3, 0.75))),
)


@dataclass(frozen=True)
class Score:
    """What one method made of one instance.

    Args:
        method: its name and step rule.
        reading: which of the method's powers; empty if there is one.
        trial: which instance.
        rounds: rounds played.
        exchanges_per_round: broadcasts of each module in one round.
        time_ms: of all rounds [ms].
        balance_error: at the end, share of the rating.
        gap: at the end, relative.
        rounds_within: rounds until balance and gap stay below 1 %; None: not within `rounds`.
        outside_kw: how far the worst power at the end was moved into its box [kW].
    """

    method: str
    reading: str
    trial: int
    rounds: int
    exchanges_per_round: int
    time_ms: float
    balance_error: float
    gap: float
    rounds_within: int | None
    outside_kw: float

    @property
    def order(self) -> tuple[float, float]:
        """Lower is better."""
        within = math.inf if self.rounds_within is None else self.rounds_within
        return within, max(self.balance_error, self.gap)


class PeerError(Exception):
    """disropt can't be run; the message says why."""


def play_ours(case: Instance, method: str, trial: int) -> Score:
    """One of our algorithms on its usual average, cold, on a network without loss; the median time of some repeats."""
    times_ms = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        agents = build_agents(case, method)
        rounds = play_epoch(agents, LossyNetwork(adjacency(case.group.members, case.group.edges)))
        times_ms.append(1e3 * (time.perf_counter() - start))
    powers = [agent.agreement.power_kw for agent in agents.values() if agent.agreement]
    balance, gap, outside_kw = judge(case, powers)
    iterations = rounds_within(case, np.array([agent.trace_kw for agent in agents.values()]).T)
    rounds_per_iteration = rounds / max(1, len(agents[case.group.members[0]].trace_kw))  # the sum of the boxes included
    within = None if iterations is None else math.ceil(iterations * rounds_per_iteration)
    time_ms = statistics.median(times_ms)
    return Score(f"v2g_nodes {method}", "", trial, rounds, 1, time_ms, balance, gap, within, outside_kw)


def judge(case: Instance, powers_kw: Sequence[float]) -> tuple[float, float, float]:
    """Balance error as a share of the rating, gap, and how far the worst power lay outside its box [kW]."""
    powers = np.asarray(powers_kw, dtype=np.float64)
    inside = np.clip(powers, [b.low_kw for b in case.boxes], [b.high_kw for b in case.boxes])
    balance = abs(float(inside.sum()) - case.clipped_kw) / case.rating_kw
    return balance, dispatch_gap(case.costs, case.boxes, inside.tolist()), float(np.abs(inside - powers).max())


def rounds_within(case: Instance, trajectory: FloatArray) -> int | None:
    """Rounds after which balance error and gap stay below 1 %; None if they don't by the end."""
    for last in range(len(trajectory), 0, -1):
        balance, gap, _ = judge(case, trajectory[last - 1].tolist())
        if not max(balance, gap) < WITHIN:
            return last + 1 if last < len(trajectory) else None
    return 1


def play_disropt(python: str, case: Instance, trial: int, rules: Sequence[Rule], iterations: int) -> list[Score]:
    """Every rule on one instance, in one start of MPI; of each the better reading of its powers.

    Raises:
        PeerError: MPI or a rank failed before the first rule was through.
    """
    place = {k: rank for rank, k in enumerate(case.group.members)}
    content = {
        "modules": [
            vars(c.parameters) | {"soc": c.soc, "temperature_c": c.temperature_c} | vars(b)
            for c, b in zip(case.costs, case.boxes, strict=True)
        ],
        "target_kw": case.clipped_kw,
        "span_eur_per_kwh": case.span_eur_per_kwh,
        "edges": [(place[a], place[b]) for a, b in case.group.edges],
        "runs": [asdict(rule) | {"iterations": iterations} for rule in rules],
    }
    with tempfile.TemporaryDirectory(prefix="disropt_") as folder:
        instance_file, out_file = Path(folder, "instance.json"), Path(folder, "out.json")
        instance_file.write_text(json.dumps(content), encoding="utf-8")
        command = ["mpirun", "-n", str(len(case.costs)), python, str(AGENT), str(instance_file), str(out_file)]
        failure = run_ranks(command, START_S + ROUND_S * iterations * len(rules))
        runs = json.loads(out_file.read_text(encoding="utf-8"))["runs"] if out_file.exists() else []
    if failure and not runs:
        raise PeerError(failure)
    if failure and len(runs) < len(rules):
        print(f"instance {trial}: {rules[len(runs)].algorithm} and what follows: {failure}", file=sys.stderr)
    return [_best_reading(case, trial, rules[run["run"]], run) for run in runs]


def _best_reading(case: Instance, trial: int, rule: Rule, run: dict[str, object]) -> Score:
    readings: dict[str, list[list[float]]] = run["powers_kw"]  # type: ignore[assignment]
    scores = []
    for reading, rows in readings.items():
        trajectory = np.array(rows)
        balance, gap, outside_kw = judge(case, rows[-1])
        scores.append(
            Score(
                method=f"disropt {rule}",
                reading=reading if len(readings) > 1 else "",
                trial=trial,
                rounds=len(rows),
                exchanges_per_round=int(str(run["exchanges_per_round"])),
                time_ms=float(str(run["ms_per_round"])) * len(rows),
                balance_error=balance,
                gap=gap,
                rounds_within=rounds_within(case, trajectory),
                outside_kw=outside_kw,
            )
        )
    return min(scores, key=lambda s: s.order)


def run_ranks(command: Sequence[str], limit_s: float) -> str | None:
    """Run mpirun to its end, and end it and its ranks whatever happens here.

    Returns:
        None, or the line that says what failed.
    """
    environment = {
        **os.environ,
        # Open MPI; others ignore these. Ranks talk by shared memory, mpirun by loopback; more ranks than cores are
        # fine, and those that wait let the others run.
        "OMPI_MCA_btl": "^tcp",
        "OMPI_MCA_oob_tcp_if_include": "lo",
        "OMPI_MCA_rmaps_base_oversubscribe": "1",
        "OMPI_MCA_hwloc_base_binding_policy": "none",
        "OMPI_MCA_mpi_yield_when_idle": "1",
        "OMPI_ALLOW_RUN_AS_ROOT": "1",
        "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
    }
    if shutil.which("setpriv"):  # of util-linux: should this process be killed outright, mpirun is told to end too
        command = ["setpriv", "--pdeathsig", "TERM", *command]
    # a session of its own, so that Ctrl-C reaches this process only, which then ends mpirun in order
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        try:
            _, errors = process.communicate(timeout=limit_s)
        except subprocess.TimeoutExpired:
            return f"not done after {limit_s:.0f} s"
        finally:
            if process.poll() is None:
                process.terminate()  # mpirun passes it on
                try:
                    process.wait(STOP_S)
                except subprocess.TimeoutExpired:
                    process.kill()  # the ranks die with their parent: disropt_agent.py asks for that
    if process.returncode == 0:
        return None
    said = [line for line in errors.splitlines() if "Error" in line] or [f"mpirun exit code {process.returncode}"]
    return said[0].strip()


def check_peer(python: str) -> None:
    """Refuse an environment that can't run disropt.

    Raises:
        PeerError: no mpirun, no such Python, or it lacks disropt.
    """
    if shutil.which("mpirun") is None:
        raise PeerError("mpirun is missing; install openmpi-bin")
    try:
        probe = subprocess.run(
            [python, "-c", "import disropt.agents, mpi4py.MPI"],
            capture_output=True,
            text=True,
            timeout=START_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise PeerError(f"--python {python}: {error}") from error
    if probe.returncode:
        reason = probe.stderr.strip().splitlines()[-1:] or [f"exit code {probe.returncode}"]
        raise PeerError(f"--python {python} can't import disropt: {reason[0]}; set-up: head of {Path(__file__).name}")


def summary(scores: Sequence[Score], iterations: int) -> Table:
    """One line per method over all instances."""
    table = Table(title="dispatch: v2g_nodes and disropt on the same instances")
    table.add_column("method")
    for head in ("exchanges", "rounds", "time [ms]", "ms per round", "balance error [%]", "gap [%]"):
        table.add_column(head, justify="right")
    table.add_column("rounds to 1 %", justify="right")
    table.add_column("ms to 1 %", justify="right")
    for method in dict.fromkeys(s.method for s in scores):
        own = [s for s in scores if s.method == method]
        missed = f"not within {iterations}"
        within = [missed if s.rounds_within is None else str(s.rounds_within) for s in own]
        times_ms = [s.time_ms / s.rounds * s.rounds_within for s in own if s.rounds_within is not None]
        readings = sorted({s.reading for s in own if s.reading})
        table.add_row(
            method + (f" ({', '.join(readings)})" if readings else ""),
            str(own[0].exchanges_per_round),
            f"{statistics.median(s.rounds for s in own):g}",
            f"{statistics.median(s.time_ms for s in own):.4g}",
            f"{statistics.median(s.time_ms / s.rounds for s in own):.3g}",
            f"{100.0 * max(s.balance_error for s in own):.2g}",
            f"{100.0 * max(s.gap for s in own):.2g}",
            missed if not times_ms else ", ".join(within),
            f"{statistics.median(times_ms):.3g}" if len(times_ms) == len(own) else "-",
        )
    table.caption = "rounds, times: median of the instances; errors: largest, at the end; rounds to 1 %: each instance"
    return table


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", required=True, help="Python of the environment that has disropt")
    parser.add_argument("--modules", type=int, default=8, help=f"2 to {MODULES_MAX}")
    parser.add_argument("--topology", choices=TOPOLOGIES, default="ring")
    parser.add_argument("--instances", type=int, default=3, help="random stations and targets")
    parser.add_argument("--seed", type=int, default=0, help="names the instances")
    parser.add_argument("--iterations", type=int, default=1000, help="rounds given to disropt")
    parser.add_argument("--algorithms", nargs="+", metavar="NAME", choices=sorted({r.algorithm for r in BEST}),
                        help="only these of disropt")
    parser.add_argument("--sweep", action="store_true", help="all step rules tried instead of the best ones")
    parser.add_argument("--json", metavar="FILE", type=Path, help="write every score; nothing is left out")
    options = parser.parse_args(arguments)
    if not 2 <= options.modules <= MODULES_MAX:
        parser.error(f"--modules {options.modules}: allowed 2 to {MODULES_MAX}")
    for name in ("instances", "iterations"):
        if getattr(options, name) < 1:
            parser.error(f"--{name} {getattr(options, name)}: allowed from 1")
    if options.seed < 0:
        parser.error(f"--seed {options.seed}: allowed from 0")
    if options.json and (options.json.is_dir() or not options.json.resolve().parent.is_dir()):
        parser.error(f"--json {options.json}: allowed is a file in a folder that exists")
    return options


def main() -> int:
    options = parse()
    signal.signal(signal.SIGTERM, _interrupt)  # so that a plain kill ends the ranks as Ctrl-C does
    rules = [r for r in (SWEEP if options.sweep else BEST) if r.algorithm in (options.algorithms or [r.algorithm])]
    scores: list[Score] = []
    try:
        check_peer(options.python)
        for trial in range(options.instances):
            case = random_instance(options.topology, options.modules, options.seed, trial)
            scores.extend(play_ours(case, method, trial) for method in METHODS)
            scores.extend(play_disropt(options.python, case, trial, rules, options.iterations))
    except PeerError as error:
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    Console(width=None if sys.stdout.isatty() else 160).print(summary(scores, options.iterations))
    if options.json:
        content = {name: value for name, value in vars(options).items() if name not in ("json", "python")}
        content |= {"cores": len(os.sched_getaffinity(0)), "scores": [asdict(score) for score in scores]}
        options.json.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    return 0


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
