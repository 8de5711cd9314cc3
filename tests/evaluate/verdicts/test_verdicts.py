"""Each verdict has a run that earns it and one that does not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lab.config import KNOBS, RunConfig
from lab.evaluate.predictions import Predictions, predict
from lab.evaluate.verdicts.curves import MORE_DROPOUT
from lab.evaluate.verdicts.evidence import Copies, Kind
from lab.evaluate.verdicts.judge import Verdict, verdicts
from lab.metrics import epoch_columns, metrics_of
from lab.models.architecture import ARCHITECTURES
from lab.models.catalog import build_network
from lab.models.dropout import RandomLayer
from lab.training.control import Control
from lab.training.events import EpochDone, RunEnded, RunStarted, StepDone, as_row
from lab.training.failures import diverged, is_divergence
from lab.training.fit import fit
from lab.training.plan import make_plan
from lab.training.watch.layer_file import LayerHistory, layer_history
from tests.tiny_data import CLASSES, make_tiny_pack

K = len(CLASSES)
GUESSING = float(np.log(K))


@dataclass(frozen=True)
class Epochs:
    epoch: np.ndarray
    learning_rate: np.ndarray
    metrics: dict[str, np.ndarray]

    def __getitem__(self, column: str) -> np.ndarray:
        return self.metrics[column]

    def but(self, **metrics: np.ndarray) -> Epochs:
        """The same with other columns."""
        return replace(self, metrics={**self.metrics, **metrics})


@dataclass(frozen=True)
class Steps:
    step: np.ndarray
    metrics: dict[str, np.ndarray]

    def __getitem__(self, column: str) -> np.ndarray:
        return self.metrics[column]


def epochs_of(
    train_loss: Any,
    *,
    val_loss: Any = None,
    train_accuracy: Any = 0.95,
    val_accuracy: Any = 0.94,
    learning_rate: Any = 1e-3,
) -> Epochs:
    """Recorded columns; what is not given follows the training loss or stays the same."""
    losses = np.asarray(train_loss, dtype=float)
    n = len(losses)

    def column(value: Any) -> np.ndarray:
        return np.broadcast_to(np.asarray(value, dtype=float), n).copy()

    return Epochs(
        np.arange(1, n + 1),
        column(learning_rate),
        {
            "train_loss": losses,
            "train_accuracy": column(train_accuracy),
            "val_loss": losses + 0.01 if val_loss is None else column(val_loss),
            "val_accuracy": column(val_accuracy),
        },
    )


def steps_of(losses: Any) -> Steps:
    values = np.asarray(losses, dtype=float)
    return Steps(np.arange(1, len(values) + 1), {"loss": values, "loss_smoothed": values})


def judge(
    epochs: Epochs,
    steps: Steps | None = None,
    *,
    config: RunConfig | None = None,
    layers: LayerHistory | None = None,
    predictions: Predictions | None = None,
    val_samples: int = 5000,
    train_samples: int = 45_000,
    **more: Any,
) -> tuple[Verdict, ...]:
    return verdicts(
        config or RunConfig(epochs=max(1, len(epochs.epoch))),
        epochs,
        steps or steps_of([GUESSING, *epochs["train_loss"]]),
        layers=layers,
        predictions=predictions,
        val_samples=val_samples,
        train_samples=train_samples,
        classes=K,
        **more,
    )


def kinds(found: tuple[Verdict, ...]) -> list[Kind]:
    return [verdict.kind for verdict in found]


def the(found: tuple[Verdict, ...], kind: Kind) -> Verdict:
    [one] = [verdict for verdict in found if verdict.kind == kind]
    return one


HEALTHY = epochs_of([0.9, 0.5, 0.3, 0.2, 0.15, 0.12])


# --- real runs ------------------------------------------------------------------------------------

Judge = Callable[..., tuple[Verdict, ...]]


@pytest.fixture
def judged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Judge:
    """Train on the tiny bars, every step sampled, and judge what came of it."""
    monkeypatch.setattr("lab.training.watch.layer_health.SHARE", 1e9)
    make_tiny_pack(train=150, val=60)

    def train(**knobs: Any) -> tuple[Verdict, ...]:
        config = RunConfig(dataset="tiny", batch_size=16, film_strip=False).changed(**knobs)
        events = list(fit(make_plan(config, folder=tmp_path), Control()))
        started = next(event for event in events if isinstance(event, RunStarted))
        ended = events[-1]
        assert isinstance(ended, RunEnded)
        done = [event for event in events if isinstance(event, EpochDone)]
        losses = [event.values["loss"] for event in events if isinstance(event, StepDone)]
        rows = [as_row(event) for event in done]
        columns = {
            name: np.array([row[name] for row in rows])
            for name in ("epoch", "learning_rate", *epoch_columns(metrics_of(K)))
        }
        return verdicts(
            config,
            Epochs(columns["epoch"], columns["learning_rate"], columns),
            steps_of(losses),
            layers=layer_history(tmp_path),
            predictions=predict(tmp_path, "last", "val") if done else None,
            val_samples=started.val_samples,
            train_samples=started.train_samples,
            classes=K,
            diverged_message=ended.message if is_divergence(ended.message) else "",
        )

    return train


DEEP: dict[str, Any] = {"architecture": "deep-mlp", "depth": 10, "epochs": 4}


def test_the_deep_sigmoid_net_earns_vanishing_gradients(judged: Judge) -> None:
    verdict = the(judged(**DEEP, activation="sigmoid"), "vanishing_gradients")
    assert verdict.sentence.startswith("Hidden layer 1 receives 1/")
    assert "with sigmoid and 10 layers the signal fades" in verdict.sentence
    share = float(verdict.sentence.split("1/")[1].split(" ")[0].replace(",", ""))
    assert share > 10_000
    assert "sampled steps" in verdict.evidence
    assert verdict.change == {"activation": "relu"}


def test_the_deep_relu_net_does_not(judged: Judge) -> None:
    assert "vanishing_gradients" not in kinds(judged(**DEEP, activation="relu"))


def test_a_rate_far_too_high_earns_it_and_a_fair_one_does_not(judged: Judge) -> None:
    verdict = the(judged(architecture="sign-cnn", learning_rate=0.3), "rate_too_high")
    assert verdict.change == {"learning_rate": 0.03}
    assert "Guessing among 3 classes costs a loss of 1.1" in verdict.evidence


def test_a_fair_rate_earns_neither(judged: Judge) -> None:
    found = kinds(judged(architecture="sign-cnn", learning_rate=1e-3, epochs=6))
    assert not {"rate_too_high", "rate_too_low", "exploding", "dead_units", "one_class"} & {*found}


def test_a_rate_far_too_low_earns_it(judged: Judge) -> None:
    verdict = the(judged(architecture="mlp", learning_rate=1e-7, epochs=5), "rate_too_low")
    assert verdict.change == {"learning_rate": 1e-6}
    assert "One step moves the weights by" in verdict.evidence


def test_a_loss_that_becomes_no_number_earns_exploding(judged: Judge) -> None:
    [verdict] = judged(architecture="simple-cnn", optimizer="sgd", learning_rate=10.0)
    assert verdict.kind == "exploding"
    assert "became nan at step 4" in verdict.evidence
    assert verdict.change == {"learning_rate": 1.0, "gradient_clip": 1.0}


# --- layers ---------------------------------------------------------------------------------------


def layers_of(
    gradient_norm: Any, *, update_ratio: Any = 1e-3, dead: Any = np.nan, curve: str = "relu"
) -> LayerHistory:
    """`gradient_norm` (T, L), the others likewise or one value for all."""
    norms = np.asarray(gradient_norm, dtype=np.float32)
    t, n = norms.shape

    def like(value: Any) -> np.ndarray:
        return np.broadcast_to(np.asarray(value, dtype=np.float32), (t, n)).copy()

    return LayerHistory(
        layers=tuple(f"layer{i + 1}" for i in range(n)),
        steps=np.arange(1, t + 1) * 10,
        gradient_norm=norms,
        weight_norm=like(1),
        update_ratio=like(update_ratio),
        dead=like(dead),
        saturated=like(np.nan),
        histograms=np.zeros((t, n, 40), dtype=np.int32),
        edges=np.zeros((t, n, 41), dtype=np.float32),
        activations=(curve,) * n,
        samples=t,
    )


FADED = np.tile(np.geomspace(1e-5, 1, 6), (20, 1))
EVEN = np.tile(np.geomspace(0.1, 1, 6), (20, 1))
FLAT_EPOCHS = epochs_of([1.1, 1.1, 1.1], train_accuracy=0.33, val_accuracy=0.33)


def test_first_layers_that_move_are_not_said_to_learn_hardly() -> None:
    """Adam's steps do not depend on the gradient's size; SGD's do."""
    moving = layers_of(FADED, update_ratio=1e-3)
    adam = the(judge(FLAT_EPOCHS, layers=moving), "vanishing_gradients")
    assert "hardly learn" not in adam.sentence
    assert "moves it as far as the others" in adam.sentence
    assert "1.0e-03 of their length" in adam.evidence
    still = layers_of(FADED, update_ratio=np.geomspace(1e-8, 1e-3, 6))
    sgd = the(judge(FLAT_EPOCHS, layers=still), "vanishing_gradients")
    assert sgd.sentence.endswith("the first layers hardly learn.")


def test_a_gradient_that_came_back_is_told_in_the_past() -> None:
    back = np.concatenate([FADED, np.repeat(EVEN, 2, axis=0)])
    verdict = the(judge(HEALTHY, layers=layers_of(back, curve="tanh")), "vanishing_gradients")
    assert verdict.sentence.startswith("For the first 200 of 600 steps Stage 1 received 1/100,000")
    assert "with tanh and 6 layers the signal faded" in verdict.sentence
    assert "20 sampled steps (10 to 200)" in verdict.evidence


@pytest.mark.parametrize(
    "norms",
    [
        EVEN,
        np.concatenate([FADED[:3], *[EVEN] * 5]),  # three samples of a hundred and three
        np.where(np.arange(6) < 3, np.nan, FADED**3),  # three layers are trained
        np.tile([1e-5, 9, 8, 7, 6, 1], (20, 1)),  # one narrow place, not a fading
        np.zeros((20, 6)),
        FADED[:2],
    ],
)
def test_what_is_not_vanishing(norms: np.ndarray) -> None:
    assert "vanishing_gradients" not in kinds(judge(HEALTHY, layers=layers_of(norms)))


def test_deep_relu_nets_that_fade_are_told_to_be_shallower() -> None:
    config = RunConfig(architecture="deep-mlp", depth=30, activation="relu", epochs=6)
    found = judge(HEALTHY, config=config, layers=layers_of(FADED))
    assert the(found, "vanishing_gradients").change == {"depth": 15}


def test_gradients_that_grow_with_the_loss_explode() -> None:
    growing = EVEN * np.geomspace(1, 1e6, 20)[:, None]
    rising = epochs_of([1.1, 3, 30], train_accuracy=0.3, val_accuracy=0.3)
    verdict = the(judge(rising, steps_of([1.1, 2, 40]), layers=layers_of(growing)), "exploding")
    assert verdict.change == {"learning_rate": 1e-4, "gradient_clip": 1.0}
    falling = judge(HEALTHY, steps_of([1.1, 0.5, 0.1]), layers=layers_of(growing))
    assert "exploding" not in kinds(falling)
    # A plateau at guessing's loss has hardly a gradient; the network is just leaving it.
    leaving = judge(FLAT_EPOCHS, steps_of([1.095, 1.1, 1.1]), layers=layers_of(growing))
    assert "exploding" not in kinds(leaving)
    assert "exploding" not in kinds(judge(rising, layers=layers_of(EVEN)))


def test_a_diverged_run_earns_exploding_from_its_sentence() -> None:
    message = str(diverged("training loss", float("nan"), step=7, epoch=1, learning_rate=1e-3))
    assert is_divergence(message)
    assert not is_divergence("Out of memory on cpu at step 5.")
    nothing = epochs_of([])
    verdict = the(judge(nothing, steps_of([1, 9, 99]), diverged_message=message), "exploding")
    assert "The training loss became nan at step 7" in verdict.evidence
    assert "1, 9, 99" in verdict.evidence
    assert judge(nothing, steps_of([1, 9, 99])) == ()


@pytest.mark.parametrize(("share", "earned"), [(0.9, True), (0.6, False)])
def test_dead_units(share: float, earned: bool) -> None:
    dead = np.array([np.nan, share, 0.1, 0, 0, np.nan])
    found = judge(HEALTHY, layers=layers_of(EVEN, dead=dead))
    assert ("dead_units" in kinds(found)) == earned
    if earned:
        verdict = the(found, "dead_units")
        assert verdict.sentence.startswith("90% of the units of Stage 2")
        assert "one batch cannot tell" in verdict.sentence
        assert verdict.change == {"activation": "leaky_relu"}
        leaky = RunConfig(epochs=6, activation="leaky_relu", learning_rate=1e-3)
        changed = judge(
            HEALTHY, config=leaky, layers=layers_of(EVEN, dead=dead), rate_changes=((1, 0.5),)
        )
        assert the(changed, "dead_units").change == {"learning_rate": 0.05}  # of the one in force
        tiny_batches = RunConfig(epochs=6, batch_size=16)
        assert "dead_units" not in kinds(
            judge(HEALTHY, config=tiny_batches, layers=layers_of(EVEN, dead=dead))
        )


# --- curves ---------------------------------------------------------------------------------------

N = 12
LEARNING = np.geomspace(1.0, 0.01, N)
OVERFIT = epochs_of(
    LEARNING,
    val_loss=[0.9, 0.7, 0.6, 0.5, 0.5, 0.55, 0.6, 0.65, 0.7, 0.8, 0.9, 1.0],
    train_accuracy=0.99,
    val_accuracy=[0.8, 0.82, 0.83, 0.84, 0.84, 0.83, 0.83, 0.82, 0.82, 0.81, 0.80, 0.80],
)


def test_overfitting_is_told_with_its_turning_point() -> None:
    verdict = the(judge(OVERFIT), "overfitting")
    assert "since epoch 4 it gets worse" in verdict.sentence
    assert "rose from 0.5 to 0.95" in verdict.evidence
    assert "accuracy went from 84.0% to 80.0%" in verdict.evidence
    assert "80.0% of the 5,000 validation images" in verdict.evidence
    assert verdict.change["rotation_degrees"] == 10


def test_a_loss_that_rises_at_a_level_accuracy_is_not_called_worse_answers() -> None:
    verdict = the(judge(OVERFIT.but(val_accuracy=np.full(N, 0.8))), "overfitting")
    assert "gets worse" not in verdict.sentence
    assert "validation loss rises" in verdict.sentence
    assert "how many are right stays level" in verdict.sentence


def test_a_wide_gap_is_overfitting_even_while_validation_does_not_rise() -> None:
    by_heart = epochs_of(LEARNING, train_accuracy=0.99, val_accuracy=0.8)
    verdict = the(judge(by_heart), "overfitting")
    assert verdict.sentence.endswith("instead of what they share.")
    near = by_heart.but(val_accuracy=np.full(N, 0.92))
    assert "overfitting" not in kinds(judge(near))
    # 30 images: the interval is as wide as the gap, which may then be chance.
    assert "overfitting" not in kinds(judge(by_heart, val_samples=30))


@pytest.mark.parametrize(
    "epochs",
    [
        epochs_of(LEARNING),  # validation follows
        epochs_of(LEARNING[:3], val_loss=[0.5, 0.6, 0.7]),  # too early to tell
        OVERFIT.but(train_loss=np.full(N, 0.6), train_accuracy=np.full(N, 0.8)),
        OVERFIT.but(val_loss=LEARNING + 0.05, val_accuracy=np.full(N, 0.96)),
    ],
)
def test_what_is_not_overfitting(epochs: Epochs) -> None:
    assert "overfitting" not in kinds(judge(epochs))


def test_each_next_remedy_against_overfitting_is_one_not_in_use() -> None:
    config, told = RunConfig(architecture="simple-cnn", epochs=N), []
    for _ in range(5):
        verdict = the(judge(OVERFIT, config=config), "overfitting")
        told.append(sorted(verdict.change))
        config = config.changed(**verdict.change)
    assert told == [
        ["height_shift", "rotation_degrees", "width_shift", "zoom"],
        ["dropout"],
        ["optimizer", "weight_decay"],
        ["early_stopping_patience"],
        [],
    ]


def test_dropout_is_advised_only_where_the_knob_does_something() -> None:
    for spec in ARCHITECTURES:
        config = RunConfig(architecture=spec.name)
        size = max(96, spec.min_image_size)
        network = build_network(config, channels=3, image_size=size, classes=2, device="meta")
        own = [module.p for module in network.modules() if isinstance(module, RandomLayer)]
        if spec.name in MORE_DROPOUT:
            assert own
            assert max(own) < 0.5, spec.name


def test_underfitting_and_what_to_do_about_it() -> None:
    flat = epochs_of([1.0, 0.8, *[0.7] * 8], train_accuracy=0.6, val_accuracy=0.59)
    config = RunConfig(architecture="mlp", epochs=10)
    verdict = the(judge(flat, config=config), "underfitting")
    assert "cannot" in verdict.sentence
    assert "cannot do more" not in verdict.sentence
    assert verdict.change == {"activation": "auto", "architecture": "simple-cnn"}
    assert "60.0% of the training images right" in verdict.evidence
    augmented = config.changed(horizontal_flip=True)
    with_it = the(judge(flat, config=augmented), "underfitting")
    assert with_it.change == {"epochs": 20}
    assert "augmentation" in with_it.sentence
    improving = flat.but(val_loss=np.linspace(1.0, 0.5, 10))
    assert "still learning" in the(judge(improving, config=config), "underfitting").sentence


def test_a_run_that_ended_while_learning_is_told_to_go_on() -> None:
    learning = epochs_of(np.linspace(1.0, 0.6, 6), train_accuracy=0.7, val_accuracy=0.69)
    verdict = the(judge(learning), "underfitting")
    assert "still learning" in verdict.sentence
    assert verdict.change == {"epochs": 12}
    stopped = RunConfig(epochs=100)
    assert "underfitting" not in kinds(judge(learning, config=stopped))
    assert "underfitting" not in kinds(judge(learning, ended=False))


def test_a_run_that_never_left_guessing_is_not_called_too_small() -> None:
    nothing = epochs_of([GUESSING] * 10, train_accuracy=0.33, val_accuracy=0.33)
    verdict = the(judge(nothing), "underfitting")
    assert "no better than guessing" in verdict.sentence
    assert verdict.change == {}


@pytest.mark.parametrize(
    "epochs",
    [
        HEALTHY,
        OVERFIT,
        epochs_of([1.0, 0.8, *[0.7] * 2], train_accuracy=0.6, val_accuracy=0.59),  # too early
        epochs_of([1.0, 0.8, *[0.7] * 4], train_accuracy=0.6, val_accuracy=0.59),  # hesitates
    ],
)
def test_what_is_not_underfitting(epochs: Epochs) -> None:
    assert "underfitting" not in kinds(judge(epochs))


STILL = epochs_of([1.0, 0.6, 0.4, 0.3, *[0.25] * 8], train_accuracy=0.93, val_accuracy=0.92)


def test_plateau() -> None:
    verdict = the(judge(STILL), "plateau")
    assert verdict.change["schedule"] == "on_plateau"
    assert "Epochs 9 to 12" in verdict.evidence
    assert "wrong labels" in verdict.sentence  # which look just the same
    assert "The rate was 0.001 all the while." in verdict.evidence
    slowing = replace(STILL, learning_rate=np.linspace(1e-3, 4e-4, 12))
    evidence = the(judge(slowing), "plateau").evidence
    assert "The rate was 0.000563636 at first and 0.0004 at last." in evidence


TWO_PHASES = RunConfig(
    architecture="mobilenet_v2", freeze="two_phase", head_epochs=2, epochs=6, last_k=4
)
IN_VAIN = epochs_of(
    [0.36, 0.23, 0.37, 0.27, 0.25, 0.24],
    val_loss=[0.098, 0.0935, 0.148, 0.103, 0.096, 0.0944],
    val_accuracy=[0.985, 0.98625, 0.9625, 0.98, 0.9825, 0.9825],
)
"""EfficientNet-Lite0 on 7,200 cats and dogs: a head, then four stages with it."""


def test_a_second_phase_in_vain() -> None:
    verdict = the(judge(IN_VAIN, config=TWO_PHASES, best_epoch=2, val_samples=800), "second_phase")
    assert "best epoch, 2, is of the first one" in verdict.sentence
    assert verdict.evidence == (
        "Validation loss 0.0935 in epoch 2, at best 0.0944 afterwards; accuracy 98.6%, afterwards "
        "at best 98.2%, of 800 validation images."
    )
    assert verdict.change == {"second_phase_factor": pytest.approx(0.01)}


@pytest.mark.parametrize(
    ("best_epoch", "more"),
    [
        (3, {}),
        (None, {}),
        (2, {"ended": False}),
        (2, {"config": TWO_PHASES.changed(freeze="full")}),
        (2, {"config": TWO_PHASES.changed(head_epochs=6, epochs=7)}),  # it has not begun
    ],
)
def test_what_is_no_second_phase_in_vain(best_epoch: int | None, more: dict[str, Any]) -> None:
    found = judge(IN_VAIN, **{"config": TWO_PHASES, "best_epoch": best_epoch, **more})
    assert "second_phase" not in kinds(found)


@pytest.mark.parametrize(
    "epochs",
    [
        HEALTHY,
        replace(STILL, learning_rate=np.geomspace(1e-3, 1e-5, 12)),  # the schedule's doing
        STILL.but(val_loss=np.linspace(1, 0.2, 12)),  # validation goes on
        STILL.but(train_loss=STILL["train_loss"] * 0.01),  # nothing left to learn
        epochs_of([0.25] * 12, train_accuracy=0.93, val_accuracy=0.92),  # never learned here
        STILL.but(train_loss=np.array([1.0, 0.6, 0.4, 0.3, *np.geomspace(0.25, 0.2, 8)])),
    ],
)
def test_what_is_not_a_plateau(epochs: Epochs) -> None:
    assert "plateau" not in kinds(judge(epochs))


THROWN = epochs_of([1.2, 1.12, 1.11], train_accuracy=0.34, val_accuracy=0.33)


def test_rate_too_high_is_told_by_the_jump() -> None:
    verdict = the(judge(THROWN, steps_of([1.1, 900, 5, 1.2, 1.1])), "rate_too_high")
    assert "the worst one 900 (step 2)" in verdict.evidence
    assert "rate_too_high" not in kinds(judge(THROWN, steps_of([1.1, 2.0, 1.2, 1.1])))
    recovered = judge(HEALTHY, steps_of([1.1, 900, 5, 0.4, 0.2]))
    assert "rate_too_high" not in kinds(recovered)


def test_the_rate_that_is_named_was_in_force() -> None:
    steps, config = steps_of([1.1, 2, 900, 1.2, 1.1]), RunConfig(epochs=3, learning_rate=1e-3)
    for changes, named in ((), "0.001"), (((2, 0.5),), "0.5"), (((4, 0.5),), "0.001"):
        verdict = the(judge(THROWN, steps, config=config, rate_changes=changes), "rate_too_high")
        assert f"The learning rate of {named} is too high" in verdict.sentence
        assert verdict.change == {"learning_rate": float(named) / 10}


def test_one_early_spike_asks_for_no_other_rate() -> None:
    """Thrown off once, then learning slowly: neither "a tenth of the rate" nor "ten times"."""
    slowly = epochs_of(np.linspace(1.07, 1.04, 8), train_accuracy=0.4, val_accuracy=0.4)
    spike = steps_of([1.1, 9.0, 2.0, *np.linspace(1.08, 1.04, 80)])
    assert not {"rate_too_high", "rate_too_low"} & {*kinds(judge(slowly, spike))}


def test_a_warm_up_is_no_rate_that_is_too_low() -> None:
    warming = replace(SLOW, learning_rate=np.linspace(4e-5, 6e-4, 8))
    assert "rate_too_low" not in kinds(judge(warming))
    early = replace(SLOW, learning_rate=np.full(8, 4e-5))
    assert "rate_too_low" not in kinds(judge(early, config=RunConfig(learning_rate=1e-3)))
    assert "rate_too_low" in kinds(judge(SLOW))


SLOW = epochs_of(np.linspace(1.10, 1.05, 8), train_accuracy=0.4, val_accuracy=0.4)


def test_rate_too_low_is_told_by_the_straight_line() -> None:
    verdict = the(judge(SLOW), "rate_too_low")
    assert verdict.change == {"learning_rate": 0.01}
    assert "it fell in 7 of 7 epochs" in verdict.evidence
    assert "rate_too_low" in kinds(judge(SLOW, layers=layers_of(EVEN, update_ratio=1e-5)))


def test_what_is_not_too_low() -> None:
    long_steps = judge(SLOW, layers=layers_of(EVEN, update_ratio=1e-2))
    assert "rate_too_low" not in kinds(long_steps)
    bending = epochs_of(1.05 + 0.05 * np.geomspace(1, 0.001, 8))
    rng = np.random.default_rng(0)
    noisy = epochs_of(np.linspace(1.10, 1.09, 8) + rng.normal(0, 0.02, 8))
    for epochs in (HEALTHY, OVERFIT, bending, noisy, FLAT_EPOCHS):
        assert "rate_too_low" not in kinds(judge(epochs))
    faded = judge(SLOW, layers=layers_of(FADED, update_ratio=1e-5))
    assert "rate_too_low" not in kinds(faded)  # the fading explains it


# --- answers --------------------------------------------------------------------------------------


def answers(
    probabilities: Any, labels: Any, *, train_counts: tuple[int, ...] = (50, 50, 50)
) -> Predictions:
    table, truth = np.asarray(probabilities, dtype=np.float32), np.asarray(labels, dtype=np.int64)
    losses = -np.log(np.maximum(table[np.arange(len(truth)), truth], 1e-9))
    return Predictions(
        split="val",
        checkpoint="best",
        epoch=6,
        class_names=CLASSES,
        indices=np.arange(len(truth)),
        labels=truth,
        probabilities=table,
        losses=losses,
        train_counts=np.array(train_counts),
        identity="x",
    )


LABELS = np.arange(60) % K
RIGHT = np.where(np.eye(K)[LABELS] > 0, 0.8, 0.1)
ALWAYS_TOP = np.tile([0.6, 0.2, 0.2], (60, 1))


def test_one_class() -> None:
    verdict = the(judge(HEALTHY, predictions=answers(ALWAYS_TOP, LABELS)), "one_class")
    assert "“top” to every image" in verdict.sentence
    assert "Of 60 validation images, after epoch 6, 60 were given that class and 20" in (
        verdict.evidence
    )
    unequal = answers(ALWAYS_TOP, LABELS, train_counts=(90, 10, 10))
    fixed = the(judge(HEALTHY, predictions=unequal), "one_class")
    assert fixed.change == {"class_balancing": "oversampling"}
    thrown = judge(THROWN, steps_of([1.1, 900, 1.1]), predictions=answers(ALWAYS_TOP, LABELS))
    assert the(thrown, "one_class").change == {}  # the rate's verdict has the remedy


@pytest.mark.parametrize(
    "predictions",
    [
        answers(RIGHT, LABELS),
        answers(ALWAYS_TOP, np.zeros(60)),  # there is nothing else to answer
        answers(ALWAYS_TOP[:10], LABELS[:10]),  # too few to tell
    ],
)
def test_what_is_not_one_class(predictions: Predictions) -> None:
    assert "one_class" not in kinds(judge(HEALTHY, predictions=predictions))


def test_saturated_softmax() -> None:
    said = (LABELS + (np.arange(60) % 3 == 0)) % K  # every third answer is wrong
    sure = np.where(np.eye(K)[said] > 0, 0.998, 0.001)
    verdict = the(judge(HEALTHY, predictions=answers(sure, LABELS)), "saturated_softmax")
    assert "20 are wrong, and 20 of those were given a probability above 99%" in verdict.evidence
    assert verdict.change == {"optimizer": "adamw", "weight_decay": 0.05}
    modest = np.where(np.eye(K)[said] > 0, 0.7, 0.15)
    assert "saturated_softmax" not in kinds(judge(HEALTHY, predictions=answers(modest, LABELS)))
    right = np.where(np.eye(K)[LABELS] > 0, 0.998, 0.001)
    assert "saturated_softmax" not in kinds(judge(HEALTHY, predictions=answers(right, LABELS)))


def test_small_validation() -> None:
    few = judge(HEALTHY, val_samples=40, train_samples=360)
    verdict = the(few, "small_validation")
    assert "40 validation images are few" in verdict.sentence
    assert verdict.change == {"validation_fraction": 0.2}
    own = judge(HEALTHY, val_samples=40, train_samples=4000)
    assert the(own, "small_validation").change == {}  # the set's own: the knob is not used
    assert "small_validation" not in kinds(judge(HEALTHY, val_samples=2000))
    assert "small_validation" not in kinds(judge(epochs_of([]), val_samples=40))


def test_validation_that_flatters() -> None:
    best = epochs_of([0.9, 0.1, 0.3], val_accuracy=[0.8, 0.97, 0.99])
    tested = {"val_samples": 1000, "test_samples": 1000, "best_epoch": 2, "train_samples": 9000}
    verdict = the(judge(best, **tested, test_accuracy=0.80), "flattering_validation")
    assert "97.0% of them are answered right, but only 80.0% of the test" in verdict.sentence
    assert "95.7% and up against 82.4% and down" in verdict.evidence
    assert verdict.change == {"split_by": "group"}  # which looks for copies first
    own = {**tested, "train_samples": 500}  # the set's own validation images: nothing is cut
    assert the(judge(best, **own, test_accuracy=0.80), "flattering_validation").change[
        "rotation_degrees"
    ]
    honest = RunConfig(split_by="group")
    assert (
        "split_by"
        not in the(
            judge(best, config=honest, **tested, test_accuracy=0.80), "flattering_validation"
        ).change
    )
    turned = RunConfig(rotation_degrees=5, split_by="group")
    again = the(judge(best, config=turned, **tested, test_accuracy=0.80), "flattering_validation")
    assert again.change == {}
    for figures in (
        {**tested, "test_accuracy": 0.945},  # no more than choosing the best epoch explains
        {**tested, "test_accuracy": 0.99},
        {**tested, "test_accuracy": None},  # not tested yet
        {**tested, "test_accuracy": 0.80, "best_epoch": 1},  # those weights were no better
        {**tested, "val_samples": 30, "test_samples": 30, "test_accuracy": 0.85},  # chance
    ):
        assert "flattering_validation" not in kinds(judge(best, **figures))


def test_validation_that_flatters_by_copies() -> None:
    """Sign-MNIST: 99.9 % against 95.0 %, where nearly every validation image has a copy."""
    best = epochs_of([0.9, 0.1, 0.05], val_accuracy=[0.8, 0.97, 0.999])
    figures = {
        "val_samples": 2745,
        "train_samples": 24710,
        "test_samples": 7172,
        "best_epoch": 3,
        "test_accuracy": 0.95,
    }
    assert "flattering_validation" in kinds(judge(best, **figures))
    close = {**figures, "test_accuracy": 0.98}
    assert "flattering_validation" not in kinds(judge(best, **close))
    known = Copies(0.998, val_units=1300, test_units=354)
    verdict = the(judge(best, **close, copies=known), "flattering_validation")
    assert "99.8% of them are near-copies of training images" in verdict.sentence
    assert verdict.change == {"split_by": "group"}
    # Known to have none: copies are not the cause.
    none = Copies(0.0, val_units=2745, test_units=7172)
    other = the(judge(best, **figures, copies=none), "flattering_validation")
    assert "probably much like" in other.sentence
    assert "split_by" not in other.change
    assert "flattering_validation" not in kinds(judge(best, **close, copies=none))


def test_intervals_count_copies_once() -> None:
    """Sign-MNIST cut by photograph: 2,745 validation images are 133 photographs."""
    best = epochs_of([0.9, 0.1, 0.05], val_accuracy=[0.8, 0.93, 0.95])
    figures = {"val_samples": 2745, "train_samples": 24710, "best_epoch": 3}
    figures |= {"test_samples": 7172, "test_accuracy": 0.90}
    assert "small_validation" not in kinds(judge(best, **figures))
    assert "flattering_validation" in kinds(judge(best, **figures))
    known = Copies(0.0, val_units=133, test_units=354)
    # Wilson of 126 of 133: 89.5 to 97.4 %; of 319 of 354: 86.5 to 92.8 %. They overlap.
    assert "flattering_validation" not in kinds(judge(best, **figures, copies=known))
    few = Copies(0.0, val_units=40, test_units=354)
    verdict = the(judge(best, **figures, copies=few), "small_validation")
    assert "2,745 validation images of 40 independent pictures are few" in verdict.sentence


# --- all ------------------------------------------------------------------------------------------


def test_a_healthy_run_gets_no_verdict() -> None:
    assert judge(HEALTHY, layers=layers_of(EVEN), predictions=answers(RIGHT, LABELS)) == ()


def test_nothing_known_is_nothing_said() -> None:
    assert judge(epochs_of([]), steps_of([]), val_samples=0) == ()


def test_every_change_is_a_run_that_can_be_asked_for() -> None:
    """All verdicts over all architectures: known knobs, allowed values, something else than now."""
    made = 0
    layers = (layers_of(FADED), layers_of(EVEN, dead=0.9), layers_of(EVEN, update_ratio=1e-5))
    for spec in ARCHITECTURES:
        for freeze in ("scratch", "head_only") if spec.weights else ("scratch",):
            for optimizer in ("adam", "sgd"):
                config = RunConfig(
                    architecture=spec.name, freeze=freeze, optimizer=optimizer, epochs=N
                )
                for epochs in (OVERFIT, STILL, SLOW, THROWN):
                    for history in layers:
                        for verdict in judge(
                            epochs, steps_of([1.1, 900, 1.1]), config=config, layers=history
                        ):
                            if verdict.change:
                                assert set(verdict.change) <= set(KNOBS)
                                assert config.changed(**verdict.change) != config
                                made += 1
    assert made > 100
