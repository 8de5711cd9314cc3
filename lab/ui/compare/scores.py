"""Compare, "Final results": each run's result, how sure it is, the spread over seeds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations
from operator import attrgetter

import pandas as pd
import streamlit as st

from lab.charts.compare import FinalAccuracy, final_accuracies, final_accuracies_alt
from lab.charts.style import CHART
from lab.evaluate.compare import (
    CHANCE,
    AccuracyInterval,
    SeedSpread,
    alike,
    holm,
    over_seeds,
    welch,
)
from lab.experiments.looks import looks_words
from lab.metrics import METRICS, Metric
from lab.runs.intervals import accuracy_intervals
from lab.runs.store import RunRow, store
from lab.ui.compare.choice import ComparedRun
from lab.ui.widgets.baseline import AGAINST, against_columns
from lab.ui.widgets.settings_table import setting_text
from lab.ui.words import plain, status_word
from lab.words import NONE

MOST_ROWS = 40
"""Runs in the chart; of more there is only the table."""


@dataclass(frozen=True)
class Result:
    """A number that a run ends with."""

    title: str
    of: Callable[[RunRow], float | int | None]
    is_share: bool = False
    higher_is_better: bool = True


def _of_metric(part: str, words: str, metric: Metric) -> Result:
    values = attrgetter(part)
    return Result(
        f"{words} {metric.title.lower()}",
        lambda run: values(run).get(metric.name),
        metric.is_share,
        metric.higher_is_better,
    )


RESULTS = {
    **{f"test_{m.name}": _of_metric("test", "Test", m) for m in METRICS.values()},
    **{
        f"best_val_{m.name}": _of_metric("best_val", "Best epoch's validation", m)
        for m in METRICS.values()
    },
    "seconds": Result("Training seconds", lambda r: r.seconds or None, higher_is_better=False),
    "images_per_second": Result("Images per second", lambda r: r.images_per_second),
    "total_parameters": Result("Parameters", lambda r: r.total_parameters, higher_is_better=False),
    "trainable_parameters": Result("Trained parameters", lambda r: r.trainable_parameters),
    "train_samples": Result("Training images", lambda r: r.train_samples),
    "best_epoch": Result("Best epoch", lambda r: r.best_epoch, higher_is_better=False),
}


def results_of(chosen: Sequence[ComparedRun]) -> list[str]:
    """Returns the names of the RESULTS that any of the runs has, accuracy first."""
    available = [n for n, r in RESULTS.items() if any(r.of(c.row) is not None for c in chosen)]
    return sorted(available or RESULTS, key=lambda name: not name.endswith("_accuracy"))


def draw_scores(chosen: Sequence[ComparedRun]) -> None:
    """Draws the whole tab."""
    runs = [c.row for c in chosen]
    validated, tested = accuracy_intervals(runs, "val"), accuracy_intervals(runs, "test")
    rows = [
        FinalAccuracy(
            c.title,
            c.row.best_val_accuracy,
            val.interval,
            c.row.test_accuracy,
            test.interval,
        )
        for c, val, test in zip(chosen, validated, tested, strict=True)
    ]
    if len(rows) <= MOST_ROWS:
        st.plotly_chart(
            final_accuracies(rows),
            key="compare_finals",
            config=CHART,
            alt=final_accuracies_alt(rows),
        )
    st.dataframe(
        _frame(chosen, rows, [test.units for test in tested]),
        key="compare_table",
        hide_index=True,
        placeholder=NONE,
        column_config=_COLUMNS,
        alt=f"Final results of {len(rows)} runs with their 95% intervals.",
    )
    _draw_caption(chosen, validated, tested)
    _draw_seeds(chosen)


def _draw_caption(
    chosen: Sequence[ComparedRun],
    validated: Sequence[AccuracyInterval],
    tested: Sequence[AccuracyInterval],
) -> None:
    """Draws what the table's numbers count, and what they do not say."""
    notes = [
        "Intervals (95%) are over other images of this kind, copies counted once where they are "
        "known; what another seed would do is below."
    ]
    if any(each.interval is None and each.units for each in (*validated, *tested)):
        notes.append(
            "Without one: copies are known, but not which images that run is right on. Its Results "
            "find out."
        )
    first_tested = next((c.row for c in chosen if c.row.test_accuracy is not None), None)
    if len({c.row.dataset for c in chosen}) > 1:
        notes.append("These runs are on several data sets: their results are of other images.")
    elif first_tested is not None and (looks := looks_words(first_tested, store())):
        notes.append(looks)
    st.caption(
        " ".join(notes),
        help="Wilson's interval; where images are copies of one another it counts as many as are "
        "independent. Validation images chose each run's best epoch, so their result is slightly "
        "too high.",
    )


def _frame(
    chosen: Sequence[ComparedRun], rows: Sequence[FinalAccuracy], units: Sequence[int | None]
) -> pd.DataFrame:
    runs = [c.row for c in chosen]
    fewer = any(
        u is not None and u < (r.test_samples or 0) for u, r in zip(units, runs, strict=True)
    )
    return pd.DataFrame(
        {
            "Run": [c.title for c in chosen],
            "Status": [status_word(r.status) for r in runs],
            "Test": [r.test_accuracy for r in runs],
            "Test, 95%": [_interval(row.test_interval) for row in rows],
            "Test images": [r.test_samples for r in runs],
            **({"Independent": list(units)} if fewer else {}),
            "Validation": [r.best_val_accuracy for r in runs],
            "Validation, 95%": [_interval(row.validation_interval) for row in rows],
            "Best epoch": [r.best_epoch for r in runs],
            "Best epoch by": [
                setting_text("best_metric", r.settings.get("best_metric")) for r in runs
            ],
            **{
                RESULTS[name].title: [RESULTS[name].of(r) for r in runs]
                for name in (f"test_{metric}" for metric in METRICS if metric != "accuracy")
                if any(RESULTS[name].of(r) is not None for r in runs)
            },
            **against_columns(runs),
            "Parameters": [r.total_parameters for r in runs],
            "Seconds": [r.seconds for r in runs],
        }
    )


_COLUMNS = {
    "Run": st.column_config.TextColumn(pinned=True, width=280),
    "Test": st.column_config.NumberColumn(
        format="percent",
        help="Accuracy on the test images, which took part in nothing; measured once, at the end.",
    ),
    "Test images": st.column_config.NumberColumn(format="localized"),
    "Independent": st.column_config.NumberColumn(
        format="localized", help="Pictures among the test images that are no copies of one another."
    ),
    "Validation": st.column_config.NumberColumn(
        format="percent", help="Accuracy on the validation images at the best epoch."
    ),
    **{
        f"Test {m.title.lower()}": st.column_config.NumberColumn(
            format="percent" if m.is_share else "%.3f", help=m.about
        )
        for m in METRICS.values()
    },
    **AGAINST,
    "Parameters": st.column_config.NumberColumn(
        format="localized", help="Weights and biases of the network."
    ),
    "Seconds": st.column_config.NumberColumn(format="%.0f", help="Of training."),
}


def _interval(ends: tuple[float, float] | None) -> str:
    return NONE if ends is None else f"{100 * ends[0]:.1f} to {100 * ends[1]:.1f}%"


def _draw_seeds(chosen: Sequence[ComparedRun]) -> None:
    st.header("Same settings, other seeds", anchor=False)
    settings = [c.row.settings for c in chosen]
    spreads: list[tuple[str, SeedSpread]] = [
        (title, spread)
        for title, results in (
            ("Test", [c.row.test_accuracy for c in chosen]),
            ("Validation", [c.row.best_val_accuracy for c in chosen]),
        )
        for spread in over_seeds(settings, results)
    ]
    if not spreads:
        st.caption(
            "No two of these runs differ in the seed alone. Train the same settings with two or "
            "three seeds: how far those differ by luck is what a difference between settings has "
            "to exceed."
        )
        return
    st.dataframe(
        pd.DataFrame(
            {
                "Runs": [", ".join(chosen[i].title for i in s.members) for _, s in spreads],
                "Result": [title for title, _ in spreads],
                "Seeds": [", ".join(map(str, s.seeds)) for _, s in spreads],
                "Mean": [s.mean for _, s in spreads],
                "Mean, 95%": [
                    _interval((max(0.0, s.interval[0]), min(1.0, s.interval[1])))
                    for _, s in spreads
                ],
                "± deviation": [f"{100 * s.deviation:.2f} points" for _, s in spreads],
                "Lowest": [s.lowest for _, s in spreads],
                "Highest": [s.highest for _, s in spreads],
            }
        ),
        hide_index=True,
        column_config={
            name: st.column_config.NumberColumn(format="percent")
            for name in ("Mean", "Lowest", "Highest")
        },
        alt=f"Mean and spread over seeds of {len(spreads)} groups of runs.",
    )
    _draw_settings(chosen, [spread for title, spread in spreads if title == spreads[0][0]])
    st.caption(
        "“Mean, 95%” is over other seeds, on these images (Student); with two or three seeds it "
        "is wide, and that is how little they say. A seed that was run twice counts once."
    )


def _draw_settings(chosen: Sequence[ComparedRun], spreads: Sequence[SeedSpread]) -> None:
    """Draws which of the settings, each over its seeds, cannot be told apart."""
    if len(spreads) < 2:
        return
    pairs = list(combinations(range(len(spreads)), 2))
    p_values = holm([welch(spreads[i], spreads[j]) for i, j in pairs])
    different = [pair for pair, p in zip(pairs, p_values, strict=True) if p < CHANCE]
    names = [plain(chosen[s.members[0]].title) for s in spreads]
    sets = [
        " and ".join(names[number] for number in members)
        for members in alike(len(spreads), different)
        if len(members) > 1
    ]
    st.markdown(
        f":material/balance: **Not distinguishable over their seeds:** {'; '.join(sets)}."
        if sets
        else ":material/trending_up: All of these settings differ by more than their seeds do."
    )
