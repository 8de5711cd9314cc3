"""What the tests of the engine share."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from lab.config import RunConfig
from lab.training.control import Control
from lab.training.events import Event
from lab.training.fit import fit
from lab.training.plan import make_plan
from tests.tiny_data import make_tiny_pack

Train = Callable[..., list[Event]]


@pytest.fixture
def tiny() -> RunConfig:
    """A config on the tiny data set: dropout, augmentation and an odd last batch, so that every
    kind of randomness is in play."""
    return RunConfig(
        dataset=make_tiny_pack(),
        architecture="sign-cnn",
        batch_size=16,
        epochs=3,
        width_shift=0.05,
        learning_rate=3e-3,
    )


@pytest.fixture
def train(tmp_path: Path) -> Train:
    """Train to the end, or until `until(event)` is true and then do as `wish` says."""
    numbers: Iterator[int] = iter(range(1000))

    def run(
        config: RunConfig,
        folder: Path | None = None,
        *,
        until: Callable[[Event], bool] | None = None,
        wish: str = "request_stop",
    ) -> list[Event]:
        if folder is None:
            folder = tmp_path / f"run-{next(numbers)}"
        folder.mkdir(exist_ok=True)
        control = Control()
        events: list[Event] = []
        for event in fit(make_plan(config, folder=folder), control):
            events.append(event)
            if until is not None and until(event):
                getattr(control, wish)()
        return events

    return run


def assert_same_weights(first: Path, second: Path) -> None:
    for name in ("last", "best"):
        one, two = (load_file(folder / f"{name}.safetensors") for folder in (first, second))
        assert one.keys() == two.keys()
        for key in one:
            assert torch.equal(one[key], two[key]), key


def without_seal(header: Mapping[str, str]) -> dict[str, str]:
    """The header of a weights file as versions before seals wrote it."""
    return {k: v for k, v in header.items() if k not in ("file_format", "checksum", "tensors")}
