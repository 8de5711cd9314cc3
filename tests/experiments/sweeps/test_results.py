"""The table of a sweep, from rows and notes alone."""

import math
from dataclasses import replace

import pytest

from lab.experiments.sweeps.config import SweepConfig
from lab.experiments.sweeps.results import lines, ranked, seed_mean
from lab.runs.rows import RunRow
from lab.runs.store import Store, close_stores

SWEEP = SweepConfig.from_mapping(
    {"base": {}, "axes": {"batch_size": [10, 20, 30]}, "seeds": [0, 1]}
)


@pytest.fixture(scope="module")
def blank(tmp_path_factory: pytest.TempPathFactory) -> RunRow:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LAB_HOME", str(tmp_path_factory.mktemp("home")))
        runs = Store()
        row = runs.run(runs.create_run(SWEEP.base))
        runs.close()
        close_stores()
        return row


def run(blank: RunRow, trial: int, status: str, accuracy: float | None = None) -> RunRow:
    tested = accuracy is not None and status == "completed"
    return replace(
        blank,
        origin=f"sweep:s-1:{trial}",
        status=status,
        best_val={} if accuracy is None else {"accuracy": accuracy},
        test={"accuracy": (accuracy or 0) - 0.1} if tested else {},
        message="It broke." if status == "failed" else "",
        seconds=2.0,
    )


@pytest.mark.parametrize(
    ("statuses", "note", "state"),
    [
        ([], {}, "to come"),
        (["queued"], {}, "waiting"),
        (["running", "queued"], {}, "training"),
        (["preparing"], {}, "training"),
        (["completed"], {}, "waiting"),
        (["completed", "running"], {}, "training"),
        (["completed", "completed"], {}, "done"),
        (["completed", "failed"], {}, "done"),
        (["failed", "failed"], {}, "failed"),
        (["stopped"], {}, "stopped"),
        (["paused", "completed"], {}, "paused"),
        (["interrupted"], {}, "paused"),
        (["stopped"], {"state": "stopped early"}, "stopped early"),
        (["running"], {"state": "stopped early"}, "stopped early"),
        (["completed"], {"state": "done", "text": "it had finished by then"}, "done"),
        ([], {"state": "left out"}, "left out"),
    ],
)
def test_the_state_of_a_combination(
    blank: RunRow, statuses: list[str], note: dict[str, str], state: str
) -> None:
    rows = [run(blank, 0, status, 0.5) for status in statuses]
    assert lines(SWEEP, rows, {0: note} if note else {})[0].state == state


def test_figures_are_of_completed_runs_only(blank: RunRow) -> None:
    rows = [
        run(blank, 1, "completed", 0.8),
        run(blank, 1, "stopped", 0.1),
        run(blank, 0, "completed", 0.6),
        run(blank, 0, "completed", 0.7),
        replace(run(blank, 0, "completed", 0.9), origin="sweep:s-1"),  # not one of a combination
    ]
    first, second, third = lines(SWEEP, rows, {})
    assert (first.judged.mean, first.judged.count) == (pytest.approx(0.65), 2)
    assert first.judged.spread == pytest.approx(math.sqrt(0.005))
    assert first.test.mean == pytest.approx(0.55)
    assert first.seconds == 4.0
    assert (second.judged.mean, second.judged.spread, second.judged.count) == (0.8, None, 1)
    assert second.reached.mean == pytest.approx(0.45)
    assert third.judged.mean is None
    assert [x.params for x in (first, second, third)] == list(SWEEP.points or ())
    assert [x.number for x in ranked(SWEEP, [third, first, second])] == [1, 0, 2]


def test_a_loss_ranks_the_other_way(blank: RunRow) -> None:
    by_loss = SWEEP.model_copy(update={"metric": "val_loss"})
    rows = [
        replace(run(blank, 0, "completed", 0.9), best_val={"loss": 0.7}),
        replace(run(blank, 1, "completed", 0.1), best_val={"loss": 0.2}),
    ]
    assert [x.number for x in ranked(by_loss, lines(by_loss, rows, {}))] == [1, 0, 2]


def test_why_is_the_note_or_the_runs_own_message(blank: RunRow) -> None:
    rows = [run(blank, 0, "failed"), run(blank, 1, "stopped")]
    first, second, _ = lines(SWEEP, rows, {1: {"state": "stopped early", "text": "too weak"}})
    assert (first.note, second.note) == ("It broke.", "too weak")


def test_drawn_combinations_are_read_from_their_runs_or_notes(blank: RunRow) -> None:
    drawn = SweepConfig.from_mapping(
        {
            "kind": "random",
            "base": {},
            "axes": {"learning_rate": {"low": 0.001, "high": 0.1}, "hidden_sizes": [[5], [6, 7]]},
            "trials": 4,
        }
    )
    config = drawn.base.changed(learning_rate=0.02, hidden_sizes=(6, 7))
    row = replace(run(blank, 0, "completed", 0.5), config_json=config.to_json())
    notes = {2: {"state": "left out", "params": {"learning_rate": 0.03, "hidden_sizes": [5]}}}
    combinations = lines(drawn, [row], notes)
    assert [x.number for x in combinations] == [0, 2]
    assert combinations[0].params == {"learning_rate": 0.02, "hidden_sizes": (6, 7)}
    assert combinations[1].params == {"learning_rate": 0.03, "hidden_sizes": (5,)}


def test_a_figure_without_values() -> None:
    assert seed_mean([None, float("nan")]).mean is None
    assert seed_mean([0.5]).spread is None
