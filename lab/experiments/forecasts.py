"""Predict, then run: what a person expects of a run before it starts, scored when it has ended.

    what is said                                        score, lower is better
    --------------------------------------------------  ------------------------------------------
    accuracy between two ends, 80 % sure                interval score: width + 10 x the miss
    better than another run, how likely                 Brier score: (chance - what came)²
    a verdict will be given, how likely                 Brier score

Both reward saying what one believes: T. Gneiting and A. Raftery, "Strictly proper scoring rules,
prediction, and estimation", JASA 102 (2007). Nobody has to predict anything.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from lab.errors import ConfigError, NotFoundError
from lab.evaluate.verdicts.judge import TITLES
from lab.runs.rows import RunRow
from lab.runs.store import Store
from lab.words import percent, whole_percent

SURE = 0.8
"""How sure a person is to be of a range of accuracies."""

Share = Field(None, ge=0.0, le=1.0)


class Forecast(BaseModel):
    """What was written down before a run; every part may be left out."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    low: float | None = Share
    high: float | None = Share
    """The range of the test accuracy, as fractions; of a set without test images, of the validation
    accuracy at the best epoch."""
    rival: str = ""
    """The id of a run on the same data that this one is compared with."""
    wins: float | None = Share
    """The chance that it is more accurate than its rival."""
    verdict: str = ""
    """A kind of verdict."""
    fires: float | None = Share
    """The chance that the verdict is given."""

    @property
    def has_range(self) -> bool:
        return self.low is not None and self.high is not None

    @property
    def is_empty(self) -> bool:
        return not (self.has_range or self.rival or self.verdict)


def checked(**values: Any) -> Forecast:
    """Returns the forecast; raises ConfigError for one that makes no sense."""
    try:
        forecast = Forecast(**values)
    except ValidationError as error:
        first = error.errors()[0]
        raise ConfigError(
            f"The prediction's {first['loc'][0]} is {first['input']!r:.40}; allowed is a fraction "
            "from 0 to 1."
        ) from None
    if (forecast.low is None) != (forecast.high is None):
        raise ConfigError("The predicted range has one end only; give both, or leave both out.")
    if forecast.low is not None and forecast.high is not None and forecast.low > forecast.high:
        raise ConfigError(
            f"The predicted range is from {percent(forecast.low)} to {percent(forecast.high)}; the "
            "first must not be above the second."
        )
    return forecast


def forecast_of(run: RunRow) -> Forecast | None:
    """Returns what was predicted for the run; None for nothing that this version can read."""
    try:
        return Forecast.model_validate_json(run.forecast) if run.forecast else None
    except ValidationError:  # another version of the lab wrote it
        return None


# --- scores ---------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Score:
    """What came of one statement."""

    words: str
    held: bool | None = None
    """Of a range: whether the accuracy lies in it."""
    interval: float | None = None
    """Of a range: the interval score, in points of accuracy."""
    brier: float | None = None


def reached(run: RunRow) -> float | None:
    """The accuracy that is predicted: of the test, else of the validation at the best epoch."""
    if run.test_accuracy is not None:
        return run.test_accuracy
    untested = run.status == "completed" and not run.test_samples
    return run.best_val_accuracy if untested else None


def range_score(run: RunRow, forecast: Forecast) -> Score | None:
    """Returns the score of the range; None where nothing was said or the run has no result."""
    accuracy = reached(run)
    if accuracy is None or forecast.low is None or forecast.high is None:
        return None
    miss = max(0.0, forecast.low - accuracy, accuracy - forecast.high)
    held = miss == 0
    said = f"{_points(forecast.low)} to {_points(forecast.high)}%"
    outcome = "and it is" if held else "but it is"
    return Score(
        f"You said {said}, {outcome} {percent(accuracy)}.",
        held=held,
        interval=100 * (forecast.high - forecast.low + 2 / (1 - SURE) * miss),
    )


def rival_score(run: RunRow, forecast: Forecast, runs: Store) -> Score | None:
    """Returns the score of "better than that run"; None where nothing was said or nothing came."""
    accuracy = reached(run)
    if accuracy is None or not forecast.rival or forecast.wins is None:
        return None
    try:
        rival = runs.run(forecast.rival)
    except NotFoundError:
        return Score("The run that it was to beat is no longer here.")
    theirs = reached(rival)
    if theirs is None:
        return None
    came = 0.5 if accuracy == theirs else float(accuracy > theirs)
    how = {1.0: "beats", 0.5: "equals", 0.0: "does not beat"}[came]
    return Score(
        f"It {how} “{rival.name}” ({percent(theirs)}); you gave that a "
        f"chance of {whole_percent(forecast.wins)}.",
        brier=(forecast.wins - came) ** 2,
    )


def verdict_score(forecast: Forecast, given: Collection[str]) -> Score | None:
    """Returns the score of "this verdict will be given"; `given` are the kinds that were."""
    if not forecast.verdict or forecast.fires is None:
        return None
    came = forecast.verdict in given
    title = TITLES.get(forecast.verdict, forecast.verdict)  # type: ignore[call-overload]
    return Score(
        f"The verdict “{title}” was {'given' if came else 'not given'}; you gave it "
        f"a chance of {whole_percent(forecast.fires)}.",
        brier=(forecast.fires - came) ** 2,
    )


def expectation(forecast: Forecast) -> str:
    """Returns what was predicted, in a sentence, for while the run is not over."""
    parts = []
    if forecast.low is not None and forecast.high is not None:
        parts.append(f"{_points(forecast.low)} to {_points(forecast.high)}% right")
    if forecast.rival and forecast.wins is not None:
        parts.append(f"better than its rival with a chance of {whole_percent(forecast.wins)}")
    if forecast.verdict and forecast.fires is not None:
        title = TITLES.get(forecast.verdict, forecast.verdict)  # type: ignore[call-overload]
        parts.append(f"“{title}” with a chance of {whole_percent(forecast.fires)}")
    return f"You expect: {'; '.join(parts)}." if parts else ""


@dataclass(frozen=True)
class Record:
    """How a person's predictions have done so far. Verdicts are not in it: judging takes long."""

    ranges: int
    held: int
    interval: float | None
    """Mean interval score, in points."""
    brier: float | None
    """Mean Brier score of "better than that run"."""

    @property
    def words(self) -> str:
        """Such as "7 of 10 of your 80 % ranges held."; empty while there are none."""
        parts = []
        if self.ranges:
            parts.append(f"{self.held} of {self.ranges} of your {SURE:.0%} ranges held")
        if self.brier is not None:
            parts.append(f"Brier score of who wins {self.brier:.2f} (0.25 is a coin)")
        return f"{'; '.join(parts)}." if parts else ""


def record(rows: Sequence[RunRow], runs: Store) -> Record:
    """Returns the record over the runs that were predicted and have a result."""
    predicted = [(row, f) for row in rows if (f := forecast_of(row)) is not None]
    ranges = [s for row, f in predicted if (s := range_score(row, f)) is not None]
    rivals = [rival_score(row, f, runs) for row, f in predicted]
    widths = [s.interval for s in ranges if s.interval is not None]
    briers = [s.brier for s in rivals if s is not None and s.brier is not None]
    return Record(
        ranges=len(ranges),
        held=sum(bool(s.held) for s in ranges),
        interval=sum(widths) / len(widths) if widths else None,
        brier=sum(briers) / len(briers) if briers else None,
    )


def _points(share: float) -> str:
    return f"{100 * share:.4g}"
