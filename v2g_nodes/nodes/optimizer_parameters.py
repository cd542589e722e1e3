"""Parameters of the optimizer node, and what is made of them."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from v2g_nodes.core.cost import CostParameters
from v2g_nodes.core.dispatch.methods import METHODS
from v2g_nodes.core.epoch_start import OfferRule
from v2g_nodes.core.errors import InputError
from v2g_nodes.core.limits import ModuleRating
from v2g_nodes.core.optimizer_types import OptimizerSettings
from v2g_nodes.core.privacy.key_book import KeyPair
from v2g_nodes.core.privacy.masks import MASKS
from v2g_nodes.nodes.parameters import parameter
from v2g_nodes.nodes.trials import TrialParameters

# More on a CAN bus report less often while views differ: eight send 530 reports a second, a tenth of the bus, and each
# of them is a callback in every optimizer of a host, so the cost grows with the square.
BUS_MODULES = 8


@dataclass(frozen=True)
class OptimizerParameters(TrialParameters):
    """Parameters of the optimizer node."""

    module_ids: tuple[int, ...] = parameter((), "all modules of the station")
    ratings_kw: tuple[float, ...] = parameter((), "their ratings, in the same order", "kW")
    edges_flat: tuple[int, ...] = parameter((), "links a1, b1, a2, b2, ...")
    on_bus: bool = parameter(False, "neighbours are heard on the CAN bus alone, not on their own topics")
    algorithm: str = parameter("supply_curve", "how the modules agree")
    privacy: str = parameter("none", "none, or masks that hide the module's curve from its neighbours")
    island_rule: str = parameter("majority", "who owns the target when the station falls apart")
    price_span_eur_per_kwh: float = parameter(1.0, "cold price range is plus and minus this", "EUR/kWh", 1e-6, 1e3)
    headroom_kw: float = parameter(0.0, "power left for droop on each side", "kW", 0.0, 100.0, settable=True)
    import_limit_kw: float = parameter(math.nan, "import that peak shaving keeps to", "kW")
    cold_every: int = parameter(8, "every n-th epoch begins cold; 0 = only the first", "", 0, 1_000_000)
    epoch_period_s: float = parameter(2.0, "period of agreements", "s", 0.05, 60.0)
    setpoint_valid_s: float = parameter(6.0, "how long an agreed set-point counts without a newer one", "s", 0.5, 600.0)
    optimizer_silent_s: float = parameter(1.0, "droop holds a set-point that is not repeated so long", "s", 0.3, 60.0)
    fall_s: float = parameter(3.7, "in this time any module's base power is down from its rating", "s", 0.01, 1e5)
    resend_ms: float = parameter(25.0, "a waiting module repeats its round after", "ms", 1.0, 1000.0)
    heartbeat_ms: float = parameter(50.0, "pause between two reports to the neighbours", "ms", 10.0, 10_000.0)
    silence_ms: float = parameter(500.0, "a silent neighbour counts as gone after", "ms", 50.0, 60_000.0)
    eta_max: float = parameter(0.97, "cost: best efficiency", "", 0.5, 1.0)
    alpha: float = parameter(0.02, "cost: cubic loss")
    beta: float = parameter(0.01, "cost: square loss")
    loss_price_eur_per_kwh: float = parameter(0.1, "cost: price of lost energy", "EUR/kWh")
    wear_gamma: float = parameter(0.02, "cost: wear price", "EUR/h/kW^delta")
    wear_delta: float = parameter(1.5, "cost: wear exponent")
    soc_kappa: float = parameter(2.0, "cost: rise of wear away from half charge")
    thermal_psi: float = parameter(2e-4, "cost: price of heat", "EUR/h/K^2")
    thermal_theta_k_per_kw2: float = parameter(2.0, "cost: temperature rise", "K/kW^2")
    thermal_threshold_c: float = parameter(50.0, "cost: heat costs above", "deg C")


def cost_of(p: OptimizerParameters) -> CostParameters:
    """The module's cost."""
    return CostParameters(**{name: getattr(p, name) for name in CostParameters.__dataclass_fields__})


def offer_of(p: OptimizerParameters) -> OfferRule:
    """How the module makes its offer."""
    rating = ModuleRating(p.p_max_kw, p.ramp_kw_per_s, p.soc_min, p.soc_max, p.efficiency)
    return OfferRule(rating, cost_of(p), p.headroom_kw, p.epoch_period_s)


def key_pair_of(p: OptimizerParameters) -> KeyPair | None:
    """A new key where curves are hidden."""
    if p.privacy != MASKS:
        return None
    from v2g_nodes.nodes.key_pair import X25519KeyPair  # a library that no other node of a simulated station needs

    return X25519KeyPair()


def settings_of(p: OptimizerParameters) -> OptimizerSettings:
    """What the optimizer is built from.

    Raises:
        InputError: parameters that contradict each other.
    """
    if p.algorithm not in METHODS:
        raise InputError(f"algorithm is {p.algorithm!r}, allowed {', '.join(METHODS)}")
    if len(p.edges_flat) % 2 or len(p.module_ids) != len(p.ratings_kw):
        raise InputError(f"edges_flat has {len(p.edges_flat)} entries, module_ids {len(p.module_ids)}, ratings_kw "
                         f"{len(p.ratings_kw)}, allowed are pairs of ends and one rating for each id")
    if p.module_id not in p.module_ids:
        raise InputError(f"module_id is {p.module_id}, allowed one of module_ids {list(p.module_ids)}")
    settings = OptimizerSettings(
        module_id=p.module_id,
        edges=tuple(zip(p.edges_flat[::2], p.edges_flat[1::2], strict=True)),
        rating_kw=dict(zip(p.module_ids, p.ratings_kw, strict=True)),
        price_span_eur_per_kwh=p.price_span_eur_per_kwh,
        cold_every=p.cold_every,
        epoch_period_s=p.epoch_period_s,
        heartbeat_ns=round(p.heartbeat_ms * 1e6),
        silence_ns=round(p.silence_ms * 1e6),
        resend_ns=round(p.resend_ms * 1e6),
        island_rule=p.island_rule,
        algorithm=p.algorithm,
        privacy=p.privacy,
        fall_ns=round(1e9 * p.fall_s / p.speed),
    )
    if not p.on_bus:
        return settings
    wide = max(1.0, len(p.module_ids) / BUS_MODULES) ** 2
    sync_ns = min(round(wide * settings.sync_ns), settings.heartbeat_ns)
    return replace(settings, sync_ns=sync_ns, reports_at_a_time=1)  # everybody hears each report: none is passed on
