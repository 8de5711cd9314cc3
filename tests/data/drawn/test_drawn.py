"""The two built-in sets: the right bytes, the same every time, and nothing easier than shape."""

from __future__ import annotations

from collections import Counter
from types import ModuleType

import numpy as np
import pytest

from lab.data.built_in import subject_box
from lab.data.drawn import animals as drawn_animals
from lab.data.drawn import signs as drawn_signs

MODULES = [drawn_animals, drawn_signs]
both = pytest.mark.parametrize("module", MODULES, ids=["animals", "signs"])


def render(
    module: ModuleType, split: str, limit: int, *, seed: int = 0, batch: int = 256
) -> tuple[np.ndarray, np.ndarray]:
    images, labels = zip(
        *module.render_batches(split, seed=seed, batch=batch, limit=limit), strict=True
    )
    return np.concatenate(images), np.concatenate(labels)


@pytest.fixture(scope="module")
def animals() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    return {
        "train": render(drawn_animals, "train", 250),
        "test": render(drawn_animals, "test", 120),
    }


@pytest.fixture(scope="module")
def signs() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    return {"train": render(drawn_signs, "train", 75), "test": render(drawn_signs, "test", 25)}


def ridge_accuracy(
    train: tuple[np.ndarray, np.ndarray], test: tuple[np.ndarray, np.ndarray], ridge: float
) -> float:
    """Test accuracy of a linear classifier on features (n, d): least squares on one-hot labels."""
    middle, spread = train[0].mean(axis=0), train[0].std(axis=0) + 1e-6
    x, z = ((f - middle) / spread for f in (train[0], test[0]))
    target = np.eye(train[1].max() + 1)[train[1]]
    target -= target.mean(axis=0)
    # The dual form: as many unknowns as images, not as pixels.
    dual = np.linalg.solve(x @ x.T + ridge * x.shape[1] * np.eye(len(x)), target)
    return float((np.argmax(z @ (x.T @ dual), axis=1) == test[1]).mean())


def shrunk(images: np.ndarray, by: int) -> np.ndarray:
    """Block means as features (n, d)."""
    n, h, w, c = images.shape
    blocks = images.reshape(n, h // by, by, w // by, by, c).mean(axis=(2, 4))
    return blocks.reshape(n, -1) / 255.0


@both
def test_what_a_module_tells(module: ModuleType) -> None:
    assert len(set(module.CLASS_NAMES)) == len(module.CLASS_NAMES)
    assert set(module.COUNTS) == {"train", "test"}
    assert module.VERSION >= 1


def test_the_letters_leave_out_the_two_that_move() -> None:
    assert "".join(drawn_signs.CLASS_NAMES) == "ABCDEFGHIKLMNOPQRSTUVWXY"
    assert set(drawn_signs.HANDS) == set(drawn_signs.CLASS_NAMES)


@both
def test_shapes_types_and_classes_that_take_turns(module: ModuleType) -> None:
    images, labels = render(module, "train", 3, batch=5)
    side, classes = module.IMAGE_SIZE, len(module.CLASS_NAMES)
    assert images.shape == (3 * classes, side, side, module.CHANNELS)
    assert images.dtype == np.uint8
    assert labels.dtype == np.int64
    assert next(module.render_batches("train", limit=1))[0].flags.c_contiguous
    assert labels.tolist() == list(range(classes)) * 3


@both
def test_same_bytes_whatever_the_batch_size_and_limit(module: ModuleType) -> None:
    images, _ = render(module, "train", 4, batch=256)
    again, _ = render(module, "train", 4, batch=256)
    small, _ = render(module, "train", 4, batch=3)
    fewer, labels = render(module, "train", 2, batch=7)
    assert np.array_equal(images, again)
    assert np.array_equal(images, small)
    assert np.array_equal(images[: len(labels)], fewer)


@both
def test_batches_are_full_but_for_the_last(module: ModuleType) -> None:
    sizes = [len(labels) for _, labels in module.render_batches("test", batch=5, limit=2)]
    total = 2 * len(module.CLASS_NAMES)
    assert sizes == [5] * (total // 5) + ([total % 5] if total % 5 else [])


@both
def test_another_seed_and_another_split_give_other_images(module: ModuleType) -> None:
    seen = Counter(
        image.tobytes()
        for split, seed in (("train", 0), ("test", 0), ("train", 1))
        for image in render(module, split, 6, seed=seed)[0]
    )
    assert max(seen.values()) == 1


@both
def test_an_image_can_be_drawn_alone(module: ModuleType) -> None:
    for seed in range(5):  # in some of them the forearm lies wholly outside the picture
        images, _ = render(module, "test", 1, seed=seed)
        pair, _ = render(module, "test", 2, seed=seed)
        assert np.array_equal(images, pair[: len(images)])


@both
def test_unknown_split_is_refused(module: ModuleType) -> None:
    with pytest.raises(ValueError, match="train, test, not 'val'"):
        next(module.render_batches("val"))


@both
def test_limit_beyond_the_counts_gives_all_there_is(
    module: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(module.COUNTS, "test", 2)
    assert len(render(module, "test", 99)[1]) == 2 * len(module.CLASS_NAMES)


@both
def test_no_image_is_flat_or_burnt_out(module: ModuleType) -> None:
    images, _ = render(module, "test", 10)
    pixels = images.reshape(len(images), -1).astype(float)
    assert pixels.std(axis=1).min() > 8
    assert (pixels == 255).mean() < 0.1
    assert (pixels == 0).mean() < 0.05


def test_colour_does_not_tell_cats_from_dogs(
    animals: dict[str, tuple[np.ndarray, np.ndarray]],
) -> None:
    def colours(images: np.ndarray) -> np.ndarray:
        pixels = images.reshape(len(images), -1, 3)
        bins = [
            [np.histogram(image[:, c], 12, (0, 256))[0] / len(image) for c in range(3)]
            for image in pixels
        ]
        moments = [pixels.mean(axis=1) / 255, pixels.std(axis=1) / 255]
        return np.hstack([*moments, np.array(bins).reshape(len(images), -1)])

    (a, ya), (b, yb) = animals["train"], animals["test"]
    assert ridge_accuracy((colours(a[:, ::2, ::2]), ya), (colours(b[:, ::2, ::2]), yb), 1.0) < 0.6


def test_the_shape_tells_cats_from_dogs(animals: dict[str, tuple[np.ndarray, np.ndarray]]) -> None:
    (a, ya), (b, yb) = animals["train"], animals["test"]
    accuracy = ridge_accuracy((shrunk(a, 4), ya), (shrunk(b, 4), yb), 1.0)
    assert 0.58 < accuracy < 0.95  # a linear classifier sees some of it, and cannot see all


def test_letters_can_be_learnt(signs: dict[str, tuple[np.ndarray, np.ndarray]]) -> None:
    (a, ya), (b, yb) = signs["train"], signs["test"]
    accuracy = ridge_accuracy((shrunk(a, 2), ya), (shrunk(b, 2), yb), 0.1)
    assert 0.5 < accuracy < 0.97  # chance is 0.04


class Still:
    """A generator whose every choice is the middle one: the hand as in the table."""

    def uniform(self, low: float, high: float, size: int) -> np.ndarray:
        return np.full(size, (low + high) / 2)

    def standard_normal(self, size: tuple[int, int], dtype: type) -> np.ndarray:
        return np.zeros(size, dtype)


def test_every_letter_differs_from_every_other() -> None:
    drawings = [drawn_signs._draw(hand, [Still()])[0] for hand in drawn_signs.HANDS.values()]
    pictures = np.stack(drawings).astype(float)
    apart = np.abs(pictures[:, None] - pictures[None]).mean(axis=(2, 3))
    apart[np.diag_indices(24)] = np.inf
    a, b = (drawn_signs.CLASS_NAMES[k] for k in np.unravel_index(apart.argmin(), apart.shape))
    assert apart.min() > 4, f"{a} and {b} look alike: {apart.min():.1f} grey levels apart"


def test_the_head_s_place_is_where_cat_and_dog_differ(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same portraits drawn as a cat and as a dog: most of what differs lies in the box."""
    monkeypatch.setattr(drawn_animals, "paint_in_front", lambda *args: None)
    monkeypatch.setattr(drawn_animals, "photograph", lambda image, rng: np.asarray(image, int))
    shares, areas = [], []
    for index in range(12):
        if drawn_animals._scene(drawn_animals._generator(0, "test", 0, index)).view != "portrait":
            continue
        cat, dog = (
            drawn_animals._draw(label, drawn_animals._generator(0, "test", 0, index))
            for label in (0, 1)
        )
        box = drawn_animals.subject_box("test", 2 * index, seed=0)
        left, top, right, bottom = (round(drawn_animals.CANVAS * edge) for edge in box)
        differs = np.abs(cat - dog).sum(2) > 60
        shares.append(differs[top:bottom, left:right].sum() / differs.sum())
        areas.append((box[2] - box[0]) * (box[3] - box[1]))
    assert len(shares) >= 5
    assert np.mean(shares) > 0.85
    assert np.mean(areas) < 0.6


def test_only_sets_that_know_it_say_where_the_thing_is() -> None:
    assert subject_box("drawn-cats-dogs", "test/dog/drawing 2") == (
        drawn_animals.subject_box("test", 1, seed=0)
    )
    assert subject_box("drawn-signs", "test/A/drawing 1") is None
    assert subject_box("mine", "test/dog/drawing 2") is None
    assert subject_box("drawn-cats-dogs", "holiday.jpg") is None
