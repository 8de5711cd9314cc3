"""The learning-rate finder: it measures what the run will do, and leaves no trace."""

from pathlib import Path

import numpy as np
import pytest
import torch

from lab.config import KNOBS, RunConfig
from lab.errors import NotFoundError
from lab.home import lab_home
from lab.progress import Cancelled, Progress
from lab.training import devices
from lab.training.events import StepDone
from lab.training.lr_finder.ramp import HIGHEST, STEPS, find_rates, ramp
from lab.training.plan import make_plan
from tests.knob_values import other_value
from tests.training.conftest import Train


@pytest.fixture
def config(tiny: RunConfig) -> RunConfig:
    """A network that learns the tiny bars within a ramp."""
    return tiny.changed(architecture="mlp", hidden_sizes=(32,), activation="relu")


def losses_of_a_run(train: Train, config: RunConfig) -> list[float]:
    return [event.values["loss"] for event in train(config) if isinstance(event, StepDone)]


@pytest.mark.parametrize(
    "change",
    [
        {"architecture": "sign-cnn"},  # dropout and augmentation
        {"class_balancing": "weighted_loss", "reduced_class": "top", "reduced_class_keep": 0.3},
        {"optimizer": "sgd", "gradient_clip": 0.1},
    ],
)
def test_its_steps_are_the_runs_own(
    train: Train, config: RunConfig, change: dict[str, object]
) -> None:
    """The first loss is before any update, the second after one at the ramp's lowest rate."""
    config = config.changed(**change)
    found = find_rates(config)
    lowest = config.changed(learning_rate=float(found.rates[0]), epochs=1)
    np.testing.assert_array_equal(found.losses[:2], losses_of_a_run(train, lowest)[:2])


def test_it_runs_on_this_machine_wherever_runs_train(
    config: RunConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    planned: list[tuple[str, bool]] = []

    def plan(config: RunConfig, **_: object) -> None:
        planned.append((devices.resolve_device(config), devices.trains_elsewhere()))
        raise Cancelled

    monkeypatch.setattr("lab.training.lr_finder.ramp.make_plan", plan)
    monkeypatch.setattr(devices, "devices_here", lambda: {"cuda": 0, "mps": 0, "cpu": 1})
    monkeypatch.setattr(devices, "_devices", lambda: {"cuda": 4, "mps": 0, "cpu": 0})
    monkeypatch.setattr(devices, "_elsewhere", True)
    with pytest.raises(Cancelled):
        find_rates(config)
    assert planned == [("cpu", False)]
    assert (devices.resolve_device(config), devices.trains_elsewhere()) == ("cuda", True)


def test_the_suggested_rate_is_one_at_which_the_run_learns(train: Train, config: RunConfig) -> None:
    found = find_rates(config)
    assert found.low is not None
    assert found.high is not None
    assert found.suggested is not None
    assert found.rates[0] < found.low < found.suggested < found.high < found.rates[-1]

    def at(rate: float) -> float:
        losses = losses_of_a_run(train, config.changed(learning_rate=rate))
        return float(np.mean(losses[-6:]))

    learned = at(found.suggested)
    assert learned < 0.6 * np.mean(found.losses[:10])
    assert learned < at(float(found.rates[0]))


def test_the_ramp_is_even_and_its_columns_are_of_one_length(config: RunConfig) -> None:
    found = find_rates(config)
    n = len(found.rates)
    assert n <= STEPS
    assert found.losses.shape == found.smoothed.shape == (n,)
    np.testing.assert_allclose(found.rates[1:] / found.rates[:-1], found.rates[1] / found.rates[0])
    assert found.ended_early == (n < STEPS)
    assert found.passes == -(-n // 6)  # 81 training images are six batches of at most 16


@pytest.mark.parametrize(
    ("change", "lowest", "highest"),
    [
        ({}, 1e-5, 1),
        ({"optimizer": "rmsprop"}, 1e-6, 1),
        ({"optimizer": "sgd"}, 1e-4, 10),
        ({"freeze": "full"}, 1e-6, 1),
    ],
)
def test_where_the_ramp_begins_and_ends(
    change: dict[str, object], lowest: float, highest: float
) -> None:
    rates = ramp(RunConfig().changed(**change))
    assert len(rates) == STEPS
    np.testing.assert_allclose([rates[0], rates[-1]], [lowest, highest])


def test_it_is_a_function_of_the_config_but_for_the_rate(config: RunConfig) -> None:
    once, again = find_rates(config), find_rates(config.changed(learning_rate=0.5, epochs=99))
    np.testing.assert_array_equal(once.losses, again.losses)
    assert once.suggested == again.suggested
    other = find_rates(config.changed(seed=1))
    assert other.losses[0] != once.losses[0]


def test_it_does_not_depend_on_what_it_is_said_to_ignore(config: RunConfig) -> None:
    once = find_rates(config)
    for knob in KNOBS.values():
        if knob.effect == "result" and not knob.rate_finder:
            again = find_rates(config.changed(**{knob.name: other_value(knob)}))
            np.testing.assert_array_equal(once.losses, again.losses, err_msg=knob.name)
            assert (once.reason, once.passes) == (again.reason, again.passes), knob.name


def test_fewer_steps_an_epoch_are_other_batches(config: RunConfig) -> None:
    once, again = find_rates(config), find_rates(config.changed(steps_per_epoch=2))
    assert once.losses[0] == again.losses[0]
    assert once.losses[2] != again.losses[2]


def test_it_touches_no_random_state_and_leaves_nothing_behind(
    config: RunConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    torch.manual_seed(7)
    numbers = torch.get_rng_state()
    np.random.seed(7)  # the process-wide one is what is watched
    others = np.random.get_state()[1].tolist()  # type: ignore[index,union-attr]
    make_plan(config, folder=tmp_path)  # what is measured once and kept is any run's
    files = sorted(lab_home().rglob("*"))
    find_rates(config)
    assert torch.equal(torch.get_rng_state(), numbers)
    assert np.random.get_state()[1].tolist() == others  # type: ignore[index,union-attr]
    assert sorted(lab_home().rglob("*")) == files
    assert list(tmp_path.glob("lab-rates-*")) == []


def test_a_network_that_learns_at_no_rate_gets_no_suggestion(config: RunConfig) -> None:
    found = find_rates(config.changed(architecture="deep-mlp", activation="sigmoid", depth=20))
    assert found.suggested is None
    assert found.reason.startswith("No suggestion")


def test_it_ends_where_the_loss_is_thrown_off(
    config: RunConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The tiny bars stand rates up to 10, so the ramp is made to go to a million."""
    monkeypatch.setitem(HIGHEST, "sgd", 1e6)
    found = find_rates(config.changed(architecture="deep-mlp", optimizer="sgd"))
    assert found.ended_early
    assert len(found.rates) < STEPS
    assert not found.losses[-1] <= found.losses[0]
    assert found.suggested is None or found.suggested < found.rates[-1] / 10


def test_it_tells_how_far_it_is_and_can_be_cancelled(config: RunConfig) -> None:
    told: list[Progress] = []
    find_rates(config, progress=told.append)
    steps = [one for one in told if one.unit == "steps"]
    assert [one.done for one in steps] == list(range(1, len(steps) + 1))
    assert {one.total for one in steps} == {STEPS}

    said: list[Progress] = []
    with pytest.raises(Cancelled):
        find_rates(config, progress=said.append, cancel=lambda: len(said) > 8)
    assert len([one for one in said if one.unit == "steps"]) < 10


def test_what_cannot_be_run_is_refused(config: RunConfig) -> None:
    with pytest.raises(NotFoundError, match="tinny"):
        find_rates(config.changed(dataset="tinny"))
