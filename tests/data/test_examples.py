"""A few pictures of a data set."""

import numpy as np
import pytest

from lab.data import catalog
from lab.data.drawn import animals, signs
from lab.data.examples import examples
from lab.errors import NotFoundError
from tests.tiny_data import make_tiny_pack


def test_the_classes_come_in_turn() -> None:
    info = catalog.describe(make_tiny_pack())
    shown = examples(info.name, len(info.class_names) + 1)
    assert [name for name, _ in shown] == [*info.class_names, info.class_names[0]]
    assert all(pixels.shape == shown[0][1].shape for _, pixels in shown)


def test_a_set_that_is_not_drawn_yet_shows_the_pictures_that_it_will_have(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(animals, "COUNTS", {"train": 20, "test": 2})
    assert catalog.describe("drawn-cats-dogs").state == catalog.BUILT_IN
    before = examples("drawn-cats-dogs", 4)
    assert catalog.describe("drawn-cats-dogs").state == catalog.BUILT_IN
    catalog.open_pack("drawn-cats-dogs")
    for (one, was), (other, now) in zip(before, examples("drawn-cats-dogs", 4), strict=True):
        assert one == other
        np.testing.assert_array_equal(was, now)


def test_only_the_pictures_that_are_shown_are_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = []
    draw = signs._draw
    monkeypatch.setattr(signs, "_draw", lambda hand, each: drawn.extend(each) or draw(hand, each))
    shown = examples("drawn-signs", 30)
    assert [name for name, _ in shown] == [*signs.CLASS_NAMES, *signs.CLASS_NAMES[:6]]
    assert len(drawn) == 2 * len(signs.CLASS_NAMES)
    assert len(examples("handwritten-digits", 12)) == 12


def test_a_set_that_is_not_here_has_none() -> None:
    assert examples("cats-dogs", 6) == []
    with pytest.raises(NotFoundError):
        examples("cats-dgos", 6)
