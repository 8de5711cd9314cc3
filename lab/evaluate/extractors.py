"""Networks as extractors of a set's features: pretrained ones, and any run's checkpoint.

`lab.data.quality.features` asks for them by name. Only weights that are on this machine are used.
"""

from __future__ import annotations

from functools import partial

import numpy as np
import numpy.typing as npt
import torch

from lab import home
from lab.config import RunConfig
from lab.data.pack import Pack
from lab.data.preprocess import IMAGENET_MEAN, IMAGENET_STD, Preprocess
from lab.data.quality.features import (
    EXTRACTORS,
    Extractor,
    Floats,
    OpenExtractor,
    flat,
    resized_to,
)
from lab.errors import DataError, WeightsError
from lab.evaluate.opened import open_own_network
from lab.home import home_folder
from lab.models.architecture import ARCHITECTURES
from lab.models.catalog import build_network
from lab.models.staged import HEAD, StagedNet
from lab.models.tokens import TokenStage, ToMaps
from lab.models.weights import weights_file, weights_ready
from lab.training.checkpoint import no_checkpoint
from lab.training.frozen.features import folded

MOST_NUMBERS = 2048
"""Of one picture: maps with few channels keep their places, in a coarse grid."""
LARGEST_SIDE = 160
"""Pixels at which a pretrained network looks: half the time of 224, hardly less to see."""
SMALLEST_SIDE = 96
"""Smaller pictures are enlarged to it: at 28 pixels a pretrained network's maps are one pixel."""
MAP_SIDE = 320
"""Pixels at which a pretrained network is asked for maps: ten places across instead of four, and
the head's answer is hardly another."""
SMALL_PICTURES = 64
"""Up to this side pictures are drawings, digits or signs, for which edges tell more, and at once,
than a network that has learned photographs."""

# The best for its time first; the others in the order of the catalogue.
_PREFERRED = ("efficientnet_lite0", "mobilenet_v2", "efficientnet_b0", "resnet18")


def _open_pretrained(pack: Pack, detail: str, *, name: str) -> OpenExtractor:
    spec = ARCHITECTURES.get(name)
    if not weights_ready(spec):
        others = [extractor.name for extractor in EXTRACTORS if extractor.ready()]
        raise WeightsError(
            f"The ImageNet weights of {name} are not on this machine ({weights_file(spec)}), and "
            "looking at a data set downloads nothing. Start a run from them once, or choose "
            f"another extractor: {', '.join(others)}."
        )
    side = max(min(pack.meta.image_size, LARGEST_SIDE), SMALLEST_SIDE, spec.min_image_size)
    config = RunConfig(architecture=name, freeze="head_only")
    network = build_network(config, channels=3, image_size=side, classes=2).eval()
    preprocess = Preprocess(3, side, IMAGENET_MEAN, IMAGENET_STD)
    closer = Preprocess(3, max(side, MAP_SIDE), IMAGENET_MEAN, IMAGENET_STD)
    stat = weights_file(spec).stat()
    backbone = _backbone(network)
    return OpenExtractor(
        title=f"{spec.title}, learned on ImageNet, at {side} pixels",
        identity=f"pretrained 1 {name} {side} {stat.st_size} {stat.st_mtime_ns} {MOST_NUMBERS}",
        batch=32,
        vectors=lambda images: _vectors(backbone, preprocess, images),
        shares=lambda images, weights: _shares(backbone, closer, images, weights),
    )


def _open_run(pack: Pack, detail: str) -> OpenExtractor:
    run_id, _, checkpoint = detail.partition(":")
    if not run_id or "/" in run_id or run_id in (".", ".."):
        raise DataError(f"{detail!r} names no run. Give run:<run id> or run:<run id>:<checkpoint>.")
    folder = home_folder("runs") / run_id
    if home.run_is_hidden(folder):
        raise no_checkpoint(folder, checkpoint or "best")
    opened = open_own_network(folder, checkpoint or "best")
    preprocess = opened.card.preprocess
    spec = ARCHITECTURES.get(opened.card.config.architecture)
    backbone = _backbone(opened.network)
    return OpenExtractor(
        title=f"{spec.title} of run {run_id}, checkpoint {opened.checkpoint}",
        identity=f"run 1 {run_id} {opened.checkpoint} {opened.identity} {MOST_NUMBERS}",
        batch=32 if preprocess.image_size > SMALL_PICTURES else 256,
        vectors=lambda images: _vectors(backbone, preprocess, images),
        shares=lambda images, weights: _shares(backbone, preprocess, images, weights),
    )


def _backbone(network: StagedNet) -> torch.nn.Sequential:
    """Everything before the head, in its fastest form; nothing where the head is all there is."""
    stages = [network.stage(name) for name in network.stage_names if name != HEAD]
    layers = [folded(stage) for stage in stages]
    if stages and isinstance(stages[-1], TokenStage):
        layers.append(ToMaps(stages[-1]))
    return torch.nn.Sequential(*layers).eval()


def _normalised(preprocess: Preprocess, images: npt.NDArray[np.uint8]) -> torch.Tensor:
    pixels = torch.from_numpy(images)
    if pixels.shape[1] != preprocess.image_size:
        x = pixels.permute(0, 3, 1, 2).float()
        x = resized_to(x, preprocess.image_size).round_().clamp_(0, 255)
        pixels = x.to(torch.uint8).permute(0, 2, 3, 1)
    return preprocess(pixels)


def _vectors(
    backbone: torch.nn.Sequential, preprocess: Preprocess, images: npt.NDArray[np.uint8]
) -> Floats:
    with torch.inference_mode():
        outputs = backbone(_normalised(preprocess, images))
        vectors: Floats = flat(outputs, most=MOST_NUMBERS).numpy()
    if not np.isfinite(vectors).all():
        raise DataError(
            "The weights of this checkpoint give values that are no numbers: the training "
            "diverged. Choose another checkpoint."
        )
    return vectors


def _shares(
    backbone: torch.nn.Sequential,
    preprocess: Preprocess,
    images: npt.NDArray[np.uint8],
    weights: Floats,
) -> Floats:
    """Activation times gradient of the last stage with places, summed over its channels: HiResCAM
    (Draelos and Carin 2020), which is Grad-CAM where only an average and the head follow."""
    outputs = [_normalised(preprocess, images)]
    with torch.no_grad():
        for stage in backbone:
            outputs.append(stage(outputs[-1]))
    last = max(place for place, one in enumerate(outputs) if one.ndim == 4)
    if last == 0:  # the pixels themselves
        return np.zeros((len(images), 0, 0), np.float32)
    places = outputs[last].detach().requires_grad_()
    vectors = flat(backbone[last:](places), most=MOST_NUMBERS)
    (gradient,) = torch.autograd.grad((vectors * torch.from_numpy(weights)).sum(), places)
    shares: Floats = (places * gradient).sum(1).detach().float().numpy()
    return shares


for _spec in sorted(
    (spec for spec in ARCHITECTURES if spec.weights),
    key=lambda spec: _PREFERRED.index(spec.name) if spec.name in _PREFERRED else len(_PREFERRED),
):
    EXTRACTORS.add(
        _spec.name,
        Extractor(
            name=_spec.name,
            title=f"{_spec.title}, learned on ImageNet",
            ready=partial(weights_ready, _spec),
            open=partial(_open_pretrained, name=_spec.name),
            preferred=lambda pack: pack.meta.image_size > SMALL_PICTURES,
        ),
    )
EXTRACTORS.add(
    "run",
    Extractor(
        name="run",
        title="A run's checkpoint",
        ready=lambda: True,
        open=_open_run,
    ),
)
