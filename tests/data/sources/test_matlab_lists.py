"""MATLAB files give classes and parts: Oxford's flowers, Stanford's cars and dogs."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.io import savemat

from lab.data import catalog
from lab.data.preview import Preview
from tests.data.pictures import jpeg, write_folder


def mat(**values: Any) -> bytes:
    file = io.BytesIO()
    savemat(file, values)
    return file.getvalue()


def parts(preview: Preview) -> dict[str, int]:
    return {split: sum(classes.values()) for split, classes in preview.counts.items()}


def test_flowers(tmp_path: Path) -> None:
    labels = np.array([[1, 1, 2, 2, 2, 10, 10, 10, 1]])
    files = {f"jpg/image_{n:05}.jpg": jpeg(n, (20, 12)) for n in range(1, 10)}
    files |= {
        "imagelabels.mat": mat(labels=labels),
        "setid.mat": mat(trnid=[[1, 3, 6]], valid=[[2, 4, 7]], tstid=[[5, 8, 9]]),
    }
    path = write_folder(tmp_path / "flowers", files)
    preview = catalog.look(path)
    assert preview.class_names == ("1", "2", "10")
    assert parts(preview) == {"train": 3, "val": 3, "test": 3}
    catalog.add_dataset("flowers", path, image_size=16)
    pack = catalog.open_pack("flowers")
    of = {name[-9:-4]: pack.meta.class_names[pack.labels[i]] for i, name in enumerate(pack.names)}
    assert [of[f"{n:05}"] for n in range(1, 10)] == list(map(str, labels[0]))
    named = write_folder(
        tmp_path / "flowers",
        {"cat_to_name.json": (b'{"1": "pink primrose", "2": "orchid", "10": "thistle"}')},
    )
    assert catalog.look(named).class_names == ("pink primrose", "orchid", "thistle")
    (path / "jpg/image_00009.jpg").unlink()
    with pytest.raises(catalog.DataError, match="not as many numbered pictures"):
        catalog.look(path)


def cars(names: list[str], classes: list[int]) -> np.ndarray:
    records = np.zeros((1, len(names)), dtype=[("bbox_x1", "O"), ("class", "O"), ("fname", "O")])
    for record, name, label in zip(records[0], names, classes, strict=True):
        record["bbox_x1"], record["class"], record["fname"] = 3, label, name
    return records


def test_cars(tmp_path: Path) -> None:
    names = [f"{n:05}.jpg" for n in range(1, 7)]
    files = {
        f"cars_{part}/{name}": jpeg(i, (20, 12))
        for part in ("train", "test")
        for i, name in enumerate(names, 10 * len(part))
    }
    files |= {
        "devkit/cars_meta.mat": mat(class_names=np.array([["Audi", "BMW X5"]], dtype=object)),
        "devkit/cars_train_annos.mat": mat(annotations=cars(names, [1, 2] * 3)),
        "cars_test_annos_withlabels.mat": mat(annotations=cars(names, [2] * 5 + [1])),
    }
    preview = catalog.look(write_folder(tmp_path / "cars", files))
    assert preview.class_names == ("Audi", "BMW X5")
    assert preview.counts["train"] == {"Audi": 3, "BMW X5": 3}
    assert preview.counts["test"] == {"Audi": 1, "BMW X5": 5}


def test_the_parts_of_dogs_come_from_lists(tmp_path: Path) -> None:
    names = [f"n0208{k}-dog{k}/n0208{k}_{i}.jpg" for k in range(2) for i in range(6)]
    files = {f"Images/{name}": jpeg(i, (20, 12)) for i, name in enumerate(names)}
    for part, chosen in (("train", names[:4] + names[6:10]), ("test", names[4:6] + names[10:])):
        cells = np.array([[name] for name in chosen], dtype=object)
        files[f"{part}_list.mat"] = mat(file_list=cells, labels=np.ones((len(chosen), 1)))
    preview = catalog.look(write_folder(tmp_path / "dogs", files))
    assert parts(preview) == {"train": 8, "val": 0, "test": 4}
    assert len(preview.class_names) == 2
    assert any("train_list.mat" in note for note in preview.notes)


def test_a_file_that_is_none_changes_nothing(tmp_path: Path) -> None:
    files = {f"{name}/{i}.jpg": jpeg(i, (20, 12)) for name in ("a", "b") for i in range(4)}
    files["labels.mat"] = b"MATLAB 7.3 MAT-file, nothing else"
    assert catalog.look(write_folder(tmp_path / "set", files)).class_names == ("a", "b")
