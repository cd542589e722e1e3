"""Agreements made again as soon as the records of all members have come in."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from v2g_nodes.core.errors import InputError
from v2g_nodes.core.optimizer_types import Begun
from v2g_nodes.core.types import Agreement
from v2g_nodes.sim.replay_epoch import replay_epoch
from v2g_nodes.sim.replay_laws import Made
from v2g_nodes.sim.replay_values import EPOCH, RecordError, begun_of, same, settings_of

WAIT_NS = 30_000_000_000  # ns of the bag's time; records of one epoch come within a second of each other
COMBINATIONS_MAX = 64  # of inputs, where members froze more than once under one name

#: algorithm, price span, epoch, target, fingerprint, members, links
Name = tuple[Any, ...]


@dataclass
class _Outcome:
    """What one module agreed to, waiting to be made again."""

    module_id: int
    entry: int  # which of the module's frozen inputs
    steady_ns: int
    recorded: tuple[float, ...]
    replayed: tuple[float, ...] | None = None


@dataclass
class _Exchange:
    """All records of one name."""

    heard_ns: int
    begun: dict[int, list[Begun]] = field(default_factory=dict)
    open: list[_Outcome] = field(default_factory=list)


class AgreementReplay:
    """See module docstring.

    A module may have frozen its inputs more than once under one name, when it was stopped for a while. Then a decision
    is right if any combination of what the members froze leads to it.
    """

    def __init__(self) -> None:
        self._exchanges: dict[Name, _Exchange] = {}
        self.incomplete: list[str] = []  # agreements that can't be made again, in words; to be emptied by the reader

    def play(self, record: Any, time_ns: int) -> Iterator[tuple[int, Made]]:  # noqa: ANN401 - sim/replay_values.py
        """Take in a record of kind EPOCH or BEGUN.

        Args:
            record: which.
            time_ns: of the bag [ns].

        Returns:
            Module id and decision, of all that could be made now.

        Raises:
            RecordError: what is recorded does not fit the algorithm.
        """
        settings = settings_of(record)
        try:
            algorithm, span = str(settings["algorithm"]), float(settings["price_span_eur_per_kwh"])
            begun = begun_of(record, settings["rating_kw"])
        except (KeyError, TypeError, ValueError) as error:
            raise RecordError(f"settings or inputs of another version: {error}") from error
        group, k = begun.group, int(record.module_id)
        name = (algorithm, span, begun.epoch, begun.target_kw, group.fingerprint, group.members, group.edges)
        exchange = self._exchanges.setdefault(name, _Exchange(time_ns))
        entries = exchange.begun.setdefault(k, [])
        entries.append(begun)
        if record.kind == EPOCH:
            recorded = (float(record.lambda_eur_per_kwh), float(record.power_kw), float(record.clipped_target_kw),
                        float(record.rounds), float(record.cold))  # fmt: skip
            exchange.open.append(_Outcome(k, len(entries) - 1, begun.started_ns, recorded))
        if len(exchange.begun) == len(group.members):
            yield from self._make(name, exchange)
        yield from self.give_up(time_ns - WAIT_NS)

    def give_up(self, before_ns: int | None = None) -> Iterator[tuple[int, Made]]:
        """What nothing more comes to, oldest first: decisions that their inputs do not lead to.

        Args:
            before_ns: first heard of before this [ns]; None = all.
        """
        while self._exchanges:
            name, exchange = next(iter(self._exchanges.items()))
            if before_ns is not None and exchange.heard_ns >= before_ns:
                return
            del self._exchanges[name]
            for outcome in exchange.open:
                if outcome.replayed is not None:
                    yield outcome.module_id, Made("agreement", outcome.steady_ns, outcome.recorded, outcome.replayed)
            if any(outcome.replayed is None for outcome in exchange.open):
                self.incomplete.append(_what_is_missing(name, exchange))

    def _make(self, name: Name, exchange: _Exchange) -> Iterator[tuple[int, Made]]:
        members: tuple[int, ...] = name[5]
        choices = itertools.product(*(range(len(exchange.begun[k])) for k in members))
        for choice in itertools.islice(choices, COMBINATIONS_MAX):
            entry = dict(zip(members, choice, strict=True))
            if not any(entry[outcome.module_id] == outcome.entry for outcome in exchange.open):
                continue
            agreed = _agreed(name, {k: exchange.begun[k][entry[k]] for k in members})
            for outcome in [one for one in exchange.open if entry[one.module_id] == one.entry]:
                outcome.replayed = _numbers(agreed.get(outcome.module_id))
                if all(map(same, outcome.recorded, outcome.replayed)):
                    exchange.open.remove(outcome)
                    yield outcome.module_id, Made("agreement", outcome.steady_ns, outcome.recorded, outcome.replayed)


def _agreed(name: Name, begun: dict[int, Begun]) -> dict[int, Agreement]:
    try:
        return replay_epoch(name[0], name[1], begun)
    except RuntimeError:  # these inputs lead to no agreement
        return {}
    except (InputError, ValueError) as error:
        raise RecordError(f"epoch {name[2].signal_sequence}: {error}") from error


def _numbers(agreement: Agreement | None) -> tuple[float, ...]:
    if agreement is None:
        return (float("nan"),) * 5
    return (agreement.lambda_eur_per_kwh, agreement.power_kw, agreement.clipped_target_kw, float(agreement.rounds),
            float(agreement.cold))  # fmt: skip


def _what_is_missing(name: Name, exchange: _Exchange) -> str:
    missing = ", ".join(str(k) for k in name[5] if k not in exchange.begun)
    agreed = ", ".join(str(k) for k in sorted({one.module_id for one in exchange.open if one.replayed is None}))
    return f"epoch {name[2].signal_sequence}: no record of module {missing}; what module {agreed} agreed to stays open"
