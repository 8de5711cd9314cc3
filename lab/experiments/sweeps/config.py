"""A sweep as data: one base config, the knobs that vary, how they are drawn, how runs are judged.

    name: rate and batch
    kind: grid                  # or another of METHODS: random, halving, tpe, cmaes
    base: {dataset: drawn-signs, architecture: sign-cnn, epochs: 3}
    axes:
      batch_size: [32, 128]
      learning_rate: {low: 0.0001, high: 0.01, log: true, steps: 3}
    seeds: [0, 1, 2]            # every combination is trained with each of these

This module draws nothing at random from outside and knows neither Optuna nor the run store.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from lab.config import KNOBS, Knob, RunConfig
from lab.errors import ConfigError, cut, unknown_name, unknown_names
from lab.metrics import METRICS, Metric
from lab.names import typed_name, typed_notes, visible
from lab.runs.naming import setting_words
from lab.settings_text import read_json, read_yaml
from lab.words import plural

Kind = Literal["grid", "random", "halving", "tpe", "cmaes"]


@dataclass(frozen=True)
class Method:
    """One way to choose the combinations of a sweep."""

    title: str
    fits: str
    """When it is the right one, in a sentence or two."""
    learns: bool = False
    """Whether each combination is drawn from the results of those before it, one after another."""
    trials: int = 12
    """How many combinations a form proposes to draw."""


METHODS: dict[Kind, Method] = {
    "grid": Method(
        "Grid", "Every combination of the values: for one or two settings with few values each."
    ),
    "random": Method(
        "Random",
        "Combinations drawn by chance: for three settings and more, of which a grid would try too "
        "few values (Bergstra and Bengio, 2012).",
    ),
    "halving": Method(
        "Halving",
        "Drawn by chance, and the weak ones are stopped after a few epochs: when most combinations "
        "show early that they are no good (Li et al., 2020).",
    ),
    "tpe": Method(
        "TPE",
        "The first ten by chance, the others near those that did well: for settings of any kind, "
        "from about twenty combinations on (tree-structured Parzen estimator, Bergstra et al., "
        "2011).",
        learns=True,
        trials=24,
    ),
    "cmaes": Method(
        "CMA-ES",
        "A cloud of points that moves toward better results: for two to ten settings that are "
        "numbers, from about forty combinations on (Hansen, 2016).",
        learns=True,
        trials=40,
    ),
}
"""In the order of every list."""
JUDGED_BY = {f"val_{m.name}": f"Validation {m.title.lower()}" for m in METRICS.values()}
"""The metrics by which a sweep may judge its runs, with their titles."""
Params = dict[str, Any]
"""A value for each varied knob: one combination."""

MOST_RUNS = 500
"""Most runs of one sweep: more are nearly always a typing mistake."""


class Range(BaseModel):
    """Numbers from `low` to `high`: `steps` of them in a grid, any of them when drawn at random."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    low: float
    high: float
    log: bool = False
    """Equal factors between the steps instead of equal distances: right for a learning rate."""
    steps: int = Field(3, ge=1, le=100)

    def values(self, *, whole: bool) -> tuple[float, ...]:
        """The grid's numbers, rounded to six digits, or to whole ones without repeats."""
        space = np.geomspace if self.log else np.linspace
        numbers = [float(f"{n:.6g}") for n in space(self.low, self.high, self.steps)]
        return tuple(dict.fromkeys(round(n) for n in numbers)) if whole else tuple(numbers)


class SweepConfig(BaseModel):
    """Everything that decides a sweep. Frozen; made by `from_mapping`, which checks every value."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    name: str = Field("Sweep", min_length=1, max_length=60)
    story: str = Field("", max_length=600)
    """What the sweep is for and which results its own are compared with; sentences for the page."""
    kind: Kind = "grid"
    base: RunConfig
    axes: dict[str, tuple[Any, ...] | Range]
    trials: int = Field(20, ge=1, le=MOST_RUNS)
    """How many combinations are drawn; a grid takes all of its own."""
    seeds: tuple[int, ...] = Field((0,), max_length=MOST_RUNS)
    metric: str = "val_accuracy"
    """A metric of the validation images, at the best epoch; one of JUDGED_BY. Test images choose
    nothing, as everywhere."""
    draw_seed: int = Field(0, ge=0, le=2**31 - 1)
    """Fixes which combinations are drawn."""
    first_rung: int = Field(1, ge=1, le=1000)
    """Halving: the epoch at which runs are first compared."""
    reduction: int = Field(3, ge=2, le=10)
    """Halving: the best 1/reduction go on at each rung; the next rung is that many times later."""

    # --- in and out -----------------------------------------------------------------------------
    @classmethod
    def from_mapping(cls, values: Mapping[str, Any], *, stored: bool = False) -> SweepConfig:
        """From plain values, as JSON, YAML or a form hold them. Raises ConfigError.

        A `stored` sweep has begun already: it may vary what a new one may not.
        """
        fields = dict(values)
        for key, typed, what in (
            ("name", typed_name, "A sweep's name"),
            ("story", typed_notes, "A sweep's sentences"),
        ):
            if isinstance(text := fields.get(key), str):
                longest = 60 if key == "name" else 600
                fields[key] = visible(text) if stored else typed(text, what, longest)
        unknown = [key for key in fields if key not in cls.model_fields]
        if unknown:
            raise ConfigError(unknown_names("setting", map(str, unknown), cls.model_fields))
        base = fields.get("base") or {}
        if not isinstance(base, (RunConfig, Mapping)):
            raise ConfigError(f"base is {cut(base)}; it must be knobs and values of a run.")
        fields["base"] = base if isinstance(base, RunConfig) else RunConfig.from_mapping(base)
        axes = fields.get("axes")
        if not isinstance(axes, Mapping) or not axes:
            raise ConfigError(
                "axes is empty; name at least one knob with its values, for example "
                "learning_rate: [0.001, 0.0001]."
            )
        kind = fields.get("kind", "grid")
        fields["axes"] = {
            str(knob): _axis(str(knob), axis, fields["base"], None if stored else kind)
            for knob, axis in axes.items()
        }
        try:
            sweep = cls.model_validate(fields)
        except ValidationError as error:
            raise ConfigError(" ".join(_sentence(e) for e in error.errors()[:5])) from None
        sweep._check()
        return sweep

    def _check(self) -> None:
        if self.metric not in JUDGED_BY:
            raise ConfigError(
                f"metric is {cut(self.metric)}; allowed is one of {', '.join(JUDGED_BY)}."
            )
        if not self.seeds or len(set(self.seeds)) < len(self.seeds):
            raise ConfigError(
                f"seeds is {cut(list(self.seeds))}; give one or more different numbers."
            )
        for seed in self.seeds:
            self.base.changed(seed=seed)
        if self.runs_at_most > MOST_RUNS:
            raise ConfigError(
                f"This sweep would train {self.runs_at_most:,} runs; allowed are {MOST_RUNS}. Take "
                "fewer values or seeds, or draw some combinations at random."
            )
        self._check_drawing()
        if self.kind == "halving" and self.first_rung >= self.base.epochs:
            raise ConfigError(
                f"first_rung is {self.first_rung} and a run has "
                f"{plural(self.base.epochs, 'epoch')}; runs must be "
                "compared before their last epoch. Take more epochs, or kind random."
            )

    def _check_drawing(self) -> None:
        if not self.method.learns:
            return
        ranges = [knob for knob, a in self.axes.items() if isinstance(a, Range) and a.low < a.high]
        listed = [KNOBS[knob].title for knob, a in self.axes.items() if not isinstance(a, Range)]
        if self.kind == "cmaes" and (listed or len(ranges) < 2):
            what = f"{listed[0]} is a list of values" if listed else f"{len(ranges)} given"
            raise ConfigError(
                f"CMA-ES needs two ranges of numbers or more and nothing else, and {what}. Vary "
                "other settings, or take TPE (kind tpe), which takes settings of any kind."
            )
        if not ranges:
            raise ConfigError(
                "TPE needs at least one range of numbers: of lists alone it would train the same "
                "combination again and again. Take a grid or random, which try each one once."
            )

    def to_json(self) -> str:
        return self.model_dump_json()

    @classmethod
    def from_json(cls, text: str) -> SweepConfig:
        """As a store holds it, of this version of the lab or an earlier one. Raises ConfigError."""
        return cls.from_mapping(read_json(text), stored=True)

    def to_yaml(self) -> str:
        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False, allow_unicode=True)

    @classmethod
    def from_yaml(cls, text: str) -> SweepConfig:
        """Raises ConfigError."""
        return cls.from_mapping(read_yaml(text))

    # --- combinations ---------------------------------------------------------------------------
    @property
    def points(self) -> tuple[Params, ...] | None:
        """The combinations in the order in which they are trained: all of a grid; for the other
        kinds, when every axis is a list, `trials` different ones in a random order. None when some
        axis is a range to draw from, as always where the method learns: then each is drawn when
        its turn comes."""
        axes = {
            knob: axis.values(whole=KNOBS[knob].kind == "int") if isinstance(axis, Range) else axis
            for knob, axis in self.axes.items()
        }
        grid = (
            dict(zip(axes, values, strict=True)) for values in itertools.product(*axes.values())
        )
        if self.kind == "grid":
            return tuple(grid)
        if any(isinstance(axis, Range) for axis in self.axes.values()):
            return None
        combinations = list(grid)
        order = np.random.default_rng(self.draw_seed).permutation(len(combinations))
        return tuple(combinations[i] for i in order[: self.trials])

    @property
    def combinations(self) -> int:
        """How many combinations will be tried."""
        if self.kind == "grid" or not any(isinstance(a, Range) for a in self.axes.values()):
            sizes = [
                len(a.values(whole=KNOBS[k].kind == "int")) if isinstance(a, Range) else len(a)
                for k, a in self.axes.items()
            ]
            total = math.prod(sizes)
            return total if self.kind == "grid" else min(total, self.trials)
        return self.trials

    @property
    def runs_at_most(self) -> int:
        return self.combinations * len(self.seeds)

    @property
    def method(self) -> Method:
        """How its combinations are chosen."""
        return METHODS[self.kind]

    @property
    def rungs(self) -> tuple[int, ...]:
        """Halving: the epochs at which runs are compared, all before the last one."""
        if self.kind != "halving":
            return ()
        epochs, rung = [], self.first_rung
        while rung < self.base.epochs:
            epochs.append(rung)
            rung *= self.reduction
        return tuple(epochs)

    @property
    def measured(self) -> Metric:
        """The metric that the sweep is judged by."""
        return METRICS[self.metric.removeprefix("val_")]

    @property
    def higher_is_better(self) -> bool:
        return self.measured.higher_is_better

    def run_config(self, params: Mapping[str, Any], seed: int) -> RunConfig:
        """Raises ConfigError when the combination does not fit together."""
        return self.base.changed(**params, seed=seed)

    def run_name(self, params: Mapping[str, Any], seed: int) -> str:
        """Such as "Learning rate 0.001, dropout 0.3 (Sweep)"; at most 80 characters."""
        text = ", ".join(setting_words(KNOBS[knob], value) for knob, value in params.items())
        text = text[:1].upper() + text[1:]
        if len(self.seeds) > 1:
            text += f", seed {seed}"
        name = f"{text} ({self.name})"
        return name if len(name) <= 80 else f"{text[:79]}…" if len(text) > 80 else text


def varies(knob: Knob, kind: Kind) -> bool:
    """Whether a sweep of that kind may vary the knob."""
    return knob.sweep == "any" or (knob.sweep == "grid" and kind == "grid")


def _axis(knob: str, axis: Any, base: RunConfig, kind: Kind | None) -> tuple[Any, ...] | Range:
    """The axis with every value as RunConfig holds it ("1e-3" of a YAML file becomes 0.001).

    `kind` is that of a new sweep, which may not vary everything; None for a stored one.
    """
    if knob not in KNOBS:
        raise ConfigError(unknown_name("knob", knob, KNOBS))
    if knob == "seed":
        raise ConfigError("seed is no axis of a sweep. Use seeds, which repeats every combination.")
    if kind and KNOBS[knob].sweep == "never":
        raise ConfigError(
            f"{knob} cannot be varied by a sweep, because it does not change what is learned; set "
            "it in base."
        )
    if kind and not varies(KNOBS[knob], kind):
        raise ConfigError(f"{knob} can be varied by a grid only: runs of one length are compared.")
    if isinstance(axis, (Range, Mapping)):
        return _range(knob, axis, base)
    if isinstance(axis, (str, bytes)) or not isinstance(axis, (list, tuple)) or not axis:
        raise ConfigError(
            f"{knob} is {cut(axis)}; give a list of values, or low and high, for example "
            "[0.001, 0.0001] or {low: 0.0001, high: 0.01, log: true, steps: 3}."
        )
    if len(axis) > 2 * MOST_RUNS:  # each is checked as a whole run below
        raise ConfigError(f"{knob} has {len(axis):,} values; allowed are {MOST_RUNS} runs.")
    values = [getattr(base.changed(**{knob: value}), knob) for value in axis]
    if len(set(values)) < len(values):
        raise ConfigError(
            f"{knob} names a value twice: {', '.join(map(KNOBS[knob].text, values)):.200}."
        )
    return tuple(values)


def _range(knob: str, axis: Any, base: RunConfig) -> Range:
    if KNOBS[knob].kind not in ("int", "float"):
        raise ConfigError(f"{knob} is not a number and has no range; {KNOBS[knob].allowed}.")
    try:
        bounds = axis if isinstance(axis, Range) else Range.model_validate(axis)
    except ValidationError as error:
        reasons = " ".join(_sentence(e) for e in error.errors()[:5])
        raise ConfigError(f"The range of {knob}: {reasons}") from None
    if bounds.low > bounds.high or (bounds.log and bounds.low <= 0):
        raise ConfigError(
            f"The range of {knob} is from {bounds.low:g} to {bounds.high:g}; low must not be above "
            "high, and above 0 where log is true."
        )
    for value in (bounds.low, bounds.high):
        whole = KNOBS[knob].kind == "int"
        base.changed(**{knob: int(value) if whole and value == int(value) else value})
    return bounds


def _sentence(error: Any) -> str:
    where = ".".join(str(part) for part in error["loc"])[:80] or "the sweep"
    if error["type"] == "missing":
        return f"{where} is missing."
    return f"{where} is {cut(error['input'])}: {error['msg'][0].lower()}{error['msg'][1:]}."
