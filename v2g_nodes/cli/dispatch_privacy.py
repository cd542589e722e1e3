"""`v2g bench dispatch --privacy masks`: what hidden curves cost, against the same stations and losses without masks."""

from __future__ import annotations

import itertools
import random
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass

from v2g_nodes.cli.dispatch_trial import CURVE_CDR_BYTES, Case, Instance, Trial, play_trial, random_instance, summary
from v2g_nodes.core.errors import InputError
from v2g_nodes.core.graph import build_edges
from v2g_nodes.core.optimizer_types import OptimizerSettings
from v2g_nodes.core.privacy.masks import MASKS, NONE, ExchangeMasks, MaskOf
from v2g_nodes.core.privacy.veil import ALGORITHM
from v2g_nodes.nodes.key_pair import X25519KeyPair
from v2g_nodes.sim.churn import Churn

STATE_CDR_BYTES, KEY_CDR_BYTES = 52, 56  # msg/NeighborState.msg, msg/MaskKey.msg; test/nodes/test_messages.py measures
RATING_KW = 3.3  # of every module of the start that is measured
STARTS, MANY = 5, 16  # starts to measure, a single one with more modules than this: 64 take a minute
SETTLE_S, CALM_S = 60.0, 3.0  # simulated: longest start, and how long the calm is watched


@dataclass(frozen=True)
class Compared:
    """One random station that agreed twice, without and with masks, under the same losses.

    Args:
        plain: without.
        masked: with.
        price_difference: largest of all modules [EUR/kWh].
        power_difference_kw: largest of all modules [kW].
        plain_ms: processor time per module without [ms].
        masked_ms: the same with masks, making them included [ms].
    """

    plain: Trial
    masked: Trial
    price_difference: float
    power_difference_kw: float
    plain_ms: float
    masked_ms: float


@dataclass(frozen=True)
class Start:
    """Stations that come together, with link reports and keys; the median of some.

    Args:
        settled_s: simulated time until all agree [s].
        start_bytes: sent per module until then.
        calm_bytes_per_s: sent per module and second afterwards, between two epochs.
    """

    settled_s: float
    start_bytes: float
    calm_bytes_per_s: float


def check_privacy(privacy: str, method: str, all_: bool) -> None:
    """Refuse what can't be hidden.

    Raises:
        InputError: an unknown privacy, or an algorithm without masks.
    """
    if privacy not in (NONE, MASKS):
        raise InputError(f"--privacy {privacy}: allowed {NONE}, {MASKS}")
    if privacy == MASKS and method != ALGORITHM:
        raise InputError(f"--privacy {MASKS} with --method {method}: allowed with {ALGORITHM}")
    if privacy == MASKS and all_:
        raise InputError(f"--privacy {MASKS} with --all: allowed without it")


def compare_privacy(case: Case, trial: int) -> Compared:
    """Let the station of this number agree twice."""
    instance = random_instance(case.topology, case.modules, case.seed, trial)
    count = case.modules
    began = time.process_time()
    plain, agreed = play_trial(case, instance)
    turned = time.process_time()
    masked, hidden = play_trial(case, instance, fresh_masks(instance))
    ended = time.process_time()
    return Compared(
        plain,
        masked,
        max(abs(a.lambda_eur_per_kwh - b.lambda_eur_per_kwh) for a, b in zip(agreed, hidden, strict=True)),
        max(abs(a.power_kw - b.power_kw) for a, b in zip(agreed, hidden, strict=True)),
        1e3 * (turned - began) / count,
        1e3 * (ended - turned) / count,
    )


def fresh_masks(instance: Instance) -> dict[int, MaskOf]:
    """Masks of one exchange; the secrets of the pairs are drawn, as the exchange of keys is measured by itself."""
    members, draw = instance.group.members, random.Random(instance.network_seed)
    shared = {pair: draw.randbytes(32) for pair in itertools.combinations(members, 2)}
    return {
        k: ExchangeMasks(k, {j: shared[min(j, k), max(j, k)] for j in members if j != k}, b"bench") for k in members
    }


def measure_starts(case: Case, privacy: str) -> Start:
    """Come together on a simulated network with the case's losses, then wait."""
    starts = [_start(case, privacy, case.seed + k) for k in range(STARTS if case.modules <= MANY else 1)]
    return Start(
        statistics.median(one.settled_s for one in starts),
        statistics.median(one.start_bytes for one in starts),
        statistics.median(one.calm_bytes_per_s for one in starts),
    )


def _start(case: Case, privacy: str, seed: int) -> Start:
    ids, draw = range(1, case.modules + 1), random.Random(seed)
    settings = OptimizerSettings(0, (), {}, 1.0, privacy=privacy)
    churn = Churn(build_edges(case.topology, ids), dict.fromkeys(ids, RATING_KW), seed, case.loss,
                  settings=settings, key_pair=lambda: X25519KeyPair(draw.randbytes(32)))  # fmt: skip
    churn.signal(0.3 * RATING_KW * case.modules)
    settled_s = churn.run_until_settled(SETTLE_S)
    at_first = _bytes(churn)
    churn.run(CALM_S)  # all come to count
    before = _bytes(churn)
    churn.run(CALM_S)
    return Start(settled_s, at_first / case.modules, (_bytes(churn) - before) / CALM_S / case.modules)


def _bytes(churn: Churn) -> float:
    sent = churn.sent
    return CURVE_CDR_BYTES * sent["curve"] + STATE_CDR_BYTES * sent["neighbor_state"] + KEY_CDR_BYTES * sent["mask_key"]


def privacy_summary(case: Case, compared: Sequence[Compared]) -> dict[str, object]:
    """The figures with masks as those of any case, and what they are beside those without."""
    plain, masked = (summary(case, [getattr(one, name) for one in compared]) for name in ("plain", "masked"))
    start, start_masked = (measure_starts(case, privacy) for privacy in (NONE, MASKS))
    return masked | {
        "privacy": MASKS,
        "price_difference_eur_per_kwh_max": max(one.price_difference for one in compared),
        "power_difference_kw_max": max(one.power_difference_kw for one in compared),
        "rounds_max_without": plain["rounds_max"],
        "rounds_median_without": plain["rounds_median"],
        "bytes_per_message_max_without": plain["bytes_per_message_max"],
        "cpu_ms_per_module_median": statistics.median(one.masked_ms for one in compared),
        "cpu_ms_per_module_median_without": statistics.median(one.plain_ms for one in compared),
        "start_s": start_masked.settled_s,
        "start_s_without": start.settled_s,
        "start_bytes_per_module": start_masked.start_bytes,
        "start_bytes_per_module_without": start.start_bytes,
        "calm_bytes_per_s_and_module": start_masked.calm_bytes_per_s,
        "calm_bytes_per_s_and_module_without": start.calm_bytes_per_s,
    }
