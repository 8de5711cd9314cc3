"""Parts told by lists of files, by the files' names, and by a table beside class folders."""

from __future__ import annotations

import json

import pytest

from lab.data import catalog
from tests.data.pictures import jpeg, write_folder
from tests.data.sources.test_class_folders import Files, Place, place, reasons, totals

__all__ = ["place"]

FOOD = [f"images/{c}/{n}.jpg" for c in ("cake", "pie") for n in range(10)]
TESTED = [path for path in FOOD if int(path[-5]) >= 7]
TRAINED = [path for path in FOOD if path not in TESTED]
PARTS = {"train": {"cake": 7, "pie": 7}, "test": {"cake": 3, "pie": 3}}


def pictures(paths: list[str]) -> Files:
    return {path: jpeg(i, (12, 10)) for i, path in enumerate(paths)}


def lines(paths: list[str], pattern: str = "{}") -> bytes:
    """Each as Food-101 writes it: cake/7."""
    shown = [path.removeprefix("images/").removesuffix(".jpg") for path in paths]
    return "\n".join(map(pattern.format, shown)).encode()


def cub() -> Files:
    numbered = list(enumerate(FOOD, 1))
    images = "".join(f"{n} {path.removeprefix('images/')}\n" for n, path in numbered)
    flags = "".join(f"{n} {int(path in TRAINED)}\n" for n, path in numbered)
    return {"images.txt": images.encode(), "train_test_split.txt": flags.encode()}


LISTS: dict[str, Files] = {
    "Food-101": {
        "meta/train.txt": lines(TRAINED),
        "meta/test.txt": lines(TESTED),
        "meta/train.json": json.dumps(lines(TRAINED).decode().split()).encode(),
        "meta/classes.txt": b"cake\npie",
    },
    "a list by class": {
        f"{part}.json": json.dumps(
            {c: [p for p in lines(paths).decode().split() if c in p] for c in ("cake", "pie")}
        ).encode()
        for part, paths in (("train", TRAINED), ("test", TESTED))
    },
    "more behind the name": {
        "trainval.txt": lines(TRAINED, "{}.jpg 1 2"),
        "test.txt": lines(TESTED, "{}.jpg 1 2"),
    },
    "only a test list": {"testing_list.txt": lines(TESTED, "{}.jpg")},
    "several divisions": {
        "train1.txt": lines(TRAINED),
        "test1.txt": lines(TESTED),
        "train2.txt": lines(TESTED + TRAINED[:7]),
        "test2.txt": lines(TRAINED[7:] + TESTED[:1]),
    },
    "CUB-200": cub(),
    "CelebA": {
        "list_eval_partition.csv": "".join(
            f"{path.removeprefix('images/')},{0 if path in TRAINED else 2}\n" for path in FOOD
        ).encode()
    },
}


@pytest.mark.parametrize("kind", LISTS)
def test_lists_tell_the_parts(place: Place, kind: str) -> None:
    preview = catalog.look(place(pictures(FOOD) | LISTS[kind]), "mine", image_size=16)
    assert totals(preview) == PARTS
    assert any(note.startswith("The parts are those that") for note in preview.notes)
    assert not any("train.txt" in reason or "test" in reason for reason in reasons(preview))
    assert [question.key for question in preview.questions] == ["split"]


def test_lists_of_too_few_pictures_are_named_and_not_used(place: Place) -> None:
    files = pictures(FOOD) | {"train.txt": lines(TRAINED[:3]), "test.txt": lines(TESTED[:2])}
    preview = catalog.look(place(files), "mine", image_size=16)
    assert preview.test_set_apart
    assert any("train.txt and test.txt" in n and n.endswith("not used.") for n in preview.notes)


def test_matlab_lists_are_named(place: Place) -> None:
    files = pictures(FOOD) | {"train_list.mat": b"MATLAB", "test_list.mat": b"MATLAB"}
    preview = catalog.look(place(files), "mine", image_size=16)
    assert any("train_list.mat" in n and "MATLAB 7.3 are not read" in n for n in preview.notes)


def test_a_list_wins_over_nothing_but_folders_win_over_lists(place: Place) -> None:
    paths = [f"{part}/{c}/{n}.jpg" for part in ("train", "test") for c in "ab" for n in range(4)]
    files = pictures(paths) | {"test.txt": b"train/a/0.jpg\ntrain/b/0.jpg"}
    preview = catalog.look(place(files), "mine", image_size=16)
    assert totals(preview) == {"train": {"a": 4, "b": 4}, "test": {"a": 4, "b": 4}}


def test_file_names_tell_the_parts_of_class_folders(place: Place) -> None:
    names = [f"{c}/{p}_{n}.jpg" for c in ("cat", "dog") for p, k in PER_PART for n in range(k)]
    preview = catalog.look(place(pictures(names)), "mine", image_size=16)
    assert totals(preview) == {"train": {"cat": 5, "dog": 5}, "test": {"cat": 2, "dog": 2}}
    assert "file names tell" in preview.notes[-1]


PER_PART = (("Training", 5), ("PublicTest", 2))


def test_one_file_without_a_part_in_its_name_leaves_all_as_they_are(place: Place) -> None:
    names = ["cat/train_1.jpg", "cat/train_2.jpg", "cat/3.jpg", "dog/train_1.jpg", "dog/test_2.jpg"]
    preview = catalog.look(place(pictures(names)), "mine", image_size=16)
    assert preview.test_set_apart
    assert preview.total == 5


# --- a table for one part and folders for the other ---------------------------------------------

TINY = [f"train/{c}/images/{c}_{n}.JPEG" for c in ("n01", "n02") for n in range(4)]
VAL = [f"val/images/val_{n}.JPEG" for n in range(4)]
ANNOTATIONS = "".join(f"val_{n}.JPEG\tn0{1 + n % 2}\t0\t32\t44\t62\n" for n in range(4)).encode()


def test_tiny_imagenet(place: Place) -> None:
    files = pictures([*TINY, *VAL, "test/images/test_0.JPEG", "test/images/test_1.JPEG"])
    preview = catalog.look(
        place(files | {"val/val_annotations.txt": ANNOTATIONS}), "mine", image_size=16
    )
    assert totals(preview) == {
        "train": {"n01": 3, "n02": 3},
        "val": {"n01": 2, "n02": 2},
        "test": {"n01": 1, "n02": 1},
    }
    assert preview.test_set_apart
    assert any("test/images/" in reason for reason in reasons(preview))


def test_training_folders_and_a_test_table(place: Place) -> None:
    paths = [f"train/{c}/{n}.jpg" for c in ("cat", "dog") for n in range(4)]
    tested = [f"test/{n}.jpg" for n in range(4)]
    table = b"filename,label\n0.jpg,cat\n1.jpg,dog\n2.jpg,Dog\n3.jpg,fox\n"
    preview = catalog.look(
        place(pictures(paths + tested) | {"test.csv": table}), "mine", image_size=16
    )
    assert totals(preview) == {"train": {"cat": 4, "dog": 4}, "test": {"cat": 1, "dog": 2}}
    assert any("'fox', which no folder of training images has" in r for r in reasons(preview))


def test_a_real_import_keeps_the_parts_of_lists(tmp_path: object, place: Place) -> None:
    files = pictures(FOOD) | LISTS["Food-101"]
    path = place(files).parent / "folder"
    write_folder(path, files)
    report = catalog.add_dataset("food", path, image_size=16)
    assert totals(report) == PARTS
