"""The Versions tab and what leads to it: pictures chosen and edited, saved, restored, proved."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from streamlit.testing.v1 import AppTest

from lab import jobs
from lab.config import RunConfig
from lab.data import catalog, versions
from lab.data.pack import EXCLUDED
from lab.data.versions import Edits
from lab.experiments import proof
from lab.runs.queue import queue
from lab.runs.rows import RunRow
from lab.runs.store import store
from tests.app.conftest import OpenPage
from tests.app.test_data_tabs import captions, open_tab
from tests.tiny_data import make_tiny_pack

NAME = "tiny"


def markdown(app: AppTest) -> str:
    return "\n".join(element.value for element in app.markdown).replace("\\", "")


def press(app: AppTest, key: str) -> AppTest:
    app.button(key=key).click().run()
    assert not app.exception, app.exception[0].value
    return app


@pytest.fixture
def page(open_page: OpenPage) -> AppTest:
    make_tiny_pack(NAME)
    app = open_page("data")
    app.selectbox(key="data_dataset").select(NAME).run()
    assert not app.exception
    return app


def choose(app: AppTest, rows: list[int]) -> AppTest:
    """AppTest cannot click the component's pictures."""
    app.toggle(key="data_mending").set_value(True).run()
    app.session_state[f"data_mend_{NAME}_chosen"] = frozenset(rows)
    app.run()
    assert not app.exception, app.exception[0].value
    return app


def test_pictures_are_edited_saved_and_restored(page: AppTest) -> None:
    assert "Not saved yet" not in markdown(page)
    press(choose(page, [0, 3]), f"data_mend_{NAME}_exclude")
    assert "Not saved yet: 2 pictures left out." in markdown(page).replace("**", "")
    choose(page, [6])
    page.selectbox(key=f"data_mend_{NAME}_class").select("middle").run()
    press(page, f"data_mend_{NAME}_relabel")
    press(choose(page, [9]), f"data_mend_{NAME}_to_test")
    assert "2 pictures left out, 1 picture relabelled, 1 picture moved to test" in markdown(page)
    assert len(versions.versions(NAME)) == 1, "nothing is saved before it is pressed"
    open_tab(page, "Labels")  # the bar is on every tab
    page.text_input(key=f"data_reason_{NAME}").set_value("tidy").run()
    press(page, "data_save_version")
    newest = versions.versions(NAME)[0]
    assert (newest.number, newest.reason) == (2, "tidy")
    assert newest.changes == ("2 left out, 1 relabelled top → middle, 1 moved training → test")
    assert "Saved as version 2" in markdown(page)
    press(page, "data_to_proof")
    assert "Version 2" in markdown(page)
    assert "no run on it" in markdown(page)
    assert "top → middle" in captions(page)
    press(page, "data_restore_1")
    assert [v.number for v in versions.versions(NAME)] == [3, 2, 1]
    assert (catalog.open_pack(NAME).split != EXCLUDED).all()


def test_edits_can_be_taken_back_and_discarded(page: AppTest) -> None:
    press(choose(page, [0, 3]), f"data_mend_{NAME}_exclude")
    press(choose(page, [0]), f"data_mend_{NAME}_take_back")
    assert "1 picture left out" in markdown(page)
    press(page, "data_discard")
    assert "Not saved yet" not in markdown(page)


def test_what_is_left_out_can_be_brought_back(page: AppTest) -> None:
    versions.apply(NAME, Edits(exclude=frozenset([0, 4])))
    page.run()
    page.segmented_control(key=f"data_split_{NAME}").set_value("left_out").run()
    assert "2 pictures that this version leaves out" in captions(page)
    press(choose(page, [0]), f"data_mend_{NAME}_to_train")
    press(page, "data_save_version")
    assert versions.versions(NAME)[0].changes == "1 brought back"


def test_classes_are_renamed_and_a_refusal_is_said(page: AppTest) -> None:
    open_tab(page, "Labels")
    page.text_input(key="data_edit_name").set_value("upper_*").run()
    press(page, "data_rename")
    assert "class “top” renamed to “upper_*”" in markdown(page)
    page.text_input(key="data_edit_name").set_value("middle").run()
    press(page, "data_rename")
    press(page, "data_save_version")
    assert "merge the two" in page.error[0].value
    assert len(versions.versions(NAME)) == 1


def test_a_class_is_left_out_as_a_whole(page: AppTest) -> None:
    open_tab(page, "Labels")
    press(page, "data_leave_out_class")
    press(page, "data_save_version")
    assert catalog.describe(NAME).class_names == ("middle", "bottom")


def test_edits_of_another_import_are_not_saved(page: AppTest) -> None:
    press(choose(page, [0]), f"data_mend_{NAME}_exclude")
    make_tiny_pack(NAME, seed=4)
    page.run()
    assert "imported anew" in page.warning[0].value
    press(page, "data_save_version")
    assert "imported anew" in page.error[0].value.replace("\\", "")
    assert len(versions.versions(NAME)) == 1


def test_versions_of_no_run_are_cleared_away(page: AppTest) -> None:
    versions.apply(NAME, Edits(exclude=frozenset([0])))
    versions.apply(NAME, Edits(exclude=frozenset([1])))
    open_tab(page, "Versions")
    press(page, "data_clear_versions")
    assert [v.number for v in versions.versions(NAME)] == [3]


def test_the_train_form_offers_the_versions(open_page: OpenPage, page: AppTest) -> None:
    old = versions.versions(NAME)[0].content_hash
    versions.apply(NAME, Edits(exclude=frozenset([0])))
    app = open_page("train", dataset=NAME)
    assert app.selectbox(key="train_dataset_version").value == ""
    app.selectbox(key="train_dataset_version").select(old).run()
    assert not app.exception
    assert not app.error


def test_a_proof_from_the_press_to_the_sentence(
    page: AppTest, open_page: OpenPage, finished: Callable[[str], RunRow]
) -> None:
    before = versions.versions(NAME)[0]
    config = RunConfig(dataset=NAME, architecture="sign-cnn", epochs=1)
    run_id = queue().submit(config, name="mine")
    finished(run_id)
    versions.apply(NAME, Edits(exclude=frozenset([0])))
    open_tab(page, "Versions")
    assert "1 run on it" in markdown(page)
    page.selectbox(key=f"data_proof_settings_{NAME}").select(run_id).run()
    page.segmented_control(key="data_proof_seeds").set_value(1).run()
    expected = "in all (roughly, from what the network computes"
    assert any(expected in caption.value for caption in page.caption)
    press(page, "data_proof_start")
    [started] = proof.proofs(NAME)
    assert started.before == before.content_hash
    assert started.config.architecture == "sign-cnn"
    for run in started.runs:
        assert finished(run.row.id).status == "completed"
    app = open_page("proof", proof=started.id)
    for job in jobs.jobs():
        jobs.wait(job.id, timeout=60)
    app.run()
    told = [e.value for kind in ("success", "info", "warning") for e in getattr(app, kind)]
    assert any("Cleaning" in text or "No difference can be told" in text for text in told), told
    assert "same 30 test pictures" in markdown(app)
    assert len(store().runs(origin=f"proof:{started.id}")) == 2


def test_a_proof_that_is_not_there_is_said(open_page: OpenPage) -> None:
    app = open_page("proof", proof="p-20260101-000000-abcdef")
    assert "There is no proof" in app.error[0].value
