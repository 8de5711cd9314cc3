"""What stands out in a run: judged for its viewers, mended by one press, compared.

(How it is drawn and pressed: tests/browser/test_seeing_why.py.)
"""

from collections.abc import Callable
from typing import Any

import pytest

from lab.api.judging import verdict_values
from lab.config import RunConfig
from lab.errors import ConfigError, NotFoundError
from lab.runs.judging import judge
from lab.runs.queue import queue
from lab.runs.rows import RunRow
from lab.runs.store import store
from lab.ui.run import view
from tests.app.conftest import Completed
from tests.tiny_data import make_tiny_pack

Finished = Callable[[str], RunRow]
Trained = Callable[..., RunRow]


BASE = RunConfig(dataset="tiny", batch_size=16, epochs=3, film_strip=False)


@pytest.fixture(autouse=True)
def every_step_is_sampled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lab.training.watch.layer_health.SHARE", 1e9)
    make_tiny_pack(train=150, val=60)


@pytest.fixture
def trained(finished: Finished) -> Trained:
    def train(**knobs: Any) -> RunRow:
        run = finished(queue().submit(BASE.changed(**knobs), name="my $run$"))
        assert run.status in ("completed", "failed")
        return run

    return train


@pytest.fixture
def fading(completed: Completed) -> RunRow:
    config = BASE.changed(architecture="deep-mlp", activation="sigmoid")
    return completed((config, "my $run$"))[0]


def told(run: RunRow) -> dict[str, dict[str, Any]]:
    values = verdict_values(store(), run, judge(store(), run))
    return {verdict["kind"]: verdict for verdict in values["verdicts"]}


def test_the_deep_sigmoid_net_is_told_that_its_gradient_fades(fading: RunRow) -> None:
    verdict = told(fading)["vanishing_gradients"]
    assert verdict["title"] == "Vanishing gradients"
    assert "Hidden layer 1 receives 1/" in verdict["sentence"]
    assert verdict["change"] == "Activation Sigmoid → ReLU"


def test_the_relu_net_is_not(trained: Trained) -> None:
    assert "vanishing_gradients" not in told(trained(architecture="deep-mlp", activation="relu"))


def test_the_fix_is_queued_beside_it_once(fading: RunRow, finished: Finished) -> None:
    new = view.run_fix(fading.id, "vanishing_gradients")
    [fix] = store().runs(origin=f"fix:{fading.id}")
    assert fix.id == new
    assert fix.config == fading.config.changed(activation="relu", image_size=16)
    assert finished(fix.id).status == "completed"
    assert told(fading)["vanishing_gradients"]["fixed_by"]["id"] == fix.id


def test_a_fix_that_cannot_be_queued_is_a_sentence(
    fading: RunRow, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(config: RunConfig) -> RunConfig:
        raise ConfigError("Not today, said the test.")

    monkeypatch.setattr(view, "resolve", refuse)
    with pytest.raises(ConfigError, match="Not today"):
        view.run_fix(fading.id, "vanishing_gradients")
    assert store().runs(origin=f"fix:{fading.id}") == []


def test_a_verdict_that_no_longer_stands_is_not_mended(trained: Trained) -> None:
    run = trained(architecture="mlp")
    with pytest.raises(NotFoundError, match="no longer stands"):
        view.run_fix(run.id, "vanishing_gradients")


def test_a_run_whose_loss_became_no_number(trained: Trained) -> None:
    run = trained(architecture="simple-cnn", optimizer="sgd", learning_rate=10.0)
    assert run.status == "failed"
    assert told(run)["exploding"]["change"]
