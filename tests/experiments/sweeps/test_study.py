"""The methods that draw combinations, on a made-up result without any run."""

import math
from collections.abc import Iterator
from pathlib import Path

import optuna
import pytest

from lab.errors import ConfigError
from lab.experiments.sweeps.config import METHODS, Params, SweepConfig
from lab.experiments.sweeps.study import SweepStudy, open_study
from lab.runs.database import Database
from lab.runs.store import close_stores, store

RANGES = {
    "learning_rate": {"low": 1e-5, "high": 1.0, "log": True},
    "dropout": {"low": 0.0, "high": 0.9},
}


@pytest.fixture(autouse=True)
def database(lab_home: Path, lab_database: None) -> Iterator[Database]:
    yield store().database
    close_stores()


def sweep(kind: str, seed: int = 0, trials: int = 30, **axes: object) -> SweepConfig:
    return SweepConfig.from_mapping(
        {"kind": kind, "base": {}, "axes": axes or RANGES, "trials": trials, "draw_seed": seed}
    )


def accuracy(params: Params) -> float:
    """Smooth, with its top of 1 at rate 0.003 and dropout 0.2."""
    far = (math.log10(params["learning_rate"] / 0.003)) ** 2 + 10 * (params["dropout"] - 0.2) ** 2
    return math.exp(-far)


def go_on(study: SweepStudy, count: int) -> list[Params]:
    """Draw and settle so many combinations."""
    drawn = []
    for _ in range(count):
        trial = study.next()
        assert trial is not None
        drawn.append(trial.params)
        study.tell(trial, "complete", accuracy(trial.params))
    return drawn


@pytest.mark.parametrize("kind", ["tpe", "cmaes"])
def test_what_learns_beats_chance(kind: str) -> None:
    """The mean of the last ten of thirty combinations, over three draw seeds."""
    means = {}
    for method in ("random", kind):
        last = []
        for seed in (0, 1, 2):
            study = SweepStudy(optuna.create_study(direction="maximize"), sweep(method, seed))
            last += [accuracy(p) for p in go_on(study, 30)[20:]]
            assert study.next() is None
        means[method] = sum(last) / len(last)
    assert means[kind] > means["random"] + 0.2


@pytest.mark.parametrize("kind", ["random", "tpe", "cmaes"])
def test_stopped_and_opened_again_it_draws_the_same(database: Database, kind: str) -> None:
    with open_study("s-whole", sweep(kind), database) as study:
        whole = go_on(study, 14)
    parts: list[Params] = []
    for count in (3, 9, 2):
        with open_study("s-parts", sweep(kind), database) as study:
            parts += go_on(study, count)
    assert parts == whole
    assert len({p["dropout"] for p in whole}) == 14


def test_what_learns_waits_for_the_result_before(database: Database) -> None:
    with open_study("s-1", sweep("tpe"), database) as study:
        first = study.next()
        assert first is not None
        assert study.next() is None
        study.tell(first, "fail")
        assert study.next() is not None
    with open_study("s-2", sweep("random"), database) as study:
        assert study.next() is not None
        assert study.next() is not None


def test_a_crash_while_one_is_drawn_draws_it_again(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_study("s-1", sweep("tpe"), database) as study:
        expected = go_on(study, 14)[13]
    with open_study("s-2", sweep("tpe"), database) as study:
        go_on(study, 13)
        with monkeypatch.context() as crash:
            crash.setattr(SweepStudy, "_draw", lambda self, trial: None)
            study.next()
        (trial,) = study.open_trials()
    assert trial.params == expected


def test_whole_numbers_and_words_are_drawn_too(database: Database) -> None:
    whole = {"batch_size": {"low": 8, "high": 64}, "dropout": RANGES["dropout"]}
    words = {**whole, "optimizer": ["adam", "sgd"]}
    for kind, axes in (("cmaes", whole), ("tpe", words)):
        with open_study(f"s-{kind}", sweep(kind, 0, 15, **axes), database) as study:
            for _ in range(15):
                trial = study.next()
                assert trial is not None
                assert trial.params["batch_size"] in range(8, 65)
                assert trial.params.get("optimizer", "adam") in ("adam", "sgd")
                study.tell(trial, "complete", -abs(trial.params["batch_size"] - 20.0))


def test_what_a_method_cannot_vary_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"CMA-ES needs two ranges .* Optimizer is a list"):
        sweep("cmaes", optimizer=["adam", "sgd"], **RANGES)
    with pytest.raises(ConfigError, match=r"nothing else, and 1 given"):
        sweep("cmaes", dropout=RANGES["dropout"])
    with pytest.raises(ConfigError, match=r"TPE needs at least one range"):
        sweep("tpe", optimizer=["adam", "sgd"])
    assert sweep("tpe", optimizer=["adam", "sgd"], **RANGES).points is None


def test_every_method_has_words() -> None:
    for method in METHODS.values():
        assert method.title
        assert method.fits.endswith(".")
