"""When a run is good, and what is said when it is not."""

from __future__ import annotations

import pytest

from v2g_nodes.cli.verdict import UP_KEYS, ordered, verdict

RATING_KW = 25.0
GOOD = {"modules": 8, "epochs": 29, "gap_max": 9e-4, "balance_error_kw_max": 0.024, "constraint_violations": 0,
        "gate_clips": 0, "restarts": 0}  # fmt: skip


def test_a_good_run_is_ok() -> None:
    assert verdict(GOOD, RATING_KW, 8) == "ok"


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"epochs": 0}, "no epoch agreed"),
        ({"epochs": None}, "no epoch agreed"),
        ({"gap_max": 1e-3}, "gap_max 0.001, allowed below 0.001"),
        ({"gap_max": None}, "gap_max not measured, allowed below 0.001"),
        ({"gap_max": float("nan")}, "gap_max not measured, allowed below 0.001"),
        ({"balance_error_kw_max": 0.026}, "balance_error_kw_max 0.026 kW, allowed below 0.025 kW"),
        ({"constraint_violations": 2}, "constraint_violations 2, allowed 0"),
        ({"gate_clips": 1}, "gate_clips 1, allowed 0"),
        ({"gate_clips": None}, "gate_clips not measured, allowed 0"),
        ({"unjudged_epochs": 2}, "2 epochs could not be judged, see the monitor's log"),
        ({"unreached": ["ek3_03: set-points: no answer"]}, "ek3_03: set-points: no answer"),
        ({"unreached": []}, "ok"),
        ({"restarts": 1}, "ok"),  # it has a key of its own
    ],
)
def test_what_is_not_good_is_named(changes: dict[str, object], text: str) -> None:
    assert verdict({**GOOD, **changes}, RATING_KW, 8) == text


@pytest.mark.parametrize(("members", "text"), [(7, "7 of 8 modules took part"), (None, "0 of 8 modules took part")])
def test_all_modules_have_to_be_in_the_last_epoch(members: int | None, text: str) -> None:
    assert verdict(GOOD, RATING_KW, members) == f"{text} in the last epoch"


def test_everything_that_is_wrong_is_said() -> None:
    text = verdict({**GOOD, "gate_clips": 1, "restarts": 1}, RATING_KW, 8, "ek3_01 died 5 times")
    assert text == "ek3_01 died 5 times; gate_clips 1, allowed 0"


def test_keys_come_in_their_order_and_nothing_else() -> None:
    figures = ordered({"verdict": "ok", "members": 8, "modules": 8})
    assert tuple(figures) == UP_KEYS
    assert (figures["modules"], figures["verdict"], figures["epoch_over_floor"]) == (8, "ok", None)
    assert "members" not in figures
