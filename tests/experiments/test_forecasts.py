"""What was predicted before a run, scored with numbers worked out by hand."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from lab.config import RunConfig
from lab.errors import ConfigError, StateError
from lab.experiments.forecasts import (
    Forecast,
    checked,
    expectation,
    forecast_of,
    range_score,
    record,
    rival_score,
    verdict_score,
)
from lab.runs.rows import RunRow
from lab.runs.store import Store, close_stores, store
from tests.runs.fakes import ended, started, step


@pytest.fixture
def runs(lab_home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    monkeypatch.delenv("LAB_DATABASE_URL", raising=False)
    yield store()
    close_stores()


def run(runs: Store, accuracy: float, forecast: Forecast | None = None, name: str = "a") -> RunRow:
    run_id = runs.create_run(RunConfig(), name=name, status="preparing")
    if forecast is not None:
        runs.set_forecast(run_id, forecast.model_dump_json())
    end = replace(ended(steps=5), test={"accuracy": accuracy})
    runs.record(run_id, [started(), step(1), end])
    return runs.run(run_id)


def test_a_range_that_holds_costs_its_width(runs: Store) -> None:
    forecast = checked(low=0.8, high=0.9)
    score = range_score(run(runs, 0.862), forecast)
    assert score is not None
    assert (score.held, score.interval) == (True, pytest.approx(10))
    assert score.words == "You said 80 to 90%, and it is 86.2%."


def test_a_miss_costs_ten_times_as_much(runs: Store) -> None:
    """Width 10 points, missed by 3: 10 + 2 / 0.2 * 3 = 40."""
    forecast = checked(low=0.8, high=0.9)
    for accuracy in (0.77, 0.93):
        score = range_score(run(runs, accuracy), forecast)
        assert score is not None
        assert (score.held, score.interval) == (False, pytest.approx(40))
    assert score.words == "You said 80 to 90%, but it is 93.0%."


@pytest.mark.parametrize(
    ("accuracy", "brier", "word"),
    [(0.8, 0.04, "beats"), (0.6, 0.64, "does not beat"), (0.7, 0.09, "equals")],
)
def test_who_wins_has_a_brier_score(runs: Store, accuracy: float, brier: float, word: str) -> None:
    rival = run(runs, 0.7, name="other")
    score = rival_score(run(runs, accuracy), checked(rival=rival.id, wins=0.8), runs)
    assert score is not None
    assert score.brier == pytest.approx(brier)
    assert score.words == f"It {word} “other” (70.0%); you gave that a chance of 80%."
    runs.delete(rival.id)
    gone = rival_score(run(runs, accuracy), checked(rival=rival.id, wins=0.8), runs)
    assert gone is not None
    assert gone.brier is None


def test_a_verdict_is_given_or_not() -> None:
    forecast = checked(verdict="overfitting", fires=0.9)
    given, not_given = verdict_score(forecast, ["overfitting"]), verdict_score(forecast, [])
    assert given is not None
    assert not_given is not None
    assert (given.brier, not_given.brier) == (pytest.approx(0.01), pytest.approx(0.81))
    assert given.words == "The verdict “Overfitting” was given; you gave it a chance of 90%."
    assert verdict_score(checked(), []) is None


def test_the_record_counts_what_has_come(runs: Store) -> None:
    assert record(runs.runs(), runs).words == ""
    rival = run(runs, 0.7)
    for accuracy in (0.82, 0.85, 0.99):
        run(runs, accuracy, checked(low=0.8, high=0.9, rival=rival.id, wins=0.5))
    waiting = runs.create_run(RunConfig())
    runs.set_forecast(waiting, checked(low=0.1, high=0.2).model_dump_json())
    assert record(runs.runs(), runs).words == (
        "2 of 3 of your 80% ranges held; Brier score of who wins 0.25 (0.25 is a coin)."
    )
    assert record(runs.runs(), runs).interval == pytest.approx((10 + 10 + 100) / 3)


def test_a_prediction_stands_and_comes_before_the_results(runs: Store) -> None:
    done = run(runs, 0.7)
    with pytest.raises(StateError, match="predict before a run starts"):
        runs.set_forecast(done.id, "{}")
    waiting = runs.create_run(RunConfig())
    runs.set_forecast(waiting, checked(low=0.1, high=0.2).model_dump_json())
    with pytest.raises(StateError):
        runs.set_forecast(waiting, checked(low=0.6, high=0.8).model_dump_json())
    row = runs.run(waiting)
    forecast = forecast_of(row)
    assert forecast == checked(low=0.1, high=0.2)
    assert range_score(row, forecast) is None  # it has no result
    assert forecast_of(replace(row, forecast='{"of": "a newer lab"}')) is None


def test_what_makes_no_sense_is_refused() -> None:
    with pytest.raises(ConfigError, match="one end only"):
        checked(low=0.5)
    with pytest.raises(ConfigError, match=r"from 90.0% to 80.0%; the first must not be above"):
        checked(low=0.9, high=0.8)
    with pytest.raises(ConfigError, match="allowed is a fraction from 0 to 1"):
        checked(low=2, high=3)
    assert checked().is_empty
    assert expectation(checked()) == ""
    assert expectation(checked(low=0.5, high=0.625, verdict="plateau", fires=0.3)) == (
        "You expect: 50 to 62.5% right; “Standing still” with a chance of 30%."
    )
