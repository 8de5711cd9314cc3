"""The Results tab's probabilities: how sure and how right, answering only when sure, thresholds of
a class, answer sets.

What validation images choose (`val`) is measured on the images that are looked at. `val` is None
where these are the validation images themselves, or where there are none.
"""

from __future__ import annotations

import numpy as np
import streamlit as st

from lab.charts.reliability import reliability, reliability_alt
from lab.charts.risk_coverage import risk_coverage_alt, risk_coverage_chart
from lab.charts.style import CHART
from lab.charts.two_classes import precision_recall, precision_recall_alt, roc, roc_alt
from lab.evaluate.answer_sets import LEVELS, SET_METHODS, MeasuredSets, fit_sets, measure_sets
from lab.evaluate.metrics import (
    GroupedShare,
    Ints,
    calibration_by_luck,
    precision_recall_curve,
    roc_curve,
)
from lab.evaluate.predictions import Predictions
from lab.evaluate.report import Report
from lab.evaluate.temperature import Scaling, scaling
from lab.evaluate.thresholds import (
    answered_right,
    at_threshold,
    best_threshold,
    risk_coverage,
    threshold_for,
)
from lab.ui.words import plain
from lab.words import NONE, gap_words, percent

WANTED_RIGHT = 0.99
"""The share of right answers that validation images choose the first threshold for."""
STEP = 0.001


@st.cache_data(max_entries=16, show_spinner=False)
def luck(
    key: tuple[str, ...], _predictions: Predictions, _groups: Ints | None
) -> tuple[float, float]:
    """As `calibration_by_luck`; `key` names the predictions and whether copies are known."""
    own = None if _groups is None else _groups[_predictions.indices]
    return calibration_by_luck(_predictions.probabilities.max(axis=1), own)


@st.cache_data(max_entries=16, show_spinner=False)
def _scaling(
    key: tuple[str, ...], _val: Predictions, _other: Predictions, _groups: Ints | None
) -> Scaling:
    return scaling(_val, _other, _groups)


@st.cache_data(max_entries=16, show_spinner=False)
def _sets(
    key: tuple[str, ...], _val: Predictions, _other: Predictions, _groups: Ints | None
) -> list[MeasuredSets]:
    return [
        measure_sets(fit_sets(_val, level, method.name), _other, _groups)
        for method in SET_METHODS
        for level in LEVELS
    ]


def draw_calibration(
    report: Report,
    val: Predictions | None,
    predictions: Predictions,
    groups: Ints | None,
    key: tuple[str, ...],
) -> None:
    """Draws the reliability diagram, with and without temperature."""
    st.header("How sure, how right", anchor=False)
    calibration = report.calibration
    scale = None if val is None else _scaling(key, val, predictions, groups)
    st.plotly_chart(
        reliability(
            calibration.edges,
            calibration.counts,
            calibration.confidence,
            calibration.accuracy,
            scaled=None if scale is None else (scale.after.confidence, scale.after.accuracy),
        ),
        key="results_reliability",
        config=CHART,
        alt=reliability_alt(calibration.counts, calibration.expected_error, calibration.gap),
    )
    low, high = luck(key, predictions, groups)
    st.caption(
        f"{gap_words(calibration.gap)} Calibration error "
        f"{calibration.expected_error:.1%}; a perfectly calibrated network as sure as this one "
        f"shows {low:.1%} to {high:.1%} with so many pictures.",
        help=f"Images are put into {len(calibration.counts)} bins by the probability of their "
        "answer; the error is the mean distance between how sure and how right over the bins "
        "(expected calibration error, Guo et al. 2017). What luck alone shows is drawn 400 "
        "times, copies of one picture together.",
    )
    if scale is None:
        return
    st.markdown(
        f":material/device_thermostat: **Temperature {scale.temperature:.2f}** · {_effect(scale)}"
    )
    st.dataframe(
        {
            "": ["As it answers", f"Temperature {scale.temperature:.2f}", "By luck alone"],
            "Loss": [*scale.loss, None],
            "Calibration error": [
                percent(scale.before.expected_error),
                percent(scale.after.expected_error),
                f"{scale.luck[0]:.1%} to {scale.luck[1]:.1%}",
            ],
        },
        hide_index=True,
        width=460,
        placeholder="",
        column_config={"Loss": st.column_config.NumberColumn(format="%.3f")},
        alt="Loss and calibration error with and without temperature.",
    )


def _effect(scale: Scaling) -> str:
    images = f"{scale.val_images:,} validation images"
    if scale.at_its_end:
        return (
            f"the {images} say nothing: the network is right on (nearly) all of them, perhaps "
            "because they have near-copies in training."
        )
    makes = "less sure" if scale.temperature > 1 else "surer"
    verdict = "that helps here" if scale.helps else "that does not help here"
    return f"chosen on {images}, it makes the network {makes}; {verdict}. No answer changes."


@st.fragment
def draw_reject(
    predictions: Predictions, val: Predictions | None, groups: Ints | None, *, key: str
) -> None:
    """Draws what is right among the answers when unsure ones are not given."""
    st.header("Answer only when sure", anchor=False)
    sure, right = predictions.probabilities.max(axis=1), predictions.right
    chosen = None
    if val is not None:
        curve = risk_coverage(val.probabilities.max(axis=1), val.right)
        chosen = threshold_for(curve, WANTED_RIGHT)
    threshold = st.slider(
        "At least so sure",
        0.0,
        1.0,
        value=_stepped(0.9 if chosen is None else chosen),
        step=STEP,
        format="percent",
        key=key,
        help="The probability of its answer from which the network answers. "
        + (
            f"At first the lowest with which {WANTED_RIGHT:.0%} of the answers to the validation "
            "images are right."
            if chosen is not None
            else ""
        ),
    )
    own = None if groups is None else groups[predictions.indices]
    share = answered_right(sure, right, threshold, own)
    answered = share.n / len(predictions)
    st.markdown(f"Answers **{answered:.1%}** of the pictures; **{_share(share)}** of these right.")
    curve = risk_coverage(sure, right)
    st.plotly_chart(
        risk_coverage_chart(curve.answered, curve.right, point=(answered, share.share)),
        key=f"{key}_chart",
        config=CHART,
        alt=risk_coverage_alt(answered, share.share, threshold),
    )
    if val is not None:
        same = answered_right(val.probabilities.max(axis=1), val.right, threshold)
        st.caption(
            f"On the validation images this threshold answers {same.n / len(val):.1%}, and "
            f"{percent(same.share) if same.n else NONE} of these are right."
        )


@st.fragment
def draw_threshold(predictions: Predictions, val: Predictions | None, *, key: str) -> None:
    """Draws a class against all others at every threshold, and at one."""
    st.header("One class, every threshold", anchor=False)
    names = predictions.class_names
    label = st.selectbox(
        "Class",
        range(len(names)),
        index=len(names) - 1 if len(names) == 2 else 0,
        format_func=lambda each: plain(names[each]),
        key=f"{key}_class",
        width=260,
        help="An image is given this class when its probability is at least the threshold; "
        "otherwise it is not, whatever else it may be.",
    )
    parts = {} if val is None else {"Validation": val}
    parts["Test" if predictions.split == "test" else "Validation"] = predictions
    positive, scores = predictions.labels == label, predictions.probabilities[:, label]
    receiver, recall = roc_curve(positive, scores), precision_recall_curve(positive, scores)
    if receiver is None or recall is None:
        st.caption("The images here are all of this class or all of others: curves need both.")
        return
    chosen = None
    if val is not None:
        chosen = best_threshold(val.labels == label, val.probabilities[:, label])
    threshold = st.slider(
        "Threshold",
        0.0,
        1.0,
        value=_stepped(0.5 if chosen is None else chosen),
        step=STEP,
        format="percent",
        key=f"{key}_at_{label}",
        help="At first the one with the best F1 on the validation images."
        if chosen is not None
        else None,
    )
    rows = {
        title: at_threshold(each.labels == label, each.probabilities[:, label], threshold)
        for title, each in parts.items()
    }
    st.dataframe(
        {
            "": list(rows),
            "Precision": [row.precision for row in rows.values()],
            "Recall": [row.recall for row in rows.values()],
            "F1": [row.f1 for row in rows.values()],
            "Given the class": [row.called for row in rows.values()],
        },
        hide_index=True,
        placeholder=NONE,
        width=560,
        column_config={
            "Precision": st.column_config.NumberColumn(format="percent"),
            "Recall": st.column_config.NumberColumn(format="percent"),
            "F1": st.column_config.NumberColumn(format="%.3f"),
            "Given the class": st.column_config.NumberColumn(format="localized"),
        },
        alt=f"Precision, recall and F1 of {names[label]} at threshold {threshold:.1%}.",
    )
    here = list(rows.values())[-1]
    left, right = st.columns(2)
    with left:
        st.markdown(f"**Precision and recall** · average precision {recall.average_precision:.3f}")
        st.plotly_chart(
            precision_recall(
                recall.recall,
                recall.precision,
                share=recall.share,
                point=(here.recall, here.precision),
            ),
            key="results_precision_recall",
            config=CHART,
            alt=precision_recall_alt(recall.average_precision, recall.share, names[label]),
        )
        st.caption("Up: how many of the answers are right. Right: how many of the class are found.")
    with right:
        st.markdown(f"**ROC** · area {receiver.area:.3f}")
        st.plotly_chart(
            roc(
                receiver.false_positive_rate,
                receiver.true_positive_rate,
                point=(here.false_alarms, here.recall),
            ),
            key="results_roc",
            config=CHART,
            alt=roc_alt(receiver.area, names[label]),
        )
        st.caption(
            "Up: how many of the class are found. Right: false alarms among the others.",
            help="The area is the chance that an image of the class gets a higher probability "
            "than another one.",
        )


def draw_sets(
    predictions: Predictions, val: Predictions, groups: Ints | None, key: tuple[str, ...]
) -> None:
    """Draws what answer sets are worth, for each way to make them and each level."""
    st.header("Answer sets", anchor=False)
    measured = _sets(key, val, predictions, groups)
    first = measured[LEVELS.index(0.90)]
    st.markdown(
        f"Asked to be right 90% of the time, the network answers with "
        f"**{first.mean_size:.1f}** classes on average; **{_share(first.coverage)}** of these "
        "sets hold the true class."
    )
    if not all(each.as_asked for each in measured):
        st.caption(
            ":material/warning: Some hold it less often than asked: these images are harder than "
            "the validation images that chose the sets."
        )
    st.dataframe(
        {
            "Made by": [SET_METHODS.get(each.sets.method).title for each in measured],
            "Asked": [each.sets.level for each in measured],
            "Measured": [each.coverage.share for each in measured],
            "95% interval": [_interval(each.coverage) for each in measured],
            "Classes": [each.mean_size for each in measured],
            "A single class": [each.alone for each in measured],
        },
        hide_index=True,
        column_config={
            "Made by": st.column_config.TextColumn(
                help=" ".join(f"{m.title}: {m.about}" for m in SET_METHODS)
            ),
            "Asked": st.column_config.NumberColumn(format="percent"),
            "Measured": st.column_config.NumberColumn(
                format="percent", help="How many of the sets hold the true class."
            ),
            "Classes": st.column_config.NumberColumn(format="%.2f", help="On average."),
            "A single class": st.column_config.NumberColumn(format="percent"),
        },
        alt="How often answer sets hold the true class, and how large they are.",
    )
    st.caption(
        "Split conformal prediction (Angelopoulos and Bates 2021), chosen on "
        f"{first.sets.val_images:,} validation images. Classify answers with such sets when asked."
    )


def _share(share: GroupedShare) -> str:
    return f"{percent(share.share)} ({_interval(share)})" if share.n else NONE


def _interval(share: GroupedShare) -> str:
    low, high = share.interval
    return f"{100 * low:.1f} to {100 * high:.1f}%"


def _stepped(threshold: float) -> float:
    """The slider's next step up, so that at least as few are answered."""
    return min(1.0, float(np.ceil(threshold / STEP - 1e-9) * STEP))
