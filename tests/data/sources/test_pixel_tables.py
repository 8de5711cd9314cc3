"""Tables of pixels: letters survive, bad rows are named, good rows load, any square size."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

from lab.data import catalog
from lab.data.catalog import add_dataset, open_pack
from lab.data.importer import ImportReport
from lab.data.sources.pixel_tables import (
    LETTERS,
    Columns,
    RowError,
    letter_labels,
    parse_block,
    parse_header,
    parse_row,
)
from lab.errors import DataError
from tests.data.pictures import jpeg, sign_csv, write_folder, write_zip

ALL_LABELS = [label for label in range(25) if label != 9]
HEADER = ",".join(["label", *(f"pixel{i}" for i in range(1, 785))])
LABELS = letter_labels()


def columns_of(header: str) -> Columns:
    columns = parse_header(header.encode(), [])
    assert columns is not None
    return columns


COLUMNS = columns_of(HEADER)


def row(label: object = 3, pixels: int = 784, **changed: object) -> str:
    values = [str(i % 256) for i in range(pixels)]
    for name, value in changed.items():
        values[int(name.removeprefix("pixel")) - 1] = str(value)
    return ",".join([str(label), *values])


def add(tmp_path: Path, train: bytes, test: bytes | None = None) -> ImportReport:
    files = {"sign_mnist_train.csv": train}
    if test is not None:
        files["sign_mnist_test.csv"] = test
    return add_dataset("sign-mnist", write_folder(tmp_path / "signs", files), replace=True)


def test_labels_become_letters_without_j(tmp_path: Path) -> None:
    train, test = sign_csv(ALL_LABELS * 2), sign_csv(ALL_LABELS, seed=1)
    report = add(tmp_path, train, test)
    assert report.rejected == ()
    assert report.meta.class_names == LETTERS == tuple("ABCDEFGHIKLMNOPQRSTUVWXY")
    assert set(report.accepted["train"].values()) == {2}
    assert set(report.accepted["test"].values()) == {1}
    pack = open_pack("sign-mnist")
    assert pack.images.shape == (72, 28, 28, 1)
    written = np.loadtxt(train.splitlines()[1:], delimiter=",", dtype=np.int64)
    assert (pack.images[:48].reshape(48, 784) == written[:, 1:]).all()
    letters = [chr(ord("A") + label) for label in written[:, 0]]
    assert [pack.meta.class_names[label] for label in pack.labels[:48]] == letters
    assert pack.names[16] == "sign_mnist_train.csv row 17"
    assert pack.names[48] == "sign_mnist_test.csv row 1"
    assert pack.meta.original_sizes == {"28x28": 72}


def test_kaggles_zip_holds_everything_twice(tmp_path: Path) -> None:
    train, test = sign_csv(ALL_LABELS * 2), sign_csv(ALL_LABELS, seed=1)
    path = write_zip(
        tmp_path / "archive.zip",
        {
            "amer_sign2.png": b"x",
            "sign_mnist_test.csv": test,
            "sign_mnist_test/sign_mnist_test.csv": test,
            "sign_mnist_train.csv": train,
            "sign_mnist_train/sign_mnist_train.csv": train,
        },
    )
    report = add_dataset("sign-mnist", path)
    assert (report.total, report.rejected_count) == (72, 0)
    folder_hash = add(tmp_path, train, test).meta.content_hash
    assert report.meta.content_hash == folder_hash


def test_bad_rows_are_named_and_good_rows_load(tmp_path: Path) -> None:
    good = [row(label) for label in ALL_LABELS for _ in range(2)]
    bad = [
        row(25),
        row(9),
        row("cat"),
        row(pixels=783),
        row(pixels=785),
        row(pixel17=256),
        row(pixel784=-1),
        row(pixel1="x"),
        row(pixel1=1.5),
        row(pixel1=""),
        row(""),
        "",  # an empty line is nothing
        row(1.5),
    ]
    report = add(tmp_path, "\n".join([HEADER, *good, *bad]).encode())
    assert report.total == 48
    first = len(good) + 1
    assert [str(r) for r in report.rejected] == [
        f"sign_mnist_train.csv row {first + i} {reason}"
        for i, reason in (
            (0, "has the label '25' (Z is a movement); allowed are 0 to 24 without 9"),
            (1, "has the label '9' (J is a movement); allowed are 0 to 24 without 9"),
            (2, "has the label 'cat'; allowed are 0 to 24 without 9"),
            (3, "has 783 pixels instead of 784"),
            (4, "has 785 pixels instead of 784"),
            (5, "has '256' as pixel17; allowed are whole numbers from 0 to 255"),
            (6, "has '-1' as pixel784; allowed are whole numbers from 0 to 255"),
            (7, "has 'x' as pixel1; allowed are whole numbers from 0 to 255"),
            (8, "has '1.5' as pixel1; allowed are whole numbers from 0 to 255"),
            (9, "has '' as pixel1; allowed are whole numbers from 0 to 255"),
            (10, "has the label ''; allowed are 0 to 24 without 9"),
            (12, "has the label '1.5'; allowed are 0 to 24 without 9"),
        )
    ]


def test_many_bad_rows_are_counted_but_not_all_listed(tmp_path: Path) -> None:
    rows = [row(label) for label in (0, 1)] * 4 + ["25,1"] * 1500
    report = add(tmp_path, "\n".join([HEADER, *rows]).encode())
    assert report.total == 8
    assert report.rejected_count == 1500 + 22  # 22 letters without images
    assert len(report.rejected) == 1000


def test_other_spellings_of_a_csv(tmp_path: Path) -> None:
    names = HEADER.split(",")
    shuffled = [*names[::-1], "extra"]
    columns = columns_of(",".join(f'"{name}"' for name in shuffled))
    values = [f'"{i % 256}.0"' for i in range(784)][::-1]
    line = ",".join([*values, ' "11" ', "?"]) + "\r\n"
    label, pixels = parse_row(line.encode(), columns, LABELS)[:2]
    assert (label, LETTERS[label]) == (10, "L")
    assert list(pixels) == [i % 256 for i in range(784)]


LINES = [row(label, pixel1=label, pixel784=255 - label) + "\n" for label in ALL_LABELS]


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_block_reads_as_its_rows_do(end: str) -> None:
    lines = [line.replace("\n", end).encode() for line in LINES]
    assert parse_block(lines, COLUMNS, LABELS) == [
        parse_row(line, COLUMNS, LABELS) for line in lines
    ]


@pytest.mark.parametrize(
    "odd",
    [
        row(25),
        row(9),
        row(pixels=783),
        row(pixels=785),
        row(pixel1=256),
        row(pixel1=-1),
        row(pixel1=""),
        row(pixel784=""),
        row(""),
        row(pixel1=1.0),
        row(pixel1="x"),
        row(pixel1="0012"),
        row(pixel1='"1"'),
        row(pixel1="1\n", pixels=783),
        "",
    ],
)
def test_a_block_with_an_odd_row_is_left_to_the_closer_look(odd: str) -> None:
    lines = [line.encode() for line in (*LINES[:5], odd + "\n", *LINES[5:])]
    assert parse_block(lines, COLUMNS, LABELS) is None


@pytest.mark.parametrize("value", ["nan", "inf", "-inf", "1e999", "0x1"])
def test_numbers_that_are_none(value: str) -> None:
    with pytest.raises(RowError):
        parse_row(row(value).encode(), COLUMNS, LABELS)
    with pytest.raises(RowError):
        parse_row(row(pixel3=value).encode(), COLUMNS, LABELS)


def test_missing_columns_are_named(tmp_path: Path) -> None:
    test = sign_csv(ALL_LABELS * 2)
    lacking = test.replace(b"pixel5,", b"other,", 1)
    with pytest.raises(DataError) as caught:
        add(tmp_path, lacking)
    assert "does not look like Sign-Language MNIST" in str(caught.value)
    assert "has 783 pixel columns (pixel1 to pixel784) without pixel5: no square" in str(
        caught.value
    )


def test_without_a_first_line_the_label_is_the_first_number(tmp_path: Path) -> None:
    rows = [row(label) for label in ALL_LABELS * 2]
    assert add(tmp_path, "\n".join(rows).encode()).total == 48


def test_a_bad_test_file_does_not_spoil_the_training_file(tmp_path: Path) -> None:
    report = add(tmp_path, sign_csv(ALL_LABELS * 10), b"a,b\n1,2\n")
    assert str(report.rejected[0]).startswith("sign_mnist_test.csv has no columns of pixels")
    assert sum(report.accepted["test"].values()) == 24 * 2  # 15 % of 10, set apart
    assert any("set apart for the test" in note for note in report.notes)


@pytest.mark.parametrize(
    ("files", "sentence"),
    [
        ({}, "found nothing"),
        ({"readme.txt": b"x"}, "found readme.txt"),
        ({"cats/1.jpg": b"x"}, "found cats/"),
        ({"sign_mnist_train.csv": b""}, "sign_mnist_train.csv has no columns of pixels"),
        ({"sign_mnist_train.csv.zip": b"x"}, "Unpack it and add sign_mnist_train.csv.zip"),
    ],
)
def test_something_else_is_refused_in_one_sentence(
    tmp_path: Path, files: dict[str, bytes], sentence: str
) -> None:
    with pytest.raises(DataError) as caught:
        add_dataset("sign-mnist", write_zip(tmp_path / "other.zip", files))
    assert sentence in str(caught.value)
    assert "sign_mnist_train.csv" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert catalog.describe("sign-mnist").state == "not added"


def test_only_a_header_has_no_usable_images(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="has no usable images"):
        add(tmp_path, HEADER.encode())


def test_a_csv_cut_off_in_the_middle_loads_the_rows_before(tmp_path: Path) -> None:
    data = sign_csv(ALL_LABELS * 2)
    report = add(tmp_path, data[: len(data) - 500])
    assert report.rejected_count >= 1
    assert "sign_mnist_train.csv row 48" in str(report.rejected[0])
    assert report.total == 46  # and Y, with one image left, is no class any more
    assert report.meta.class_names == LETTERS[:-1]


def test_signs_under_a_name_of_ones_own(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "x", {"my_train.csv": sign_csv(ALL_LABELS * 4)})
    report = add_dataset("my-signs", folder)
    assert report.meta.class_names == LETTERS
    assert (report.meta.channels, report.meta.image_size) == (1, 28)


# --- tables of ones own ------------------------------------------------------------


def smooth(count: int, side: int, channels: int = 1) -> np.ndarray:
    """(count, side, side, channels) pictures whose neighbouring pixels are alike."""
    rng = np.random.default_rng(side + channels)
    y, x = np.mgrid[:side, :side]
    waves = rng.uniform(1, 3, (count, channels, 3))
    pictures = [
        [127 + 120 * np.sin(x / (3 + a) + b) * np.cos(y / 4 + c) for a, b, c in picture]
        for picture in waves
    ]
    return np.array(pictures).transpose(0, 2, 3, 1).astype(int)


LABELS_OF_TWELVE = [0, 1, 2] * 4


def table(
    pictures: np.ndarray,
    labels: list[int] | list[str] = LABELS_OF_TWELVE,
    *,
    first: int | None = 1,
    last: bool = False,
    separator: str = ",",
) -> str:
    """A table of pixels; `first` is the number of the first pixel, None for no first line."""
    flat = pictures.reshape(len(pictures), -1)
    header = [f"pixel{i}" for i in range(first or 0, (first or 0) + flat.shape[1])]
    lines = [["label", *header]] if first is not None else []
    lines += [[str(label), *map(str, row)] for label, row in zip(labels, flat, strict=True)]
    if last:
        lines = [[*line[1:], line[0]] for line in lines]
    return "\n".join(map(separator.join, lines)) + "\n"


GREY = smooth(12, 28)
READ: dict[str, tuple[dict[str, bytes], np.ndarray, tuple[str, ...]]] = {
    "Fashion-MNIST": (
        {"fashion-mnist_train.csv": table(smooth(40, 28), list(range(10)) * 4).encode()},
        smooth(40, 28),
        tuple("0123456789"),
    ),
    "64 x 64": (
        {"sign_train.csv": table(smooth(12, 64)).encode()},
        smooth(12, 64),
        ("0", "1", "2"),
    ),
    "colours in turn": (
        {"train.csv": table(smooth(12, 32, 3)).encode()},
        smooth(12, 32, 3),
        ("0", "1", "2"),
    ),
    "colours in planes": (
        {"train.csv": table(smooth(12, 32, 3).transpose(0, 3, 1, 2)).encode()},
        smooth(12, 32, 3),
        ("0", "1", "2"),
    ),
    "label last": ({"data.csv": table(GREY, last=True).encode()}, GREY, ("0", "1", "2")),
    "no first line": ({"mnist_train.csv": table(GREY, first=None).encode()}, GREY, ("0", "1", "2")),
    "no first line, label last": (
        {"mnist_train.csv": table(GREY, first=None, last=True).encode()},
        GREY,
        ("0", "1", "2"),
    ),
    "pixels from 0": ({"train.csv": table(GREY, first=0).encode()}, GREY, ("0", "1", "2")),
    "semicolons": ({"train.csv": table(GREY, separator=";").encode()}, GREY, ("0", "1", "2")),
    "tabs": ({"train.tsv": table(GREY, separator="\t").encode()}, GREY, ("0", "1", "2")),
    "spaces": ({"train.csv": table(GREY, separator=", ").encode()}, GREY, ("0", "1", "2")),
    "UTF-16": ({"train.csv": table(GREY).encode("utf-16")}, GREY, ("0", "1", "2")),
    "gzip": ({"train.csv.gz": gzip.compress(table(GREY).encode())}, GREY, ("0", "1", "2")),
    "words in Korean": (
        {"train.csv": table(GREY, ["강아지", "고양이", "새"] * 4).encode("cp949")},
        GREY,
        ("강아지", "고양이", "새"),
    ),
    "A and a": ({"train.csv": table(GREY, ["A", "a", "b"] * 4).encode()}, GREY, ("A", "a", "b")),
    "signs": (
        {"sign_mnist_train.csv": table(GREY, [0, 8, 10] * 4).encode()},
        GREY,
        ("A", "I", "K"),
    ),
    "no signs": ({"train.csv": table(GREY, [0, 8, 10] * 4).encode()}, GREY, ("0", "8", "10")),
}


@pytest.mark.parametrize("kind", READ)
def test_tables_of_pixels_as_people_have_them(kind: str, tmp_path: Path) -> None:
    files, pictures, classes = READ[kind]
    report = add_dataset("mine", write_folder(tmp_path / "set", files))
    assert report.rejected == ()
    assert report.meta.class_names == classes
    pack = open_pack("mine")
    assert (pack.images == pictures).all()
    assert [pack.meta.class_names[label] for label in pack.labels[:3]] == list(classes[:3])


def test_all_pixels_in_one_column_with_the_split_beside(tmp_path: Path) -> None:
    usage = ["Training"] * 6 + ["PublicTest"] * 3 + ["PrivateTest"] * 3
    rows = [
        f'{label},"{" ".join(map(str, picture.ravel()))}",{part}'
        for label, picture, part in zip(LABELS_OF_TWELVE, smooth(12, 48), usage, strict=True)
    ]
    files = {"fer2013.csv": "\n".join(["emotion,pixels,Usage", *rows]).encode()}
    report = add_dataset("faces", write_folder(tmp_path / "set", files))
    each = {split: sum(classes.values()) for split, classes in report.accepted.items()}
    assert each == {"train": 6, "val": 3, "test": 3}
    assert (open_pack("faces").images == smooth(12, 48)).all()


LEFT_OUT: dict[str, tuple[str, str]] = {
    "without labels": (
        "\n".join(line.partition(",")[2] for line in table(GREY).splitlines()),
        "test.csv has 28 x 28 pixels and no column of labels, so nobody knows its classes",
    ),
    "numbered, without labels": (
        table(GREY, list(range(12))).replace("label", "id", 1),
        "test.csv has 28 x 28 pixels and no column of labels",
    ),
    "another size": (
        table(smooth(12, 32)),
        "test.csv has pictures of 32 x 32 and is left out; train.csv has 28 x 28",
    ),
    "no square": (
        "\n".join(line.rpartition(",")[0] for line in table(GREY).splitlines()),
        "test.csv has 783 pixel columns (pixel1 to pixel783): no square picture",
    ),
    "fractions": (
        table(np.round(GREY / 255, 3)),
        "test.csv has pixels that are fractions (such as ",
    ),
}


@pytest.mark.parametrize("kind", LEFT_OUT)
def test_a_table_that_does_not_fit_is_left_out_with_its_reason(kind: str, tmp_path: Path) -> None:
    test, reason = LEFT_OUT[kind]
    files = {"train.csv": table(GREY).encode(), "test.csv": test.encode()}
    report = add_dataset("mine", write_folder(tmp_path / "set", files))
    [rejected] = report.rejected
    assert str(rejected).startswith(reason)
    assert report.total == 12


def test_tables_that_are_no_part_are_named(tmp_path: Path) -> None:
    files = {name: table(GREY).encode() for name in ("train.csv", "test.csv")}
    files["everything.csv"] = table(smooth(13, 28)[1:]).encode()
    report = add_dataset("mine", write_folder(tmp_path / "set", files))
    assert [str(rejected) for rejected in report.rejected] == [
        "everything.csv lies beside tables for training and test, and its name says neither; it "
        "is left out. Rename it (train2.csv) if it belongs here"
    ]


def test_pictures_are_better_than_a_small_table_of_the_same(tmp_path: Path) -> None:
    """HAM10000 brings hmnist_8_8_L.csv beside its photographs."""
    names = [f"part_{1 + i % 2}/ISIC_{i:07}" for i in range(24)]
    files = {f"{name}.jpg": jpeg(i, (12, 10)) for i, name in enumerate(names)}
    rows = [f"{name.rpartition('/')[2]},{('nv', 'mel')[i % 2]}" for i, name in enumerate(names)]
    files["metadata.csv"] = "\n".join(["image_id,dx", *rows]).encode()
    files["hmnist_8_8_L.csv"] = table(smooth(24, 8), [i % 2 for i in range(24)]).encode()
    report = add_dataset("moles", write_folder(tmp_path / "set", files), image_size=16)
    assert report.meta.class_names == ("mel", "nv")
    assert report.total == 24
    assert any("hmnist_8_8_L.csv" in str(rejected) for rejected in report.rejected)


def test_another_size_is_no_sign_mnist(tmp_path: Path) -> None:
    files = {"sign_mnist_train.csv": table(smooth(12, 64)).encode()}
    with pytest.raises(
        DataError, match=r"has 4,096 pixel columns \(64 x 64\); this data set has 784"
    ):
        add_dataset("sign-mnist", write_folder(tmp_path / "set", files))


def test_pictures_that_would_be_black_are_told(tmp_path: Path) -> None:
    files = {"digits.csv": table(GREY // 16).encode()}
    report = add_dataset("digits", write_folder(tmp_path / "set", files))
    assert any("of 255, so the pictures are nearly black" in note for note in report.notes)
