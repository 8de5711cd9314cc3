"""Compare, "Same images": confusion matrices side by side, and whether two runs really differ.

Reads saved predictions; a background job makes the missing ones.
"""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
import streamlit as st

from lab.charts.confusion import confusion_matrix, confusion_matrix_alt
from lab.data.groups import Groups
from lab.errors import LabError
from lab.evaluate.compare import groups_in_words, pair_verdicts
from lab.evaluate.metrics import confusion
from lab.evaluate.predictions import Predictions
from lab.training.checkpoint import CheckpointMetadata
from lab.ui.compare.choice import ComparedRun
from lab.ui.widgets.checkpoints import PART_WORDS, choose_part, default_checkpoint, part_counts
from lab.ui.widgets.matrix import choose_share, draw_matrix
from lab.ui.widgets.predictions import predictions_of_all
from lab.ui.words import plain
from lab.words import percent

MOST_RUNS = 4
KEY = "compare_same_images"
_COUNTS = ("Images", "Independent", "Both right", "Only the first", "Only the second", "Both wrong")


def draw_mistakes(chosen: Sequence[ComparedRun]) -> None:
    """Draws the whole tab."""
    by_id = {c.row.id: c for c in chosen if c.row.has_weights}
    if not by_id:
        st.info("None of these runs has a network yet: the first epoch has to end first.")
        return
    before = st.session_state.get(KEY)
    if before is None or any(run_id not in by_id for run_id in before):
        remaining = [run_id for run_id in before or [] if run_id in by_id]
        st.session_state[KEY] = remaining or _first_alike(list(by_id.values()))
    ids = st.multiselect(
        "Runs to set side by side",
        list(by_id),
        format_func=lambda run_id: by_id[run_id].title,
        key=KEY,
        max_selections=MOST_RUNS,
        select_all=False,
        wrap=True,
        help="Of the chosen runs, up to four on one data set. Each answers with the weights of its "
        "best epoch, one that still trains with its newest.",
    )
    if not ids:
        st.caption("Choose two runs.")
        return
    try:
        _draw([by_id[run_id] for run_id in ids])
    except LabError as error:
        st.error(plain(str(error)), icon=":material/error:")


def _first_alike(chosen: Sequence[ComparedRun]) -> list[str]:
    """Returns the first two runs on one data set; where no two are, the first two."""
    for number, one in enumerate(chosen):
        for other in chosen[number + 1 :]:
            if other.row.dataset == one.row.dataset:
                return [one.row.id, other.row.id]
    return [c.row.id for c in chosen[:2]]


def _draw(runs: Sequence[ComparedRun]) -> None:
    choices = {letter: default_checkpoint(c.row) for letter, c in zip("ABCD", runs, strict=False)}
    titles = {letter: c.title for letter, c in zip(choices, runs, strict=True)}
    data = {letter: CheckpointMetadata.read(c.folder).dataset_hash for letter, c in choices.items()}
    others = [letter for letter in choices if data[letter] != data["A"]]
    if others:
        st.warning(
            f"Left out, as trained on another data set or version than A ({plain(titles['A'])}): "
            + ", ".join(f"{letter} ({plain(titles[letter])})" for letter in others)
            + ". Only answers to the same images can be compared.",
            icon=":material/warning:",
        )
    same = {letter: choice for letter, choice in choices.items() if letter not in others}
    part = choose_part(
        same["A"].run,
        key=f"compare_part_{'_'.join(part_counts(same['A'].run))}",
        help="Test images took part in nothing. Validation images chose the checkpoints, and each "
        "seed sets aside its own: two runs are then tested on those that both set aside.",
    )
    if part is None:
        return
    predictions = predictions_of_all(same, part, place="compare")
    if predictions is None:
        return
    letters = list(same)
    if len(same) > 1:
        from lab.evaluate.leak_free import groups_of  # it brings torch

        groups = groups_of(CheckpointMetadata.read(same["A"].folder))
        _draw_tests(letters, titles, predictions, part, groups)
    _draw_matrices(letters, titles, predictions, part)


def _draw_tests(
    letters: Sequence[str],
    titles: dict[str, str],
    predictions: Sequence[Predictions],
    part: str,
    groups: Groups | None,
) -> None:
    st.header("Do they really differ?", anchor=False)
    names = [f"{letter} ({plain(titles[letter])})" for letter in letters]
    pairs, problems = pair_verdicts(names, predictions, groups)
    for (one, other), why in problems.items():
        text = f"{letters[one]} and {letters[other]}: {plain(why)}"
        st.warning(text, icon=":material/warning:")
    if not pairs:
        return
    if sentence := groups_in_words(letters, pairs):
        words, colon, sets = sentence.partition(":")
        alike = f":material/balance: **{words}:**{sets}"
        st.markdown(alike if colon else f":material/trending_up: {words}")
    with st.expander("Pair by pair") if len(pairs) > 1 else st.container():
        for pair in pairs:
            icon = ":material/trending_up:" if pair.more_than_chance else ":material/balance:"
            st.markdown(f"{icon} {pair.sentence}")
    tests = [pair.test for pair in pairs]
    st.dataframe(
        pd.DataFrame(
            {
                "Runs": [f"{letters[x.first]} and {letters[x.second]}" for x in pairs],
                "Images": [t.n for t in tests],
                "Independent": [t.units for t in tests],
                "Both right": [t.both_right for t in tests],
                "Only the first": [t.only_first for t in tests],
                "Only the second": [t.only_second for t in tests],
                "Both wrong": [t.both_wrong for t in tests],
                "Difference": [_points(t.difference) for t in tests],
                "95%": [f"{_points(t.interval[0])} to {_points(t.interval[1])}" for t in tests],
                "p (mid-p)": [_p(t.p_mid) for t in tests],
                **({"p, corrected": [_p(x.p) for x in pairs]} if len(pairs) > 1 else {}),
                "p (exact)": [_p(t.p_exact) for t in tests],
            }
        ),
        hide_index=True,
        column_config={
            **{name: st.column_config.NumberColumn(format="localized") for name in _COUNTS},
            "Difference": st.column_config.TextColumn(
                help="Accuracy of the first minus that of the second, in percentage points."
            ),
            "p (mid-p)": st.column_config.TextColumn(
                help="How often a split at least as uneven would occur if both were equally "
                "good. Below 0.05 the difference is called more than chance."
            ),
            "p, corrected": st.column_config.TextColumn(
                help="Corrected for how many pairs there are (Holm); this one decides. If no two "
                "runs differ, one table in twenty calls any pair different."
            ),
        },
        alt=f"McNemar's test of {len(tests)} pair{'s' * (len(tests) != 1)} of runs on the "
        f"{PART_WORDS[part]} images.",
    )
    caption = (
        f"McNemar's test on the {PART_WORDS[part]} images: only those count that exactly one of "
        "the two gets right. It is about these two networks; another seed would give another "
        "network, so train two or three seeds before you say that one setting is better."
    )
    st.caption(caption)


def _draw_matrices(
    letters: Sequence[str], titles: dict[str, str], predictions: Sequence[Predictions], part: str
) -> None:
    st.header("Which class is taken for which", anchor=False)
    share = choose_share(key="compare_share")
    width = 300 if len(predictions[0].class_names) <= 5 else 460
    with st.grid("auto", min_column_width=width, gap="small"):
        for letter, answers in zip(letters, predictions, strict=True):
            matrix = confusion(answers.labels, answers.predicted, len(answers.class_names))
            with st.container(border=True):
                epoch = "" if answers.epoch is None else f", epoch {answers.epoch}"
                st.markdown(f"**{letter}** · {plain(titles[letter])}")
                draw_matrix(
                    confusion_matrix(matrix, answers.class_names, share=share),
                    key=f"compare_matrix_{letter}",
                    alt=f"{letter}: {confusion_matrix_alt(matrix, answers.class_names)}",
                )
                st.caption(
                    f"{percent(float(answers.right.mean()))} of {len(answers):,} "
                    f"{PART_WORDS[part]} images right; checkpoint “{answers.checkpoint}”{epoch}."
                )
    st.caption(
        "A row is a true class, a column an answer; right answers lie on the diagonal. The darker, "
        "the larger the share of its row. The images behind a cell are in the run's Results."
    )


def _points(share: float) -> str:
    return f"{100 * share:+.2f} points"


def _p(value: float) -> str:
    return "< 0.0001" if value < 0.0001 else f"{value:.4f}"
