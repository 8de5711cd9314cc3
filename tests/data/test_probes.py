"""Pinned images: kept, limited, forgotten with the data set; and the default choice."""

import json
import threading
from pathlib import Path

import numpy as np
import pytest

from lab.config import RunConfig
from lab.data import catalog, probes
from lab.data.pack import Pack, PackMeta
from lab.data.splits import Splits, make_splits
from lab.errors import ConfigError, NotFoundError, ResourceError
from lab.seal import read_sealed
from tests.tiny_data import make_tiny_pack


def splits_of(dataset: str, **knobs: object) -> tuple[Pack, Splits]:
    pack = catalog.open_pack(dataset)
    return pack, make_splits(pack, RunConfig(dataset=dataset, **knobs))


def pack_of_classes(classes: int, per_class: int) -> tuple[Pack, Splits]:
    """A pack without pixels whose images are all validation images."""
    labels = np.repeat(np.arange(classes), per_class)
    meta = PackMeta(
        dataset="many",
        title="Many",
        story="",
        class_names=tuple(str(k) for k in range(classes)),
        drawn=True,
        channels=1,
        image_size=16,
        fit="stretch",
        source="",
        licence="",
        created="",
    )
    images = np.zeros((len(labels), 16, 16, 1), np.uint8)
    pack = Pack(meta, images, labels, np.ones(len(labels), np.uint8), ("",) * len(labels))
    none = np.zeros(0, np.int64)
    return pack, Splits(none, np.arange(len(labels)), none, None)


def test_pins_are_kept_in_their_order() -> None:
    name = make_tiny_pack()
    assert probes.probes(name) == ()
    for index in (7, 3, 7):
        probes.pin(name, index)
    assert probes.probes(name) == (7, 3)
    assert probes.is_pinned(name, 3)
    probes.unpin(name, 7)
    probes.unpin(name, 100)
    assert probes.probes(name) == (3,)
    assert not probes.is_pinned(name, 7)


def test_eight_are_the_most() -> None:
    name = make_tiny_pack()
    for index in range(8):
        probes.pin(name, index)
    probes.pin(name, 0)  # pinned already: not a ninth
    with pytest.raises(ConfigError, match=r"8 images of Tiny bars are pinned.*Unpin one first"):
        probes.pin(name, 9)


def test_an_image_or_a_set_that_is_not_there() -> None:
    name = make_tiny_pack()
    with pytest.raises(NotFoundError, match=r"no image 120; its images are numbered 0 to 119"):
        probes.pin(name, 120)
    with pytest.raises(NotFoundError, match="not on this machine"):
        probes.pin("sign-mnist", 0)
    with pytest.raises(NotFoundError, match="Unknown data set"):
        probes.pin("../runs", 0)
    with pytest.raises(NotFoundError, match="Unknown data set"):
        probes.probes("nothing-like-it")


def test_a_replaced_data_set_forgets_its_pins() -> None:
    name = make_tiny_pack()
    probes.pin(name, 5)
    pack, splits = splits_of(make_tiny_pack(seed=1))
    assert probes.pins(name) == probes.Pins((), forgotten=1)
    assert 5 not in probes.chosen_probes(pack, splits)
    probes.pin(name, 6)
    assert probes.pins(name) == probes.Pins((6,))


def test_a_copy_at_another_size_has_the_same_pins() -> None:
    name = make_tiny_pack()
    probes.pin(name, 5)
    pack = catalog.open_pack(name, image_size=24)
    splits = make_splits(pack, RunConfig(dataset=name))
    assert probes.chosen_probes(pack, splits) == (5,)


def test_a_changed_bit_never_pins_another_image(lab_home: Path) -> None:
    name = make_tiny_pack()
    probes.pin(name, 5)
    file = lab_home / "probes" / f"{name}.json"
    file.write_text(file.read_text().replace("[5]", "[4]"))
    assert probes.pins(name) == probes.Pins(problem="it is damaged: its checksum is another")


def test_pins_of_an_older_version_count(lab_home: Path) -> None:
    name = make_tiny_pack()
    values = {"images_hash": catalog.describe(name).images_hash, "indices": [5]}
    (lab_home / "probes").mkdir()
    (lab_home / "probes" / f"{name}.json").write_text(json.dumps(values))
    assert probes.pins(name) == probes.Pins((5,))


@pytest.mark.parametrize("text", ["nonsense", "[]", '{"indices": 3}', '{"indices": ["a"]}'])
def test_a_damaged_file_counts_as_nothing_pinned(lab_home: Path, text: str) -> None:
    name = make_tiny_pack()
    probes.pin(name, 5)
    (lab_home / "probes" / f"{name}.json").write_text(text)
    pack, splits = splits_of(name)
    assert probes.probes(name) == ()
    assert probes.pins(name).problem in ("it is damaged", "it holds something else")
    assert probes.chosen_probes(pack, splits) == probes.default_probes(pack, splits)
    probes.pin(name, 4)
    assert probes.probes(name) == (4,)


def test_two_tabs_that_pin_at_once_both_find_their_image() -> None:
    name = make_tiny_pack()
    threads = [threading.Thread(target=probes.pin, args=(name, i)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(probes.probes(name)) == list(range(8))


def test_a_lock_that_never_comes_free_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    name = make_tiny_pack()
    monkeypatch.setattr(probes, "LOCK_SECONDS", 0.05)
    with probes._lock(name), pytest.raises(ResourceError, match="Try again in a moment"):
        probes.pin(name, 1)


def test_the_file_says_which_images_are_meant(lab_home: Path) -> None:
    name = make_tiny_pack()
    probes.pin(name, 5)
    stored = read_sealed(lab_home / "probes" / f"{name}.json")
    assert stored == {"images_hash": catalog.describe(name).images_hash, "indices": [5]}


@pytest.mark.parametrize(
    ("classes", "per_class", "expected"),
    [
        (2, 30, [0, 0, 0, 0, 1, 1, 1, 1]),
        (3, 30, [0, 0, 0, 1, 1, 1, 2, 2]),
        (24, 30, [0, 3, 7, 10, 13, 16, 20, 23]),
        (2, 1, [0, 1]),
        (9, 1, [0, 1, 2, 3, 5, 6, 7, 8]),
    ],
)
def test_the_default_choice_is_spread_over_the_classes(
    classes: int, per_class: int, expected: list[int]
) -> None:
    pack, splits = pack_of_classes(classes, per_class)
    chosen = probes.default_probes(pack, splits)
    assert pack.labels[list(chosen)].tolist() == expected
    assert len(set(chosen)) == len(chosen)


def test_a_rare_class_leaves_its_places_to_the_others() -> None:
    pack, splits = pack_of_classes(2, 10)
    few = Splits(splits.train, splits.val[9:], splits.test, None)  # one image of the first class
    chosen = probes.default_probes(pack, few)
    assert pack.labels[list(chosen)].tolist() == [0] + [1] * 7


def test_the_default_choice_is_of_images_that_the_network_does_not_train_on() -> None:
    pack, splits = splits_of(make_tiny_pack(), seed=3)
    chosen = probes.default_probes(pack, splits)
    assert set(chosen) <= set(splits.val.tolist())
    assert chosen == probes.default_probes(*splits_of("tiny", seed=3))
