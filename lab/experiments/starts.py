"""The Home page's ready-made runs, as plain data, and the knobs that suit a data set.

To add a start, add an entry to STARTS; the Home page shows it by itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from lab.config import RunConfig
from lab.data.specs import DATASETS


@dataclass(frozen=True)
class Start:
    """One click on the Home page. The first data set that is on this machine is taken."""

    key: str
    title: str
    story: str
    icon: str
    datasets: tuple[str, ...]
    knobs: dict[str, Any]

    def config(self, dataset: str) -> RunConfig:
        """The run's settings on `dataset`."""
        return defaults_for(dataset).changed(**self.knobs)


STARTS = (
    Start(
        key="first",
        title="See a network learn, in 20 seconds",
        story="A small convolutional network learns to tell drawn cats from drawn dogs. "
        "Built in, nothing to download.",
        icon=":material/bolt:",
        datasets=("drawn-cats-dogs",),
        knobs={"architecture": "simple-cnn", "epochs": 4},
    ),
    Start(
        key="signs",
        title="Read sign letters",
        story="24 letters of the hand alphabet, 28×28 pixels, and the three-layer network of "
        "the classic exercise.",
        icon=":material/sign_language:",
        datasets=("sign-mnist", "drawn-signs"),
        knobs={"architecture": "sign-cnn", "epochs": 8},
    ),
    Start(
        key="transfer",
        title="Borrow what a network already knows",
        story="Transfer learning on photographs of cats and dogs: MobileNetV2 keeps its ImageNet "
        "weights, only a new last layer is trained.",
        icon=":material/school:",
        datasets=("cats-dogs",),
        # Without augmentation: the frozen part then runs once an image, and four of the five epochs
        # take seconds.
        knobs={
            "architecture": "mobilenet_v2",
            "freeze": "head_only",
            "epochs": 5,
            "horizontal_flip": False,
        },
    ),
)


def defaults_for(dataset: str) -> RunConfig:
    """Returns the knobs that suit a data set; for a person's own images the general defaults."""
    knobs = DATASETS.get(dataset).knobs if dataset in DATASETS else {}
    return RunConfig(dataset=dataset).changed(**knobs)
