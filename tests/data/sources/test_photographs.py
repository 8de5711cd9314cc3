"""The three layouts of photographs, as folder and as zip, whole and with all that goes wrong."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from lab.data.catalog import add_dataset, describe, open_pack
from lab.data.importer import ImportReport
from lab.errors import DataError, NotFoundError
from tests.data.pictures import (
    BAD_PICTURES,
    encoded,
    jpeg,
    pets,
    photo,
    with_label_csv,
    write_folder,
    write_zip,
)

Write = Callable[[Path, dict[str, bytes]], Path]


@pytest.fixture(params=["folder", "zip"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[dict[str, bytes]], Path]:
    """Puts files into a folder or a zip and returns its path."""
    if request.param == "zip":
        return lambda files: write_zip(tmp_path / "set.zip", files)
    return lambda files: write_folder(tmp_path / "set", files)


Place = Callable[[dict[str, bytes]], Path]


def totals(report: ImportReport) -> dict[str, dict[str, int]]:
    return {split: classes for split, classes in report.accepted.items() if any(classes.values())}


def reasons(report: ImportReport) -> list[str]:
    return [str(rejected) for rejected in report.rejected]


FLAT = {name.rpartition("/")[2]: data for name, data in pets(10).items()}
BOTH = {"cat": 10, "dog": 10}
SPLIT_UP = {"train": {"cat": 8, "dog": 8}, "test": {"cat": 2, "dog": 2}}
LAYOUTS: dict[str, tuple[dict[str, bytes], dict[str, dict[str, int]]]] = {
    "document 000": (
        with_label_csv(pets(10), "train") | with_label_csv(pets(4, first=10), "test"),
        {"train": BOTH, "test": {"cat": 4, "dog": 4}},
    ),
    "document 000 in a folder": (
        {
            f"cats_and_dogs/{name}": data
            for name, data in (
                with_label_csv(pets(10), "train") | with_label_csv(pets(4, first=10), "test")
            ).items()
        },
        {"train": BOTH, "test": {"cat": 4, "dog": 4}},
    ),
    "label.csv without splits": (
        {n.removeprefix("train/"): d for n, d in with_label_csv(pets(10), "train").items()},
        SPLIT_UP,
    ),
    "a folder a class": (pets(10), SPLIT_UP),
    "Microsoft's PetImages": (
        {
            f"PetImages/{name.capitalize().replace('s/', '/')}": data
            for name, data in pets(10).items()
        }
        | {"PetImages/readme[1].txt": b"x"},
        SPLIT_UP,
    ),
    "Kaggle's cat-and-dog": (
        pets(10, prefix="training_set/training_set/")
        | pets(4, prefix="test_set/test_set/", first=10)
        | {"training_set/training_set/cats/_DS_Store": b"x"},
        {"train": BOTH, "test": {"cat": 4, "dog": 4}},
    ),
    "cats_and_dogs_filtered": (
        pets(10, prefix="cats_and_dogs_filtered/train/")
        | pets(4, prefix="cats_and_dogs_filtered/validation/", first=10)
        | {"cats_and_dogs_filtered/vectorize.py": b"x"},
        SPLIT_UP | {"val": {"cat": 4, "dog": 4}},
    ),
    "Kaggle's flat names": (FLAT, SPLIT_UP),
    "Kaggle's flat names in train/": ({f"train/{n}": d for n, d in FLAT.items()}, SPLIT_UP),
    "Kaggle's dogs-vs-cats": (
        {f"dogs-vs-cats/train/train/{n}": d for n, d in FLAT.items()}
        | {f"dogs-vs-cats/test1/test1/{i}.jpg": jpeg(i) for i in range(30)}
        | {"dogs-vs-cats/sampleSubmission.csv": b"id,label\n"},
        SPLIT_UP,
    ),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts_of_cats_and_dogs(layout: str, place: Place) -> None:
    files, expected = LAYOUTS[layout]
    report = add_dataset("cats-dogs", place(files), image_size=32)
    assert totals(report) == expected
    assert report.meta.class_names == ("cat", "dog")
    if layout == "Kaggle's dogs-vs-cats":
        assert len(report.rejected) == 1
        assert "holds 30 images whose names tell no class, such as" in reasons(report)[0]
    else:
        assert report.rejected == ()
    pack = open_pack("cats-dogs")
    assert pack.images.shape == (len(pack.labels), 32, 32, 3)
    for name, label in zip(pack.names, pack.labels, strict=True):
        assert ("cat.", "dog.")[label] in name
    assert pack.meta.original_sizes == {"40x30": len(pack)}


def test_pixels_are_those_of_the_file(place: Place) -> None:
    files = {
        f"{k}/{i}.png": encoded(photo(10 * k + i, (32, 32)), "PNG")
        for k in (0, 1)
        for i in range(4)
    }
    add_dataset("mine", place(files), image_size=32)
    pack = open_pack("mine")
    assert sorted(pack.names) == sorted(files)
    for name, pixels in zip(pack.names, pack.images, strict=True):
        folder, file = name.split("/")
        wanted = np.asarray(photo(10 * int(folder) + int(file[0]), (32, 32)))
        assert (pixels == wanted).all()


def test_folder_and_zip_give_the_same_pack(tmp_path: Path) -> None:
    for files in (LAYOUTS["document 000"][0], pets(12), FLAT):
        folder = write_folder(tmp_path / str(len(files)), files)
        one = add_dataset("cats-dogs", folder, replace=True)
        two = add_dataset("cats-dogs", write_zip(tmp_path / "set.zip", files), replace=True)
        assert one.meta.content_hash == two.meta.content_hash


def test_the_test_part_depends_on_the_images_alone(tmp_path: Path) -> None:
    def tested(name: str, size: int) -> set[str]:
        folder = write_folder(tmp_path / name, files)
        report = add_dataset("mine", folder, replace=True, image_size=size)
        assert report.accepted["test"] == {"cats": 3, "dogs": 3}
        pack = open_pack("mine")
        return {originals[pack.names[i].split("/")[-1]] for i in pack.indices("test")}

    files = pets(20)
    originals = {name.split("/")[-1]: name for name in files}
    first = tested("one", 32)
    renamed = {
        name.replace("cat.", "kitten").replace("dog.", "pup"): d for name, d in files.items()
    }
    originals = {
        name.split("/")[-1].replace("cat.", "kitten").replace("dog.", "pup"): name for name in files
    }
    files = dict(reversed(renamed.items()))
    assert tested("two", 64) == first


def test_two_copies_of_a_photograph_fall_on_one_side(tmp_path: Path) -> None:
    files = pets(10)
    files |= {name.replace(".jpg", "copy.jpg"): data for name, data in files.items()}
    add_dataset("mine", write_folder(tmp_path / "set", files), image_size=16)
    pack = open_pack("mine")
    side = {name: split for name, split in zip(pack.names, pack.split, strict=True)}
    assert all(side[name] == side[name.replace(".jpg", "copy.jpg")] for name in pets(10))


def test_a_picture_in_two_classes_is_noticed_and_stays(place: Place) -> None:
    files = pets(6) | {"dogs/strange.jpg": pets(1)["cats/cat.0.jpg"]}
    report = add_dataset("mine", place(files), image_size=16)
    assert report.total == 13
    [warning] = report.warnings
    assert warning.startswith("1 picture is in more than one class, ")
    assert "cats/cat.0.jpg" in warning
    assert "dogs/strange.jpg" in warning
    assert warning in report.sentence
    assert describe("mine").warnings == report.warnings


def test_copies_within_a_class_are_no_warning(place: Place) -> None:
    files = pets(6) | {"cats/again.jpg": pets(1)["cats/cat.0.jpg"]}
    assert add_dataset("mine", place(files), image_size=16).warnings == ()


def test_several_pictures_in_two_classes_are_counted(place: Place) -> None:
    cats = {name: data for name, data in pets(6).items() if name.startswith("cats")}
    files = pets(6) | {f"dogs/{i}.jpg": data for i, data in enumerate(cats.values())}
    [warning] = add_dataset("mine", place(files), image_size=16).warnings
    assert warning.startswith("6 pictures are in more than one class, for example ")


def test_bad_files_are_named_and_good_ones_load(place: Place) -> None:
    files = pets(10) | {f"cats/{name}": data for name, (data, _) in BAD_PICTURES.items()}
    files |= {"dogs/notes.txt": b"x", "dogs/old.psd": b"x", "loose.jpg": jpeg()}
    report = add_dataset("cats-dogs", place(files), image_size=16)
    assert sum(report.accepted["train"].values()) + sum(report.accepted["test"].values()) == 20
    texts = reasons(report)
    for name, (_, reason) in BAD_PICTURES.items():
        assert any(text.startswith(f"cats/{name} ") and reason in text for text in texts)
    assert any(text.startswith("dogs/notes.txt is not a JPEG, PNG, WebP") for text in texts)
    assert "dogs/old.psd is a PSD, which is not read; save it as PNG" in texts
    assert "loose.jpg lies outside the class folders; nobody knows its class" in texts
    assert report.rejected_count == len(texts) == len(BAD_PICTURES) + 3
    assert describe("cats-dogs").rejected_count == len(texts)


def test_modes_and_sizes_may_be_mixed(place: Place) -> None:
    picture = photo(1)
    files = {
        "a/grey.jpg": encoded(picture.convert("L")),
        "a/rgba.png": encoded(picture.convert("RGBA"), "PNG"),
        "a/palette.PNG": encoded(picture.convert("P"), "PNG"),
        "b/cmyk.JPEG": encoded(picture.convert("CMYK")),
        "b/web.webp": encoded(picture, "WEBP"),
        "b/large.jpg": encoded(photo(2, (900, 400))),
    }
    report = add_dataset("mine", place(files), image_size=24, fit="crop")
    assert (report.total, report.rejected) == (6, ())
    assert report.meta.original_sizes == {"40x30": 5, "900x400": 1}
    assert report.meta.fit == "crop"


# --- classes ------------------------------------------------------------


def test_own_classes_are_the_folders_in_order(place: Place) -> None:
    files = {
        f"{name}/{i}.jpg": jpeg(i) for name in ("rose", "Aster 2", "Aster 10") for i in range(3)
    }
    report = add_dataset("my-flowers", place(files), image_size=16)
    assert report.meta.class_names == ("Aster 2", "Aster 10", "rose")
    assert report.meta.title == "My flowers"
    assert describe("my-flowers").own


def test_own_splits_are_kept(place: Place) -> None:
    files = {
        f"photos/{split}/{name}/{split}{i}.jpg": jpeg(i)
        for split, count in (("Train", 4), ("valid", 2), ("test", 3))
        for name in ("x", "y")
        for i in range(count)
    }
    report = add_dataset("mine", place(files), image_size=16)
    each = {split: classes["x"] for split, classes in report.accepted.items()}
    assert each == {"train": 4, "val": 2, "test": 3}
    assert report.notes == ("Read as one folder for each class, in folders for each part.",)


def test_classes_may_be_called_train_and_test(place: Place) -> None:
    files = {f"{name}/{i}.jpg": jpeg(i) for name in ("bus", "train", "test") for i in range(3)}
    report = add_dataset("vehicles", place(files), image_size=16, answers={"class test": "class"})
    assert report.meta.class_names == ("bus", "test", "train")


def test_folders_inside_a_class_belong_to_it(place: Place) -> None:
    files = {f"cats/{kind}/{i}.jpg": jpeg(i) for kind in ("persian", "manx") for i in range(2)}
    files |= {f"dogs/{i}.jpg": jpeg(50 + i) for i in range(4)}
    report = add_dataset("cats-dogs", place(files), image_size=16)
    assert report.total == 8


def test_classes_that_cannot_be_learnt_are_left_out(place: Place) -> None:
    files = {f"{name}/{i}.jpg": jpeg(i) for name in ("a", "d") for i in range(6)}
    files |= {"b/0.jpg": jpeg(), "c/": b"", "e/0.jpg": b"", "e/1.jpg": jpeg(1)}
    report = add_dataset("mine", place(files), image_size=16)
    assert report.meta.class_names == ("a", "d")
    assert sorted(reasons(report)) == [
        "c/ is a class folder without any image",
        "class 'b' has only one usable image; training and test need one each: "
        "the class is left out",
        "class 'e' has only one usable image; training and test need one each: "
        "the class is left out",
        "e/0.jpg is empty (0 bytes)",
    ]
    pack = open_pack("mine")
    assert len(pack) == 12
    assert all(name[0] == "ad"[label] for name, label in zip(pack.names, pack.labels, strict=True))


def test_classes_without_training_images_are_left_out(place: Place) -> None:
    files = pets(4, prefix="train/") | pets(2, prefix="test/", first=4)
    files |= {f"test/birds/{i}.jpg": jpeg(i) for i in range(3)}
    files |= {f"train/fish/{i}.jpg": jpeg(i) for i in range(3)}
    report = add_dataset("mine", place(files), image_size=16)
    assert report.meta.class_names == ("cats", "dogs", "fish")
    assert reasons(report) == ["class 'birds' has no training images: the class is left out"]
    assert "Class 'fish' has no test images." in report.notes


def test_other_animals_are_not_cats_or_dogs(place: Place) -> None:
    files = pets(4) | {f"horses/{i}.jpg": jpeg(i) for i in range(4)}
    report = add_dataset("cats-dogs", place(files), image_size=16)
    assert reasons(report) == ["horses/ is not a class of this data set (cat or dog)"]


def test_unlabelled_test_images_are_left_out(place: Place) -> None:
    files = pets(10, prefix="train/") | {f"test/{i}.jpg": jpeg(i) for i in range(30)}
    report = add_dataset("cats-dogs", place(files), image_size=16)
    assert totals(report) == SPLIT_UP
    assert reasons(report) == [
        "test/ holds 30 images outside class folders; nobody knows their class"
    ]


# --- label.csv ------------------------------------------------------------


def test_rows_of_label_csv_that_cannot_be_used(place: Place) -> None:
    files = with_label_csv(pets(4), "train") | with_label_csv(pets(2, first=4), "test")
    files["train/label.csv"] += (
        b"cats/nowhere.jpg,0\ncats/cat.0.jpg,0\ndogs/dog.0.jpg,0\ncats/cat.1.jpg,2\n"
        b"cats/cat.1.jpg,bird\ncats/cat.1.jpg\n\n../../../etc/passwd,0\n"
    )
    files["train/cats/unnamed.jpg"] = jpeg(77)
    report = add_dataset("cats-dogs", place(files), image_size=16)
    assert totals(report) == {"train": {"cat": 4, "dog": 4}, "test": {"cat": 2, "dog": 2}}
    table = "train/label.csv row"
    assert reasons(report) == [
        f"{table} 14 has 1 of 2 columns",
        f"{table} 9 names train/cats/nowhere.jpg, which is not there",
        f"{table} 16 names ../../etc/passwd, which is not there",
        f"{table} 10 names train/cats/cat.0.jpg again",
        f"{table} 11 names train/dogs/dog.0.jpg again, with another label; the first one counts",
        f"{table} 12 has the label '2'; allowed is 0 (cat), 1 (dog)",
        f"{table} 13 has the label 'bird'; allowed is 0 (cat), 1 (dog)",
        "train/cats/unnamed.jpg is named by no table of labels and left out",
    ]


def test_paths_and_labels_written_in_other_ways(place: Place) -> None:
    rows = ["label,PATH", "cat,cats\\cat.0.jpg", "dogs,train/dogs/dog.0.jpg"]
    rows += ["0,./cats/cat.1.jpg", '1,"set/train/dogs/dog.1.jpg"']
    files = {f"set/train/{name}": data for name, data in pets(2).items()}
    files["set/train/label.csv"] = ("\ufeff" + "\r\n".join(rows)).encode()
    report = add_dataset("cats-dogs", place(files), image_size=16)
    assert totals(report) == {"train": {"cat": 1, "dog": 1}, "test": {"cat": 1, "dog": 1}}
    assert report.rejected == ()


def test_without_its_columns_the_folders_tell_the_classes(place: Place) -> None:
    files = with_label_csv(pets(10), "train")
    files["train/label.csv"] = b"width,height,depth\n40,30,3\n"
    report = add_dataset("cats-dogs", place(files), image_size=16)
    assert totals(report) == SPLIT_UP
    [reason] = reasons(report)
    assert reason.startswith("train/label.csv has the columns 'width', 'height', 'depth': wanted")


def test_own_labels_of_a_label_csv(place: Place) -> None:
    files = {f"{i}.jpg": jpeg(i) for i in range(6)}
    files["labels.csv"] = b"path,label\n" + b"".join(b"%d.jpg,v%d\n" % (i, i % 2) for i in range(6))
    report = add_dataset("mine", place(files), image_size=16)
    assert report.meta.class_names == ("v0", "v1")


# --- nothing usable ------------------------------------------------------------

USELESS: dict[str, tuple[dict[str, bytes], str]] = {
    "an empty folder": (
        {"x/": b""},
        "does not look like Cats and dogs: expected one folder for each",
    ),
    "only text": ({"readme.md": b"x"}, "found readme.md"),
    "one class": (pets(4) | {f"dogs/dog.{i}.jpg": b"" for i in range(4)}, "one usable class (cat)"),
    "only one folder": ({f"cats/{i}.jpg": jpeg(i) for i in range(4)}, "one usable class (cat)"),
    "nothing decodes": (dict.fromkeys(pets(4), b"text"), "has no usable images"),
    "other classes": ({f"x{k}/{i}.jpg": jpeg(i) for k in (1, 2) for i in (1, 2)}, "found x1/, x2/"),
    "only test": (pets(4, prefix="data/test/"), "has no training images"),
    "zips inside": ({"train.zip": b"PK", "test1.zip": b"PK"}, "Unpack it and add"),
}


@pytest.mark.parametrize("what", USELESS)
def test_nothing_usable_is_refused_in_one_sentence(what: str, place: Place, lab_home: Path) -> None:
    files, sentence = USELESS[what]
    path = place(files)
    with pytest.raises(DataError) as caught:
        add_dataset("cats-dogs", path, image_size=16)
    text = str(caught.value)
    assert text.startswith(str(path))
    assert sentence in text
    assert "\n" not in text
    assert describe("cats-dogs").state == "not added"
    assert list((lab_home / "packs").iterdir()) == []


@pytest.mark.parametrize("splits", [("",), ("train/", "test/")])
def test_own_images_in_one_heap_are_refused(place: Place, splits: tuple[str, ...]) -> None:
    files = {
        f"{split}{camera}_{i:04}.jpg": jpeg(i)
        for split in splits
        for camera in ("IMG", "DSC")
        for i in range(5)
    }
    with pytest.raises(DataError, match="expected one folder for each class"):
        add_dataset("mine", place(files))
    with pytest.raises(NotFoundError):
        describe("mine")
