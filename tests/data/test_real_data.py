"""The two real data sets, read as they come (LAB_REAL_DATA names the folder)."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lab.data.catalog import add_dataset, describe, open_pack

pytestmark = pytest.mark.real_data


def test_sign_language_mnist(real_data: Path) -> None:
    path = real_data / "sign-language-mnist.zip"
    report = add_dataset("sign-mnist", path)
    assert report.rejected_count == 0
    assert report.meta.class_names == tuple("ABCDEFGHIKLMNOPQRSTUVWXY")
    assert describe("sign-mnist").split_totals == {"train": 27_455, "test": 7_172}
    assert all(report.accepted[split][letter] for split in ("train", "test") for letter in "AKY")
    pack = open_pack("sign-mnist")
    assert pack.images.shape == (34_627, 28, 28, 1)
    with zipfile.ZipFile(path) as zipped, zipped.open("sign_mnist_test.csv") as file:
        lines = file.read().splitlines()[1:]
    for row in (1, 100, 7_172):
        label, *pixels = map(int, lines[row - 1].split(b","))
        index = 27_455 + row - 1
        assert pack.names[index] == f"sign_mnist_test.csv row {row}"
        assert pack.meta.class_names[pack.labels[index]] == chr(ord("A") + label)
        assert pack.images[index].ravel().tolist() == pixels


def test_cats_and_dogs(real_data: Path) -> None:
    path = real_data / "cats_and_dogs.zip"
    report = add_dataset("cats-dogs", path, image_size=64)
    assert report.rejected_count == 0
    assert report.layout.startswith("a table of labels (cats_and_dogs/train/label.csv: files in")
    assert report.accepted["train"] == {"cat": 4000, "dog": 4000}
    assert report.accepted["test"] == {"cat": 1000, "dog": 1000}
    assert report.meta.original_sizes == {"200x200": 10_000}
    pack = open_pack("cats-dogs")
    assert pack.images.shape == (10_000, 64, 64, 3)
    assert all(
        ("/cats/cat.", "/dogs/dog.")[label] in name
        for name, label in zip(pack.names, pack.labels, strict=True)
    )
    index = pack.names.index("cats_and_dogs/train/dogs/dog.7.jpg")
    with zipfile.ZipFile(path) as zipped, zipped.open(pack.names[index]) as file:
        wanted = Image.open(file).convert("RGB").resize((64, 64), Image.Resampling.BICUBIC)
    assert np.abs(pack.images[index].astype(int) - np.asarray(wanted)).max() <= 1
