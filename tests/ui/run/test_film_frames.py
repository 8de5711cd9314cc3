"""The strip as HTML: a row a probe, thinned columns, one scale, text that stays text."""

import base64
import io
import re

import numpy as np
import pytest
import torch
from PIL import Image

from lab.explain import grad_cam, overlay
from lab.training.watch.film_files import ProbeSnapshot
from lab.ui.run import film_frames
from lab.ui.run.film_frames import Strip, columns, enlarged, large_html, scales, strip_html

NAMES = ("cat", "<b>dog & Co</b>")


def snapshot(
    epoch: int,
    indices: tuple[int, ...] = (3, 9),
    *,
    peaks: tuple[float, ...] = (1.0, 2.0),
    share: float = 0.8,
    stages: tuple[str, ...] = ("block1",),
    parts: tuple[str, ...] = ("val", "train"),
) -> ProbeSnapshot:
    """Image 3 is a cat and taken for one, image 9 is a dog and taken for a cat."""
    count = len(indices)
    shape = (len(stages), count)
    return ProbeSnapshot(
        epoch=epoch,
        step=epoch,
        every=1,
        seconds=0.1,
        stages=stages,
        default_stage=stages[-1] if stages else None,
        names=tuple(f'"{i}".png' for i in indices),
        parts=parts[:count],
        indices=np.array(indices),
        labels=np.arange(count),
        targets=np.arange(count),
        probabilities=np.array([[share, 1 - share]] * count, np.float32),
        influence=np.ones(shape, np.float32),
        peaks=np.array([peaks[:count]] * len(stages), np.float32).reshape(shape),
        meaningful=np.ones(shape, bool),
    )


def strip(
    snapshots: list[ProbeSnapshot], *, stage: str | None = "block1", level: float = 1.0
) -> Strip:
    pictures = {
        i: np.full((16, 16, 1), 128, np.uint8) for t in snapshots for i in t.indices.tolist()
    }
    maps = [
        None if stage is None else np.full((len(t.indices), 4, 4), level, "f4") for t in snapshots
    ]
    return Strip(snapshots, maps, stage, scales(snapshots, stage), pictures, NAMES)


def images(html: str) -> list[np.ndarray]:
    return [
        np.asarray(Image.open(io.BytesIO(base64.b64decode(data))))
        for data in re.findall(r"base64,([^\"]+)", html)
    ]


def test_a_row_for_each_probe_and_a_column_for_each_epoch() -> None:
    html = strip_html(strip([snapshot(0), snapshot(1), snapshot(2)]), chosen=2)
    body = html.partition("<tbody>")[2]
    assert body.count("<tr>") == 2
    assert body.count("<td") == 6
    assert re.findall(r'<th scope="col"[^>]*>([^<]+)', html) == [
        "Picture",
        "start",
        "epoch 1",
        "epoch 2",
    ]
    assert html.count('class="film-chosen"') == 3  # its head and its two cells


def test_right_and_wrong_are_told_by_mark_and_word() -> None:
    html = strip_html(strip([snapshot(1)]), chosen=1)
    assert '<span role="img" aria-label="right:">✓</span> cat 80%' in html
    assert '<span role="img" aria-label="wrong:">✗</span> cat 80%' in html
    assert "the true class: 20%" in large_html(strip([snapshot(1)]), 0)


def test_class_names_and_file_names_are_escaped() -> None:
    for html in (strip_html(strip([snapshot(1)]), chosen=1), large_html(strip([snapshot(1)]), 0)):
        assert "<b>" not in html
        assert "&lt;b&gt;dog &amp; Co&lt;/b&gt;" in html
    assert 'title="&quot;9&quot;.png"' in strip_html(strip([snapshot(1)]), chosen=1)


def test_every_picture_says_what_it_is() -> None:
    html = strip_html(strip([snapshot(0), snapshot(1)]), chosen=1)
    alts = re.findall(r'<img [^>]*alt="([^"]+)"', html)
    assert len(alts) == html.count("<img") == 6
    assert "Where block1 sees cat, before training" in alts
    assert "Where block1 sees cat, after epoch 1" in alts


def test_a_probe_that_the_network_trains_on_is_marked() -> None:
    assert strip_html(strip([snapshot(1)]), chosen=1).count("trains on it") == 1


def test_a_probe_that_joined_later_has_empty_cells_before() -> None:
    html = strip_html(strip([snapshot(1, (3,)), snapshot(2)]), chosen=2)
    assert html.count('title="Not followed yet">–</td>') == 1
    assert html.partition("<tbody>")[2].count("<tr>") == 2


def test_one_scale_for_all_epochs() -> None:
    snapshots = [
        snapshot(1, peaks=(1.0, 4.0)),
        snapshot(2, peaks=(2.0, 0.0)),
        snapshot(3, (3,), peaks=(0.5,)),
    ]
    assert scales(snapshots, "block1") == {3: 2.0, 9: 4.0}
    assert scales(snapshots, "nothing") == {}
    # The same raw values look the same whether their epoch has larger ones or not.
    shown = images(strip_html(strip(snapshots), chosen=3))
    head, first, second, third = shown[:4]
    assert (first == second).all()
    assert (first == third).all()
    assert np.abs(head.astype(int) - first).max() > 20
    half = images(strip_html(strip(snapshots, level=0.5), chosen=3))[1]
    assert np.abs(half.astype(int) - first).max() > 10


def test_an_empty_map_leaves_the_picture_and_says_so() -> None:
    empty = snapshot(1, peaks=(0.0, 0.0))
    empty.meaningful[:] = False
    html = strip_html(strip([empty], level=0.0), chosen=1)
    assert html.count("no map") == 2
    head, cell = images(html)[:2]
    assert (head == cell).all()


def test_a_perceptron_has_answers_and_one_picture_a_row() -> None:
    html = strip_html(strip([snapshot(0, stages=()), snapshot(1, stages=())], stage=None), chosen=1)
    assert html.count("<img") == 2
    assert html.count("cat 80%") == 4
    assert large_html(strip([snapshot(1, stages=())], stage=None), 0).count("<img") == 2


@pytest.mark.parametrize(
    ("epochs", "chosen", "expected"),
    [
        ([0, 1, 2], 1, (0, 1, 2)),
        (list(range(10)), 4, tuple(range(10))),
        (list(range(19)), 18, (0, 2, 4, 6, 8, 10, 12, 14, 16, 18)),
        (list(range(19)), 5, (0, 2, 5, 6, 8, 10, 12, 14, 16, 18)),
        ([0, 1, *range(3, 31, 3), 31], 31, (0, 3, 6, 12, 15, 18, 21, 24, 27, 31)),
    ],
)
def test_columns_keep_the_first_the_last_and_the_chosen(
    epochs: list[int], chosen: int, expected: tuple[int, ...]
) -> None:
    shown = columns(epochs, chosen)
    assert len(shown) == len(set(shown)) <= film_frames.MOST_COLUMNS
    assert {epochs[0], epochs[-1], chosen} <= set(shown)
    assert len(shown) == len(expected)


@pytest.mark.parametrize("epochs", [[7], list(range(0, 1000, 7))])
def test_columns_of_any_history(epochs: list[int]) -> None:
    for chosen in epochs:
        shown = columns(epochs, chosen)
        assert list(shown) == sorted(set(shown))
        assert {epochs[0], epochs[-1], chosen} <= set(shown) <= set(epochs)


@pytest.mark.parametrize(("h", "w", "side"), [(2, 2, 72), (7, 7, 72), (14, 9, 176), (112, 112, 72)])
def test_enlarging_is_that_of_the_other_pages(h: int, w: int, side: int) -> None:
    maps = np.random.Generator(np.random.Philox(1)).random((3, h, w), dtype=np.float32)
    expected = grad_cam.enlarge(torch.from_numpy(maps), (side, side)).numpy()
    assert enlarged(maps, side) == pytest.approx(expected, abs=1e-5)


def test_the_colours_are_those_of_the_other_pages() -> None:
    rng = np.random.Generator(np.random.Philox(2))
    pixels = rng.integers(0, 255, (16, 16, 1), dtype=np.uint8)
    raw = rng.random((1, 4, 4), dtype=np.float32)
    one = snapshot(1, (3,), peaks=(float(raw.max()),))
    shown = Strip([one], [raw], "block1", scales([one], "block1"), {3: pixels}, NAMES)
    plain = {3: film_frames._thumbnail(pixels, 176)}
    expected = overlay.overlay(pixels, raw[0], scale=float(raw.max()), side=176, base="colour")
    ours = film_frames._overlays(shown, 0, plain)[3]
    assert np.abs(ours.astype(int) - expected).max() <= 2


def test_an_answer_is_never_rounded_to_certainty() -> None:
    assert "cat &gt;99%" in strip_html(strip([snapshot(1, share=0.999)]), chosen=1)
