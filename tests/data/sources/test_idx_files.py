"""MNIST's own files are read with the right classes and parts, or refused with a sentence."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest

from lab.data import catalog
from lab.errors import DataError
from tests.data.pictures import write_folder


def idx(values: np.ndarray) -> bytes:
    kind = {"uint8": 8, "int32": 12}[str(values.dtype)]
    head = struct.pack(">HBB", 0, kind, values.ndim) + struct.pack(
        f">{values.ndim}I", *values.shape
    )
    return head + values.astype(values.dtype.newbyteorder(">")).tobytes()


def pictures(count: int, height: int = 12, width: int = 12, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (count, height, width), dtype=np.uint8)


TRAIN, TEST = pictures(12), pictures(6, seed=1)
LABELS = (np.arange(12) % 3 + 4).astype(np.uint8)


def mnist() -> dict[str, bytes]:
    return {
        "train-images-idx3-ubyte.gz": gzip.compress(idx(TRAIN)),
        "train-labels-idx1-ubyte.gz": gzip.compress(idx(LABELS)),
        "t10k-images.idx3-ubyte": idx(TEST),
        "t10k-labels.idx1-ubyte": idx(LABELS[:6]),
    }


def test_pictures_classes_and_parts_are_those_of_the_files(tmp_path: Path) -> None:
    path = write_folder(tmp_path / "mnist", mnist())
    preview = catalog.look(path)
    assert preview.class_names == ("4", "5", "6")
    assert preview.counts["train"] == dict.fromkeys("456", 4)
    assert preview.counts["test"] == dict.fromkeys("456", 2)
    report = catalog.add_dataset("mnist", path)
    assert report.accepted == preview.counts
    pack = catalog.open_pack("mnist")
    assert (pack.images[:12, ..., 0] == TRAIN).all()
    assert (pack.images[12:, ..., 0] == TEST).all()
    assert (pack.labels[:12] == LABELS - 4).all()
    assert pack.names[0] == "train-images-idx3-ubyte.gz picture 1"


def test_names_stand_in_a_list_beside_them(tmp_path: Path) -> None:
    files = mnist() | {"classes.txt": b"4 coat\n5 sandal\n6 shirt\n"}
    preview = catalog.look(write_folder(tmp_path / "fashion", files))
    assert preview.class_names == ("coat", "sandal", "shirt")


def test_emnist_is_turned_upright_and_which_of_its_sets_is_asked(tmp_path: Path) -> None:
    files = {
        f"emnist-{name}-{file}": data
        for name in ("digits", "letters")
        for file, data in {
            "train-images-idx3-ubyte": idx(pictures(12, seed=len(name))),
            "train-labels-idx1-ubyte": idx(LABELS),
        }.items()
    }
    path = write_folder(tmp_path / "emnist", files)
    (question,) = [q for q in catalog.look(path).questions if q.key == "set"]
    assert [value for value, _ in question.choices] == ["emnist-digits", "emnist-letters"]
    catalog.add_dataset("letters", path, answers={"set": "emnist-letters"})
    pack = catalog.open_pack("letters")
    assert (pack.images[..., 0] == pictures(12, seed=7).transpose(0, 2, 1)).all()


def test_other_shapes_are_made_square_and_wide_labels_read(tmp_path: Path) -> None:
    labels = np.stack([LABELS.astype(np.int32), np.full(12, 900, np.int32)], axis=1)
    files = {
        "train-images-idx3-ubyte": idx(pictures(12, 8, 20)),
        "train-labels-idx2-int": idx(labels),  # as QMNIST: the class and more behind it
    }
    catalog.add_dataset("wide", write_folder(tmp_path / "wide", files), image_size=16)
    pack = catalog.open_pack("wide")
    assert pack.images.shape == (12, 16, 16, 1)
    assert pack.meta.class_names == ("4", "5", "6")


def test_what_does_not_fit_is_refused_with_its_reason(tmp_path: Path) -> None:
    for number, (changes, reason) in enumerate(
        [
            ({"train-labels-idx1-ubyte.gz": gzip.compress(idx(LABELS[:9]))}, "has 12 pictures and"),
            ({"train-images-idx3-ubyte.gz": b"\x1f\x8bnothing"}, "damaged"),
            ({"train-labels-idx1-ubyte.gz": gzip.compress(idx(LABELS)[:8])}, "damaged"),
            ({"train-images-idx3-ubyte.gz": gzip.compress(b"no idx file")}, "does not begin as"),
        ]
    ):
        path = write_folder(tmp_path / str(number), mnist() | changes)
        with pytest.raises(DataError, match=reason):
            catalog.add_dataset("broken", path)
    cut = mnist() | {"train-images-idx3-ubyte.gz": gzip.compress(idx(TRAIN)[:-200])}
    report = catalog.add_dataset("cut", write_folder(tmp_path / "cut", cut))
    assert sum(report.accepted["train"].values()) == 10
    assert any("damaged" in rejected.reason for rejected in report.rejected)
    alone = {name: data for name, data in mnist().items() if "t10k-labels" not in name}
    preview = catalog.look(write_folder(tmp_path / "alone", alone))
    assert any("no file of labels" in rejected.reason for rejected in preview.rejected)
