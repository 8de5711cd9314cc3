"""The Hugging Face Hub's Parquet files are read with their classes and parts."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from lab.data import catalog
from lab.errors import DataError
from tests.data.pictures import jpeg, write_folder


def table(labels: list, *, names: list[str] | None = None, first: int = 0, **more: list) -> bytes:
    files = [{"bytes": jpeg(first + i, (20, 12)), "path": f"{i}.jpg"} for i in range(len(labels))]
    content = pa.table({"image": files, "label": labels, **more})
    if names is not None:
        features = {"label": {"names": names, "_type": "ClassLabel"}, "image": {"_type": "Image"}}
        meta = {"huggingface": json.dumps({"info": {"features": features}})}
        content = content.replace_schema_metadata(meta)
    file = io.BytesIO()
    pq.write_table(content, file)
    return file.getvalue()


@pytest.mark.parametrize("zipped", [False, True])
def test_a_set_of_the_hub(tmp_path: Path, zipped: bool) -> None:
    names = ["cat", "dog"]
    files = {
        "README.md": b"---",
        "data/train-00000-of-00002.parquet": table([0, 1] * 3, names=names),
        "data/train-00001-of-00002.parquet": table([1, 0], names=names, first=10),
        "data/test-00000-of-00001.parquet": table([0, 1, -1], names=names, first=20),
    }
    path = write_folder(tmp_path / "pets", files)
    if zipped:
        import shutil

        path = Path(shutil.make_archive(str(tmp_path / "pets"), "zip", path))
    preview = catalog.look(path)
    assert preview.class_names == ("cat", "dog")
    assert preview.counts["train"] == {"cat": 4, "dog": 4}
    assert preview.counts["test"] == {"cat": 1, "dog": 1}
    report = catalog.add_dataset("pets", path, image_size=16)
    assert report.accepted == preview.counts
    assert [str(r) for r in report.rejected] == ["test-00000-of-00001.parquet row 3 has no label"]
    pack = catalog.open_pack("pets")
    assert pack.sizes is not None
    assert (pack.sizes == (20, 12)).all()
    assert pack.names[1] == "train-00000-of-00002.parquet row 2"


def test_a_dark_picture_of_sixteen_bits_stays_dark_beside_a_bright_one(tmp_path: Path) -> None:
    def grey(value: int) -> dict[str, bytes]:
        file = io.BytesIO()
        Image.fromarray(np.full((8, 8), value, np.uint16)).save(file, "PNG")
        return {"bytes": file.getvalue()}

    values, labels = [4095, 1000, 4000, 500] * 3, ["a", "b"] * 6
    content = pa.table({"image": list(map(grey, values)), "label": labels})
    pq.write_table(content, tmp_path / "train.parquet")
    report = catalog.add_dataset("scans", tmp_path, image_size=8)
    pack = catalog.open_pack("scans")
    dark = [pack.images[i].max() for i, name in enumerate(pack.names) if name.endswith("row 4")]
    assert dark == [round(500 * 255 / 4095)]
    assert report.meta.value_range == (0, 4095)


def test_texts_are_classes_and_of_two_columns_one_is_asked_for(tmp_path: Path) -> None:
    data = table(["b", "a", None] * 2, fine_label=["x", "y", "z"] * 2)
    path = write_folder(tmp_path / "set", {"train/0000.parquet": data})
    preview = catalog.look(path)
    assert preview.class_names == ("a", "b")
    assert "label" in [question.key for question in preview.questions]
    assert catalog.look(path, answers={"label": "fine_label"}).class_names == ("x", "y", "z")


def test_what_is_no_such_table_gets_a_sentence(tmp_path: Path) -> None:
    file = io.BytesIO()
    pq.write_table(pa.table({"text": ["a", "b"], "label": [0, 1]}), file)
    for number, (data, reason) in enumerate(
        [(file.getvalue(), "has no column of pictures: text, label"), (b"PAR1", "as Parquet")]
    ):
        path = write_folder(tmp_path / str(number), {"train.parquet": data})
        with pytest.raises(DataError, match=reason):
            catalog.look(path)


def test_a_damaged_page_is_a_sentence(tmp_path: Path) -> None:
    whole = table([f"class {i % 2}" for i in range(8)])
    refused = 0
    for place in range(4, len(whole) - 300, len(whole) // 12):
        damaged = bytearray(whole)
        damaged[place : place + 40] = b"\xff" * 40
        path = write_folder(tmp_path / str(place), {"train.parquet": bytes(damaged)})
        try:
            catalog.add_dataset("damaged", path, image_size=16, replace=True)
        except DataError:
            refused += 1
    assert refused
