"""The built-in set of real pictures: handwritten digits."""

from __future__ import annotations

import numpy as np
from sklearn.datasets import load_digits

from lab.data.catalog import BUILT_IN, READY, describe, open_pack
from lab.data.examples import examples
from lab.experiments.starts import suited_to
from lab.models.catalog import check_network


def test_the_facts_known_before_are_those_of_the_pack() -> None:
    before = describe("handwritten-digits")
    assert before.state == BUILT_IN
    assert not before.drawn
    assert before.built_in
    shown = examples("handwritten-digits", 4)
    assert [name for name, _ in shown] == ["0", "1", "2", "3"]
    pack = open_pack("handwritten-digits")
    after = describe("handwritten-digits")
    assert (after.state, after.drawn, after.built_in) == (READY, False, True)
    assert after.counts["train"] == before.counts["train"]
    assert after.counts["test"] == before.counts["test"]
    assert after.split_totals == {"train": 1528, "test": 269}
    assert (pack.meta.image_size, pack.meta.channels) == (8, 1)


def test_the_pictures_are_the_real_ones_from_black_to_white() -> None:
    pack = open_pack("handwritten-digits")
    assert len(pack) == 1797
    assert int(pack.images.min()) == 0
    assert int(pack.images.max()) == 255
    real = load_digits()
    keys = sorted(zip(real.target.tolist(), (p.tobytes() for p in real.images), strict=True))
    back = np.rint(pack.images[..., 0] * (16 / 255))
    ours = sorted(zip(pack.labels.tolist(), (p.tobytes() for p in back), strict=True))
    assert ours == keys


def test_the_suited_network_takes_such_small_pictures() -> None:
    config = suited_to("handwritten-digits")
    check_network(config, image_size=8, channels=1)
    check_network(config.changed(architecture="mlp"), image_size=8, channels=1)
