"""The Experiments page: recipes as cards, one press, results beside the document's."""

import re
from collections.abc import Callable
from html import escape
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from lab.experiments import estimates
from lab.experiments.recipes.book import DOCUMENTS, RECIPES, all_recipes, recipe
from lab.experiments.recipes.recipe import prepare
from lab.runs.rows import RunRow
from lab.runs.store import store
from lab.ui.experiments import recipe_progress
from lab.words import percent
from tests.app.conftest import OpenPage, settled

Finished = Callable[[str], RunRow]


@pytest.fixture(autouse=True)
def no_weights(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A machine without any downloaded weights."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    return tmp_path / "torch" / "hub" / "checkpoints"


def texts(app: AppTest, kind: str) -> str:
    return "\n".join(str(element.value) for element in getattr(app, kind))


def keys(app: AppTest, kind: str = "button") -> list[str]:
    return [element.key for element in getattr(app, kind)]


def test_every_recipe_is_a_card_with_a_picture_a_question_and_a_button(
    open_page: OpenPage,
) -> None:
    app = open_page("experiments")
    markdown = texts(app, "markdown").replace("\\", "")
    pictures = [element.proto.body for element in app.get("html") if "role=" in element.proto.body]
    assert len(pictures) == len(RECIPES)
    for each, picture in zip(all_recipes(), pictures, strict=True):
        assert f"**{each.asks}**" in markdown
        assert f"experiments_quick_{each.id}" in keys(app)
        assert f"experiments_details_{each.id}" in keys(app)
        assert "Accuracy in the document: " in picture
        for variant in each.variants:
            assert escape(variant.title) in picture
    shown = "\n".join((markdown, texts(app, "caption"), *pictures))
    slugs = {r.id for r in RECIPES} | {v.key for r in RECIPES for v in r.variants}
    assert not set(re.findall(r"[\w-]+", shown)) & slugs


def test_the_details_tell_everything(open_page: OpenPage) -> None:
    for each in RECIPES[::4]:
        app = open_page("experiments", recipe=each.id)
        markdown = texts(app, "markdown")
        assert each.story in markdown
        assert all(line in markdown for line in (*each.watch_for, *each.differences))
        figures = app.dataframe[0].value
        assert list(figures["The document"]) == [v.reported.text for v in each.variants]
        assert f"experiments_start_full_{each.id}" in keys(app)
        assert DOCUMENTS[each.document].title in texts(app, "caption")


def test_documents_filter_the_recipes_and_are_listed(open_page: OpenPage) -> None:
    app = open_page("experiments")
    text = texts(app, "markdown")
    for document in DOCUMENTS.values():
        assert document.title in text
        assert f"]({document.link})" in text
    app.selectbox(key="experiments_document").select("003").run()
    assert not app.exception
    shown = [key for key in keys(app) if key.startswith("experiments_quick_")]
    assert shown == ["experiments_quick_rn"]
    app.button_group(key="experiments_questions").set_value(["augmentation"]).run()
    assert "no experiment on this topic" in texts(app, "caption")


def test_what_is_missing_is_told_once(open_page: OpenPage) -> None:
    app = open_page("experiments")
    text = texts(app, "caption").replace("\\", "")
    assert text.count("not on this machine") == 1
    assert "Drawings stand in for “Cats and dogs” and “Sign-Language MNIST”" in text
    assert "ImageNet weights of “ResNet-18” and “VGG16”" in text
    assert "are not on this machine: EfficientNet-Lite0 stands in." in text
    assert not app.info
    assert not app.button(key="experiments_quick_sl-cnn").disabled  # the drawn ones stand in


def test_the_details_say_how_to_get_what_is_missing(open_page: OpenPage) -> None:
    text = texts(open_page("experiments", recipe="sl-cnn"), "info")
    assert "Sign-Language MNIST" in text
    assert "python -m lab datasets add sign-mnist PATH" in text
    assert "results are not to be compared" in text
    text = texts(open_page("experiments", recipe="cd-resnet18"), "caption")
    assert "EfficientNet-Lite0 stands in for ResNet-18, the document's network." in text
    assert "ImageNet weights of ResNet-18 are not on this machine" in text
    assert "resnet18-f37072fd.pth" in text


def test_one_click_queues_all_runs_and_shows_them_beside_the_document(
    open_page: OpenPage, finished: Finished
) -> None:
    app = open_page("experiments", recipe="cd-deep")
    app.button(key="experiments_start_quick_cd-deep").click().run()
    assert not app.exception
    rows = store().runs(origin="recipe:cd-deep:quick", order="oldest")
    assert [row.name for row in rows] == [
        "Deep MLP on Drawn cats and dogs, Sigmoid (quick)",
        "Deep MLP on Drawn cats and dogs, ReLU (quick)",
    ]
    assert app.session_state["run"] == rows[0].id
    assert all(finished(row.id).status == "completed" for row in rows)
    app.run()
    assert not app.exception
    assert len(app.dataframe) == 2
    table = app.dataframe[1].value
    assert list(table["Run"]) == ["Sigmoid", "ReLU"]
    assert list(table["The document"]) == ["about 50%", "about 50%"]
    assert list(table["Test"]) == [store().run(row.id).test_accuracy for row in rows]
    assert "Not to be compared" in texts(app, "markdown")
    assert "quick from 2 earlier runs" in texts(app, "caption")
    ours = [percent(store().run(row.id).test_accuracy) for row in rows]
    told = f"{ours[0]} (Sigmoid), {ours[1]} (ReLU). The document: about 50%."
    assert told in texts(app, "markdown").replace("\\", "")
    app.button(key="experiments_all").click().run()  # the card tells it, too
    assert f"quick size on Drawn cats and dogs: {told}" in texts(app, "markdown").replace("\\", "")
    assert app.button(key="experiments_quick_cd-deep").label.startswith("Try it again · 2 runs")


def test_a_card_follows_its_live_run(open_page: OpenPage) -> None:
    prepared = prepare(recipe("sl-cnn"), "quick")[0]
    run_id = store().create_run(
        prepared.config, name=prepared.name, origin=prepared.origin, status="preparing"
    )
    app = open_page("experiments")
    panel = recipe_progress._panel("sl-cnn")
    assert [block["text"] for block in panel["blocks"]] == ["Preparing"]
    assert app.button(key="experiments_quick_sl-cnn").disabled  # not twice
    assert not app.button(key="experiments_quick_cd-deep").disabled
    (link,) = [e for e in app.get("page_link") if e.proto.label == "Watch it live"]
    assert run_id in link.proto.query_string


def test_questions_filter_the_recipes(open_page: OpenPage) -> None:
    app = open_page("experiments")
    app.button_group(key="experiments_questions").set_value(["augmentation"]).run()
    assert not app.exception
    shown = [key for key in keys(app) if key.startswith("experiments_quick_")]
    assert shown == ["experiments_quick_sl-cnn-aug"]


def test_a_link_to_one_recipe(open_page: OpenPage) -> None:
    app = open_page("experiments", recipe="cd-deep-relu")
    assert "experiments_start_quick_cd-deep" in keys(app)
    assert not any(key.startswith("experiments_quick_") for key in keys(app))
    assert "experiments_start_full_cd-deep" in keys(app)
    app.button(key="experiments_all").click().run()
    assert "experiments_quick_sl-cnn" in keys(app)
    assert "recipe" not in app.query_params


def test_a_link_to_no_recipe_is_a_sentence(open_page: OpenPage) -> None:
    app = open_page("experiments", recipe="cd-dep")
    assert "Did you mean 'cd-deep'" in texts(app, "error").replace("\\", "")
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
    app.button(key="experiments_measure").click()
    settled(app)
    assert "from a short measurement on this machine" in texts(app, "caption")
    assert "experiments_measure" not in keys(app)


def test_the_sweep_tab_opens(open_page: OpenPage) -> None:
    app = open_page("experiments")
    app.session_state["experiments_tab"] = "Sweep"
    app.run()
    assert not app.exception
    assert "experiments_quick_sl-cnn" not in keys(app)
