"""The Data page's lower half: a set is added and shown, never replaced by itself."""

from __future__ import annotations

import uuid
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from lab import jobs
from lab.config import RunConfig
from lab.data import catalog
from lab.data.class_needs import LEAST, class_problem
from lab.data.uploads import IncomingFile
from lab.runs.store import store
from lab.ui.data.collect import Collection
from tests.app.conftest import OpenPage, settled
from tests.data.pictures import BAD_PICTURES, jpeg, pets, write_folder
from tests.hub_stub import Repository, serve_hub


def press(app: AppTest, key: str) -> AppTest:
    app.button(key=key).click().run()
    assert not app.exception, app.exception[0].value
    return app


def errors(app: AppTest) -> str:
    return "\n".join(element.value for element in app.error).replace("\\", "")


def markdown(app: AppTest) -> str:
    return "\n".join(element.value for element in app.markdown)


@pytest.fixture
def pet_folder(tmp_path: Path) -> Path:
    return write_folder(tmp_path / "pets", pets(6))


def fill(app: AppTest, name: str, path: Path) -> AppTest:
    app.text_input(key="data_name").set_value(name)
    app.text_input(key="data_path").set_value(str(path)).run()
    return settled(app)


def add_pets(app: AppTest, name: str, path: Path) -> AppTest:
    return settled(press(fill(app, name, path), "data_add"))


def test_add_says_what_is_missing(open_page: OpenPage) -> None:
    app = open_page("data")
    assert not app.button(key="data_add").disabled
    press(app, "data_add")
    assert "Missing: a name and a path or a zip." in errors(app)


def test_a_new_set_is_shown_and_leads_to_train(open_page: OpenPage, pet_folder: Path) -> None:
    app = add_pets(open_page("data"), "고양이와 개", pet_folder)
    assert app.selectbox(key="data_dataset").value == "go-yang-i-wa-gae"
    assert "고양이와 개" in [header.value for header in app.header]
    # Above its pictures, and beside the sentence that it was added, further down.
    (beside,) = [b.key for b in app.button if b.key and b.key.startswith("data_train_")]
    assert "data_train" in [b.key for b in app.button]
    press(app, beside)
    assert app.session_state["train_dataset"] == "go-yang-i-wa-gae"


def test_a_name_that_exists_is_a_question(
    open_page: OpenPage, pet_folder: Path, tmp_path: Path
) -> None:
    app = add_pets(open_page("data"), "My Pets", pet_folder)
    before = catalog.describe("my-pets").content_hash
    config = RunConfig(dataset="my-pets", architecture="mlp")
    run_id = store().create_run(config, name="on the old pets")
    store().request(run_id, "stop")
    other = write_folder(tmp_path / "other", pets(5, first=40))
    app = settled(press(fill(app, "my pets", other), "data_add"))
    assert catalog.describe("my-pets").content_hash == before
    assert "**My Pets** is already on this machine: 12 pictures in 2 classes." in markdown(app)
    assert "1 run used it; what they were trained on is kept for them" in markdown(app)
    press(app, "data_replace_not")
    assert app.text_input(key="data_name").value == "My Pets 2"
    assert "already on this machine" not in markdown(app)
    settled(press(app, "data_add"))
    assert catalog.describe("my-pets-2").split_totals == {"train": 8, "test": 2}


def test_a_set_is_replaced_when_that_is_chosen(
    open_page: OpenPage, pet_folder: Path, tmp_path: Path
) -> None:
    app = add_pets(open_page("data"), "pets", pet_folder)
    other = write_folder(tmp_path / "other", pets(5, first=40))
    press(fill(app, "pets", other), "data_add")
    assert "No run has used it." in markdown(app)
    settled(press(app, "data_replace_sure"))
    assert sum(catalog.describe("pets").split_totals.values()) == 10


def captions(app: AppTest) -> str:
    return "\n".join(element.value for element in app.caption).replace("\\", "")


def test_the_preview_says_what_would_be_added_before_anything_is_written(
    open_page: OpenPage, tmp_path: Path
) -> None:
    files = {f"train/{n}": d for n, d in pets(6).items()} | {
        f"test/{i}.jpg": jpeg(i) for i in (1, 2)
    }
    app = fill(open_page("data"), "", write_folder(tmp_path / "a*b pets", files))
    assert "**12 pictures in 2 classes** (10 training, 2 test)" in markdown(app)
    table = next(each.value for each in app.dataframe if "Class" in each.value)
    assert list(table["Class"]) == ["cats", "dogs"]
    assert list(table["Training (about)"]) == [5, 5]
    left_out = next(each.value for each in app.dataframe if "Reason" in each.value)
    assert list(left_out["File"]) == ["test/1.jpg", "test/2.jpg"]
    assert app.text_input(key="data_name").value == "a*b pets"
    assert all(info.name != "a-b-pets" for info in catalog.list_datasets())
    app = settled(press(app, "data_add"))
    assert catalog.describe("a-b-pets").title == "a*b pets"
    assert app.selectbox(key="data_dataset").value == "a-b-pets"
    assert app.text_input(key="data_path").value == ""


def test_choices_of_the_preview_are_those_of_the_import(
    open_page: OpenPage, tmp_path: Path
) -> None:
    files = pets(6, prefix="color/") | pets(5, prefix="gray/", first=50)
    app = fill(open_page("data"), "forms", write_folder(tmp_path / "forms", files))
    [question] = app.radio
    assert question.value == "color"
    question.set_value("gray").run()
    app = settled(app)
    assert "**10 pictures in 2 classes**" in markdown(app)
    size = next(each for each in app.number_input if each.key and each.key.endswith("_size"))
    size.set_value(32).run()
    app = settled(app)
    app = settled(press(app, "data_add"))
    info = catalog.describe("forms")
    assert (sum(info.split_totals.values()), info.image_size) == (10, 32)
    assert all(name.startswith("gray/") for name in catalog.open_pack("forms").names)


def test_a_folder_that_cannot_be_read_is_refused_before_add(
    open_page: OpenPage, tmp_path: Path
) -> None:
    heap = write_folder(tmp_path / "heap", {f"IMG_{i}.jpg": jpeg(i) for i in range(3)})
    app = fill(open_page("data"), "heap", heap)
    assert "All 3 pictures lie at the top, and their names tell no two classes" in errors(app)
    press(app, "data_add")
    assert all(job.title != "Adding heap" for job in jobs.jobs("dataset"))


def test_a_pasted_path_in_quotes_is_read(open_page: OpenPage, pet_folder: Path) -> None:
    app = open_page("data")
    app.text_input(key="data_path").set_value(f' "file://{pet_folder}" ').run()
    app = settled(app)
    assert "**12 pictures in 2 classes**" in markdown(app)
    assert app.text_input(key="data_name").value == "pets"


def test_two_sources_are_refused(open_page: OpenPage, pet_folder: Path) -> None:
    app = fill(open_page("data"), "pets", pet_folder)
    upload = uuid.uuid4().hex  # AppTest runs no component: what it leaves behind
    with IncomingFile(upload, "") as file:
        file.write(b"PK")
    app.session_state["data_upload_id"] = upload
    app.session_state["data_upload_stored"] = {"name": "pets.zip", "files": 1, "bytes": 2}
    app.run()
    assert "**pets.zip** is here" in markdown(app).replace("\\", "")
    before = jobs.jobs("dataset")
    press(app, "data_add")
    assert "Two sources: the path" in errors(app)
    assert jobs.jobs("dataset") == before


def test_the_name_of_a_public_set_is_not_for_own_pictures(
    open_page: OpenPage, pet_folder: Path
) -> None:
    app = press(fill(open_page("data"), "Sign MNIST", pet_folder), "data_add")
    assert "the name of a data set of the lab, Sign-Language MNIST" in errors(app)


def test_files_left_out_are_one_click_away(open_page: OpenPage, tmp_path: Path) -> None:
    files = pets(6) | {"cats/broken.jpg": BAD_PICTURES["empty.jpg"][0]}
    app = add_pets(open_page("data"), "broken pets", write_folder(tmp_path / "x", files))
    assert app.button(key="data_left_out").label == "1 file left out: see which"
    press(app, "data_left_out")
    assert list(app.dataframe[0].value["File"]) == ["cats/broken.jpg"]
    app.selectbox(key="data_dataset").select("drawn-signs").run()  # which has no such tab
    assert not app.exception


def test_a_picture_in_two_classes_is_a_warning(open_page: OpenPage, tmp_path: Path) -> None:
    files = pets(6) | {"dogs/strange.jpg": pets(1)["cats/cat.0.jpg"]}
    app = add_pets(open_page("data"), "mixed pets", write_folder(tmp_path / "x", files))
    assert "1 picture is in more than one class" in app.warning[0].value.replace("\\", "")


def drop(app: AppTest, class_name: str, count: int, first: int) -> AppTest:
    # AppTest cannot type a new option; the browser test does.
    app.session_state["data_collection"].classes.setdefault(class_name, {})
    app.run()
    app.selectbox(key="collect_class").set_value(class_name).run()
    key = next(each.key for each in app.file_uploader if each.key.startswith("collect_files"))
    files = [(f"{i}.jpg", jpeg(first + i), "image/jpeg") for i in range(count)]
    app.file_uploader(key=key).set_value(files).run()
    assert not app.exception, app.exception[0].value
    return app


def test_dropped_pictures_become_a_data_set(open_page: OpenPage, released: list[str]) -> None:
    app = drop(open_page("data"), "leaf", LEAST, 0)
    press(app, "collect_make")
    assert "Missing: a second class." in errors(app)
    drop(app, "stone", LEAST - 1, 100)
    press(app, "collect_make")
    assert "Missing: 1 more of stone." in errors(app)
    drop(app, "stone", LEAST, 100)  # the first four again: none is there twice
    assert f"**stone**  \n{LEAST} pictures" in markdown(app)
    assert len(released) == LEAST - 1  # what was there already
    press(app, "collect_make")
    assert "Missing: a name." in errors(app)
    app.text_input(key="collect_name").set_value("Walk").run()
    settled(press(app, "collect_make"))
    assert app.selectbox(key="data_dataset").value == "walk"
    assert catalog.describe("walk").class_names == ("leaf", "stone")
    assert len(set(released)) == 3 * LEAST - 1  # memory keeps none of the files
    assert not any(each.key and each.key.startswith("collect_remove") for each in app.button)


def test_a_collection_takes_pictures_once_and_says_what_it_does_not_take() -> None:
    pictures = Collection()
    pictures.add("cat", "a.jpg", jpeg(1))
    pictures.add("cat", "again.jpg", jpeg(1))
    assert pictures.refused == []
    assert len(pictures.classes["cat"]) == 1
    pictures.add("dog", "b.jpg", jpeg(1))
    pictures.add("dog", "c.jpg", b"This is no picture." * 9)
    assert pictures.refused[0] == "b.jpg is in the class cat already."
    assert "c.jpg holds text" in pictures.refused[1]


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("cat", ""),
        ("고양이", ""),
        ("a/b", "cannot be a class"),
        (".hidden", "cannot be a class"),
        ("train", "part of a data set"),
        ("x" * 61, "1 to 60 characters"),
    ],
)
def test_class_names_that_can_be_folders(name: str, problem: str) -> None:
    assert problem in class_problem(name)
    assert bool(class_problem(name)) == bool(problem)


# --- from the hub ---------------------------------------------------------------------------------
def test_a_set_of_the_hub_is_fetched_and_shown(
    open_page: OpenPage, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serve_hub(monkeypatch) as hub:
        files = {f"{name}/{n}.jpg": jpeg(seed=n) for name in ("cat", "dog") for n in range(6)}
        hub.datasets["me/pets"] = Repository(files)
        app = open_page("data")
        press(app, "data_hub_add")
        assert "Missing: a name" in errors(app)
        app.text_input(key="data_hub_repository").set_value("pets").run()
        press(app, "data_hub_add")
        assert "'pets' is no address on the Hugging Face Hub" in errors(app)
        app.text_input(key="data_hub_repository").set_value("me/pets@main").run()
        assert app.text_input(key="data_hub_name").value == "pets"
        settled(press(app, "data_hub_add"))
        assert app.selectbox(key="data_dataset").value == "pets"
        assert catalog.describe("pets").usable
        app.text_input(key="data_hub_repository").set_value("me/none").run()
        settled(press(app, "data_hub_add"))
        assert "There is no data set 'me/none'" in errors(app)
