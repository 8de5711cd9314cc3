"""Folders read by kinds: splits, copies, masks, variants, levels, unlabelled parts, names."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from lab.data import catalog
from lab.data.catalog import add_dataset
from lab.data.importer import ImportReport
from lab.data.preview import Preview
from lab.errors import ConfigError, DataError
from tests.data.pictures import jpeg, write_folder, write_zip

Files = dict[str, bytes]
Place = Callable[[Files], Path]


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return lambda files: write_zip(tmp_path / "set.zip", files)


def pictures(*folders: str, count: int = 4, ending: str = ".jpg", first: int = 0) -> Files:
    """`count` different pictures in each folder; those of two folders differ, too."""
    return {
        f"{folder}/img{i:03}{ending}": jpeg(first + 1000 * k + i, (12, 10))
        for k, folder in enumerate(folders)
        for i in range(count)
    }


def files(*names: str) -> Files:
    return {name: jpeg(i, (12, 10)) for i, name in enumerate(names)}


def named(pattern: str) -> Files:
    """Four cats and four dogs, named by a pattern of class and number."""
    return files(*(pattern.format(c, i) for c in ("cat", "dog") for i in range(4)))


def totals(shown: Preview | ImportReport) -> dict[str, dict[str, int]]:
    counts = shown.counts if isinstance(shown, Preview) else shown.accepted
    return {
        split: {name: n for name, n in classes.items() if n}
        for split, classes in counts.items()
        if any(classes.values())
    }


def look(place: Place, what: Files, **answers: str) -> Preview:
    return catalog.look(place(what), "mine", image_size=16, answers=answers)


def reasons(preview: Preview) -> list[str]:
    return [str(each) for each in preview.rejected]


CAT_DOG_4 = {"cat": 4, "dog": 4}
CAT_DOG_2 = {"cat": 2, "dog": 2}
FOUR_AND_TWO = {"train": CAT_DOG_4, "test": CAT_DOG_2}
ALONE = {"train": {"cat": 3, "dog": 3}, "test": {"cat": 1, "dog": 1}}
"""Four of each without a test part."""


def split_up(train: str, test: str) -> Files:
    """Four cats and dogs in folder `train`, two in `test`."""
    return pictures(f"{train}/cat", f"{train}/dog") | pictures(
        f"{test}/cat", f"{test}/dog", count=2, first=50
    )


UNDERSTOOD: dict[str, tuple[Files, dict[str, dict[str, int]]]] = {
    # splits by the words of the folders' names, above the classes
    "seg_train": (
        split_up("seg_train/seg_train", "seg_test/seg_test") | pictures("seg_pred/seg_pred"),
        FOUR_AND_TWO,
    ),
    "train_data": (split_up("set/train_data", "set/test_data"), FOUR_AND_TWO),
    "Training Set": (split_up("Training Set", "Test Set"), FOUR_AND_TWO),
    "TrainImages": (split_up("TrainImages", "TestImages"), FOUR_AND_TWO),
    "Korean": (split_up("훈련데이터", "시험데이터"), FOUR_AND_TWO),
    "Chinese": (split_up("训练集", "测试集"), FOUR_AND_TWO),
    "Japanese": (split_up("学習用", "テスト用"), FOUR_AND_TWO),
    "AI Hub": (split_up("1.Training/원천데이터", "2.Test/원천데이터"), FOUR_AND_TWO),
    "val2017": (
        split_up("train2017", "test2017") | pictures("val2017/cat", "val2017/dog", count=1),
        FOUR_AND_TWO | {"val": {"cat": 1, "dog": 1}},
    ),
    "only train and validation": (
        split_up("train", "validation"),
        {"train": {"cat": 3, "dog": 3}, "val": CAT_DOG_2, "test": {"cat": 1, "dog": 1}},
    ),
    "the test part beside a folder without the word": (
        split_up("pictures", "test"),
        FOUR_AND_TWO,
    ),
    "unsplit pictures beside the split ones": (
        split_up("set/train", "set/test") | pictures("set/cat", "set/dog", first=500),
        FOUR_AND_TWO,
    ),
    # below the classes, and in one name with them
    "cats/train": (
        split_up("x", "y")
        and {
            f"{c}/{split}/{i}.jpg": jpeg(100 * k + 10 * (split == "test") + i, (12, 10))
            for k, c in enumerate(("cat", "dog"))
            for split, n in (("train", 4), ("test", 2))
            for i in range(n)
        },
        FOUR_AND_TWO,
    ),
    "cat_train": (
        pictures("cat_train", "dog_train") | pictures("cat_test", "dog_test", count=2, first=50),
        FOUR_AND_TWO,
    ),
    "trainA": (
        pictures("trainA", "trainB") | pictures("testA", "testB", count=2, first=50),
        {"train": {"A": 4, "B": 4}, "test": {"A": 2, "B": 2}},
    ),
    # images beside what is made from them
    "Stanford's dogs": (
        pictures("images/Images/cat", "images/Images/dog")
        | {f"annotations/Annotation/{c}/img{i}": b"<x>" for c in ("cat", "dog") for i in range(4)},
        ALONE,
    ),
    "images beside xml": (
        pictures("JPEGImages/cat", "JPEGImages/dog") | {"Annotations/cat/0.xml": b"<x>"},
        ALONE,
    ),
    "masks beside images above the classes": (
        pictures("images/cat", "images/dog") | pictures("masks/cat", "masks/dog", first=70),
        ALONE,
    ),
    "masks beside images in each class": (
        pictures("cat/images", "dog/images") | pictures("cat/masks", "dog/masks", first=70),
        ALONE,
    ),
    "masks below pictures": (
        pictures("cat", "dog") | pictures("cat/ground_truth", "dog/ground_truth", first=70),
        ALONE,
    ),
    "masks beside pictures in one folder": (
        {
            f"{c}/{c} ({i}){mask}.png": jpeg(100 * k + 10 * bool(mask) + i)
            for k, c in enumerate(("cat", "dog"))
            for i in range(4)
            for mask in ("", "_mask")
        },
        ALONE,
    ),
    # a set in itself
    "the same again": (
        pictures("set/cat", "set/dog") | pictures("set/set/cat", "set/set/dog"),
        ALONE,
    ),
    "chest_xray": (
        split_up("x/train", "x/test") | split_up("x/x/train", "x/x/test"),
        FOUR_AND_TWO,
    ),
    "the same again inside a training folder": (
        split_up("train", "test") | pictures("train/train/cat", "train/train/dog"),
        FOUR_AND_TWO,
    ),
    # unlabelled test pictures are no test part
    "test/unknown": (pictures("train/cat", "train/dog", "test/unknown"), ALONE),
    "test without classes": (pictures("train/cat", "train/dog", "test"), ALONE),
    "test/test": (pictures("train/cat", "train/dog", "test/test"), ALONE),
    "classes beside test": (pictures("cat", "dog", "test"), ALONE),
    "classes beside test_images": (pictures("cat", "dog", "test_images"), ALONE),
    # what computers leave
    "thumbnails": (
        pictures("cat", "dog")
        | {f"{c}/@eaDir/img000.jpg/SYNOPHOTO_THUMB_M.jpg": jpeg() for c in ("cat", "dog")}
        | files(
            "@eaDir/x/1.jpg",
            ".@__thumb/1.jpg",
            "cat/.picasaoriginals/1.jpg",
            "#recycle/old/1.jpg",
            "@Recycle/old/1.jpg",
            "$RECYCLE.BIN/1.jpg",
            "__MACOSX/cat/._1.jpg",
            "System Volume Information/1.jpg",
            "cat/SYNOFILE_THUMB_M.jpg",
        )
        | {"cat/Thumbs.db": b"x", "cat/.picasa.ini": b"x", "cat/desktop.ini": b"x"},
        ALONE,
    ),
    # the class in the file's name
    "Abyssinian_1": (
        files(*(f"images/{c}_{i}.jpg" for c in ("cat", "dog") for i in range(4))),
        ALONE,
    ),
    "cat (1)": (named("{} ({}).jpg"), ALONE),
    "cat-0001": (named("{}-{:04}.png"), ALONE),
    "cat1": (named("x/{}{}.jpg"), ALONE),
    "0001_cat": (named("{1:04}_{0}.jpg"), ALONE),
    "cat_20200101_1": (named("{0}_2020010{1}_{1}.jpg"), ALONE),
    "n02085620_7": (
        files(*(f"n0{c}_{i}.jpg" for c in (11, 12) for i in range(4))),
        {"train": {"n011": 3, "n012": 3}, "test": {"n011": 1, "n012": 1}},
    ),
    "names in images beside masks": (
        files(
            *(
                f"{f}/{c}_{i}.jpg"
                for f in ("images", "masks")
                for c in ("cat", "dog")
                for i in range(4)
            )
        ),
        ALONE,
    ),
}


@pytest.mark.parametrize("kind", UNDERSTOOD)
def test_a_layout_is_read_as_it_is_meant(kind: str, place: Place) -> None:
    what, expected = UNDERSTOOD[kind]
    path = place(what)
    preview = catalog.look(path, "mine", image_size=16)
    assert totals(preview) == expected
    report = add_dataset("mine", path, image_size=16)
    assert totals(report) == expected
    assert report.meta.class_names == preview.class_names
    assert report.rejected == preview.rejected
    if sum(map(len, expected.values())) and preview.total < len(what):
        assert preview.rejected or "thumbnails" in kind


def test_folder_and_zip_are_read_alike(tmp_path: Path) -> None:
    for kind, (what, expected) in UNDERSTOOD.items():
        folder = write_folder(tmp_path / kind.replace("/", "-"), what)
        assert totals(catalog.look(folder, pictures_of=())) == expected, kind


def test_what_is_passed_over_is_named_once(place: Place) -> None:
    what, _ = UNDERSTOOD["masks beside images in each class"]
    assert reasons(look(place, what)) == [
        "cat/masks/ holds 4 images made from those beside: left out",
        "dog/masks/ holds 4 images made from those beside: left out",
    ]
    what, _ = UNDERSTOOD["the same again"]
    assert reasons(look(place, what)) == [
        "set/set/ holds 8 pictures of the folders beside it once more: left out"
    ]
    what, _ = UNDERSTOOD["test/unknown"]
    assert reasons(look(place, what)) == [
        "test/unknown/ holds 4 images of no training class: left out as pictures without a label"
    ]
    what, _ = UNDERSTOOD["Stanford's dogs"]
    assert reasons(look(place, what)) == ["annotations/ holds no image"]


def test_masks_are_used_when_somebody_says_so(place: Place) -> None:
    what, _ = UNDERSTOOD["masks beside images in each class"]
    preview = look(place, what, masks="used")
    assert preview.total == 16
    assert preview.rejected == ()


def test_a_mask_may_be_a_class(place: Place) -> None:
    what = pictures("with_mask", "without_mask", "mask", "no_mask")
    assert look(place, what).class_names == ("mask", "no_mask", "with_mask", "without_mask")


def test_masks_of_the_pictures_of_several_classes_are_no_class(place: Place) -> None:
    what = files(*(f"train/{c}/{c}{i}.jpg" for c in ("cat", "dog") for i in range(4)))
    masks = files("train/masks/cat1.png", "train/masks/dog0.png")
    preview = look(place, what | masks)
    assert preview.class_names == ("cat", "dog")
    assert "train/masks/" in reasons(preview)[0]
    assert look(place, what | masks, **{"class masks": "class"}).class_names[-1] == "masks"


# --- questions ------------------------------------------------------------

VARIANTS = pictures(
    *(f"{f}/{c}" for f in ("color", "grayscale", "segmented") for c in ("cat", "dog"))
)


def test_variants_of_the_same_pictures_are_a_question(place: Place) -> None:
    preview = look(place, VARIANTS)
    [question] = preview.questions
    assert question.key == "folders"
    assert dict(question.choices) == {
        "color": "only color (8 images)",
        "grayscale": "only grayscale (8 images)",
        "segmented": "only segmented (8 images)",
        "together": "all together: the classes are cat and dog",
        "classes": "the classes are color, grayscale and segmented",
    }
    assert preview.answers == {"folders": "color"}
    assert totals(preview) == ALONE
    assert "read as: only color (8 images)." in preview.sentence
    assert look(place, VARIANTS, folders="together").total == 24
    assert look(place, VARIANTS, folders="classes").class_names == (
        "color",
        "grayscale",
        "segmented",
    )
    one = add_dataset("mine", place(VARIANTS), image_size=16, answers={"folders": "grayscale"})
    assert totals(one) == ALONE
    assert all(name.startswith("grayscale/") for name in catalog.open_pack("mine").names)


def test_variants_with_splits(place: Place) -> None:
    what = split_up("color/train", "color/test") | split_up("gray/train", "gray/test")
    assert totals(look(place, what)) == FOUR_AND_TWO
    what = split_up("train/color", "test/color") | split_up("train/gray", "test/gray")
    preview = look(place, what)
    assert totals(preview) == FOUR_AND_TWO
    assert [question.key for question in preview.questions] == ["folders", "split"]


def test_numbered_folders_with_the_same_classes_are_one_set(place: Place) -> None:
    what = pictures(*(f"fold{i}/{c}" for i in (1, 2) for c in ("cat", "dog")))
    assert totals(look(place, what)) == {
        "train": {"cat": 7, "dog": 7},
        "test": {"cat": 1, "dog": 1},
    }


def test_dates_and_sizes(place: Place) -> None:
    days = pictures(*(f"2024-01-0{day}/{c}" for day in (1, 2) for c in ("cat", "dog")))
    assert look(place, days).total == 16
    sides = pictures(*(f"{side}/{c}" for side in ("64x64", "128x128") for c in ("cat", "dog")))
    preview = look(place, sides)
    assert (preview.total, preview.answers["folders"]) == (8, "128x128")


def test_the_classes_again_with_other_pictures_are_joined_or_asked_about(place: Place) -> None:
    more = pictures("cat", "dog") | pictures("more/cat", "more/dog", first=900)
    more = {name.replace("more/cat/img", "more/cat/new"): data for name, data in more.items()}
    more = {name.replace("more/dog/img", "more/dog/new"): data for name, data in more.items()}
    preview = look(place, more)
    assert (preview.class_names, preview.total) == (("cat", "dog"), 16)
    assert preview.answers == {"folder more": "joined"}
    assert look(place, more, **{"folder more": "left-out"}).total == 8
    augmented = {name.replace("more/", "augmented/"): data for name, data in more.items()}
    assert look(place, augmented).answers == {"folder augmented": "left-out"}


def test_other_forms_inside_each_class_are_left_out(place: Place) -> None:
    what = pictures("cat/original", "dog/original") | pictures("cat/augmented", "dog/augmented")
    preview = look(place, what)
    assert totals(preview) == ALONE
    assert preview.answers["masks"] == "left-out"


def test_a_class_called_train_with_folders_in_it(place: Place) -> None:
    what = pictures("bus/a", "bus/b", "car/c", "train/d", "train/e")
    assert look(place, what).class_names == ("bus", "car", "train")


def test_classes_with_the_same_folders_stay_classes(place: Place) -> None:
    what = pictures(*(f"{c}/{side}" for c in ("cat", "dog") for side in ("left", "right")))
    preview = look(place, what)
    assert preview.class_names == ("cat", "dog")
    assert preview.questions[0].key == "folders"
    assert "read as: the classes are cat and dog." in preview.sentence


def test_two_sets_in_one_folder_are_noted_and_asked(place: Place) -> None:
    what = pictures("cats_and_dogs/cat", "cats_and_dogs/dog", "flowers/daisy", "flowers/rose")
    preview = look(place, what)
    assert preview.class_names == ("cats_and_dogs", "flowers")
    assert "cat, daisy, dog and rose lie one level deeper" in preview.sentence
    deeper = look(place, what, level="2")
    assert deeper.class_names == ("cat", "daisy", "dog", "rose")
    assert "level deeper" not in deeper.sentence


def test_folders_inside_one_class_are_asked_about_without_noise(place: Place) -> None:
    what = pictures("cat/monday", "cat/tuesday", "dog/monday", "dog/tuesday", "dog/friday", "fox")
    preview = look(place, what)
    assert preview.class_names == ("cat", "dog", "fox")
    assert [question.key for question in preview.questions] == ["level"]
    assert "deeper" not in preview.sentence


def test_parts_may_be_put_together_anew(place: Place) -> None:
    preview = look(place, split_up("train", "test"), split="anew")
    assert totals(preview) == {"train": {"cat": 5, "dog": 5}, "test": {"cat": 1, "dog": 1}}
    assert preview.test_set_apart
    assert preview.answers["split"] == "anew"


def test_a_class_that_looks_like_a_split_is_never_made_silently(place: Place) -> None:
    what = pictures("bus", "bullet_train", "train", "test")
    preview = look(place, what)
    assert preview.class_names == ("bullet_train", "bus", "train")
    assert [question.key for question in preview.questions] == [
        "class bullet_train",
        "class test",
        "class train",
    ]
    assert "'bullet_train' is read as a class, though its name tells a train part." in preview.notes
    assert "“class test=class”" in reasons(preview)[0]
    answered = look(place, what, **{"class test": "class", "class train": "left-out"})
    assert answered.class_names == ("bullet_train", "bus", "test")


def test_answers_are_checked(place: Place) -> None:
    with pytest.raises(ConfigError, match=r"'blue' is no answer to folders; allowed are color, "):
        look(place, VARIANTS, folders="blue")
    assert look(place, VARIANTS, nothing="x").total == 8  # a page's answer to an older question
    with pytest.raises(ConfigError, match="Nothing asks for 'nothing'; the questions here are"):
        add_dataset("mine", place(VARIANTS), answers={"nothing": "x"})


# --- names ------------------------------------------------------------


def test_upper_and_lower_case_are_classes_only_side_by_side(place: Place) -> None:
    preview = look(place, pictures("A", "a", "B", "b"))
    assert preview.class_names == ("A", "B", "a", "b")
    assert "such as A and a." in preview.sentence
    preview = look(place, pictures("train/Cat", "train/dog") | pictures("test/cat", "test/DOG"))
    assert preview.class_names == ("Cat", "dog")
    assert totals(preview)["test"] == {"Cat": 4, "dog": 4}
    preview = look(place, pictures("train/A", "train/a") | pictures("test/A", "test/a", count=2))
    assert totals(preview) == {"train": {"A": 4, "a": 4}, "test": {"A": 2, "a": 2}}


def test_file_names_tell_the_classes_of_a_test_folder(place: Place) -> None:
    what = pictures(
        "asl_alphabet_train/asl_alphabet_train/A", "asl_alphabet_train/asl_alphabet_train/space"
    )
    what |= files(
        "asl_alphabet_test/asl_alphabet_test/A_test.jpg",
        "asl_alphabet_test/asl_alphabet_test/space_test.jpg",
    )
    preview = look(place, what)
    assert totals(preview) == {"train": {"A": 4, "space": 4}, "test": {"A": 1, "space": 1}}
    assert "the file names tell the classes." in preview.sentence


def test_cameras_are_no_classes(place: Place) -> None:
    names = [f"heap/{c}_{i}.jpg" for c in ("IMG", "DSC", "Screenshot") for i in range(4)]
    with pytest.raises(DataError, match=r"All 12 pictures lie in one folder \(heap/\)"):
        look(place, files(*names))


def test_a_word_that_only_one_file_has_is_no_class(place: Place) -> None:
    names = [*(f"{c}_{i}.jpg" for c in ("cat", "dog") for i in range(4)), "map_1.jpg"]
    preview = look(place, files(*names))
    assert totals(preview) == ALONE
    assert reasons(preview) == ["map_1.jpg tells no class by its name (expected is cat.0.jpg)"]


# --- refusals name the reason and the next step ------------------------------------------------


@pytest.mark.parametrize(
    ("what", "sentence"),
    [
        (pictures("cat"), "all 4 pictures lie in one folder (cat/)"),
        (pictures("set/cat"), "all 4 pictures lie in one folder (set/cat/)"),
        (pictures("train", "test"), "test/ and train/ hold pictures, but no class folders"),
        (
            pictures("test/cat", "test/dog"),
            "there is no training part beside test/",
        ),
        (pictures("train/cat", "test/cat"), "all its folders of pictures are called cat"),
        (pictures("test", "control"), "answer “class test=class” to make it a class"),
        (
            pictures("train/images", "valid/images")
            | {f"train/labels/{i}.txt": b"0" for i in "1234"},
            "boxes of an object detector",
        ),
        ({"cat/a.txt": b"x", "dog/b.txt": b"y"}, "no pictures among its 2 files"),
        ({"cat/": b""}, "no files"),
    ],
)
def test_a_refusal_names_reason_and_next_step(what: Files, sentence: str, place: Place) -> None:
    with pytest.raises(DataError) as caught:
        look(place, what)
    text = str(caught.value)
    assert sentence.casefold() in text.casefold()
    assert "  " not in text
    assert "left out: ." not in text.casefold()


# --- the same picture twice ------------------------------------------------------------


def test_test_images_that_are_training_images_are_noted(place: Place) -> None:
    what = pictures("train/cat", "train/dog") | pictures("test/cat", "test/dog")
    [warning] = add_dataset("mine", place(what), image_size=16).warnings
    assert warning.startswith("8 of 8 test images are also training images, for example test/cat/")


def test_validation_images_that_are_training_images_are_noted(place: Place) -> None:
    what = pictures("train/cat", "train/dog") | pictures("val/cat", "val/dog", count=1)
    report = add_dataset("mine", place(what), image_size=16)
    assert [w for w in report.warnings if w.startswith("2 of 2 validation images are also")]


def test_a_picture_in_two_classes_of_two_parts_is_noted(place: Place) -> None:
    what = split_up("train", "test") | {"test/dog/strange.jpg": jpeg(0, (12, 10))}
    two, leak = add_dataset("mine", place(what), image_size=16).warnings
    assert two.startswith("1 picture is in more than one class")
    assert leak.startswith("1 of 5 test images is also training images")


# --- sets with something beside them, and sets whose name tells a split ---------------------------


def test_a_set_whose_name_tells_a_split(place: Place) -> None:
    assert totals(look(place, split_up("test-project/train", "test-project/test"))) == FOUR_AND_TWO


def test_a_loose_test_folder_beside_a_set_with_parts(place: Place) -> None:
    preview = look(
        place,
        split_up("leaves/leaves/train", "leaves/leaves/valid")
        | files("test/test/Rust1.jpg", "test/test/Rust2.jpg"),
    )
    assert totals(preview) == {"train": {"cat": 3, "dog": 3}, "val": CAT_DOG_2} | {
        "test": {"cat": 1, "dog": 1}
    }
    assert preview.test_set_apart
    assert any("test/test/Rust1.jpg" in reason for reason in reasons(preview))


def test_a_labelled_test_folder_beside_a_set_with_parts(place: Place) -> None:
    preview = look(place, split_up("leaves/train", "test") | pictures("leaves/val/cat", count=1))
    assert totals(preview) == FOUR_AND_TWO | {"val": {"cat": 1}}


def test_another_form_beside_a_set_with_parts_is_asked_about(place: Place) -> None:
    both = split_up("parts/parts/train", "parts/parts/test") | pictures(
        "parts_512/cat", "parts_512/dog", first=300
    )
    preview = look(place, both)
    assert totals(preview) == FOUR_AND_TWO
    assert preview.answers["set"] == "parts"
    assert "parts_512/ holds 8 images beside the set in parts/: not used" in reasons(preview)
    assert look(place, both, set="all").total == 20


def test_class_folders_called_by_numbers_get_their_names(place: Place) -> None:
    preview = look(place, _numbered_set() | {"names.json": b'{"1":"a","2":"b"}'})
    assert preview.class_names == ("a", "b")
    assert "The classes are called as in names.json." in preview.notes
    assert look(place, _numbered_set()).class_names == ("1", "2")


def _numbered_set() -> Files:
    return pictures("train/1", "train/2") | pictures("test/1", "test/2", count=2, first=50)


def test_folders_that_differ_by_a_number_are_no_classes(place: Place) -> None:
    preview = look(place, pictures("1반/강아지", "1반/고양이", "2반/토끼", "2반/햄스터"))
    assert preview.class_names == ("강아지", "고양이", "토끼", "햄스터")
    assert preview.answers["level"] == "2"
    assert any("differ by a number alone" in note for note in preview.notes)


def test_stages_with_folders_in_them_are_classes(place: Place) -> None:
    preview = look(place, pictures("stage 1/anna", "stage 1/ben", "stage 2/carl", "stage 2/dora"))
    assert preview.class_names == ("stage 1", "stage 2")
    assert any("lie one level deeper" in note for note in preview.notes)


def test_a_copy_of_the_folders_under_another_name_is_left_out(place: Place) -> None:
    once = pictures("flowers/daisy", "flowers/rose", "flowers/tulip")
    again = {name.replace("flowers", "photos"): data for name, data in once.items()}
    preview = look(place, once | again)
    assert preview.class_names == ("daisy", "rose", "tulip")
    assert preview.total == 12
    assert any(reason.startswith("photos/ holds 12 images") for reason in reasons(preview))


def test_of_folds_one_is_taken(place: Place) -> None:
    """What one fold tests on, the others train on."""
    folds = split_up("fold1/train", "fold1/test") | pictures("fold2/train/cat", "fold2/train/dog")
    preview = look(place, folds | pictures("fold2/test/cat", "fold2/test/dog", count=1, first=90))
    assert totals(preview) == FOUR_AND_TWO
    assert preview.answers["folders"] == "fold1"


def test_a_deeper_level_is_told_where_there_are_parts(place: Place) -> None:
    folders = [
        f"{s}/{a}"
        for s in ("train", "test")
        for a in ("cats/siam", "cats/manx", "dogs/pug", "dogs/boxer")
    ]
    preview = look(place, pictures(*folders))
    assert preview.class_names == ("cats", "dogs")
    assert any("boxer, manx, pug and siam lie one level deeper" in note for note in preview.notes)


def test_folders_of_a_camera_are_no_classes(place: Place) -> None:
    with pytest.raises(DataError, match="100APPLE/ and DCIM/101APPLE/ are folders that a camera"):
        look(place, pictures("DCIM/100APPLE", "DCIM/101APPLE"))


def test_files_without_ending_are_named_as_the_reason(place: Place) -> None:
    with pytest.raises(DataError, match=r"no ending such as \.jpg"):
        look(place, pictures("cat", "dog", ending=""))
