"""Tables of file names and classes as people, spreadsheets and Roboflow write them."""

from __future__ import annotations

import io
import json
import unicodedata
from collections.abc import Callable

import pytest

from lab.data.decode import UnreadableFile
from lab.data.pack import Rejections
from lab.data.sources import label_tables
from lab.data.sources.photographs import Photographs
from lab.data.sources.source import ClassRule
from lab.data.sources.table_headers import header_key, label_text

COUNT = 12
PETS = ("cat", "dog")
IMAGES = [f"images/p{i:02}.jpg" for i in range(COUNT)]
Files = dict[str, bytes]


class FakeArchive:
    """Files in memory; pictures are never decoded here."""

    display_path = "set"
    questions = ()
    notes = ()

    def __init__(self, files: Files) -> None:
        self._files = files
        self.files = tuple(files)
        self.sizes = {name: len(data) for name, data in files.items()}
        self.folders = frozenset(name.rpartition("/")[0] for name in files if "/" in name)

    def read(self, name: str, *, limit: int) -> bytes:
        if self.sizes[name] > limit:
            raise UnreadableFile(name, "is too large")
        return self._files[name]

    def open(self, name: str) -> io.BytesIO:
        return io.BytesIO(self._files[name])


def read(
    files: Files, *, images: list[str] = IMAGES, answers: dict[str, str] | None = None
) -> tuple[Photographs | None, list[str]]:
    rejections = Rejections()
    archive = FakeArchive(dict.fromkeys(images, b"x") | files)
    source = label_tables.recognise(archive, ClassRule(), rejections, answers or {})
    return source, [str(rejected) for rejected in rejections.listed]


def labels(source: Photographs | None) -> dict[str, str]:
    assert source is not None
    return {file.path: source.class_names[file.label] for file in source.files}


def splits(source: Photographs | None) -> dict[str, int]:
    assert source is not None
    found = [file.split for file in source.files]
    return {split: found.count(split) for split in ("train", "val", "test")}


def table(header: str, row: Callable[[int], str], count: int = COUNT) -> bytes:
    return "\n".join([*([header] if header else []), *map(row, range(count)), ""]).encode()


def pet(i: int) -> str:
    return PETS[i % 2]


WANTED = {image: pet(i) for i, image in enumerate(IMAGES)}
plain = table("path,label", lambda i: f"images/p{i:02}.jpg,{pet(i)}")

READ: dict[str, Files] = {
    "document 000": {"label.csv": plain},
    "mark": {"labels.csv": b"\xef\xbb\xbf" + plain},
    "UTF-16": {"labels.csv": plain.decode().encode("utf-16")},
    "semicolons": {"labels.csv": plain.replace(b",", b";")},
    "tabs": {"labels.tsv": plain.replace(b",", b"\t")},
    "pipes": {"labels.csv": plain.replace(b",", b"|")},
    "Excel's separator line": {"labels.csv": b"sep=;\r\n" + plain.replace(b",", b";")},
    "filename, class": {"labels.csv": table("filename,class", lambda i: f"p{i:02}.jpg,{pet(i)}")},
    "File name, Species": {"a.csv": table("File name,Species", lambda i: f"p{i:02}.jpg,{pet(i)}")},
    "without suffix": {"train.csv": table("image_id,breed", lambda i: f"p{i:02},{pet(i)}")},
    "other suffix": {"train.csv": table("id,target", lambda i: f"p{i:02}.png,{pet(i)}")},
    "other case": {"labels.csv": table("image,label", lambda i: f"IMAGES/P{i:02}.JPG,{pet(i)}")},
    "another machine": {
        "labels.csv": table("path,label", lambda i: f"C:\\me\\images\\p{i:02}.jpg,{pet(i)}")
    },
    "another folder": {
        "labels.csv": table("path,label", lambda i: f"/home/me/pics/p{i:02}.jpg,{pet(i)}")
    },
    "no first line": {"labels.csv": table("", lambda i: f"images/p{i:02}.jpg,{pet(i)}")},
    "spaces": {"train.txt": table("", lambda i: f"images/p{i:02}.jpg {pet(i)}")},
    "index column": {"labels.csv": table(",img,y", lambda i: f"{i},p{i:02}.jpg,{pet(i)}")},
    "Korean headers": {
        "라벨.csv": table("파일명,품종", lambda i: f"p{i:02}.jpg,{pet(i)}").decode().encode("cp949")
    },
    "number and name": {
        "labels.csv": table("file,class_id,class_name", lambda i: f"p{i:02}.jpg,{i % 2},{pet(i)}")
    },
    "classes.txt": {
        "labels.csv": table("file,label", lambda i: f"p{i:02}.jpg,{i % 2}"),
        "classes.txt": b"cat\ndog\n",
    },
    "class_indices.json": {
        "labels.csv": table("file,label", lambda i: f"p{i:02}.jpg,{i % 2}.0"),
        "class_indices.json": b'{"cat": 0, "dog": 1}',
    },
    "Roboflow": {
        "images/_classes.csv": table(
            "filename, cat, dog", lambda i: f"p{i:02}.jpg, {1 - i % 2}, {i % 2}"
        )
    },
    "Hugging Face": {
        "images/metadata.csv": table("file_name,label", lambda i: f"p{i:02}.jpg,{pet(i)}")
    },
    "Hugging Face, lines": {
        "images/metadata.jsonl": table(
            "", lambda i: json.dumps({"file_name": f"p{i:02}.jpg", "label": pet(i), "w": 3})
        )
    },
    "two columns of any name": {"x.csv": table("what,ever", lambda i: f"p{i:02}.jpg,{pet(i)}")},
}


@pytest.mark.parametrize("kind", READ)
def test_tables_as_people_write_them(kind: str) -> None:
    source, rejected = read(READ[kind])
    assert labels(source) == WANTED
    assert rejected == []
    assert splits(source) == {"train": COUNT, "val": 0, "test": 0}


def test_names_in_decomposed_letters_agree_with_composed_ones() -> None:
    images = [f"images/한글{i:02}.jpg" for i in range(COUNT)]
    text = "path,label\n" + "".join(f"{name},{pet(i)}\n" for i, name in enumerate(images))
    source, rejected = read(
        {"labels.csv": unicodedata.normalize("NFD", text).encode()}, images=images
    )
    assert labels(source) == {image: pet(i) for i, image in enumerate(images)}
    assert rejected == []


def test_numbers_find_files_with_leading_zeros() -> None:
    images = [f"{i:05}.jpg" for i in range(COUNT)]
    source, _ = read({"labels.csv": table("id,label", lambda i: f"{i},{pet(i)}")}, images=images)
    assert labels(source) == {image: pet(i) for i, image in enumerate(images)}


# --- classes ------------------------------------------------------------


def test_upper_and_lower_case_are_two_classes_of_one_split() -> None:
    source, _ = read({"labels.csv": table("path,label", lambda i: f"p{i:02}.jpg,{'AaBb'[i % 4]}")})
    assert source is not None
    assert source.class_names == ("A", "B", "a", "b")
    assert source.notes == ("Upper and lower case are different classes here, such as A and a.",)


def test_case_is_folded_between_splits() -> None:
    source, _ = read(
        {
            "train.csv": table("path,label", lambda i: f"p{i:02}.jpg,{pet(i).title()}", 8),
            "test.csv": table("path,label", lambda i: f"p{i + 8:02}.jpg,{pet(i)}", 4),
        }
    )
    assert source is not None
    assert sorted(name.casefold() for name in source.class_names) == ["cat", "dog"]
    assert splits(source) == {"train": 8, "val": 0, "test": 4}


def test_floats_are_the_whole_numbers_that_they_are() -> None:
    source, _ = read({"labels.csv": table("id,target", lambda i: f"p{i:02},{i % 2}.0")})
    assert source is not None
    assert source.class_names == ("0", "1")


def test_blank_and_endless_labels_are_left_out_by_name() -> None:
    cells = {10: "", 11: "nan", 9: "9" * 5000}
    source, rejected = read(
        {"labels.csv": table("id,label", lambda i: f"p{i:02},{cells.get(i, pet(i))}")}
    )
    assert len(labels(source)) == 9
    assert rejected[:3] == [
        "labels.csv row 10 has a label of 5,000 characters; at most 200 are allowed",
        "labels.csv row 11 (p10) has no label",
        "labels.csv row 12 (p11) has no label",
    ]


def test_several_classes_of_one_picture_are_left_out_by_name() -> None:
    source, rejected = read(
        {
            "_classes.csv": table(
                "filename,cat,dog", lambda i: f"p{i:02}.jpg,{1 - i % 2},{int(i % 2 or i == 0)}"
            )
        }
    )
    assert len(labels(source)) == COUNT - 1
    assert rejected[0] == "_classes.csv row 1 marks 2 classes for p00.jpg; one is needed"


def test_two_columns_of_classes_are_asked_about() -> None:
    files = {
        "labels.csv": table("image,species,breed", lambda i: f"p{i:02},{pet(i)},{'abc'[i % 3]}")
    }
    source, _ = read(files)
    assert source is not None
    [asked] = source.questions
    assert [value for value, _ in asked.choices] == ["species", "breed"]
    assert source.class_names == PETS
    other, _ = read(files, answers={asked.key: "breed"})
    assert other is not None
    assert other.class_names == ("a", "b", "c")


# --- splits ------------------------------------------------------------


def test_a_column_tells_the_split() -> None:
    words = ("Training", "valid", "TEST")
    source, _ = read(
        {"labels.csv": table("path,label,set", lambda i: f"p{i:02}.jpg,{pet(i)},{words[i % 3]}")}
    )
    assert splits(source) == {"train": 4, "val": 4, "test": 4}


def test_true_and_false_tell_the_split_of_a_column_called_is_valid() -> None:
    for name, split in (("is_valid", "val"), ("isTest", "test")):
        source, _ = read(
            {"labels.csv": table(f"path,label,{name}", lambda i: f"p{i:02}.jpg,{pet(i)},{i >= 8}")}
        )
        assert splits(source) == {"train": 8, "val": 0, "test": 0} | {split: 4}


def test_a_column_called_split_may_number_the_parts() -> None:
    def rows(numbers: str) -> bytes:
        return table("path,label,split", lambda i: f"p{i:02}.jpg,{pet(i)},{numbers[i]}")

    source, _ = read({"labels.csv": rows("000000001122")})
    assert splits(source) == {"train": 8, "val": 2, "test": 2}
    source, _ = read({"labels.csv": rows("000000001111")})  # nobody knows what 1 means
    assert splits(source) == {"train": COUNT, "val": 0, "test": 0}


def test_columns_of_facts_are_no_split() -> None:
    for name in ("is_indoor", "fold", "valid"):
        source, _ = read(
            {"labels.csv": table(f"path,label,{name}", lambda i: f"p{i:02}.jpg,{pet(i)},{i % 2}")}
        )
        assert splits(source) == {"train": COUNT, "val": 0, "test": 0}


def test_folders_tell_the_split_of_one_table_at_the_top() -> None:
    images = [f"{('train', 'valid', 'test')[i % 3]}/{i}.jpg" for i in range(COUNT)]
    source, _ = read(
        {"labels.csv": table("path,label", lambda i: f"{images[i]},{pet(i)}")}, images=images
    )
    assert splits(source) == {"train": 4, "val": 4, "test": 4}


def test_a_set_whose_own_name_says_test_is_no_test_part() -> None:
    images = [f"my_test/images/{i}.jpg" for i in range(COUNT)]
    source, _ = read(
        {"my_test/labels.csv": table("file,label", lambda i: f"images/{i}.jpg,{pet(i)}")},
        images=images,
    )
    assert splits(source) == {"train": COUNT, "val": 0, "test": 0}


def test_a_second_table_tells_the_split_of_the_first() -> None:
    source, rejected = read(
        {
            "labels.csv": plain,
            "test.csv": table("image,label", lambda i: f"p{i + 8:02}.jpg,{pet(i)}", 4),
        }
    )
    assert labels(source) == WANTED
    assert splits(source) == {"train": 8, "val": 0, "test": 4}
    assert rejected == []


def test_the_same_name_in_two_folders_is_told_apart_by_the_split() -> None:
    images = [f"{split}/{i}.jpg" for split in ("train", "test") for i in range(6)]
    source, rejected = read(
        {
            "train.csv": table("image,label", lambda i: f"{i}.jpg,{pet(i)}", 6),
            "test.csv": table("image,label", lambda i: f"{i}.jpg,{pet(i + 1)}", 6),
        },
        images=images,
    )
    assert rejected == []
    assert labels(source)["train/0.jpg"] == "cat"
    assert labels(source)["test/0.jpg"] == "dog"


def test_kaggles_unlabelled_test_and_form_for_answers_are_no_labels() -> None:
    source, rejected = read(
        {
            "train.csv": table("image,label", lambda i: f"p{i:02}.jpg,{pet(i)}", 8),
            "test.csv": table("image", lambda i: f"p{i + 8:02}.jpg", 4),
            "sample_submission.csv": table("image,label", lambda i: f"p{i + 8:02}.jpg,cat", 4),
        }
    )
    assert splits(source) == {"train": 8, "val": 0, "test": 0}
    assert rejected == [
        "test.csv has file names in column 'image' and no column of classes: its images have no "
        "labels and are left out",
        "sample_submission.csv is a form for answers by its name (submission), and is not used",
        "images/p08.jpg and 3 more are named by no table of labels and left out",
    ]


# --- refusals ------------------------------------------------------------

REFUSED: dict[str, tuple[Files, str]] = {
    "no classes": (
        {"labels.csv": table("image,width,height", lambda i: f"p{i:02}.jpg,3,4")},
        "labels.csv has file names in column 'image' and no column that is called like classes "
        "(label, class, category, breed ...) among 'width', 'height'; name the one with the "
        "classes label",
    ),
    "no files": (
        {"labels.csv": table("label,width", lambda i: f"{pet(i)},3")},
        "labels.csv has the columns 'label', 'width': wanted are one of file names",
    ),
    "files of elsewhere": (
        {"labels.csv": table("image,label", lambda i: f"q{i:02}.jpg,{pet(i)}")},
        "labels.csv names images in its column 'image' that are not there, such as 'q00.jpg'",
    ),
    "a field without end": (
        {"labels.csv": b"path,label\nimages/p00.jpg," + b"8" * 140_000 + b"\n"},
        "labels.csv cannot be read from row 1 on (field larger than field limit (131072))",
    ),
    "a header without end": (
        {"labels.csv": b"8" * 140_000 + b"\n"},
        "labels.csv is not a table that can be read (field larger than field limit (131072))",
    ),
    "no text": ({"labels.csv": bytes(range(256)) * 9}, "labels.csv is not a text file"),
    "empty": ({"labels.csv": b"\n"}, "labels.csv is empty"),
    "no JSON": ({"metadata.jsonl": b'{"a": \n'}, "metadata.jsonl is not JSON in line 1"),
    "a spreadsheet": ({"labels.xlsx": b"PK"}, "labels.xlsx is a spreadsheet"),
    "a number of its own for each": (
        {"labels.csv": table("image,price", lambda i: f"p{i:02}.jpg,{i}.5", 24)},
        "labels.csv has 24 different values in column 'price' for 24 images",
    ),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_a_refusal_names_the_cause_and_the_next_step(kind: str) -> None:
    files, sentence = REFUSED[kind]
    images = [f"images/p{i:02}.jpg" for i in range(24)]
    source, rejected = read(files, images=images)
    assert source is None
    assert rejected[0].startswith(sentence)


def test_a_table_of_something_else_beside_class_folders_is_not_mentioned() -> None:
    images = [f"{name}/{i}.jpg" for name in ("a", "b") for i in range(4)]
    source, rejected = read({"stats.csv": b"mean,std\n1,2\n"}, images=images)
    assert source is None
    assert rejected == []


def test_a_wrong_folder_is_not_guessed_while_others_are_right() -> None:
    images = [f"train/{pet(i)}/{i}.jpg" for i in range(COUNT)] + ["test/dog/77.jpg"]
    rows = [f"{image},{image.split('/')[1]}" for image in images[:COUNT]]
    files = {"labels.csv": "\n".join(["path,label", *rows, "train/cat/77.jpg,cat"]).encode()}
    source, rejected = read(files, images=images)
    assert len(labels(source)) == COUNT
    assert rejected[0] == "labels.csv row 13 names train/cat/77.jpg, which is not there"


def test_cells_and_headers_in_other_spellings() -> None:
    assert header_key(" File_Name ") == header_key("file name") == "filename"
    assert [label_text(text) for text in ("3.0", "-0.0", " a  b ", "3.5", "007")] == [
        *("3", "0", "a b", "3.5", "007")
    ]


def test_numbers_that_stand_for_one_folder_each_get_its_name() -> None:
    images = [f"{part}/{c}/{i}.jpg" for part in ("train", "test") for c in PETS for i in range(3)]
    tables = {
        f"{part}/label.csv": "\n".join(
            ["path,label", *(f"{c}/{i}.jpg,{PETS.index(c)}" for c in PETS for i in range(3))]
        ).encode()
        for part in ("train", "test")
    }
    source, _ = read(tables, images=images)
    assert labels(source) == {path: path.split("/")[1] for path in images}
    assert source is not None
    assert "0 is cat, 1 is dog" in source.notes[0]
    by_part = {
        "labels.csv": b"path,label\n"
        + b"\n".join(
            f"{part}/cat/{i}.jpg,{k}".encode()
            for k, part in enumerate(("train", "test"))
            for i in (0, 1)
        )
    }
    source, _ = read(by_part, images=images)
    assert source is not None
    assert source.class_names == ("0", "1")  # cat/ holds both


FOLDERS = [f"{('glass', 'metal')[i % 2]}/p{i:02}.jpg" for i in range(COUNT)]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("metadata.csv", table("file_name,text", lambda i: f"p{i:02}.jpg,a photo {i}")),
        ("metadata.csv", table("file_name,age", lambda i: f"p{i:02}.jpg,{i % 3}")),
        ("index_train.txt", table("", lambda i: f"p{i:02}.jpg {1 + i % 2}")),
    ],
)
def test_a_table_that_says_less_than_the_folders_is_not_used(name: str, text: bytes) -> None:
    source, _ = read({name: text}, images=FOLDERS)
    assert source is None


def test_a_table_that_is_called_like_classes_wins_over_the_folders() -> None:
    source, _ = read(
        {"labels.csv": table("file,label", lambda i: f"p{i:02}.jpg,{pet(i // 2)}")}, images=FOLDERS
    )
    assert source is not None
    assert source.class_names == PETS
