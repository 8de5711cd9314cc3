"""Compiled training steps: really compiled, the same training, and clear words where it fails.

Most tests let torch trace the steps and run the graph as it is, which is exact; the last ones use
its real compiler and are skipped where there is none for C++.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch

from lab.config import RunConfig
from lab.errors import ConfigError
from lab.training import compiling
from lab.training.compiling import what_is_missing
from lab.training.events import Event, LogWritten, RunEnded, StepDone
from lab.training.layer_stats import layer_history
from lab.training.lr_finder import find_rates
from lab.training.plan import resolve
from tests.training.conftest import Train
from tests.training.test_resume import assert_same_weights

FULL_BATCHES = 4
"""Of an epoch of `tiny`; the fifth has 14 images instead of 16."""


@dataclass
class Traced:
    """What torch handed to the compiler's place, and how often that was run."""

    graphs: int = 0
    runs: int = 0


@pytest.fixture
def traced(monkeypatch: pytest.MonkeyPatch) -> Traced:
    """In the compiler's place something that counts, and changes nothing."""
    seen = Traced()

    def backend(graph: torch.fx.GraphModule, inputs: object) -> Callable[..., object]:
        seen.graphs += 1

        def run(*tensors: torch.Tensor) -> object:
            seen.runs += 1
            return graph(*tensors)

        return run

    monkeypatch.setattr(compiling, "BACKEND", backend)
    return seen


@pytest.fixture(autouse=True)
def _nothing_is_left_compiled() -> Iterator[None]:
    yield
    compiling.begin_afresh()


def losses(events: list[Event]) -> list[float]:
    return [e.loss for e in events if isinstance(e, StepDone)]


def ended(events: list[Event]) -> RunEnded:
    last = events[-1]
    assert isinstance(last, RunEnded)
    return last


@pytest.mark.parametrize(
    "knobs",
    [
        {},
        {"architecture": "sign-cnn", "precision": "bf16"},
        {"architecture": "mlp", "gradient_clip": 1.0},
        {"architecture": "efficientnet_b0", "image_size": 32, "epochs": 1},
    ],
    ids=["dropout", "bf16", "mlp", "stochastic depth"],
)
def test_compiled_steps_train_the_same(
    tiny: RunConfig, train: Train, tmp_path: Path, traced: Traced, knobs: dict[str, object]
) -> None:
    config = tiny.changed(**knobs)
    plain, fast = tmp_path / "plain", tmp_path / "fast"
    expected = train(config.changed(compile_steps="off"), plain)
    assert traced.graphs == 0
    found = train(config.changed(compile_steps="on"), fast)
    assert losses(found) == losses(expected)
    assert_same_weights(plain, fast)
    # As a whole, once; neither the smaller last batch nor validation nor test.
    assert traced.graphs == 1
    assert traced.runs == FULL_BATCHES * config.epochs


def test_any_number_of_runs_in_one_process_is_compiled(
    tiny: RunConfig, train: Train, traced: Traced
) -> None:
    """torch gives up on code of which there are eight variants."""
    for learning_rate in np.linspace(1e-3, 2e-3, 10):
        train(tiny.changed(compile_steps="on", epochs=1, learning_rate=float(learning_rate)))
    assert traced.graphs == 10
    assert traced.runs == 10 * FULL_BATCHES


def test_gradient_health_sees_the_same(
    tiny: RunConfig, train: Train, tmp_path: Path, traced: Traced
) -> None:
    """No hook is called in compiled steps, so the outputs are looked at in a pass of their own,
    with the step's own dropout."""
    folders = {wish: tmp_path / wish for wish in ("on", "off")}
    for wish, folder in folders.items():
        train(tiny.changed(compile_steps=wish), folder)
    fast, plain = (layer_history(folders[wish], points=100) for wish in ("on", "off"))
    assert fast is not None
    assert plain is not None
    both = sorted(set(fast.steps.tolist()) & set(plain.steps.tolist()))
    assert both[:1] == [1]
    for name in ("gradient_norm", "dead", "histograms", "edges"):
        one, other = (
            getattr(history, name)[[history.steps.tolist().index(step) for step in both]]
            for history in (fast, plain)
        )
        assert np.isfinite(one).any(), name
        np.testing.assert_array_equal(one, other)


def test_gradient_health_changes_nothing(
    tiny: RunConfig, train: Train, tmp_path: Path, traced: Traced
) -> None:
    """BatchNorm's statistics and the generator of dropout are put back after that pass."""
    config = tiny.changed(
        architecture="mobilenet_v2", image_size=32, epochs=1, dropout=0.3, compile_steps="on"
    )
    on, off = tmp_path / "on", tmp_path / "off"
    train(config, on)
    train(config.changed(layer_statistics="off"), off)
    assert_same_weights(on, off)


def test_the_rate_finder_does_not_compile(tiny: RunConfig, traced: Traced) -> None:
    find_rates(tiny.changed(compile_steps="on"))
    assert traced.graphs == 0


def test_a_compiler_that_fails_ends_the_run_with_a_sentence(
    tiny: RunConfig, train: Train, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(graph: object, inputs: object) -> None:
        raise ValueError("this operator is not known")

    monkeypatch.setattr(compiling, "BACKEND", broken)
    end = ended(train(tiny.changed(compile_steps="on")))
    assert end.status == "failed"
    assert end.message.startswith("torch.compile could not compile this network's steps on this ")
    assert "this operator is not known" in end.message
    assert "Switch the knob Compile to off" in end.message
    assert "\n" not in end.message


def test_other_errors_of_a_step_keep_their_words(
    tiny: RunConfig, train: Train, traced: Traced
) -> None:
    end = ended(train(tiny.changed(compile_steps="on", optimizer="sgd", learning_rate=10.0)))
    assert end.status == "failed"
    assert end.message.startswith("The training loss became")


def test_without_a_compiler_the_run_is_refused_at_the_door(
    tiny: RunConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    assert what_is_missing("cpu") == "a C++ compiler (no-such-compiler)"
    with pytest.raises(
        ConfigError, match=r"needs a C\+\+ compiler .* switch Compile to auto or off"
    ):
        resolve(tiny.changed(compile_steps="on"))
    resolve(tiny.changed(compile_steps="auto"))


# --- with torch's real compiler -------------------------------------------------------------------

real_compiler = pytest.mark.skipif(
    bool(what_is_missing("cpu")), reason="torch.compile needs a C++ compiler"
)


@real_compiler
def test_the_real_compiler_trains_the_same_up_to_rounding(tiny: RunConfig, train: Train) -> None:
    plain = train(tiny.changed(compile_steps="off"))
    fast = train(tiny.changed(compile_steps="on"))
    assert losses(fast) == pytest.approx(losses(plain), rel=1e-3)
    assert ended(fast).test_accuracy == ended(plain).test_accuracy
    said = [e.text for e in fast if isinstance(e, LogWritten)]
    assert "Compiling: yes (as asked; the first step waits for it)" in said


@real_compiler
def test_a_stopped_run_resumes_compiled_bit_for_bit(
    tiny: RunConfig, train: Train, tmp_path: Path
) -> None:
    """Even when the plan would now decide otherwise."""
    config = tiny.changed(compile_steps="on")
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    train(config, whole)
    train(config, parts, until=lambda e: isinstance(e, StepDone) and e.step == 8)
    train(config.changed(compile_steps="off"), parts)
    assert_same_weights(whole, parts)
