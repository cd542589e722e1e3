"""What agreements must be: one price, the target met, and what their inputs alone give.

An epoch's result follows from the frozen inputs and the membership, whatever was lost, late or left over from rounds
of other groups. So when all of a group have decided, the epoch is played again from their inputs on a network without
faults: a decision that a foreign round got into differs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from v2g_nodes.core.graph import Edges
from v2g_nodes.core.optimizer_types import Decision, OptimizerSettings
from v2g_nodes.core.types import EpochId
from v2g_nodes.sim.replay_epoch import replay_epoch

BALANCE_SHARE = 1e-3  # of the station's rating; agreed powers may miss the clipped target by so much
KEPT = 2000  # agreements

Named = tuple[EpochId, float, int, tuple[int, ...], Edges]  # one agreement: epoch, target, fingerprint, members, links


class AgreementWatch:
    """Decisions, gathered by what they say they belong to.

    Args:
        settings: of the station.
        faults: where to write what should not be.
    """

    def __init__(self, settings: OptimizerSettings, faults: list[str]) -> None:
        self._settings = settings
        self._tolerance_kw = BALANCE_SHARE * sum(settings.rating_kw.values())
        self._faults = faults
        self._agreed: dict[Named, dict[int, tuple[int, Decision]]] = {}
        self._lives: Counter[int] = Counter()
        self.complete = 0  # agreements in which all members decided

    def gone(self, module_id: int) -> None:
        """A module has died or is stopped; it may decide once more when it is back."""
        self._lives[module_id] += 1

    def decided(self, module_id: int, target_kw: float, decision: Decision, when: str) -> None:
        """A module has decided.

        Args:
            module_id: of the module.
            target_kw: of the station [kW].
            decision: what it decided.
            when: begins the text of a fault.
        """
        group = decision.group
        named = (decision.epoch, target_kw, group.fingerprint, group.members, group.edges)
        known = self._agreed.setdefault(named, {})
        what = f"{when}, module {module_id}, {decision.epoch}, membership {group.fingerprint}:"
        life = self._lives[module_id]
        if known.get(module_id, (None,))[0] == life:
            self._faults.append(f"{what} decided twice")
        known[module_id] = (life, decision)
        decisions = {k: made for k, (_, made) in known.items()}
        prices = {made.agreement.lambda_eur_per_kwh for made in decisions.values()}
        if len(prices) > 1:
            self._faults.append(f"{what} prices {sorted(prices)}")
        elif len(decisions) == len(group.members):
            self.complete += 1
            self._check_balance(decisions, what)
            self._check_replay(decisions, what)
        while len(self._agreed) > KEPT:
            del self._agreed[next(iter(self._agreed))]

    def _check_balance(self, decisions: Mapping[int, Decision], what: str) -> None:
        boxes = [made.snapshot.box for made in decisions.values()]
        target_kw = next(iter(decisions.values())).agreement.target_kw
        owed_kw = min(max(target_kw, sum(box.low_kw for box in boxes)), sum(box.high_kw for box in boxes))
        got_kw = sum(made.agreement.power_kw for made in decisions.values())
        if abs(got_kw - owed_kw) > self._tolerance_kw:
            self._faults.append(f"{what} {got_kw:.4f} kW agreed, {owed_kw:.4f} kW owed")

    def _check_replay(self, decisions: Mapping[int, Decision], what: str) -> None:
        begun = {k: decision.begun for k, decision in decisions.items()}
        settings = self._settings
        agreed = replay_epoch(settings.algorithm, settings.price_span_eur_per_kwh, begun)
        for k, replayed in agreed.items():
            got = decisions[k].agreement
            if (got.lambda_eur_per_kwh, got.power_kw) != (replayed.lambda_eur_per_kwh, replayed.power_kw):
                self._faults.append(f"{what} module {k} decided {got}, its inputs give {replayed}")
                return
