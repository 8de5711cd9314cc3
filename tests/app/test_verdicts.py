"""What stands out in a run: told on its pages, mended by one button, compared."""

from collections.abc import Callable
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from lab.config import RunConfig
from lab.runs.queue import queue
from lab.runs.rows import RunRow
from lab.runs.store import store
from lab.ui.run import verdicts
from lab.ui.run.verdicts import TITLES
from tests.app.conftest import OpenPage
from tests.tiny_data import make_tiny_pack

Finished = Callable[[str], RunRow]
Trained = Callable[..., RunRow]


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """AppTest does not tick: a page waits for its job instead. Every step is sampled."""
    monkeypatch.setattr("lab.ui.widgets.background.PATIENCE", 60)
    monkeypatch.setattr("lab.training.watch.layer_health.SHARE", 1e9)
    make_tiny_pack(train=150, val=60)


@pytest.fixture
def trained(finished: Finished) -> Trained:
    def train(**knobs: Any) -> RunRow:
        config = RunConfig(dataset="tiny", batch_size=16, epochs=3, film_strip=False)
        run = finished(queue().submit(config.changed(**knobs), name="my $run$"))
        assert run.status in ("completed", "failed")
        return run

    return train


@pytest.fixture
def fading(trained: Trained) -> RunRow:
    return trained(architecture="deep-mlp", activation="sigmoid")


def check(app: AppTest) -> AppTest:
    assert not app.exception, app.exception[0].value
    return app


def page_text(app: AppTest) -> str:
    return "\n".join(element.value for element in (*app.markdown, *app.caption))


def pressable(app: AppTest) -> list[str]:
    return [button.key for button in app.button if button.key.startswith("verdict_fix_")]


@pytest.mark.parametrize("page", ["runs", "train"])
def test_the_deep_sigmoid_net_is_told_that_its_gradient_fades(
    open_page: OpenPage, fading: RunRow, page: str
) -> None:
    app = open_page(page, run=fading.id)
    text = page_text(app)
    assert "Vanishing gradients." in text
    assert "hidden1 receives 1\\/" in text
    assert "Activation Sigmoid → ReLU" in text
    assert "verdict_fix_vanishing_gradients" in pressable(app)


def test_the_relu_net_is_not(open_page: OpenPage, trained: Trained) -> None:
    run = trained(architecture="deep-mlp", activation="relu")
    assert "Vanishing gradients" not in page_text(open_page("runs", run=run.id))


def test_the_button_queues_the_fix_beside_it_and_compares(
    open_page: OpenPage, fading: RunRow, finished: Finished
) -> None:
    app = open_page("runs", run=fading.id)
    check(app.button(key="verdict_fix_vanishing_gradients").click().run())
    [fix] = store().runs(origin=f"fix:{fading.id}")
    assert fix.config == fading.config.changed(activation="relu", image_size=16)
    assert fix.name == "my $run$, against: vanishing gradients"
    assert app.query_params["runs"] in (f"{fading.id},{fix.id}", [f"{fading.id},{fix.id}"])
    assert finished(fix.id).status == "completed"


def test_a_fix_that_is_there_is_linked_and_not_offered_again(
    open_page: OpenPage, fading: RunRow, finished: Finished
) -> None:
    app = open_page("runs", run=fading.id)
    check(app.button(key="verdict_fix_vanishing_gradients").click().run())
    [fix] = store().runs(origin=f"fix:{fading.id}")
    finished(fix.id)
    app = open_page("runs", run=fading.id)
    assert "verdict_fix_vanishing_gradients" not in pressable(app)


def test_a_fix_that_cannot_be_queued_is_a_sentence(
    open_page: OpenPage, fading: RunRow, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lab.errors import ConfigError

    def refuse(config: RunConfig) -> RunConfig:
        raise ConfigError("Not today, said the test.")

    app = open_page("runs", run=fading.id)
    monkeypatch.setattr(verdicts, "resolve", refuse)
    check(app.button(key="verdict_fix_vanishing_gradients").click().run())
    assert any("Not today, said the test" in error.value for error in app.error)
    assert store().runs(origin=f"fix:{fading.id}") == []


def test_a_run_whose_loss_became_no_number(open_page: OpenPage, trained: Trained) -> None:
    run = trained(architecture="simple-cnn", optimizer="sgd", learning_rate=10.0)
    assert run.status == "failed"
    app = open_page("runs", run=run.id)
    assert "Exploding." in page_text(app)
    assert "verdict_fix_exploding" in pressable(app)


def test_where_nothing_stands_out_it_says_what_was_looked_at(
    open_page: OpenPage, trained: Trained, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verdicts, "verdicts", lambda *_, **__: ())
    text = page_text(open_page("runs", run=trained(architecture="mlp").id))
    assert "Nothing so far. Judged: the curves of 3 finished epoch(s)" in text
    assert "the answers to 60 validation images" in text


def test_a_large_set_is_not_predicted_unasked(
    open_page: OpenPage, trained: Trained, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verdicts, "AUTOMATIC_PIXELS", 100)
    monkeypatch.setattr(verdicts, "predictions_of", pytest.fail)
    run = trained(architecture="mlp")
    open_page("runs", run=run.id)
    assert not (store().folder(run.id) / "evaluation").exists()


def test_verdicts_are_judged_once_an_epoch_not_at_every_run_of_the_page(
    open_page: OpenPage, trained: Trained, monkeypatch: pytest.MonkeyPatch
) -> None:
    judged = []
    real = verdicts.verdicts
    monkeypatch.setattr(verdicts, "verdicts", lambda *a, **k: judged.append(1) or real(*a, **k))
    run = trained(architecture="mlp")
    app = open_page("runs", run=run.id)
    before = page_text(app)
    check(app.run())
    assert page_text(app) == before
    assert len(judged) == 1


def test_a_waiting_run_has_its_page_too(open_page: OpenPage) -> None:
    run_id = store().create_run(RunConfig(dataset="tiny", architecture="mlp"), status="stopped")
    assert "What stands out" in [s.value for s in open_page("train", run=run_id).subheader]


def test_every_verdict_has_a_title() -> None:
    from typing import get_args

    from lab.evaluate.verdicts.evidence import Kind

    assert set(TITLES) == set(get_args(Kind))
