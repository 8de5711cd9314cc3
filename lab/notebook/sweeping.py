"""Sweeps: several values of some knobs, trained one after the other and ranked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from lab.config import RunConfig
from lab.errors import NotFoundError
from lab.experiments.sweeps.config import Kind, Range, SweepConfig
from lab.experiments.sweeps.results import Line, lines, ranked
from lab.experiments.sweeps.table import sweep as sweep_row
from lab.experiments.sweeps.thread import enter_sweep
from lab.notebook.results import Run
from lab.runs.store import store


@dataclass(frozen=True)
class Sweep:
    """A sweep and its runs."""

    id: str
    """Such as s-20261129-120000-ab12."""

    @property
    def config(self) -> SweepConfig:
        """What was asked."""
        return SweepConfig.from_json(sweep_row(store(), self.id).config_json)

    @property
    def status(self) -> str:
        """Such as "running", "completed" or "stopped"."""
        return sweep_row(store(), self.id).status

    def frame(self) -> pd.DataFrame:
        """Returns a row a combination, the best first, as the page's table.

        `place` is 1 for all that none is better than by more than chance; `mean` and `spread` are
        over the seeds, `low` and `high` the 95 % interval of the mean.
        """
        table = self._lines()
        intervals = [line.interval or (None, None) for line in table]
        return pd.DataFrame(
            {
                "place": [line.place for line in table],
                **{knob: [line.params.get(knob) for line in table] for knob in self.config.axes},
                "mean": [line.judged.mean for line in table],
                "spread": [line.judged.spread for line in table],
                "low": [low for low, _ in intervals],
                "high": [high for _, high in intervals],
                "seeds": [line.judged.count for line in table],
                "test_accuracy": [line.test.mean for line in table],
                "seconds": [line.seconds for line in table],
                "state": [line.state for line in table],
                "note": [line.note for line in table],
            },
            index=pd.Index([line.number for line in table], name="trial"),
        )

    def runs(self) -> list[Run]:
        """Returns its runs, those of the best combination first."""
        return [Run(row.id) for line in self._lines() for row in line.runs]

    def best(self) -> Run:
        """Returns the first run of the best combination. Raises NotFoundError before one ended."""
        for line in self._lines():
            if line.judged.count:
                return next(Run(row.id) for row in line.runs if row.status == "completed")
        raise NotFoundError(f"No run of sweep {self.id} has completed.")

    def _lines(self) -> list[Line]:
        row = sweep_row(store(), self.id)
        runs = store().runs(origin=f"sweep:{self.id}")
        return ranked(self.config, lines(self.config, runs, row.notes))


def sweep(
    axes: Mapping[str, Sequence[Any] | Mapping[str, Any] | Range],
    base: RunConfig | None = None,
    *,
    name: str = "Sweep",
    kind: Kind = "grid",
    seeds: Sequence[int] = (0,),
    trials: int = 20,
    metric: str = "val_accuracy",
    **knobs: Any,
) -> Sweep:
    """Trains all combinations of `axes` on top of `base` and `knobs`, and returns the sweep.

    An axis is a list of values, or a range {"low": 1e-4, "high": 1e-2, "log": True, "steps": 3}.
    `kind` is how combinations are chosen ("grid", "random", "halving", "tpe", "cmaes"), `trials`
    how many are drawn, `metric` what they are judged by. Ctrl-C stops all of it. Raises ConfigError
    for what cannot be trained.
    """
    from lab.cli.sweep import Report, perform  # the command line's: it trains in this thread

    config = SweepConfig.from_mapping(
        {
            "name": name,
            "kind": kind,
            "base": (base or RunConfig()).changed(**knobs),
            "axes": {
                knob: values if isinstance(values, Mapping | Range) else list(values)
                for knob, values in axes.items()
            },
            "seeds": list(seeds),
            "trials": trials,
            "metric": metric,
        }
    )
    sweep_id = enter_sweep(config)
    perform(sweep_id, config, Report(sweep_id, config))
    return Sweep(sweep_id)
