from __future__ import annotations

import numpy as np

from lab.charts.labels import label_distribution, label_distribution_alt
from lab.charts.series import LabelCounts

SIGNS = LabelCounts(
    ("A", "B", "K"),
    {"train": np.array([10, 5, 2000]), "val": np.array([1, 1, 200]), "test": np.array([3, 3, 9])},
)


def test_one_bar_a_class_and_split_told_by_more_than_colour() -> None:
    figure = label_distribution(SIGNS)
    assert [trace.name for trace in figure.data] == ["train", "val", "test"]
    assert list(figure.data[0].x) == ["A", "B", "K"]
    assert len({trace.marker.color for trace in figure.data}) == 3
    assert len({trace.marker.pattern.shape for trace in figure.data}) == 3


def test_the_sentence_counts_over_all_splits() -> None:
    assert label_distribution_alt(SIGNS) == (
        "Images per class for 3 classes (2,015 train, 202 val, 15 test): "
        "fewest B with 9, most K with 2,209."
    )


def test_nothing_to_count() -> None:
    nothing = LabelCounts((), {"train": np.empty(0)})
    assert label_distribution(nothing).layout.annotations[0].text == "No images"
    assert label_distribution_alt(nothing) == "Images per class: there are none."


def test_one_class() -> None:
    one = LabelCounts(("cat",), {"train": np.array([4])})
    assert len(label_distribution(one).data) == 1
    assert "fewest cat with 4, most cat with 4" in label_distribution_alt(one)
