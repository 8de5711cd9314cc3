"""The Results tab's metrics: tiles on top, and each class."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from lab.evaluate.leak_free import LeakFree
from lab.evaluate.report import Report
from lab.ui.words import plain
from lab.words import NONE, percent, plural


def draw_metrics(
    report: Report,
    made_from: str,
    honest: LeakFree | None,
    part: str,
    luck: tuple[float, float],
) -> None:
    """Draws the metrics, what they were measured on, and how they compare with the baseline.

    `honest` is None while nobody has looked for copies; `luck`: between which calibration errors a
    perfectly calibrated network lies.
    """
    low, high = report.interval
    with st.grid(7, min_column_width=150, gap="small"):
        st.metric(
            "Accuracy",
            percent(report.accuracy),
            border=True,
            help=f"{report.right:,} of {report.n:,} images are predicted right.",
        )
        st.metric(
            "95% interval",
            f"{100 * low:.1f}–{100 * high:.1f}%",
            border=True,
            help="Where the accuracy on endlessly many images of this kind plausibly lies "
            "(Wilson's interval): fewer images, wider interval. It does not show how another "
            "training with another seed would do."
            + (
                f" The {report.n:,} images are copies of {report.units:,} independent pictures, "
                "and it counts those."
                if report.units < report.n
                else ""
            ),
        )
        _draw_leak_free(honest, part)
        st.metric(
            "Majority baseline",
            percent(report.baseline),
            border=True,
            help=f"The accuracy of always answering “{plain(report.majority)}”, the most frequent "
            "class of the training images. A network that is no better has learned nothing.",
        )
        st.metric(
            "Loss",
            f"{report.loss:.3f}",
            border=True,
            help="Mean cross-entropy: minus the logarithm of the probability that was given to the "
            "true class. 0 is perfect; being sure and wrong costs most.",
        )
        st.metric(
            "Calibration error",
            percent(report.calibration.expected_error),
            delta=f"luck: {100 * luck[0]:.1f}–{100 * luck[1]:.1f}%",
            delta_color="off",
            delta_arrow="off",
            border=True,
            help="By how much the probabilities are off on average: answers given with 90% should "
            "be right nine times in ten. Luck: what a perfectly calibrated network shows "
            "with so many pictures. The diagram is further down.",
        )
        st.metric(
            "Macro F1",
            f"{report.macro.f1:.3f}",
            border=True,
            help="F1 joins precision and recall of a class in one number, 1 is perfect; macro: the "
            "mean over the classes, each counting the same however many images it has.",
        )
    st.caption(f"{made_from} {_against_baseline(report)}")
    if report.one_class:
        st.warning(plain(report.one_class), icon=":material/filter_1:")


def _draw_leak_free(honest: LeakFree | None, part: str) -> None:
    explained = (
        f"The accuracy on those {part} images of which the run has seen no near-copy: only these "
        "show how good it is on new pictures."
    )
    if honest is None:
        value, delta = NONE, "not checked yet"
    elif not honest.clean.n:
        value, delta = NONE, "all are near-copies"
    else:
        low, high = honest.clean.interval
        value = percent(honest.clean.share)
        delta = f"of {honest.clean.n:,}: {100 * low:.1f}–{100 * high:.1f}%"
    st.metric(
        "Leak-free accuracy",
        value,
        delta=delta,
        delta_color="off",
        delta_arrow="off",
        border=True,
        help=explained,
    )


def _against_baseline(report: Report) -> str:
    if report.beats_baseline is None:
        return (
            "The majority baseline lies within the interval: these images do not show that the "
            "network is better than always giving one answer."
        )
    if report.beats_baseline:
        return "The whole interval lies above the majority baseline."
    return "The whole interval lies below the majority baseline: worse than always one answer."


def draw_classes(report: Report, class_names: Sequence[str]) -> None:
    """Draws precision, recall, F1 and support of every class."""
    st.header("Each class", anchor=False)
    scores, macro = report.scores, report.macro
    st.dataframe(
        {
            "Class": list(class_names),
            "Images": scores.support,
            "Predicted": scores.predicted,
            "Precision": scores.precision,
            "Recall": scores.recall,
            "F1": scores.f1,
        },
        hide_index=True,
        column_config=_COLUMNS,
        alt=f"Precision, recall, F1 and number of images of each of {len(class_names)} classes.",
    )
    notes = [
        f"Macro averages, every class counting the same: precision {_number(macro.precision)}, "
        f"recall {_number(macro.recall)}, F1 {_number(macro.f1)}."
    ]
    if macro.never_predicted:
        notes.append(
            f"Never predicted: {plural(macro.never_predicted, 'class')}. They have no precision "
            "and are left out of its average, while their F1 counts as 0."
        )
    if macro.without_images:
        notes.append(
            f"Without an image here, so without recall: {plural(macro.without_images, 'class')}."
        )
    st.caption(" ".join(notes))


_COLUMNS = {
    "Images": st.column_config.NumberColumn(
        format="localized", help="How many images belong to the class (support)."
    ),
    "Predicted": st.column_config.NumberColumn(
        format="localized", help="How many images were given this class."
    ),
    "Precision": st.column_config.NumberColumn(
        format="percent", help="Of the images that were given this class, how many belong to it."
    ),
    "Recall": st.column_config.NumberColumn(
        format="percent", help="Of the images of this class, how many were found."
    ),
    "F1": st.column_config.NumberColumn(
        format="%.3f", help="Precision and recall in one number (their harmonic mean)."
    ),
}


def _number(value: float) -> str:
    return "–" if value != value else f"{value:.3f}"
