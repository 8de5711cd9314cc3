"""The Results tab of the Runs page: what a person sees, chooses and is told."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
import torch
from streamlit.testing.v1 import AppTest

from lab import jobs
from lab.config import RunConfig
from lab.data import catalog, probes
from lab.evaluate.answer_sets import LEVELS, fit_sets, measure_sets
from lab.evaluate.predictions import predict, saved_predictions
from lab.evaluate.temperature import scaling
from lab.runs.queue import queue
from lab.runs.rows import RunRow
from lab.runs.store import store
from lab.training.checkpoint import load_network, publish
from lab.ui.widgets import predictions
from lab.words import percent
from tests.app.conftest import Completed, OpenPage, settled
from tests.components import components
from tests.tiny_data import CLASSES, make_tiny_pack

Finished = Callable[[str], RunRow]
SHOWN = 60
"""Seconds that a small prediction may take on a busy machine."""


@pytest.fixture
def run(completed: Completed) -> RunRow:
    """A completed run on three classes, with all its checkpoints."""
    config = RunConfig(
        dataset=make_tiny_pack(), architecture="single-layer-perceptron", epochs=2, keep_every=1
    )
    return completed((config, "my $bars$"))[0]


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """AppTest does not tick: a page waits for its job instead."""
    monkeypatch.setattr("lab.ui.widgets.background.PATIENCE", SHOWN)


@pytest.fixture
def open_results(open_page: OpenPage) -> Callable[[str], AppTest]:
    def open_(run_id: str) -> AppTest:
        app = open_page("runs", run=run_id)
        app.session_state["runs_tab"] = "Results"
        return check(app.run())

    return open_


def check(app: AppTest) -> AppTest:
    assert not app.exception, app.exception[0].value
    return app


def texts(app: AppTest, kind: str) -> str:
    return "\n".join(element.value for element in getattr(app, kind))


def metrics(app: AppTest) -> dict[str, str]:
    return {metric.label: metric.value for metric in app.metric}


def frame(app: AppTest, column: str) -> pd.DataFrame:
    """The first table with such a column."""
    return next(t.value for t in app.dataframe if column in t.value.columns)


def test_the_curves_are_what_a_run_opens_with(open_page: OpenPage, run: RunRow) -> None:
    app = open_page("runs", run=run.id)
    assert [view["run"] for view in components(app, "run_view")] == [run.id]
    assert "Macro F1" not in metrics(app)
    app.session_state["runs_tab"] = "Settings"
    check(app.run())
    assert not components(app, "run_view")
    settings = app.dataframe[-1].value
    assert "Batch size" in list(settings["Setting"])
    marks = list(settings[""])
    assert marks[0] == "changed"
    assert marks == sorted(marks, reverse=True)


def test_a_finished_run_shows_its_test_result(
    open_results: Callable[[str], AppTest], run: RunRow
) -> None:
    app = open_results(run.id)
    assert metrics(app)["Accuracy"] == percent(run.test_accuracy)
    assert metrics(app)["Majority baseline"] == "33.3%"
    assert set(metrics(app)) >= {"95% interval", "Loss", "Calibration error", "Macro F1"}
    text = texts(app, "caption")
    assert (
        f"all 30 test images by checkpoint “best”, the weights after epoch {run.best_epoch}" in text
    )
    assert "Macro averages" in text
    assert not app.info
    assert list(frame(app, "Class")["Class"]) == list(CLASSES)
    assert saved_predictions(store().folder(run.id), "best", "test") is not None


def test_answers_averaged_with_mirror_images_stand_beside_the_plain_ones(
    open_results: Callable[[str], AppTest], run: RunRow
) -> None:
    app = open_results(run.id)
    plain = metrics(app)["Accuracy"]
    settled(app.button(key="results_mirror").click().run())
    mirrored = saved_predictions(store().folder(run.id), "best", "test", mirrored=True)
    assert mirrored is not None
    share = percent(float(mirrored.right.mean()))
    said = f"Averaged with mirror images: {share} of the test images right, beside {plain} as they"
    assert said in texts(app, "caption")
    assert metrics(app)["Accuracy"] == plain
    assert "results_mirror" not in {button.key for button in app.button}


def test_looking_at_the_test_set_early_is_explained(
    open_results: Callable[[str], AppTest], run: RunRow
) -> None:
    app = open_results(run.id)
    checkpoint = app.selectbox(key=f"results_checkpoint_{run.id}")
    assert checkpoint.options == [
        f"Best (epoch {run.best_epoch})",
        "Last (epoch 2)",
        "Epoch 1",
        "Epoch 2",
    ]
    check(checkpoint.select("epoch-0001").run())
    # Any other checkpoint opens with the validation images, whose accuracy is the recorded one.
    recorded = store().epochs(run.id)["val_accuracy"][0]
    assert metrics(app)["Accuracy"] == percent(recorded)
    assert not app.info
    app.session_state[f"results_part_{run.id}_epoch-0001"] = "test"
    check(app.run())
    assert "fine for learning" in texts(app, "info")
    assert "all 30 test images by checkpoint “epoch-0001”" in texts(app, "caption")


def test_the_images_of_a_cell_and_the_lists(
    open_results: Callable[[str], AppTest], run: RunRow
) -> None:
    app = open_results(run.id)
    test_predictions = saved_predictions(store().folder(run.id), "best", "test")
    assert test_predictions is not None
    check(app.selectbox(key=f"results_true_{run.id}").select(1).run())
    check(app.selectbox(key=f"results_predicted_{run.id}").select(1).run())
    right = int(((test_predictions.labels == 1) & (test_predictions.predicted == 1)).sum())
    assert right
    assert f"1 to {right} of {right} images: middle, predicted right." in texts(app, "caption")
    pictures = [image.proto.imgs[0].alt for image in app.image]
    assert len(pictures) == right
    assert all("middle, predicted middle with" in alt for alt in pictures)
    pins = [button for button in app.button if str(button.key).startswith("results_pin_")]
    assert len(pins) == right
    index = int(str(pins[0].key).removeprefix("results_pin_"))
    check(pins[0].click().run())
    assert probes.probes("tiny") == (index,)
    assert app.button(key=f"results_pin_{index}").label == "Unpin"
    app.session_state[f"results_list_{run.id}"] = "worst"
    check(app.run())
    assert "1 to 24 of 30 images: worst first." in texts(app, "caption")
    assert len([b for b in app.button if str(b.key).startswith("results_pin_")]) == 24
    app.session_state[f"results_list_{run.id}"] = "confident_wrong"
    check(app.run())
    wrong = int((~test_predictions.right).sum())
    assert ("No image: most confident wrong." if not wrong else f"of {wrong} images: most") in (
        texts(app, "caption")
    )


def test_a_wrong_answer_may_be_a_wrong_label(
    open_page: OpenPage, open_results: Callable[[str], AppTest], finished: Finished
) -> None:
    config = RunConfig(
        dataset=make_tiny_pack(),
        architecture="single-layer-perceptron",
        epochs=1,
        learning_rate=1e-6,
    )
    run = finished(queue().submit(config))
    found = predict(store().folder(run.id), "best", "test")
    position = int((~found.right).nonzero()[0][0])
    row, answer = int(found.indices[position]), CLASSES[int(found.predicted[position])]
    app = open_results(run.id)
    app.session_state[f"results_list_{run.id}"] = "confident_wrong"
    check(app.run())
    assert not [b for b in app.button if str(b.key).startswith("results_wrong_")]  # not opened yet
    app.session_state[f"results_wrong_{row}_open"] = True
    check(app.run())
    assert app.selectbox(key=f"results_wrong_{row}_class").value == answer
    check(app.button(key=f"results_wrong_{row}_relabel").click().run())
    assert app.session_state["data_edits"]["tiny"].relabel == {row: answer}
    assert app.button(key=f"results_wrong_{row}_take_back")

    data = open_page("data")
    data.session_state["data_edits"] = app.session_state["data_edits"]
    data.session_state["data_dataset"] = "tiny"
    check(data.run())
    check(data.button(key="data_save_version").click().run())
    pack = catalog.open_pack("tiny")
    assert pack.meta.class_names[pack.labels[row]] == answer
    # The run's own version is another now; the row is still the same picture.
    check(app.run())
    app.session_state["data_edits"] = {}
    app.session_state[f"results_wrong_{row}_open"] = True
    check(app.run())
    check(app.button(key=f"results_wrong_{row}_exclude").click().run())
    assert app.session_state["data_edits"]["tiny"].exclude == {row}
    make_tiny_pack(seed=5)  # other pictures under the same rows
    check(app.run())
    assert not [b for b in app.button if str(b.key).startswith("results_wrong_")]


def test_a_run_that_answers_one_class_only_is_called_out(
    open_results: Callable[[str], AppTest], run: RunRow
) -> None:
    folder = store().folder(run.id)
    network, _ = load_network(folder, "best")
    with torch.no_grad():
        *_, bias = network.parameters()
        bias[2] += 1000
    publish(network, folder, epoch=2, best=True, kept=False)
    app = open_results(run.id)
    assert metrics(app)["Accuracy"] == metrics(app)["Majority baseline"] == "33.3%"
    text = texts(app, "warning")
    assert "predicts 'bottom' for every one of the 30 images" in text
    assert "Never predicted: 2 classes." in texts(app, "caption")
    assert "The majority baseline lies within the interval" in texts(app, "caption")


def test_two_classes_have_their_curves(
    open_results: Callable[[str], AppTest], finished: Finished
) -> None:
    config = RunConfig(
        dataset="drawn-cats-dogs", architecture="single-layer-perceptron", epochs=1, image_size=32
    )
    run = finished(queue().submit(config))
    app = open_results(run.id)
    assert "**ROC** · area" in texts(app, "markdown")
    area = next(m.value for m in app.markdown if "ROC" in m.value)
    key = f"results_threshold_{run.id}_best_test"
    check(app.selectbox(key=f"{key}_class").select(0).run())
    assert next(m.value for m in app.markdown if "ROC" in m.value) == area  # symmetric


def test_thresholds_are_chosen_on_validation_and_measured_on_test(
    open_results: Callable[[str], AppTest], run: RunRow
) -> None:
    app = open_results(run.id)
    folder = store().folder(run.id)
    val, tested = (saved_predictions(folder, "best", part) for part in ("val", "test"))
    assert val is not None
    assert tested is not None
    # One class against the others.
    key = f"results_threshold_{run.id}_best_test"
    check(app.slider(key=f"{key}_at_0").set_value(0.0).run())
    rows = next(t.value for t in app.dataframe if "Given the class" in t.value.columns)
    assert list(rows[""]) == ["Validation", "Test"]
    assert list(rows["Recall"]) == [1.0, 1.0]
    assert list(rows["Given the class"]) == [len(val), len(tested)]
    # The reject option.
    slider = app.slider(key=f"results_sure_{run.id}_best_test")
    check(slider.set_value(0.0).run())
    assert "Answers **100.0%** of the pictures" in texts(app, "markdown")
    check(app.slider(key=f"results_sure_{run.id}_best_test").set_value(1.0).run())
    assert "Answers **0.0%** of the pictures; **–** of these right." in texts(app, "markdown")
    # Temperature and sets.
    scaled = scaling(val, tested)
    assert f"**Temperature {scaled.temperature:.2f}**" in texts(app, "markdown")
    assert frame(app, "Loss")["Loss"][1] == pytest.approx(scaled.loss[1])
    sets = frame(app, "Asked")
    assert list(sets["Asked"]) == [*LEVELS] * 2
    measured = measure_sets(fit_sets(val, 0.9), tested)
    assert sets["Measured"][1] == measured.coverage.share
    # On the validation images themselves nothing is chosen.
    app.session_state[f"results_part_{run.id}_best"] = "val"
    check(app.run())
    assert "Temperature" not in texts(app, "markdown")
    assert not [t for t in app.dataframe if "Asked" in t.value.columns]


def test_copies_are_said_in_a_few_words(
    open_results: Callable[[str], AppTest],
    run: RunRow,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("lab.ui.results.view.known_groups", lambda pack: np.arange(len(pack)) // 6)
    app = open_results(run.id)
    assert "all 30 test images of 5 independent pictures by checkpoint" in texts(app, "caption")


def test_a_run_without_a_checkpoint_says_so(
    open_results: Callable[[str], AppTest],
) -> None:
    config = RunConfig(dataset=make_tiny_pack(), architecture="mlp")
    waiting = store().create_run(config, status="paused")  # a queued one would be trained
    assert "no checkpoint yet" in texts(open_results(waiting), "info")
    stopped = store().create_run(config, status="stopped")
    assert "ended before its first epoch was done" in texts(open_results(stopped), "info")


def test_a_data_set_that_is_gone_is_said(
    open_results: Callable[[str], AppTest], run: RunRow
) -> None:
    app = open_results(run.id)
    accuracy = metrics(app)["Accuracy"]
    catalog.remove_dataset("tiny")
    check(app.run())
    # What was measured is still true; only the images cannot be shown.
    assert metrics(app)["Accuracy"] == accuracy
    assert "the images cannot be shown. Unknown data set 'tiny'" in texts(app, "warning")
    assert not app.image
    check(app.selectbox(key=f"results_checkpoint_{run.id}").select("last").run())
    assert "Unknown data set 'tiny'" in texts(app, "error")
    assert "Accuracy" not in metrics(app)


def test_much_work_waits_for_a_button(
    open_results: Callable[[str], AppTest], run: RunRow, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(predictions, "AUTOMATIC_PIXELS", 100)
    app = open_results(run.id)
    wait_for_predictions()  # the test of a finished run is what one comes for
    check(app.run())
    assert metrics(app)["Accuracy"] == percent(run.test_accuracy)
    check(app.selectbox(key=f"results_checkpoint_{run.id}").select("last").run())
    assert "are not kept yet" in texts(app, "caption")
    assert "Accuracy" not in metrics(app)
    check(app.button(key="results_predict").click().run())
    assert "are not kept yet" not in texts(app, "caption")
    wait_for_predictions()
    check(app.run())
    assert "Accuracy" in metrics(app)


def test_a_run_in_training_is_shown_as_of_an_epoch_until_newer_is_asked_for(
    open_results: Callable[[str], AppTest], run: RunRow, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(RunRow, "is_live", property(lambda self: True))
    app = open_results(run.id)
    check(app.selectbox(key=f"results_checkpoint_{run.id}").select("last").run())
    assert "the weights after epoch 2" in texts(app, "caption")
    folder = store().folder(run.id)
    network, _ = load_network(folder, "last")
    publish(network, folder, epoch=3, best=False, kept=False)
    check(app.run())
    assert "the weights after epoch 2" in texts(app, "caption")
    assert "the run has newer weights by now" in texts(app, "caption")
    check(app.button(key="results_newer").click().run())
    wait_for_predictions()
    check(app.run())
    assert "the weights after epoch 3" in texts(app, "caption")
    assert "newer weights" not in texts(app, "caption")


def wait_for_predictions() -> None:
    for job in jobs.jobs("predict"):
        jobs.wait(job.id, timeout=SHOWN)
