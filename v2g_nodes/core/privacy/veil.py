"""What an optimizer needs to hide its curve: keys of the others, a name for each exchange, masks made of both."""

from __future__ import annotations

from collections.abc import Iterable

from v2g_nodes.core.errors import InputError
from v2g_nodes.core.membership import Membership
from v2g_nodes.core.optimizer_types import OptimizerSettings, Outbox
from v2g_nodes.core.privacy.key_book import KeyBook, KeyPair, KeyReport
from v2g_nodes.core.privacy.masks import MASKS, PRIVACIES, ExchangeMasks, Labels, MaskOf
from v2g_nodes.core.types import EpochId

ALGORITHM = "supply_curve"  # the others also tell largest values, which no mask hides


class Veil:
    """None: curves go out as they are. What an optimizer asks of any veil."""

    hides = False
    masks: MaskOf | None = None  # of the exchange begun last

    @property
    def name(self) -> bytes | None:
        """Names the group with the link reports behind it and its members' keys; None while one is not in hand."""
        return b""

    def take(self, reports: Iterable[KeyReport], now_ns: int) -> None:
        """Take in keys that neighbours sent."""

    def tell(self, outbox: Outbox, now_ns: int) -> None:
        """Add the keys that have to go out."""

    def regrouped(self, now_ns: int) -> None:
        """The group has changed."""

    def lacks(self, module_id: int) -> bool:
        """Whether a module's key is needed and not in hand."""
        return False

    def begin(self, epoch: EpochId, target_kw: float) -> bool:
        """An exchange is about to begin in the group named; False if the group needs another name first.

        Args:
            epoch: of the signal.
            target_kw: of the station [kW].
        """
        return True


class MaskVeil(Veil):
    """Masks over all pairs of members (core/privacy/masks.py).

    Args:
        settings: of the optimizer.
        membership: of the optimizer.
        pair: own key, new in each life.
        stamp: start of the own life (see KeyReport).
    """

    hides = True

    def __init__(self, settings: OptimizerSettings, membership: Membership, pair: KeyPair, stamp: int) -> None:
        self._settings, self._membership = settings, membership
        self._book = KeyBook(
            settings.module_id, settings.rating_kw, pair, stamp, settings.sync_ns, settings.heartbeat_ns,
            settings.silence_ns,
        )  # fmt: skip
        self._labels = Labels()
        self._named: tuple[object, int] | None = None  # what the name was made of
        self._name: bytes | None = None

    @property
    def name(self) -> bytes | None:
        """See Veil."""
        group = self._membership.group
        if self._named is None or self._named[0] is not group or self._named[1] != self._book.version:
            lacking = self._book.lacking(group.members)
            self._name = None if lacking else self._membership.digest() + self._book.digest(group.members)
            self._named = group, self._book.version
        return self._name

    def take(self, reports: Iterable[KeyReport], now_ns: int) -> None:
        """See Veil."""
        for report in reports:
            if report.sender in self._membership.neighbours:
                self._book.take(report, now_ns)

    def tell(self, outbox: Outbox, now_ns: int) -> None:
        """See Veil."""
        outbox.keys += self._book.due(self._membership.heard, self._settings.reports_at_a_time, now_ns)

    def regrouped(self, now_ns: int) -> None:
        """See Veil."""
        self._book.stirred(now_ns)

    def lacks(self, module_id: int) -> bool:
        """See Veil."""
        return bool(self._book.lacking((module_id,)))

    def begin(self, epoch: EpochId, target_kw: float) -> bool:
        """See Veil."""
        label = None if self.name is None else self._labels.take(self.name, epoch, target_kw)
        if label is None:
            return False
        secrets = self._book.secrets(self._membership.group.members)
        self.masks = ExchangeMasks(self._settings.module_id, secrets, label)
        return True


def build_veil(settings: OptimizerSettings, membership: Membership, pair: KeyPair | None, life: int) -> Veil:
    """The veil that the settings ask for.

    Args:
        settings: of the optimizer.
        membership: of the optimizer.
        pair: own key, new in each life.
        life: as for ModuleOptimizer.

    Raises:
        InputError: an unknown privacy, one that the algorithm does not know, or no key for it.
    """
    if settings.privacy not in PRIVACIES:
        raise InputError(f"privacy is {settings.privacy!r}, allowed {', '.join(PRIVACIES)}")
    if settings.privacy != MASKS:
        return Veil()
    if settings.algorithm != ALGORITHM:
        raise InputError(f"privacy is {MASKS!r} with algorithm {settings.algorithm}, allowed with {ALGORITHM}")
    if pair is None:
        raise InputError(f"privacy is {MASKS!r} without a key pair, allowed is a new one in each life")
    return MaskVeil(settings, membership, pair, life)
