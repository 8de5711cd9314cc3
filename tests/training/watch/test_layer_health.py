"""Gradient health, the worker side: right against autograd, harmless to training, in its time."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from lab.config import RunConfig
from lab.models.architecture import ARCHITECTURES
from lab.models.catalog import build_network
from lab.models.staged import StagedNet
from lab.models.weights import weights_file
from lab.training.control import Control
from lab.training.counters import Counters
from lab.training.events import Event, LogWritten, RunEnded, StepDone
from lab.training.fit import fit
from lab.training.plan import Plan, make_plan
from lab.training.watch import layer_figures, layer_file, layer_health
from lab.training.watch.layer_figures import dead_share, picked, summarised
from lab.training.watch.layer_file import BINS, LayerHistory, layer_history, newest_sample
from lab.training.watch.layer_health import Clock, LayerHealth
from lab.training.watch.layers import watched_layers
from tests.models.torchvision_states import random_state, reference
from tests.tiny_data import make_tiny_pack
from tests.training.conftest import Train


@pytest.fixture(autouse=True)
def every_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """The cost rule has tests of its own."""
    monkeypatch.setattr(layer_health, "SHARE", 1e9)


@pytest.fixture
def small(tiny: RunConfig) -> RunConfig:
    return tiny.changed(epochs=2, film_strip=False, precision="fp32")


def history_of(folder: Path) -> LayerHistory:
    history = layer_history(folder)
    assert history is not None
    return history


def said(events: list[Event], level: str) -> list[str]:
    return [e.text for e in events if isinstance(e, LogWritten) and e.level == level]


# --- the figures are right ------------------------------------------------------------------------


class Oracle:
    """Notes at every step what autograd and the weights say, by itself."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, curves: dict[str, str]) -> None:
        self.gradients: list[list[float]] = []
        self.ratios: list[list[float]] = []
        self.lengths: list[list[float]] = []
        self.outputs: dict[str, list[torch.Tensor]] = {name: [] for name in curves}
        oracle = self
        forward, before, after = (
            LayerHealth.forward,
            LayerHealth.before_update,
            LayerHealth.after_update,
        )
        kept: list[torch.Tensor] = []

        def matrices(network: nn.Module) -> list[nn.Parameter]:
            return [p for p in network.parameters() if p.ndim > 1]

        @contextmanager
        def noted_forward(self: LayerHealth, step: int, samples: int) -> Iterator[bool]:
            found: dict[str, torch.Tensor] = {}
            hooks = [
                self.network.get_submodule(f"stages.{path}").register_forward_hook(
                    lambda m, i, output, name=name: found.update({name: output.detach().clone()})
                )
                for name, path in curves.items()
            ]
            with forward(self, step, samples) as sampled:
                yield sampled
            for hook in hooks:
                hook.remove()
            for name, output in found.items():
                oracle.outputs[name].append(output)

        def noted_before(self: LayerHealth) -> None:
            weights = matrices(self.network)
            kept[:] = [w.detach().clone() for w in weights]
            oracle.gradients.append([float(w.grad.norm()) for w in weights if w.grad is not None])
            oracle.lengths.append([float(w.detach().norm()) for w in weights])
            before(self)

        def noted_after(self: LayerHealth) -> None:
            weights = matrices(self.network)
            pairs = zip(weights, kept, strict=True)
            oracle.ratios.append(
                [float((w.detach() - old).norm() / old.norm()) for w, old in pairs]
            )
            after(self)

        monkeypatch.setattr(LayerHealth, "forward", noted_forward)
        monkeypatch.setattr(LayerHealth, "before_update", noted_before)
        monkeypatch.setattr(LayerHealth, "after_update", noted_after)


CNN_CURVES = {f"block{n}": f"block{n}.activation" for n in (1, 2, 3)} | {
    "dense": "dense.activation"
}


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_norms_and_updates_are_those_of_autograd_and_the_optimizer(
    small: RunConfig,
    train: Train,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    optimizer: str,
) -> None:
    oracle = Oracle(monkeypatch, CNN_CURVES)
    config = small.changed(optimizer=optimizer, learning_rate=0.01, gradient_clip=0.05)
    train(config, tmp_path / "run")
    history = history_of(tmp_path / "run")
    assert history.layers == ("block1", "block2", "block3", "dense", "head")
    # The last batch of an epoch has one image only.
    assert history.steps.tolist() == [1, 2, 3, 4, 5, 7, 8, 9, 10, 11]
    rows = history.steps - 1  # the oracle notes every step
    # Before clipping: the clipped ones would be 0.05 long in all.
    assert history.gradient_norm == pytest.approx(np.array(oracle.gradients)[rows], rel=1e-4)
    assert (np.linalg.norm(history.gradient_norm, axis=1) > 0.06).any()
    assert history.weight_norm == pytest.approx(np.array(oracle.lengths)[rows], rel=1e-4)
    assert history.update_ratio == pytest.approx(np.array(oracle.ratios)[rows], rel=1e-3)


def test_dead_units_and_histograms_are_those_of_the_outputs(
    small: RunConfig, train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    oracle = Oracle(monkeypatch, CNN_CURVES)
    config = small.changed(learning_rate=0.05)  # high: some units die
    monkeypatch.setattr(layer_health, "MOST_VALUES", 10**9)
    train(config, tmp_path / "run")
    history = history_of(tmp_path / "run")
    assert history.activations == ("relu", "relu", "relu", "relu", "")
    for place, name in enumerate(CNN_CURVES):
        for row, step in enumerate(history.steps):
            output = oracle.outputs[name][step - 1]
            units = output.movedim(1, 0).flatten(1)
            dead = float((units <= 0).all(1).float().mean())
            assert history.dead[row, place] == pytest.approx(dead)
            values = output.flatten().double().numpy()
            counts, edges = np.histogram(values, bins=BINS)
            assert history.edges[row, place] == pytest.approx(edges, rel=1e-6, abs=1e-5)
            kept = np.minimum(counts, 65535)  # what a record can hold
            # A value on an edge may fall to either side of it by rounding.
            assert np.abs(history.histograms[row, place] - kept).sum() <= 0.01 * len(values) + 2
    assert history.dead[:, :4].max() > 0, "no unit died: the test says nothing"
    assert np.isnan(history.dead[:, 4]).all()
    assert np.isnan(history.saturated).all()


@pytest.mark.parametrize(("curve", "low", "high"), [("sigmoid", 0.05, 0.95), ("tanh", -0.95, 0.95)])
def test_saturated_is_the_share_in_the_flat_ends(
    small: RunConfig,
    train: Train,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    curve: str,
    low: float,
    high: float,
) -> None:
    oracle = Oracle(monkeypatch, {"hidden1": "hidden1.activation"})
    config = small.changed(architecture="mlp", activation=curve, learning_rate=0.1)
    train(config, tmp_path / "run")
    history = history_of(tmp_path / "run")
    for row, step in enumerate(history.steps):
        output = oracle.outputs["hidden1"][step - 1]
        share = float(((output < low) | (output > high)).float().mean())
        assert history.saturated[row, 0] == pytest.approx(share, abs=1e-6)
    assert history.saturated[-1, 0] > 0.05, "nothing saturated: the test says nothing"
    assert np.isnan(history.saturated[:, 1]).all()
    assert np.isnan(history.dead).all()


def test_the_gradient_fades_in_a_deep_sigmoid_net_and_not_with_relu(
    small: RunConfig, train: Train, tmp_path: Path
) -> None:
    fades = {}
    for curve in ("sigmoid", "relu"):
        train(small.changed(architecture="deep-mlp", activation=curve), tmp_path / curve)
        norms = history_of(tmp_path / curve).gradient_norm
        fades[curve] = float(np.median(norms[:, 0] / norms[:, -1]))
    assert fades["sigmoid"] < 1e-4
    assert fades["relu"] > 1e-2


def test_a_large_layer_is_judged_by_an_even_choice_of_its_weights(
    small: RunConfig, train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = small.changed(architecture="sign-mlp")
    train(config, tmp_path / "all")
    monkeypatch.setattr(layer_health, "MOST_WEIGHTS", 20_000)  # hidden1 has 256 x 512 = 131,072
    train(config, tmp_path / "some")
    every, some = (history_of(tmp_path / name) for name in ("all", "some"))
    assert (every.update_ratio[:, 2] == some.update_ratio[:, 2]).all()
    assert (every.update_ratio[:, 0] != some.update_ratio[:, 0]).any()
    assert some.update_ratio == pytest.approx(every.update_ratio, rel=0.05)
    assert (every.gradient_norm == some.gradient_norm).all()


def test_values_are_picked_from_all_channels() -> None:
    output = torch.arange(8 * 6 * 5 * 4).reshape(8, 6, 5, 4).float()
    last = output.contiguous(memory_format=torch.channels_last)
    assert sorted(picked(output, 10**6).tolist()) == sorted(picked(last, 10**6).tolist())
    assert picked(last, 10**6).tolist() == last.permute(0, 2, 3, 1).reshape(-1).tolist()
    few = picked(last, 160)  # every 6th, but that would be one channel only
    assert 100 < len(few) <= 160
    channels = few.long() // (5 * 4) % 6
    assert set(channels.tolist()) == set(range(6))
    assert dead_share(torch.tensor([[0.0, 1.0], [0.0, 0.0]]), -1) == 0.5


def test_what_is_no_number_is_left_out_of_histograms() -> None:
    values = np.array([1, 2, np.nan, np.inf, 5, 5, np.nan], dtype=np.float32)
    saturated, ranges, counts = summarised(values, [4, 2, 1, 0], ["", "tanh", "relu", "sigmoid"])
    assert ranges[:, 0].tolist() == [1, 2]
    assert counts[0].sum() == 2
    assert counts[0, 0] == counts[0, -1] == 1
    assert ranges[:, 1].tolist() == [4.5, 5.5]
    assert counts[1].sum() == 2
    assert np.isnan(ranges[:, 2:]).all()
    assert not counts[2:].any()
    assert saturated[1] == 1
    assert np.isnan(saturated[[0, 2, 3]]).all()
    huge = np.array([-3e38, 3e38], dtype=np.float32)
    assert summarised(huge, [2], [""])[2][0, [0, -1]].tolist() == [1, 1]


# --- which layers, and what is behind them --------------------------------------------------------


def watched(name: str, **knobs: Any) -> dict[str, tuple[str, int]]:
    size = max(32, ARCHITECTURES.get(name).min_image_size)
    network = build_network(
        RunConfig(architecture=name, **knobs), channels=3, image_size=size, classes=3
    )
    return {
        layer.name: (layer.activation, layer.call)
        for layer in watched_layers(network, channels=3, image_size=size)
    }


def test_one_row_a_layer_with_weights_and_the_activation_behind_it() -> None:
    assert watched("lenet5") == {
        "block1": ("tanh", 1),
        "block2": ("tanh", 1),
        "dense1": ("tanh", 1),
        "dense2": ("tanh", 1),
        "head": ("", 1),
    }
    resnet = watched("resnet18")
    assert len(resnet) == 21  # 17 convolutions, 3 shortcuts, the head
    assert resnet["stem"] == ("relu", 1)
    # One ReLU module, called twice in a block: behind conv1, and behind the sum.
    assert resnet["layer2.0.conv1"] == ("relu", 1)
    assert resnet["layer2.0.conv2"] == resnet["layer2.0.downsample.0"] == ("relu", 2)
    mobile = watched("mobilenet_v2")
    assert mobile["stage1.2.conv.0.0"] == ("relu6", 1)
    assert mobile["stage1.2.conv.2"] == ("", 1), "a linear bottleneck: no curve behind it"
    dense = watched("densenet121")
    assert dense["denseblock1.0.denselayer1.conv1"] == ("relu", 1)
    assert dense["denseblock1.0.denselayer1.conv2"] == ("", 1), "that ReLU sees more than its maps"
    convnext = watched("convnext_tiny")
    assert convnext["stage1.1.0.block.3"] == ("gelu", 1)
    gates = watched("mobilenet_v3_small")
    assert gates["stage1.1.block.1.fc2"] == ("hardsigmoid", 1)
    chosen = watched("vgg16", activation="tanh")
    assert {curve for curve, _ in chosen.values()} == {"tanh", ""}


def test_finding_the_layers_leaves_no_trace() -> None:
    network = build_network(
        RunConfig(architecture="resnet18"), channels=3, image_size=32, classes=3
    )
    network.freeze_stages(["stem"])
    network.train()
    before = {k: v.clone() for k, v in network.state_dict().items()}
    modes = [m.training for m in network.modules()]
    drawn = torch.random.get_rng_state()
    watched_layers(network, channels=3, image_size=32)
    assert all(torch.equal(before[k], v) for k, v in network.state_dict().items())
    assert [m.training for m in network.modules()] == modes
    assert torch.equal(torch.random.get_rng_state(), drawn)
    assert all(p.grad is None for p in network.parameters())
    assert not any(m._forward_hooks for m in network.modules())


# --- training does not feel it --------------------------------------------------------------------


@pytest.mark.parametrize(
    "knobs",
    [
        {},
        {"architecture": "deep-mlp"},
        {"architecture": "squeezenet1_1", "image_size": 32},
        {"architecture": "mobilenet_v2", "image_size": 32, "epochs": 1},
    ],
    ids=lambda k: str(k.get("architecture", "sign-cnn")),
)
def test_training_is_bit_for_bit_the_same_with_and_without(
    small: RunConfig, train: Train, tmp_path: Path, knobs: dict[str, object]
) -> None:
    config = small.changed(**knobs)
    on, off = tmp_path / "on", tmp_path / "off"
    drawn = torch.random.get_rng_state()
    seen, alone = train(config, on), train(config.changed(layer_statistics="off"), off)
    assert torch.equal(torch.random.get_rng_state(), drawn)
    assert newest_sample(on) is not None
    assert not (off / layer_file.FOLDER).exists()
    for name in ("last", "best"):
        one, two = (load_file(folder / f"{name}.safetensors") for folder in (on, off))
        assert all(torch.equal(one[key], two[key]) for key in two)
    assert [e.values["loss"] for e in seen if isinstance(e, StepDone)] == [
        e.values["loss"] for e in alone if isinstance(e, StepDone)
    ]


def test_nothing_stays_hooked_when_a_step_fails(
    small: RunConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = make_plan(small, folder=tmp_path)
    forward = StagedNet.forward
    passes = []

    def fail(self: StagedNet, images: torch.Tensor) -> torch.Tensor:
        passes.append(len(images))
        out = forward(self, images)
        if self.training and len(passes) > 4:
            assert any(m._forward_hooks for m in self.modules()), "this step is not sampled"
            raise RuntimeError("a bug of somebody else")
        return out

    monkeypatch.setattr(StagedNet, "forward", fail)
    with pytest.raises(RuntimeError, match="a bug of somebody else"):
        list(fit(plan, Control()))
    assert not any(m._forward_hooks for m in plan.network.modules())


def test_nothing_stays_hooked_when_the_run_is_dropped(small: RunConfig, tmp_path: Path) -> None:
    plan = make_plan(small, folder=tmp_path)
    events = fit(plan, Control())
    for event in events:
        if isinstance(event, StepDone):
            break
    events.close()  # type: ignore[attr-defined]
    assert not any(m._forward_hooks for m in plan.network.modules())
    assert newest_sample(tmp_path) == (1, 1)


@pytest.mark.parametrize(
    ("place", "error", "text"),
    [
        ("watched_layers", RuntimeError("CUDA error: out of memory"), "there is not enough memory"),
        ("picked", RuntimeError("shapes do not fit\nat all"), "RuntimeError: shapes do not fit."),
        ("norms", MemoryError(), "there is not enough memory"),
        ("summarised", OSError(28, "No space left on device"), "OSError"),
    ],
)
def test_what_goes_wrong_is_said_once_and_the_run_goes_on(
    small: RunConfig,
    train: Train,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    place: str,
    error: Exception,
    text: str,
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(layer_health, place, refuse)
    events = train(small, tmp_path / "run")
    end = events[-1]
    assert isinstance(end, RunEnded)
    assert end.status == "completed"
    warnings = said(events, "warning")
    assert len(warnings) == 1
    assert warnings[0].startswith(f"Gradient health off: {text}")
    assert warnings[0].endswith("The training goes on.")
    alone = train(small.changed(layer_statistics="off"), tmp_path / "alone")[-1]
    assert isinstance(alone, RunEnded)
    assert end.test["loss"] == alone.test["loss"]


def test_a_full_disk_pauses_the_run(
    small: RunConfig, train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: layer_file.LayerWriter, *_: object) -> None:
        with layer_file.writing(tmp_path):
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(layer_file.LayerWriter, "append", full)
    events = train(small, tmp_path / "run")
    assert not said(events, "warning")
    assert isinstance(events[-1], RunEnded)
    assert events[-1].status == "paused"
    assert events[-1].message.startswith("The disk is full")


# --- frozen layers, phases, resumes, gradients that are no numbers --------------------------------


@pytest.fixture
def pretrained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunConfig:
    """A network that starts from "pretrained" (random) weights."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch-home"))
    file = weights_file(ARCHITECTURES.get("squeezenet1_1"))
    file.parent.mkdir(parents=True)
    torch.save(random_state(reference("squeezenet1_1")), file)
    return RunConfig(
        dataset=make_tiny_pack(train=48, val=12, test=0),
        architecture="squeezenet1_1",
        freeze="head_only",
        image_size=32,
        batch_size=16,
        epochs=2,
        film_strip=False,
    )


@pytest.mark.parametrize("features", ["auto", "off"])
def test_frozen_layers_have_no_gradient(
    pretrained: RunConfig, train: Train, tmp_path: Path, features: str
) -> None:
    train(pretrained.changed(frozen_features=features), tmp_path / "run")
    history = history_of(tmp_path / "run")
    head = history.layers.index("head")
    frozen = np.arange(len(history.layers)) != head
    assert np.isnan(history.gradient_norm[:, frozen]).all()
    assert np.isnan(history.update_ratio[:, frozen]).all()
    assert np.isfinite(history.gradient_norm[:, head]).all()
    assert (history.update_ratio[:, head] > 0).all()
    assert np.isfinite(history.weight_norm).all()
    ran = history.histograms.any(axis=(0, 2))
    # On kept features frozen layers do not run; there is nothing to see of them then.
    assert ran[frozen].all() if features == "off" else not ran[frozen].any()
    assert ran[head]
    assert np.isnan(history.dead[:, ~ran]).all()
    assert np.isnan(history.edges[:, ~ran]).all()


def test_layers_that_join_in_a_second_phase_get_their_figures(
    pretrained: RunConfig, train: Train, tmp_path: Path
) -> None:
    train(pretrained.changed(freeze="two_phase", head_epochs=1, last_k=1), tmp_path / "run")
    history = history_of(tmp_path / "run")
    joined = [name.startswith("fire6_9") for name in history.layers]
    first, second = history.steps <= 3, history.steps > 3
    assert np.isnan(history.gradient_norm[first][:, joined]).all()
    assert np.isfinite(history.gradient_norm[second][:, joined]).all()


def test_a_resumed_run_goes_on_as_an_uninterrupted_one(
    small: RunConfig, train: Train, tmp_path: Path
) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    train(small, whole)
    train(small, parts, until=lambda e: isinstance(e, StepDone) and e.step == 4)
    # As if the process had died after more steps than were saved.
    written = newest_sample(parts)
    assert written is not None
    record = (parts / "layers" / "samples.bin").read_bytes()[-100:]
    stray = history_of(whole)
    writer = layer_file.LayerWriter(parts, stray.layers, stray.activations)
    writer.append(9, np.zeros((5, 5)), np.zeros((2, 5)), np.zeros((5, BINS)))
    writer.close()
    assert record
    train(small, parts)
    one, two = history_of(whole), history_of(parts)
    # Which steps are sampled depends on time; what is found there does not.
    common, first, second = np.intersect1d(one.steps, two.steps, return_indices=True)
    assert len(common) >= len(one.steps) - 2
    assert (one.gradient_norm[first] == two.gradient_norm[second]).all()
    assert (one.update_ratio[first] == two.update_ratio[second]).all()
    assert np.array_equal(one.dead[first], two.dead[second], equal_nan=True)
    assert (one.histograms[first] == two.histograms[second]).all()
    assert (np.diff(two.steps) > 0).all()


def test_gradients_that_are_no_numbers_are_told_apart_from_frozen_ones(
    small: RunConfig, tmp_path: Path
) -> None:
    plan = make_plan(small, folder=tmp_path)
    watch = health_of(plan)
    watch.begin(Counters())
    step_with(plan, watch, 1, spoil=lambda p: p.grad.fill_(torch.nan))  # type: ignore[union-attr]
    history = history_of(tmp_path)
    assert np.isposinf(history.gradient_norm[0]).all()
    assert np.isposinf(history.update_ratio[0]).all()
    assert np.isfinite(history.weight_norm[0]).all()
    watch.close()


def health_of(plan: Plan, *, clock: Clock = time.monotonic) -> LayerHealth:
    return LayerHealth(
        plan.network,
        plan.folder,
        on=True,
        total_steps=plan.total_steps,
        preprocess=plan.preprocess,
        device=plan.device,
        clock=clock,
    )


def step_with(
    plan: Plan,
    watch: LayerHealth,
    step: int,
    *,
    samples: int = 4,
    spoil: Callable[[nn.Parameter], object] = lambda p: None,
) -> None:
    """One step of plain SGD on noise, sampled."""
    network = plan.network
    network.use_generator(torch.Generator().manual_seed(0))
    network.train()
    network.zero_grad(set_to_none=True)
    images = torch.rand(samples, 1, 16, 16, generator=torch.Generator().manual_seed(step))
    with watch.forward(step, samples):
        logits = network(images)
    logits.square().mean().backward()
    for parameter in network.parameters():
        spoil(parameter)
    watch.before_update()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter -= 0.01 * parameter.grad  # type: ignore[operator]
    watch.after_update()


# --- what it may cost -----------------------------------------------------------------------------


class Time:
    """A clock that only goes on when it is told to."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def sampled(
    config: RunConfig,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    *,
    step: float,
    cost: Callable[[int], float],
    steps: int,
    counters: Counters | None = None,
) -> tuple[LayerHealth, list[str]]:
    """Layer health over `steps` steps of `step` seconds, and what it says; the n-th sample costs
    `cost(n)`."""
    clock = Time()
    plan = make_plan(config, folder=folder)
    watch = health_of(plan, clock=clock)
    append = layer_file.LayerWriter.append
    samples = []

    def slow(self: layer_file.LayerWriter, *args: Any) -> None:
        samples.append(1)
        clock.now += cost(len(samples))
        append(self, *args)

    monkeypatch.setattr(layer_file.LayerWriter, "append", slow)
    counters = counters or Counters()
    watch.begin(counters)
    said = []
    for number in range(counters.step + 1, counters.step + steps + 1):
        clock.now += step
        step_with(plan, watch, number)
        said += [line.text for line in watch.pop_messages()]
    watch.close()
    monkeypatch.setattr(layer_file.LayerWriter, "append", append)
    return watch, said


def test_a_dear_sample_is_taken_at_every_nth_step_and_says_so_once(
    small: RunConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(layer_health, "SHARE", 0.025)
    watch, messages = sampled(
        small.changed(architecture="mlp"),
        tmp_path,
        monkeypatch,
        step=0.01,
        cost=lambda n: 0.05 if n == 1 else 0.005,  # the first one allocates
        steps=200,
    )
    # 0.005 / (0.025 x 0.01) = 20
    # It gets there in steps of 10, 20, 40 ...: one measurement may be far off.
    assert history_of(tmp_path).steps.tolist() == [1, 2, *range(12, 201, 20)]
    assert messages == [
        "Gradient health samples every 20th step, as far as can be told yet: a sample costs 5 ms "
        "beside 10 ms for a step, and at most 3% of the time are for it."
    ]
    assert watch.spent <= 0.03 * 200 * 0.01 + 0.005


def test_a_cheap_sample_is_taken_at_every_step(
    small: RunConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(layer_health, "SHARE", 0.025)
    _, messages = sampled(small, tmp_path, monkeypatch, step=1.0, cost=lambda n: 0.01, steps=6)
    assert history_of(tmp_path).steps.tolist() == [1, 2, 3, 4, 5, 6]
    assert messages[0].startswith("Gradient health samples every step, as far")
    assert "a sample costs 10 ms beside 1 s for a step" in messages[0]


def test_a_measurement_that_was_spoiled_is_made_good(
    small: RunConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(layer_health, "SHARE", 0.025)
    _, messages = sampled(
        small.changed(architecture="mlp"),
        tmp_path,
        monkeypatch,
        step=0.01,
        cost=lambda n: 0.02 if n == 2 else 0.00025,  # another program was in the way
        steps=300,
    )
    gaps = np.diff(history_of(tmp_path).steps)
    assert gaps[1] == 10
    # 0.02 / (0.025 x 0.01) would have been every 100th, and 0.00025 is every one.
    assert gaps[-1] < 10
    assert len(messages) == 1


def test_a_resumed_run_keeps_the_spacing_without_saying_it_again(
    small: RunConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(layer_health, "SHARE", 0.025)
    config = small.changed(architecture="mlp")
    costs: Any = {"step": 0.01, "cost": lambda n: 0.005}
    sampled(config, tmp_path, monkeypatch, steps=50, **costs)
    after = Counters(step=45)
    _, messages = sampled(config, tmp_path, monkeypatch, steps=50, counters=after, **costs)
    assert history_of(tmp_path).steps.tolist() == [1, 2, 12, 32, 52, 72, 92]
    assert messages == []


def test_a_long_run_keeps_a_bounded_number(small: RunConfig, tmp_path: Path) -> None:
    plan = make_plan(small.changed(epochs=10_000), folder=tmp_path)
    watch = health_of(plan)
    assert watch.budget.every == -(-10_000 * plan.steps_per_epoch // layer_health.MOST_SAMPLES)


def test_a_smaller_last_batch_is_left_out(small: RunConfig, tmp_path: Path) -> None:
    """In a batch of two every unit that is merely off looks dead."""
    plan = make_plan(small, folder=tmp_path)
    watch = health_of(plan)
    watch.begin(Counters())
    for step, samples in enumerate((8, 8, 2, 4), start=1):
        step_with(plan, watch, step, samples=samples)
    watch.close()
    assert history_of(tmp_path).steps.tolist() == [1, 2, 4]


def test_the_flat_ends_are_where_the_slope_is_small() -> None:
    """Below a fifth of the steepest slope, of each curve that has flat ends."""
    for name, (low, high) in layer_figures.FLAT.items():
        x = torch.linspace(-6, 6, 2001, requires_grad=True)
        curve = {"sigmoid": nn.Sigmoid(), "tanh": nn.Tanh(), "hardsigmoid": nn.Hardsigmoid()}[name]
        y = curve(x)
        (slope,) = torch.autograd.grad(y.sum(), x)
        flat = (y < low) | (y > high)
        if name != "hardsigmoid":  # straight in between: its ends are flat all at once
            assert slope[flat].max() < 0.2 * slope.max()
        assert slope[~flat].min() > 0.09 * slope.max()
