"""The sweep's study: Optuna draws the combinations and judges which runs go on.

The study has the sweep's id as its name and lies in the lab's own database, in Optuna's tables
(studies, trials, trial_params, ...), beside the lab's. So the drawing goes on after a restart where
it was, and Optuna's own tools open it: `optuna.load_study(study_name="s-...", storage=url)`.

Optuna is imported inside functions: a page reads a sweep without it.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from lab.config import KNOBS
from lab.experiments.sweeps.config import Params, Range, SweepConfig
from lab.runs.database import Database, engine_options

if TYPE_CHECKING:
    from optuna import Study
    from optuna.samplers import BaseSampler
    from optuna.trial import FrozenTrial, Trial

Outcome = Literal["complete", "pruned", "fail"]


@dataclass(frozen=True)
class OpenTrial:
    """A combination whose runs have not all ended."""

    number: int
    params: Params
    submitted: tuple[int, ...]
    """The seeds whose runs were queued."""
    rungs: tuple[int, ...]
    """The epochs at which it was judged."""
    pruned: str
    """Why its run is not to go on; empty while it may."""


class SweepStudy:
    """One study, opened. Belongs to one thread: the driver's."""

    def __init__(self, study: Study, sweep: SweepConfig) -> None:
        self._study = study
        self._sweep = sweep
        points = sweep.points
        self._total = sweep.combinations if points is None else len(points)

    # --- drawing --------------------------------------------------------------------------------
    def next(self) -> OpenTrial | None:
        """Open the next combination; None when all were drawn, or while a method that learns waits
        for the result of the one before.

        Points that the sweep knows beforehand wait in the study; the others are drawn by a sampler
        that is made anew for each trial from the sweep's seed, the trial's number and the results
        in the study, so that the same sweep draws the same combinations, interrupted or not.
        """
        from optuna.trial import TrialState

        trials = self._study.get_trials(deepcopy=False)
        begun = sum(trial.state != TrialState.WAITING for trial in trials)
        if begun >= self._total:
            return None
        if self._sweep.method.learns and any(t.state == TrialState.RUNNING for t in trials):
            return None
        self._study.sampler = self._sampler(begun)
        trial = self._study.ask()
        self._draw(trial)
        return OpenTrial(trial.number, self._params(trial.params), (), (), "")

    def open_trials(self) -> list[OpenTrial]:
        """Begun and not ended yet, in their order."""
        from optuna.trial import TrialState

        trials = []
        for trial in self._study.get_trials(deepcopy=False, states=[TrialState.RUNNING]):
            params = trial.params
            if len(params) < len(self._sweep.axes):  # a crash within `next`
                self._study.sampler = self._sampler(trial.number)
                handle = self._trial(trial.number)
                self._draw(handle)
                params = handle.params
            submitted = tuple(trial.user_attrs.get("submitted", ()))
            rungs = tuple(sorted(trial.intermediate_values))
            why = str(trial.user_attrs.get("out", ""))
            trials.append(OpenTrial(trial.number, self._params(params), submitted, rungs, why))
        return trials

    def mark_submitted(self, trial: OpenTrial, seeds: Sequence[int]) -> None:
        """Record whose runs were queued: one that is gone later was deleted by a person."""
        self._trial(trial.number).set_user_attr("submitted", list(seeds))

    # --- judging --------------------------------------------------------------------------------
    def judge(self, trial: OpenTrial, epoch: int, value: float) -> bool:
        """Report the value at a rung; False when the run should go no further.

        Asynchronous successive halving (Li et al. 2020, "A System for Massively Parallel
        Hyperparameter Tuning"), Optuna's SuccessiveHalvingPruner.
        """
        handle = self._trial(trial.number)
        handle.report(value, epoch)
        return not handle.should_prune()

    def mark_pruned(self, trial: OpenTrial, why: str) -> None:
        """Record that its run is to be stopped; the trial ends when the run has ended."""
        self._trial(trial.number).set_user_attr("out", why)

    def tell(self, trial: OpenTrial, outcome: Outcome, value: float | None = None) -> None:
        """End the trial; `value` for a complete one only."""
        from optuna.trial import TrialState

        if outcome == "complete" and value is not None and math.isfinite(value):
            self._study.tell(trial.number, value)
        else:
            state = TrialState.PRUNED if outcome == "pruned" else TrialState.FAIL
            self._study.tell(trial.number, state=state)

    # --- parts ----------------------------------------------------------------------------------
    def _sampler(self, number: int) -> BaseSampler:
        """Returns what draws the trial with that number."""
        from optuna.samplers import CmaEsSampler, RandomSampler, TPESampler

        seed = int(np.random.SeedSequence([self._sweep.draw_seed, number]).generate_state(1)[0])
        if self._sweep.kind == "tpe":
            return TPESampler(seed=seed)
        if self._sweep.kind == "cmaes":
            return CmaEsSampler(seed=seed, warn_independent_sampling=False)
        return RandomSampler(seed=seed)

    def _draw(self, trial: Trial) -> None:
        """Give the trial a value for each knob: the one that waits in the study, or by chance."""
        for knob, axis in self._sweep.axes.items():
            if not isinstance(axis, Range) or self._sweep.kind == "grid":
                trial.suggest_categorical(knob, self._choices(knob))
            elif KNOBS[knob].kind == "int":
                trial.suggest_int(knob, int(axis.low), int(axis.high), log=axis.log)
            else:
                trial.suggest_float(knob, axis.low, axis.high, log=axis.log)

    def _choices(self, knob: str) -> list[Any]:
        axis = self._sweep.axes[knob]
        whole = KNOBS[knob].kind == "int"
        values = axis.values(whole=whole) if isinstance(axis, Range) else axis
        return [optuna_value(value) for value in values]

    def _params(self, values: Mapping[str, Any]) -> Params:
        """In the order of the axes, as RunConfig holds them."""
        return {
            knob: tuple(int(part) for part in values[knob].split(","))
            if KNOBS[knob].kind == "ints"
            else values[knob]
            for knob in self._sweep.axes
            if knob in values
        }

    def _trial(self, number: int) -> Trial:
        """A handle to a trial that is open, also one that another process opened: Optuna makes
        such handles by `ask` only, and that would be another trial."""
        from optuna.trial import Trial

        trial: FrozenTrial = self._study.get_trials(deepcopy=False)[number]
        return Trial(self._study, trial._trial_id)


@contextlib.contextmanager
def open_study(sweep_id: str, sweep: SweepConfig, database: Database) -> Iterator[SweepStudy]:
    """Open the sweep's study in the lab's database, made when it is not there."""
    import optuna

    # Two processes must not make Optuna's tables, or one study's points, at once.
    with database.turn("study"):
        storage = _storage(database)
        study = optuna.create_study(
            storage=storage,
            study_name=sweep_id,
            direction="maximize" if sweep.higher_is_better else "minimize",
            pruner=_pruner(sweep),
            load_if_exists=True,
        )
        if not study.user_attrs.get("ready"):
            for point in (sweep.points or ())[len(study.get_trials(deepcopy=False)) :]:
                study.enqueue_trial({knob: optuna_value(value) for knob, value in point.items()})
            study.set_user_attr("ready", True)
    try:
        yield SweepStudy(study, sweep)
    finally:
        storage.remove_session()
        storage.engine.dispose()


def make_tables(database: Database) -> None:
    """Make Optuna's tables in the database, which has none."""
    with database.turn("study"):
        storage = _storage(database)
    storage.remove_session()
    storage.engine.dispose()


def _storage(database: Database) -> Any:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)  # it logs every trial otherwise
    return optuna.storages.RDBStorage(database.url, engine_kwargs=engine_options(database.url))


def _pruner(sweep: SweepConfig) -> Any:
    from optuna.pruners import NopPruner, SuccessiveHalvingPruner

    if sweep.kind != "halving":
        return NopPruner()
    return SuccessiveHalvingPruner(min_resource=sweep.first_rung, reduction_factor=sweep.reduction)


def optuna_value(value: Any) -> Any:
    """Optuna keeps plain numbers and texts; hidden layers become "512,128"."""
    return ",".join(str(part) for part in value) if isinstance(value, tuple) else value
