"""Sets of files of every kind that is read, whole and damaged, as folders and zips."""

from __future__ import annotations

import io
import tempfile
import zipfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from scipy.io import savemat

from lab.api.classify import files_in, open_zip
from lab.data import catalog
from lab.data.decode import decode
from tests.fuzz.conftest import sentence_of

Files = Mapping[str, bytes]


def picture(kind: str = "PNG", shade: int = 0) -> bytes:
    data = io.BytesIO()
    Image.new("RGB", (9, 9), (shade % 256, 80, 160)).save(data, kind)
    return data.getvalue()


@cache
def seeds() -> dict[str, bytes]:
    """Whole files by their endings; the others are made of them."""
    rows = "".join(f"{i % 2}," + ",".join(["7"] * 64) + "\n" for i in range(8))
    header = "label," + ",".join(f"pixel{i}" for i in range(64)) + "\n"
    pixels = np.zeros((6, 9, 9), dtype=np.uint8)
    idx = b"\0\0\x08\x03" + np.array(pixels.shape, dtype=">i4").tobytes() + pixels.tobytes()
    labels = b"\0\0\x08\x01" + np.array([6], dtype=">i4").tobytes() + bytes([0, 1] * 3)
    table = pa.table({
        "image": [{"bytes": picture(shade=i), "path": f"{i}.png"} for i in range(6)],
        "label": [i % 2 for i in range(6)],
    })  # fmt: skip
    parquet, mat = io.BytesIO(), io.BytesIO()
    pq.write_table(table, parquet)
    savemat(mat, {"labels": np.arange(1, 7) % 2, "image_ids": np.arange(6)})
    return {
        ".png": picture(), ".jpg": picture("JPEG"), ".gif": picture("GIF"),
        ".bmp": picture("BMP"), ".tif": picture("TIFF"), ".webp": picture("WEBP"),
        "labels.csv": b"file,label\n" + b"".join(b"%d.png,%d\n" % (i, i % 2) for i in range(6)),
        "classes.json": b'{"0": "cat", "1": "dog"}', "train.txt": b"cat/1\ndog/2\n",
        "train.csv": (header + rows).encode(), "train-images-idx3-ubyte": idx,
        "train-labels-idx1-ubyte": labels, "train.parquet": parquet.getvalue(),
        "imagelabels.mat": mat.getvalue(), "rows.jsonl": b'{"file": "1.png", "label": "a"}\n',
    }  # fmt: skip


@st.composite
def damaged(draw: st.DrawFn, whole: bytes) -> bytes:
    """The bytes, cut off, changed, with a piece taken out, or with one put in."""
    data = bytearray(whole)
    for _ in range(draw(st.integers(0, 4))):
        place = draw(st.integers(0, max(0, len(data) - 1)))
        how = draw(st.sampled_from(["cut", "change", "take", "put", "header"]))
        if how == "cut":
            del data[place:]
        elif how == "change" and data:
            data[place] = draw(st.integers(0, 255))
        elif how == "take":
            del data[place : place + draw(st.integers(1, 40))]
        elif how == "put":
            data[place:place] = draw(st.binary(max_size=20) | st.just(b"9" * 5000))
        elif data:
            data[min(place, 40) % len(data)] = draw(st.sampled_from([0, 0x7F, 0x80, 0xFF]))
    return bytes(data)


PARTS = st.sampled_from((
    *("train", "test", "val", "cat", "dog", "images", "0", "1", "9" * 200, "..", "C:", "강아지"),
    *(":red[z]", "=1+1", "con", "x" * 300, ".hidden", "a\x1b[0m", "labels", "\u202eb"),
))  # fmt: skip


@st.composite
def file_sets(draw: st.DrawFn) -> Files:
    files: dict[str, bytes] = {}
    kinds = list(seeds())
    for number in range(draw(st.integers(0, 12))):
        folder = draw(st.lists(PARTS, max_size=3))
        kind = draw(st.sampled_from(kinds))
        name = f"{number}{kind}" if kind.startswith(".") else kind
        if draw(st.integers(0, 9)) == 0:
            name = draw(PARTS) + kind
        data = draw(damaged(seeds()[kind]))
        files["/".join([*folder, name])] = data
    return files


def _zipped(files: Files, method: int) -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", method) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return data.getvalue()


def _is_answered(path: Path) -> None:
    sentence_of(lambda: catalog.look(path))
    sentence_of(lambda: catalog.add_dataset("fuzzed", path, image_size=16, replace=True))


METHODS = st.sampled_from([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA])


@given(st.data(), METHODS)
def test_zips(data: st.DataObject, method: int) -> None:
    whole = _zipped(data.draw(file_sets()), method)
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder, "set.zip")
        place.write_bytes(data.draw(damaged(whole)))
        _is_answered(place)
        sentence_of(lambda: list(files_in(open_zip(place.read_bytes()))))


@given(file_sets())
def test_folders(files: Files) -> None:
    with tempfile.TemporaryDirectory() as folder:
        for name, content in files.items():
            parts = [part for part in name.split("/") if part not in ("..", "") and len(part) < 250]
            place = Path(folder, *parts) if parts else Path(folder, "x")
            try:
                place.parent.mkdir(parents=True, exist_ok=True)
                place.write_bytes(content)
            except OSError:  # a folder where a file is
                continue
        _is_answered(Path(folder))


@given(st.sampled_from([k for k in seeds() if not k.startswith(".")]), st.data())
def test_one_table(name: str, data: st.DataObject) -> None:
    """The readers of tables and headers, each beside pictures that it may be about."""
    files = {f"{i}.png": picture(shade=40 * i) for i in range(6)} | seeds()
    files = {n: c for n, c in files.items() if n.endswith(".png") or "labels-idx" in n}
    files[name] = data.draw(damaged(seeds()[name]))
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder, "set.zip")
        place.write_bytes(_zipped(files, zipfile.ZIP_STORED))
        _is_answered(place)


def test_a_table_of_a_million_columns() -> None:
    row = "1" + ",3" * 1_000_000 + "\n"
    header = "label," + ",".join(f"pixel{i}" for i in range(1_000_000)) + "\n"
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "train.csv").write_text(header + row)
        assert "no square picture" in sentence_of(lambda: catalog.look(Path(folder)))


@given(st.sampled_from([k for k in seeds() if k.startswith(".")]), st.data())
def test_pictures(kind: str, data: st.DataObject) -> None:
    content = data.draw(damaged(seeds()[kind]))
    sentence_of(lambda: decode(content, name=f"x{kind}"))
