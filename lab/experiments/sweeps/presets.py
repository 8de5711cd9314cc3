"""Sweep presets as data: the grids of document 000.

To add one, add an entry to PRESETS; the Experiments page shows it by itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from lab.config import RunConfig
from lab.experiments.starts import defaults_for
from lab.experiments.sweeps.config import SweepConfig

# Document 000 trains with Adam for 10 epochs and does not augment.
_DOCUMENT_000: dict[str, Any] = {"epochs": 10, "batch_size": 32, "horizontal_flip": False}

# Enough to see the grid fill within minutes, not enough for its results to mean much.
_QUICK: dict[str, Any] = {"epochs": 2, "subset_per_class": 200}

_FREEZE: dict[str, Sequence[Any]] = {
    "freeze": ("scratch", "full", "last_k", "head_only"),
    "learning_rate": (1e-3, 2e-3, 1e-5),
}
_BATCH: dict[str, Sequence[Any]] = {
    "batch_size": (32, 64, 128, 256),
    "learning_rate": (1e-3, 1e-4),
}


@dataclass(frozen=True)
class SweepPreset:
    """A grid that is one click. The first data set that is on this machine is taken."""

    id: str
    title: str
    story: str
    datasets: tuple[str, ...]
    knobs: Mapping[str, Any]
    axes: Mapping[str, Sequence[Any]]
    quick: Mapping[str, Any] = field(default_factory=lambda: _QUICK)

    def sweep(self, dataset: str, *, quick: bool = False) -> SweepConfig:
        """The grid on `dataset`, in its full or its quick size."""
        knobs = {**_DOCUMENT_000, **self.knobs, **(self.quick if quick else {})}
        base: RunConfig = defaults_for(dataset).changed(**knobs)
        size = ", quick" if quick else ""
        return SweepConfig.from_mapping(
            {
                "name": f"{self.title}{size}",
                # The story is about the full size and the document's pictures.
                "story": "" if quick or dataset != self.datasets[0] else self.story,
                "kind": "grid",
                "base": base,
                "axes": self.axes,
            }
        )


PRESETS = (
    SweepPreset(
        "freeze-resnet18",
        "What to freeze, ResNet-18",
        "From the document on cats and dogs: four strategies, from scratch to head only, times "
        "three learning rates. It reports above 97% for the last stages + head, 98% for the head "
        "alone, and 0.001 as the best rate. Needs ImageNet weights.",
        ("cats-dogs",),
        {"architecture": "resnet18", "image_size": 224},
        _FREEZE,
    ),
    SweepPreset(
        "freeze-mobilenet",
        "What to freeze, MobileNetV2",
        "The same question with a network a fifth of the size, for machines without a graphics "
        "card. Needs ImageNet weights.",
        ("cats-dogs",),
        {"architecture": "mobilenet_v2"},
        _FREEZE,
    ),
    SweepPreset(
        "freeze-mobilenet-reduced",
        "What to freeze, MobileNetV2, reduced",
        "The same grid in a size that two processor cores finish in a quarter of an hour: "
        "MobileNetV2 in place of ResNet-18, 1,000 photographs a class, 128 pixels, 5 epochs. The "
        "document reports above 97% for the last stages + head, 98% for the head alone, and "
        "0.001 as the best rate. Needs ImageNet weights.",
        ("cats-dogs",),
        {
            "architecture": "mobilenet_v2",
            "image_size": 128,
            "subset_per_class": 1000,
            "epochs": 5,
        },
        _FREEZE,
    ),
    SweepPreset(
        "batch-rate-slp",
        "Batch and rate, one layer",
        "From the document on cats and dogs: batch 32 to 256 times two learning rates for the "
        "single-layer perceptron. It reports about 50%, and 55 to 61% for batch 32 with rate "
        "0.0001.",
        ("cats-dogs", "drawn-cats-dogs"),
        {"architecture": "single-layer-perceptron"},
        _BATCH,
    ),
    SweepPreset(
        "batch-rate-mlp",
        "Batch and rate, one hidden layer",
        "From the document on cats and dogs: the same grid for the perceptron with 50 hidden "
        "sigmoid units. It reports about 50%.",
        ("cats-dogs", "drawn-cats-dogs"),
        {"architecture": "mlp", "hidden_sizes": (50,), "activation": "sigmoid"},
        _BATCH,
    ),
)
