"""Every page through the entrance: what a person can press, and what comes of it."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from lab.config import RunConfig
from lab.data import catalog
from lab.experiments import estimates
from lab.experiments.starts import STARTS
from lab.models.catalog import build_network
from lab.runs.queue import queue
from lab.runs.rows import RunRow
from lab.runs.schema import epochs
from lab.runs.store import store
from lab.ui import home
from lab.ui.entrance import PAGES
from tests.app.conftest import Completed, OpenPage
from tests.components import components

Finished = Callable[[str], RunRow]

QUICK = RunConfig(dataset="drawn-signs", architecture="single-layer-perceptron", epochs=2)


def texts(app: object, kind: str) -> str:
    return "\n".join(element.value for element in getattr(app, kind))


@pytest.fixture
def run_id(completed: Completed) -> str:
    """A completed run."""
    return completed((QUICK, "my perceptron"))[0].id


every_page = pytest.mark.parametrize("page", [page.name for page in PAGES])


def test_every_page_is_in_the_navigation() -> None:
    assert {page.name for page in PAGES} == {file.stem for file in Path("pages").glob("*.py")}


@every_page
def test_every_page_opens_in_an_empty_lab(open_page: OpenPage, page: str) -> None:
    open_page(page)


@every_page
def test_every_page_opens_with_a_run(open_page: OpenPage, run_id: str, page: str) -> None:
    app = open_page(page, run=run_id)
    assert app.session_state["run"] == run_id


def test_home_starts_a_run_and_the_train_page_shows_it(
    open_page: OpenPage, finished: Finished
) -> None:
    app = open_page()
    app.button(key="home_start_first").click().run()
    assert not app.exception
    run_id = app.session_state["run"]
    assert app.query_params["run"] in (run_id, [run_id])
    assert finished(run_id).status == "completed"
    app.run()
    [view] = components(app, "run_view")
    assert (view["run"], view["status"]) == (run_id, "completed")
    assert "test images are right" in texts(app, "markdown")
    assert "Try your own picture" in [link.proto.label for link in app.get("page_link")]


def test_home_takes_what_is_here_and_leads_to_what_is_not(open_page: OpenPage) -> None:
    app = open_page()
    keys = [button.key for button in app.button]
    assert {f"home_start_{start.key}" for start in STARTS} <= set(keys)
    [link] = [each for each in app.get("page_link") if each.proto.label == "Get Cats and dogs"]
    assert "dataset=cats-dogs" in link.proto.query_string


def test_home_says_how_long_and_needs_no_download(
    open_page: OpenPage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", "/nowhere")
    monkeypatch.setattr(home, "PATIENCE", 60.0)
    monkeypatch.setattr(
        home, "machine_is_busy", lambda: True
    )  # no measurement: the tests share a machine
    app = open_page()
    assert texts(app, "markdown").count(":material/timer: about ") == len(STARTS)
    assert "EfficientNet-Lite0 · Drawn cats and dogs" in texts(app, "caption")
    assert "weights" not in texts(app, "caption")
    assert texts(app, "markdown").count(" once the machine is free") == len(STARTS)

    # Measured as soon as it is free, not only after a run.
    measured: list[str] = []

    def measure_speeds(names: list[str], **_: object) -> dict[str, float]:
        measured.extend(names)
        return {}

    monkeypatch.setattr(estimates, "measure_speeds", measure_speeds)
    monkeypatch.setattr(home, "machine_is_busy", lambda: False)
    app = open_page()
    assert len(measured) == len(STARTS)
    assert "once the machine is free" not in texts(app, "markdown")


def test_home_shows_pictures_and_the_curve_to_expect_or_the_last_run(
    open_page: OpenPage, finished: Finished
) -> None:
    def drawn() -> str:
        return "\n".join(element.proto.body for element in open_page().get("html"))

    first = STARTS[0]
    before = drawn()
    assert before.count("data:image/jpeg") >= home.PICTURES * len(STARTS)
    assert f"over {len(first.expected['drawn-cats-dogs'].validation)} epochs" in before
    assert "to expect" in before
    assert "your last run" not in before
    config = first.config("drawn-cats-dogs").changed(batch_size=16)
    run = finished(queue().submit(config, name="a try"))
    assert first.is_like(run.settings)
    assert "your last run" in drawn()
    assert "a try" in [link.proto.label for link in open_page().get("page_link")]

    with store().database.write() as connection:  # as of a run that was to go on, stopped at once
        connection.execute(epochs.delete())
    assert "to expect" in drawn()


def test_the_form_trains_what_it_says(open_page: OpenPage, finished: Finished) -> None:
    catalog.open_pack("drawn-signs")
    app = open_page("train")
    app.selectbox(key="train_dataset").select("drawn-signs").run()
    app.selectbox(key="train_architecture").select("mlp").run()
    app.text_input(key="train_hidden_sizes").set_value("32, 16").run()
    app.selectbox(key="train_activation").select("tanh").run()
    app.number_input(key="train_batch_size").set_value(16).run()
    app.number_input(key="train_epochs").set_value(1).run()
    assert not app.exception
    assert "24 classes" in texts(app, "markdown")
    app.button(key="train_start").click().run()
    assert not app.exception
    config = finished(app.session_state["run"]).config
    assert config == RunConfig(
        dataset="drawn-signs",
        image_size=28,
        architecture="mlp",
        hidden_sizes=(32, 16),
        activation="tanh",
        batch_size=16,
        epochs=1,
    )


def test_the_data_set_brings_its_defaults(open_page: OpenPage) -> None:
    app = open_page("train")
    assert app.session_state["train_horizontal_flip"] is True
    app.selectbox(key="train_dataset").select("drawn-signs").run()
    assert app.session_state["train_architecture"] == "sign-cnn"
    assert app.session_state["train_horizontal_flip"] is False


def test_settings_that_do_not_fit_are_a_sentence_and_lock_the_button(open_page: OpenPage) -> None:
    app = open_page("train")
    app.selectbox(key="train_architecture").select("mlp").run()
    app.text_input(key="train_hidden_sizes").set_value("many").run()
    assert not app.exception
    assert "whole numbers of units" in texts(app, "error")
    assert app.button(key="train_start").disabled


def test_pretrained_weights_lock_the_activation_and_say_why(open_page: OpenPage) -> None:
    app = open_page("train")
    app.selectbox(key="train_architecture").select("mobilenet_v2").run()
    app.selectbox(key="train_freeze").select("scratch").run()
    app.selectbox(key="train_activation").select("tanh").run()
    app.selectbox(key="train_freeze").select("head_only").run()
    assert not app.exception
    activation = app.selectbox(key="train_activation")
    assert activation.disabled
    assert activation.value == "auto"
    assert "Locked: the pretrained weights" in texts(app, "caption")


def test_only_from_scratch_without_pretrained_weights(open_page: OpenPage) -> None:
    app = open_page("train")
    assert app.selectbox(key="train_freeze").options == ["From scratch"]
    assert "has no pretrained weights" in texts(app, "caption")


def test_a_link_fills_the_form_once(open_page: OpenPage) -> None:
    app = open_page("train", dataset="drawn-signs", architecture="mlp", epochs="3")
    assert app.session_state["train_architecture"] == "mlp"
    assert app.session_state["train_epochs"] == 3
    assert "epochs" not in app.query_params
    app.number_input(key="train_epochs").set_value(7).run()
    assert app.session_state["train_epochs"] == 7


@pytest.mark.parametrize(
    ("name", "title"),
    [
        ("timm:test_vit", "test_vit"),
        ("timm:test_resnet", "test_resnet"),
        ("efficientnet_lite0+mobilenet_v2", "EfficientNet-Lite0 + MobileNetV2"),
        ("vit_tiny", "ViT-Ti/16"),
    ],
)
def test_a_link_names_a_network_that_is_built(open_page: OpenPage, name: str, title: str) -> None:
    app = open_page("train", architecture=name)
    assert not app.exception
    assert app.session_state["train_architecture"] == name
    assert title in str(app.selectbox(key="train_architecture").options)
    config = RunConfig(architecture=name)
    net = build_network(config, channels=3, image_size=48, classes=2, device="meta").eval()
    assert net(torch.empty(1, 3, 48, 48, device="meta")).shape == (1, 2)


def test_a_link_with_nonsense_is_a_sentence(open_page: OpenPage) -> None:
    app = open_page("train", epochs="minus one")
    assert "The link's settings could not be used: Epochs" in texts(app, "error")


def test_an_unknown_run_in_the_url_is_forgotten(open_page: OpenPage) -> None:
    app = open_page("train", run="r-19990101-000000-0000")
    assert not app.session_state["run"]


def test_another_session_sees_the_same_run(open_page: OpenPage, run_id: str) -> None:
    first, second = (open_page("train", run=run_id) for _ in range(2))
    for app in (first, second):
        assert "my perceptron" in texts(app, "title")


def test_a_failed_run_says_why_and_offers_to_go_on(
    open_page: OpenPage, finished: Finished, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", "/nowhere")
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    monkeypatch.setattr("lab.models.weights._reachable", {})
    config = RunConfig(dataset="drawn-cats-dogs", architecture="resnet18", freeze="head_only")
    run_id = queue().submit(config)
    assert finished(run_id).status == "failed"
    app = open_page("train", run=run_id)
    text = store().run(run_id).message
    assert "It ended before its first step" in texts(app, "markdown")
    assert "resnet18-f37072fd.pth" in text
    assert "scratch" in text
    assert store().run(run_id).step == 0


def test_runs_start_again_rename_and_find(open_page: OpenPage, run_id: str) -> None:
    app = open_page("runs", run=run_id)
    assert "my perceptron" in list(app.dataframe[0].value["Name"])
    app.text_input(key="runs_search").set_value("nothing like it").run()
    assert "No run passes the filter" in texts(app, "caption")
    app.text_input(key="runs_search").set_value("perceptron").run()
    app.button(key="runs_again").click().run()
    assert not app.exception
    assert app.session_state["train_architecture"] == "single-layer-perceptron"
    assert app.session_state["train_epochs"] == 2


def test_the_waiting_line_can_be_reordered_and_left(open_page: OpenPage) -> None:
    trains = queue().submit(QUICK.changed(epochs=10_000))
    while store().run(trains).status == "queued":
        time.sleep(0.01)
    waiting = {name: queue().submit(QUICK, name=name) for name in ("one", "two", "three")}
    app = open_page("runs")
    app.button(key=f"runs_Earlier_{waiting['three']}").click().run()
    assert [run.name for run in store().queued()] == ["one", "three", "two"]
    app.button(key=f"runs_remove_{waiting['one']}").click().run()
    assert [run.name for run in store().queued()] == ["three", "two"]
    assert not app.exception
    for run_id in (*waiting.values(), trains):
        if store().run(run_id).is_live:
            queue().stop(run_id)


@pytest.mark.parametrize("name", ["drawn-cats-dogs", "drawn-signs"])
def test_the_data_page_shows_a_set_from_all_sides(open_page: OpenPage, name: str) -> None:
    catalog.open_pack(name)
    app = open_page("data")
    app.selectbox(key="data_dataset").select(name).run()
    assert not app.exception
    assert "Drawings, not photographs" in texts(app, "markdown") or app.get("badge")
    assert f"pictures of {catalog.describe(name).class_names[0]}" in texts(app, "caption")


def test_the_data_page_says_how_to_get_what_is_missing(open_page: OpenPage) -> None:
    app = open_page("data", dataset="sign-mnist")
    assert app.selectbox(key="data_dataset").value == "sign-mnist"
    assert app.button(key="data_get_here_sign-mnist").label == "Download"
    assert app.selectbox(key="data_kind").value == "sign-mnist"
    [public] = [each for each in app.expander if each.label == "Download a public data set"]
    assert public.proto.expanded
    assert "python -m lab" not in texts(app, "markdown") + texts(app, "caption")


def test_a_lab_that_cannot_write_says_so_on_the_page(
    open_page: OpenPage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LAB_HOME", "/proc/nowhere")
    app = open_page()
    assert "/proc/nowhere" in texts(app, "error").replace("\\", "")
