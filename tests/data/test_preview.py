"""The preview agrees with the import, decodes little and writes nothing."""

from __future__ import annotations

import io
import json
from functools import partial
from pathlib import Path

import pytest
from PIL import Image

from lab.cli.main import main
from lab.data import catalog
from lab.data.decode import FORMATS, begins_like_a_picture
from lab.data.preview import CLASSES_WITH_PICTURES, PICTURES_PER_CLASS, SAMPLE_SIDE
from lab.errors import ConfigError, DataError
from tests.data.pictures import jpeg, pets, sign_csv, write_folder


def test_pictures_are_a_few_of_each_class_small_and_as_they_would_be_stored(tmp_path: Path) -> None:
    path = write_folder(tmp_path / "pets", pets(9))
    preview = catalog.look(path, image_size=64)
    assert [len(preview.samples[name]) for name in ("cats", "dogs")] == [PICTURES_PER_CLASS] * 2
    assert all(s.pixels.shape == (64, 64, 3) for s in preview.samples["cats"])
    assert catalog.look(path).samples["cats"][0].pixels.shape == (SAMPLE_SIDE, SAMPLE_SIDE, 3)
    catalog.add_dataset("pets", path, image_size=64)
    pack = catalog.open_pack("pets")
    for sample in preview.samples["dogs"]:
        assert (pack.images[pack.names.index(sample.name)] == sample.pixels).all()


def test_of_many_classes_pictures_are_decoded_when_asked_for(tmp_path: Path) -> None:
    files = {f"c{k:02}/{i}.jpg": jpeg(2 * k + i, (8, 8)) for k in range(30) for i in range(2)}
    path = write_folder(tmp_path / "many", files)
    preview = catalog.look(path, image_size=16)
    assert len(preview.samples) == CLASSES_WITH_PICTURES
    assert list(catalog.look(path, image_size=16, pictures_of=["c29"]).samples) == ["c29"]
    assert catalog.look(path, pictures_of=()).samples == {}


def test_files_that_are_no_pictures_are_not_counted(tmp_path: Path) -> None:
    files = pets(6) | {"cats/page.jpg": b"<html>no picture</html>", "dogs/empty.png": b""}
    path = write_folder(tmp_path / "pets", files)
    preview = catalog.look(path, pictures_of=())
    report = catalog.add_dataset("pets", path, image_size=16)
    assert preview.total == report.total == 12
    assert preview.rejected == report.rejected
    assert {rejected.file for rejected in preview.rejected} == {"cats/page.jpg", "dogs/empty.png"}
    names = [f"{name}/{i}.jpg" for name in ("cat", "dog") for i in range(4)]
    nothing = write_folder(tmp_path / "nothing", dict.fromkeys(names, b"no picture"))
    for read in (catalog.look, partial(catalog.add_dataset, "nothing")):
        with pytest.raises(DataError, match="has no usable images"):
            read(nothing)


def test_every_format_begins_like_a_picture() -> None:
    image = Image.new("RGB", (8, 8))
    for kind in FORMATS:
        file = io.BytesIO()
        image.save(file, kind)
        assert begins_like_a_picture(file.getvalue()[:32]), kind
    assert not begins_like_a_picture(b"RIFF....WAVEfmt ")


def test_a_class_can_be_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = pets(6) | {f"other/{i}.jpg": jpeg(40 + i) for i in range(6)}
    path = write_folder(tmp_path / "set", files)
    preview = catalog.look(path, without=["other"])
    assert preview.class_names == ("cats", "dogs")
    assert preview.without == ("other",)
    assert [str(rejected) for rejected in preview.rejected] == [
        "class 'other' is left out, as chosen"
    ]
    report = catalog.add_dataset("set", path, image_size=16, without=["other"])
    assert report.accepted == preview.counts
    assert report.rejected == preview.rejected
    assert main(["datasets", "add", "b", str(path), "--leave-out", "cats", "--dry-run"]) == 0
    assert "Would add 12 images in 2 classes: dogs, other" in capsys.readouterr().out
    with pytest.raises(ConfigError, match="no class 'bird' to leave out; the set has 3 classes"):
        catalog.look(path, without=["bird"])
    with pytest.raises(DataError, match="has only one usable class"):
        catalog.add_dataset("one", path, without=["cats", "dogs"])
    signs = {"sign_mnist_train.csv": sign_csv([0, 1, 2] * 4)}
    rows = write_folder(tmp_path / "signs", signs)
    table = catalog.add_dataset("signs", rows, without=[catalog.look(rows).class_names[0]])
    assert len(table.meta.class_names) == 2
    assert table.total == 8


def test_nothing_is_written(tmp_path: Path, lab_home: Path) -> None:
    catalog.look(write_folder(tmp_path / "pets", pets(4)), "pets")
    assert not (lab_home / "packs").exists() or list((lab_home / "packs").iterdir()) == []


def test_a_table_is_read_for_its_labels(tmp_path: Path) -> None:
    labels = [0, 1, 2] * 4
    files = {"sign_mnist_train.csv": sign_csv(labels), "sign_mnist_test.csv": sign_csv([0, 1, 2])}
    preview = catalog.look(write_folder(tmp_path / "signs", files), "sign-mnist")
    assert preview.counts["train"]["A"] == 4
    assert preview.counts["test"] == dict.fromkeys("ABC", 1)
    assert preview.size_is_fixed
    assert preview.samples["B"][0].pixels.shape == (28, 28, 1)


def test_names_that_no_folder_can_have_are_refused(tmp_path: Path) -> None:
    path = write_folder(tmp_path / "pets", pets(4))
    for name in ("con", "com1"):
        with pytest.raises(ConfigError, match="Windows keeps it for a device"):
            catalog.add_dataset(name, path)
    with pytest.raises(ConfigError, match="Windows keeps it for a device"):
        catalog.dataset_name("NUL")
    assert catalog.dataset_name("Contest") == "contest"


def test_dry_run_says_all_and_writes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_folder(tmp_path / "set", pets(4, prefix="color/") | pets(4, prefix="gray/"))
    assert main(["datasets", "add", "Color pets", str(path), "--dry-run"]) == 0
    shown = capsys.readouterr().out
    assert "Would add 8 images in 2 classes: cats, dogs" in shown
    assert "* --answer 'folders=color'" in shown
    assert "Nothing was written" in shown
    assert (
        main(
            [
                "datasets",
                "add",
                "Pets",
                f"'{path}'",
                "--dry-run",
                "--json",
                "--answer",
                "folders=classes",
            ]
        )
        == 0
    )
    values = json.loads(capsys.readouterr().out)
    assert values["dataset"] == "pets"
    assert values["class_names"] == ["color", "gray"]
    assert values["questions"][0]["answer"] == "classes"
    assert values["counts"]["train"] == {"color": 7, "gray": 7}
    with pytest.raises(catalog.NotFoundError):
        catalog.describe("pets")


def test_a_title_and_an_answer_are_taken_and_the_sentence_names_the_classes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_folder(tmp_path / "set", pets(4, prefix="color/") | pets(5, prefix="gray/"))
    command = ["datasets", "add", "꽃 사진", str(path), "--image-size", "16"]
    assert main([*command, "--answer", "folders=gray"]) == 0
    assert (
        "Added 10 images in 2 classes: cats, dogs (8 training, 2 test)." in capsys.readouterr().out
    )
    assert catalog.describe(catalog.dataset_name("꽃 사진")).title == "꽃 사진"
    assert main([*command, "--replace", "--answer", "folder=gray"]) != 0
    assert "Nothing asks for 'folder'; the questions here are: folders" in capsys.readouterr().err
    assert main([*command, "--replace", "--answer", "gray"]) != 0
    assert "it takes a key and a value, such as level=2" in capsys.readouterr().err
