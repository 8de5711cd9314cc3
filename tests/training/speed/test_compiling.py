"""Compiled training steps: really compiled, the same training, and clear words where it fails.

Most tests let torch trace the steps and run the graph as it is, which is exact; the last one uses
its real compiler and is skipped where there is none for C++.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from torch._dynamo.backends.common import aot_autograd

from lab.config import RunConfig
from lab.errors import ConfigError
from lab.training.events import Event, RunEnded, StepDone
from lab.training.lr_finder.ramp import find_rates
from lab.training.speed import compiling
from lab.training.speed.compiling import what_is_missing
from lab.training.watch import layer_health
from lab.training.watch.layer_file import layer_history
from tests.tiny_data import make_tiny_pack
from tests.training.conftest import Train
from tests.training.test_resume import assert_same_weights

FULL_BATCHES = 4
"""Of an epoch of `tiny`; two more have 15 and 2 images instead of 16."""


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
    torch.compiler.reset()


def losses(events: list[Event]) -> list[float]:
    return [e.values["loss"] for e in events if isinstance(e, StepDone)]


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
    ],
    ids=["dropout", "bf16", "mlp"],
)
def test_compiled_steps_train_the_same(
    tiny: RunConfig, train: Train, tmp_path: Path, traced: Traced, knobs: dict[str, object]
) -> None:
    config = tiny.changed(layer_statistics="off", **knobs)
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
    config = tiny.changed(architecture="mlp", compile_steps="on", epochs=1)
    for seed in range(10):
        train(config.changed(seed=seed))
    assert traced.graphs == 10


def test_where_no_batch_is_full_nothing_is_compiled(
    tiny: RunConfig, train: Train, traced: Traced
) -> None:
    events = train(tiny.changed(compile_steps="on", batch_size=512))
    assert ended(events).status == "completed"
    assert traced.graphs == 0


def test_a_last_batch_that_is_larger_than_the_others_is_not_compiled(
    train: Train, traced: Traced
) -> None:
    """A single image that is left over joins the batch before it."""
    odd = RunConfig(
        dataset=make_tiny_pack(train=9, val=3, test=3),
        architecture="sign-cnn",
        batch_size=2,
        epochs=1,
        dropout=0.3,
        compile_steps="on",
        layer_statistics="off",
    )
    events = train(odd)
    assert ended(events).status == "completed"
    assert [e.samples for e in events if isinstance(e, StepDone)] == [2, 2, 2, 3]
    assert (traced.graphs, traced.runs) == (1, 3)


def test_a_resumed_run_goes_on_as_its_config_says(
    tiny: RunConfig, train: Train, tmp_path: Path, traced: Traced
) -> None:
    config = tiny.changed(compile_steps="on", layer_statistics="off")
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    train(config, whole)
    train(config, parts, until=lambda e: isinstance(e, StepDone) and e.step == 8)
    before = traced.runs
    train(config, parts)
    assert_same_weights(whole, parts)
    assert traced.runs - before == 6  # 2 full ones are left of epoch 2, 4 of epoch 3


def test_a_sampled_step_is_not_compiled_and_seen_as_it_is(
    tiny: RunConfig, train: Train, tmp_path: Path, traced: Traced, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No hook is called in compiled code."""
    monkeypatch.setattr(layer_health, "SHARE", 1e9)
    monkeypatch.setattr(layer_health, "LEAST_EVERY_COMPILED", 3)
    folders = {wish: tmp_path / wish for wish in ("on", "off")}
    for wish, folder in folders.items():
        train(tiny.changed(compile_steps=wish, epochs=2), folder)
    fast, plain = (layer_history(folders[wish], points=100) for wish in ("on", "off"))
    assert fast is not None
    assert plain is not None
    assert fast.steps.tolist() == [1, 4, 7, 10]
    assert traced.runs == 2 * FULL_BATCHES - len(fast.steps)
    places = np.searchsorted(plain.steps, fast.steps)
    for name in ("gradient_norm", "dead", "histograms", "edges"):
        one, other = getattr(fast, name), getattr(plain, name)[places]
        assert np.isfinite(one).any(), name
        np.testing.assert_array_equal(one, other)


def test_the_rate_finder_does_not_compile(tiny: RunConfig, traced: Traced) -> None:
    find_rates(tiny.changed(compile_steps="on"))
    assert traced.graphs == 0


@pytest.mark.parametrize("half", ["forward", "backward"])
def test_a_compiler_that_fails_ends_the_run_with_a_sentence(
    tiny: RunConfig, train: Train, monkeypatch: pytest.MonkeyPatch, half: str
) -> None:
    def broken(graph: torch.fx.GraphModule, inputs: object) -> object:
        raise ValueError("this operator is not known")

    def fine(graph: torch.fx.GraphModule, inputs: object) -> object:
        return graph

    whole = aot_autograd(fw_compiler=fine, bw_compiler=broken)
    monkeypatch.setattr(compiling, "BACKEND", broken if half == "forward" else whole)
    end = ended(train(tiny.changed(compile_steps="on")))
    assert end.status == "failed"
    assert end.message.startswith("torch.compile could not compile this network's steps on this ")
    assert "this operator is not known" in end.message
    assert "Start a new run with the knob Compile off" in end.message
    assert "\n" not in end.message


def test_a_complaint_of_the_compiler_itself_is_what_is_told() -> None:
    said = (
        "CppCompileError: C++ compile error\n\nCommand:\ng++ main.cpp -o main.so\n\nOutput:\n"
        "In file included from main.cpp:1:\nmain.cpp:2:10: fatal error: Python.h: No such file\n"
    )
    with pytest.raises(ConfigError) as raised, compiling.compiler_errors():
        raise RuntimeError(said)
    assert "(main.cpp:2:10: fatal error: Python.h: No such file)" in str(raised.value)


def test_too_little_memory_keeps_its_words() -> None:
    with pytest.raises(MemoryError), compiling.compiler_errors():
        raise MemoryError


def test_other_errors_of_a_step_keep_their_words(
    tiny: RunConfig, train: Train, traced: Traced
) -> None:
    end = ended(train(tiny.changed(compile_steps="on", optimizer="sgd", learning_rate=10.0)))
    assert end.status == "failed"
    assert end.message.startswith("The training loss became")


@pytest.mark.skipif(bool(what_is_missing("cpu")), reason="torch.compile needs a C++ compiler")
def test_the_real_compiler_trains_the_same_up_to_rounding(
    tiny: RunConfig, train: Train, tmp_path: Path
) -> None:
    """Also: the same twice, and bit for bit where it was stopped."""
    fast = tiny.changed(compile_steps="on", layer_statistics="off")
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    plain, compiled = train(fast.changed(compile_steps="off")), train(fast, whole)
    assert losses(compiled) == pytest.approx(losses(plain), rel=1e-3), compiled[-1]
    assert ended(compiled).test["accuracy"] == pytest.approx(
        ended(plain).test["accuracy"], abs=0.04
    )
    train(fast, parts, until=lambda e: isinstance(e, StepDone) and e.step == 8)
    train(fast, parts)
    assert_same_weights(whole, parts)
