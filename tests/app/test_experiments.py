"""The Experiments page: recipes by question, one click, results beside the document's."""

from collections.abc import Callable
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from lab.experiments import estimates
from lab.experiments.recipes.book import QUESTIONS, RECIPES
from lab.runs.rows import RunRow
from lab.runs.store import store
from tests.app.conftest import OpenPage

Finished = Callable[[str], RunRow]


@pytest.fixture(autouse=True)
def no_weights(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A machine without any pretrained weights."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    return tmp_path / "torch" / "hub" / "checkpoints"


def texts(app: AppTest, kind: str) -> str:
    return "\n".join(str(element.value) for element in getattr(app, kind))


def keys(app: AppTest, kind: str = "button") -> list[str]:
    return [element.key for element in getattr(app, kind)]


def test_every_question_and_recipe_is_there(open_page: OpenPage) -> None:
    app = open_page("experiments")
    headings = texts(app, "subheader")
    markdown = texts(app, "markdown")
    for question in QUESTIONS:
        assert question.title in headings
    for each in RECIPES:
        assert each.story in markdown
        assert f"The document reports:** {each.reported.replace('->', '→')}" in markdown
        assert f"experiments_quick_{each.id}" in keys(app)
        assert f"experiments_full_{each.id}" in keys(app)
        for difference in each.differences:
            assert difference in markdown


def test_what_is_missing_and_how_to_get_it(open_page: OpenPage) -> None:
    app = open_page("experiments")
    text = texts(app, "info")
    assert "Sign-Language MNIST" in text
    assert "python -m lab datasets add sign-mnist PATH" in text
    assert "results are not to be compared" in text
    assert "ImageNet weights of ResNet-18 are not on this machine" in text
    assert "resnet18-f37072fd.pth" in text
    assert not app.button(key="experiments_quick_sl-cnn").disabled  # the drawn ones stand in


def test_one_click_queues_all_runs_and_shows_them_beside_the_document(
    open_page: OpenPage, finished: Finished
) -> None:
    app = open_page("experiments", recipe="cd-deep")
    app.button(key="experiments_quick_cd-deep").click().run()
    assert not app.exception
    rows = store().runs(origin="recipe:cd-deep:quick", order="oldest")
    assert [row.name for row in rows] == ["cd-deep-sigmoid (quick)", "cd-deep-relu (quick)"]
    assert app.session_state["run"] == rows[0].id
    assert all(finished(row.id).status == "completed" for row in rows)
    app.run()
    assert not app.exception
    table = app.dataframe[0].value
    assert list(table["Run"]) == ["Sigmoid", "ReLU"]
    assert list(table["The document"]) == ["about 50 %", "about 50 %"]
    assert list(table["Test"]) == [store().run(row.id).test_accuracy for row in rows]
    assert "Not to be compared" in texts(app, "markdown")
    assert "quick from 2 earlier runs" in texts(app, "caption")


def test_questions_filter_the_recipes(open_page: OpenPage) -> None:
    app = open_page("experiments")
    app.button_group(key="experiments_questions").set_value(["augmentation"]).run()
    assert not app.exception
    shown = [key for key in keys(app) if key.startswith("experiments_quick_")]
    assert shown == ["experiments_quick_sl-cnn-aug"]


def test_a_link_to_one_recipe(open_page: OpenPage) -> None:
    app = open_page("experiments", recipe="cd-deep-relu")
    shown = [key for key in keys(app) if key.startswith("experiments_quick_")]
    assert shown == ["experiments_quick_cd-deep"]
    app.button(key="experiments_all").click().run()
    assert "experiments_quick_sl-cnn" in keys(app)
    assert "recipe" not in app.query_params


def test_a_link_to_no_recipe_is_a_sentence(open_page: OpenPage) -> None:
    app = open_page("experiments", recipe="cd-dep")
    assert "Did you mean 'cd-deep'" in texts(app, "error")
    assert "experiments_quick_sl-cnn" in keys(app)


def test_settings_can_be_changed_first(open_page: OpenPage) -> None:
    app = open_page("experiments", recipe="sl-cnn-aug")
    app.button(key="experiments_form_sl-cnn-aug").click().run()
    assert not app.exception
    assert app.session_state["train_rotation_degrees"] == 10
    assert app.session_state["train_batch_size"] == 256
    assert not store().runs()


def test_the_network_that_is_here_stands_in(open_page: OpenPage, no_weights: Path) -> None:
    no_weights.mkdir(parents=True)
    (no_weights / "squeezenet1_1-b8a52dc0.pth").touch()
    app = open_page("experiments", recipe="vgg-features")
    network = app.selectbox(key="experiments_network_vgg-features")
    assert network.value == "squeezenet1_1"
    assert network.options[0] == "SqueezeNet 1.1 (stands in)"
    assert "ImageNet weights" not in texts(app, "info")
    text = texts(app, "caption")
    assert "SqueezeNet 1.1 stands in for VGG16" in text
    assert "vgg16-397923af.pth" in text
    network.select("vgg16").run()
    assert "ImageNet weights of VGG16 are not on this machine" in texts(app, "info")


def test_this_machine_can_be_measured(open_page: OpenPage, monkeypatch: pytest.MonkeyPatch) -> None:
    speed = estimates.Speed(28, 0.25, 0.5)
    monkeypatch.setattr(estimates, "_measure", lambda name, device: speed)
    app = open_page("experiments", recipe="sl-cnn")
    assert "another machine" in texts(app, "caption")
    app.button(key="experiments_measure").click().run()
    app.run()
    assert not app.exception
    assert "from a short measurement on this machine" in texts(app, "caption")
    assert "experiments_measure" not in keys(app)


def test_the_sweep_tab_opens(open_page: OpenPage) -> None:
    app = open_page("experiments")
    app.session_state["experiments_tab"] = "Sweep"
    app.run()
    assert not app.exception
    assert "experiments_quick_sl-cnn" not in keys(app)
