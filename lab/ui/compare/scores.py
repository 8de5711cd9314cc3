"""Compare, "Final figures": each run's result, how sure it is, the spread over seeds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pandas as pd
import streamlit as st

from lab.charts.compare import Final, finals, finals_alt
from lab.charts.style import CHART
from lab.evaluate.compare import SeedSpread, over_seeds, share_interval
from lab.runs.store import RunRow
from lab.ui.compare.choice import Chosen
from lab.ui.words import percent, plain, status_word

MOST_ROWS = 40
"""Of the chart; more runs have the table."""


@dataclass(frozen=True)
class Result:
    """A figure that a run ends with."""

    title: str
    of: Callable[[RunRow], float | int | None]
    share: bool = False
    better: str = "high"
    """Or "low"."""


RESULTS = {
    "test_accuracy": Result("Test accuracy", lambda r: r.test_accuracy, share=True),
    "best_val_accuracy": Result(
        "Best validation accuracy", lambda r: r.best_val_accuracy, share=True
    ),
    "test_loss": Result("Test loss", lambda r: r.test_loss, better="low"),
    "best_val_loss": Result("Best validation loss", lambda r: r.best_val_loss, better="low"),
    "seconds": Result("Training seconds", lambda r: r.seconds or None, better="low"),
    "images_per_second": Result("Images per second", lambda r: r.images_per_second),
    "total_parameters": Result("Weights", lambda r: r.total_parameters, better="low"),
    "trainable_parameters": Result("Trained weights", lambda r: r.trainable_parameters),
    "train_samples": Result("Training images", lambda r: r.train_samples),
    "best_epoch": Result("Best epoch", lambda r: r.best_epoch, better="low"),
}


def draw_figures(chosen: Sequence[Chosen]) -> None:
    """The whole tab."""

    rows = [
        Final(
            c.title,
            c.row.best_val_accuracy,
            share_interval(c.row.best_val_accuracy, c.row.val_samples),
            c.row.test_accuracy,
            share_interval(c.row.test_accuracy, c.row.test_samples),
        )
        for c in chosen
    ]
    if len(rows) <= MOST_ROWS:
        st.plotly_chart(finals(rows), key="compare_finals", config=CHART, alt=finals_alt(rows))
    st.dataframe(
        _frame(chosen, rows),
        key="compare_table",
        hide_index=True,
        column_config=_COLUMNS,
        alt=f"Final figures of {len(rows)} runs with their 95 % intervals.",
    )
    said = (
        "The interval tells where the accuracy on endlessly many images of this kind plausibly "
        "lies (Wilson, 95 %): fewer images, wider interval. It does not tell how another seed "
        "would do; for that see below. Validation chose the weights, which flatters it; choosing "
        "the best of many runs by the test figure flatters that one too."
    )
    if len({c.row.dataset for c in chosen}) > 1:
        said += " These runs are on several data sets: their figures are of different images."
    st.caption(said)
    _draw_seeds(chosen)


def _frame(chosen: Sequence[Chosen], rows: Sequence[Final]) -> pd.DataFrame:
    runs = [c.row for c in chosen]
    return pd.DataFrame(
        {
            "Run": [c.title for c in chosen],
            "Status": [status_word(r.status) for r in runs],
            "Test": [r.test_accuracy for r in runs],
            "Test, 95 %": [_interval(row.test_interval) for row in rows],
            "Test images": [r.test_samples for r in runs],
            "Best validation": [r.best_val_accuracy for r in runs],
            "Validation, 95 %": [_interval(row.validation_interval) for row in rows],
            "Best epoch": [r.best_epoch for r in runs],
            "Test loss": [r.test_loss for r in runs],
            "Weights": [r.total_parameters for r in runs],
            "Seconds": [r.seconds for r in runs],
        }
    )


_COLUMNS = {
    "Run": st.column_config.TextColumn(pinned=True, width="medium"),
    "Test": st.column_config.NumberColumn(
        format="percent",
        help="Accuracy on the test images, which took part in nothing; measured once, at the end.",
    ),
    "Test images": st.column_config.NumberColumn(format="localized"),
    "Best validation": st.column_config.NumberColumn(
        format="percent", help="Accuracy on the validation images at the epoch that was kept."
    ),
    "Test loss": st.column_config.NumberColumn(
        format="%.3f",
        help="Mean cross-entropy: minus the logarithm of the probability that was given to the "
        "true class. 0 is perfect.",
    ),
    "Weights": st.column_config.NumberColumn(format="localized", help="Numbers in the network."),
    "Seconds": st.column_config.NumberColumn(format="%.0f", help="Of training."),
}


def _interval(ends: tuple[float, float] | None) -> str:
    return "–" if ends is None else f"{100 * ends[0]:.1f} to {100 * ends[1]:.1f} %"


def _draw_seeds(chosen: Sequence[Chosen]) -> None:
    st.subheader("Same settings, other seeds", anchor=False)
    settings = [c.row.settings for c in chosen]
    found: list[tuple[str, SeedSpread]] = [
        (title, spread)
        for title, results in (
            ("Test", [c.row.test_accuracy for c in chosen]),
            ("Best validation", [c.row.best_val_accuracy for c in chosen]),
        )
        for spread in over_seeds(settings, results)
    ]
    if not found:
        st.caption(
            "No two of these runs differ in the seed alone. Train the same settings with two or "
            "three seeds: how far those differ by luck is what a difference between settings has "
            "to exceed."
        )
        return
    st.dataframe(
        pd.DataFrame(
            {
                "Runs": [", ".join(chosen[i].title for i in s.members) for _, s in found],
                "Figure": [title for title, _ in found],
                "Seeds": [", ".join(map(str, s.seeds)) for _, s in found],
                "Mean": [s.mean for _, s in found],
                "± deviation": [f"{100 * s.deviation:.2f} points" for _, s in found],
                "Lowest": [s.lowest for _, s in found],
                "Highest": [s.highest for _, s in found],
            }
        ),
        hide_index=True,
        column_config={
            name: st.column_config.NumberColumn(format="percent")
            for name in ("Mean", "Lowest", "Highest")
        },
        alt=f"Mean and spread over seeds of {len(found)} groups of runs.",
    )
    title, first = max(found, key=lambda each: len(each[1].seeds))
    st.caption(
        "Deviation: how far one seed's figure usually lies from the mean (sample standard "
        f"deviation). For {plain(chosen[first.members[0]].title)} and the same with other seeds, "
        f"{len(first.seeds)} in all: {title.lower()} {percent(first.mean)} ± "
        f"{100 * first.deviation:.2f} points. With so few seeds the deviation is itself a rough "
        "figure. A seed that was run twice counts once."
    )
