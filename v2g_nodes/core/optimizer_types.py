"""What goes into a module's optimizer and what comes out of it; see core/optimizer.py."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from v2g_nodes.core.dispatch.agent import Group
from v2g_nodes.core.dispatch.price_grid import WarmStart
from v2g_nodes.core.graph import Edges
from v2g_nodes.core.membership import LinkReport
from v2g_nodes.core.privacy.key_book import KeyReport
from v2g_nodes.core.privacy.masks import NONE
from v2g_nodes.core.supply import Supply
from v2g_nodes.core.target import MAJORITY
from v2g_nodes.core.types import Agreement, Box, EpochId, Frame

NO_EPOCH = EpochId(0, 0, 0)


@dataclass(frozen=True)
class NeighborReport:
    """What a module tells its neighbours once per epoch and as heartbeat (see msg/NeighborState.msg).

    Args:
        sender: module id.
        sequence: counts the sender's reports, modulo 2^16.
        epoch: the sender's epoch; NO_EPOCH before the first.
        membership: fingerprint of the sender's group.
        target_kw: target of that epoch [kW]; NaN before the first.
        lambda_eur_per_kwh: last agreed price [EUR/kWh]; NaN before the first.
        power_kw: last agreed base power [kW]; NaN where the modules hide their curves.
        agreed: the epoch has ended in agreement.
        link: a link report, the sender's or one passed on.
    """

    sender: int
    sequence: int
    epoch: EpochId
    membership: int
    target_kw: float
    lambda_eur_per_kwh: float
    power_kw: float
    agreed: bool
    link: LinkReport


@dataclass(frozen=True)
class Snapshot:
    """Frozen inputs of one epoch at one module.

    Args:
        box: feasible range [kW].
        supply: answers to prices, inside the box.
        detail: whatever the caller wants back with the decision.
    """

    box: Box
    supply: Supply
    detail: object = None


@dataclass(frozen=True)
class Begun:
    """An exchange as it was begun at one module, and everything its outcome depends on.

    Args:
        epoch: which.
        target_kw: of the station [kW].
        island_target_kw: what the module's island owes of it [kW].
        group: who takes part.
        snapshot: frozen inputs.
        warm: curve that the epoch before left; None = there is none.
        start_eur_per_kwh: price that algorithms without a curve start from; None = nothing known.
        cold: it was to begin without either.
        started_ns: steady time of the snapshot [ns].
    """

    epoch: EpochId
    target_kw: float
    island_target_kw: float
    group: Group
    snapshot: Snapshot
    warm: WarmStart | None
    start_eur_per_kwh: float | None
    cold: bool
    started_ns: int


@dataclass(frozen=True)
class Decision:
    """An agreement and what led to it.

    Args:
        begun: the exchange.
        bracket: tag of the price grid it ended with.
        agreement: the outcome.
        resends: frames sent again.
    """

    begun: Begun
    bracket: int
    agreement: Agreement
    resends: int

    @property
    def epoch(self) -> EpochId:
        """Which epoch."""
        return self.begun.epoch

    @property
    def group(self) -> Group:
        """Who took part."""
        return self.begun.group

    @property
    def snapshot(self) -> Snapshot:
        """Frozen inputs."""
        return self.begun.snapshot


@dataclass
class Outbox:
    """What a step wants sent: curve frames, reports and keys to all neighbours, a decision to the own module.

    `given_up` is an exchange that was begun and then ended by a newer epoch or group, told when the next one begins.
    """

    frames: list[Frame] = field(default_factory=list)
    reports: list[NeighborReport] = field(default_factory=list)
    decision: Decision | None = None
    given_up: Begun | None = None
    keys: list[KeyReport] = field(default_factory=list)


@dataclass(frozen=True)
class OptimizerSettings:
    """What an optimizer is built from.

    Args:
        module_id: own id.
        edges: links of the station file.
        rating_kw: rating of every module of the station [kW].
        price_span_eur_per_kwh: cold price range is plus and minus this.
        cold_every: every so many epoch periods one begins cold, to keep the figures of a cold start measured; 0 = none.
        epoch_period_s: nominal distance of two epochs [s].
        heartbeat_ns: pause between two reports [ns].
        silence_ns: a neighbour not heard for so long is dead [ns].
        resend_ns: pause before a waiting agent repeats its frame [ns].
        sync_ns: pause between two reports while a neighbour's membership differs and reports are still new [ns].
        reports_at_a_time: most reports in one go while a neighbour's membership differs; a subscriber keeps ten.
        island_rule: MAJORITY or NAMEPLATE_SHARE (core/target.py).
        algorithm: one of core/dispatch/methods.py METHODS, the same at every module.
        fall_ns: time in which any module's base power has come down from its rating [ns].
        privacy: one of core/privacy/masks.py PRIVACIES, the same at every module; MASKS with supply_curve only.
    """

    module_id: int
    edges: Edges
    rating_kw: Mapping[int, float]
    price_span_eur_per_kwh: float
    cold_every: int = 8
    epoch_period_s: float = 2.0
    heartbeat_ns: int = 50_000_000
    silence_ns: int = 500_000_000
    resend_ns: int = 25_000_000
    sync_ns: int = 15_000_000
    reports_at_a_time: int = 8
    island_rule: str = MAJORITY
    algorithm: str = "supply_curve"
    fall_ns: int = 3_700_000_000
    privacy: str = NONE
