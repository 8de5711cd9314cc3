"""Class activation maps: which places of a layer speak for a class.

Most methods are a formula over the layer's activations A (N, C, h, w) and the gradient G of the
class score (the logit) with respect to them. So one forward and one backward pass serve any number
of layers, images and formulas. The others run the network themselves, many times (see `Draw`). All
maps stay raw: not scaled, not enlarged. (The grad-cam library makes a pass a layer and scales every
map to 0..1, which hides that a map is next to nothing; what it offers beyond the formulas below is
asked for raw maps in `lab.explain.library_methods`.)

To add a method, write its formula and register it in METHODS.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from lab.errors import ConfigError, DivergedError, NotFoundError
from lab.explain.layers import captured
from lab.models.staged import StagedNet
from lab.progress import Cancel, Report, never, silent
from lab.registry import Registry
from lab.words import duration

Formula = Callable[[Tensor, Tensor], Tensor]
"""activations, gradients (N, C, h, w) -> maps (N, h, w), before negative values are cut off."""

Score = Callable[[Tensor, Tensor], Tensor]
"""logits (N, K), classes (N,) int64 -> what the gradients are of (N,)."""

NEGLIGIBLE = 1e-6
"""A layer whose activations times gradients add up to less than this share of the class score (or
of 1, if that is larger) says nothing about the class."""


class Cost(Enum):
    """How often the network runs for the maps of one image."""

    ALL_LAYERS = "one pass for all layers"
    PICTURE = "one pass, for one map of the whole network"
    CHANNEL = "one pass a channel"


@dataclass(frozen=True, eq=False)
class MapRequest:
    """What a method gets that runs the network itself."""

    network: StagedNet
    """In eval mode, and to be left as it is: hooks, modules and gradients too."""
    images: Tensor
    """(N, C, H, W) normalised."""
    classes: Tensor
    """(N,) int64."""
    layer: str
    activations: Tensor
    """(N, C, h, w) of the layer."""
    progress: Report
    cancel: Cancel
    """To be asked between two passes."""


Draw = Callable[[MapRequest], Tensor]
"""-> maps (N, h, w), or (N, H, W) of the whole network, before negative values are cut off."""


@dataclass(frozen=True)
class Method:
    """One way of drawing a map: either by a formula or by running the network itself."""

    name: str
    title: str
    story: str
    """One line for a learner."""
    source: str
    formula: Formula | None = None
    draw: Draw | None = None
    score: Score | None = None
    """What the gradients are of, where that is not the logit of the class."""
    cost: Cost = Cost.ALL_LAYERS
    library: bool = False
    """Whether it is the grad-cam library's, which takes seconds to import at its first use."""

    def __post_init__(self) -> None:
        if (self.formula is None) == (self.draw is None):
            raise ValueError(f"method {self.name!r} needs either a formula or its own way to draw")

    def passes(self, channels: int) -> int:
        """How often the network runs for one image and a layer of `channels` channels."""
        return channels if self.cost is Cost.CHANNEL else 1

    def place(self, layer: str) -> str:
        """What a map that was asked for in `layer` is of, in words."""
        return "the whole network" if self.cost is Cost.PICTURE else f"layer {layer}"

    def cost_sentence(self, channels: int, seconds_a_pass: float | None = None) -> str:
        """What a map of a layer of `channels` channels takes, in words."""
        if self.cost is Cost.CHANNEL:
            sentence = f"Runs the network once for each of the {channels:,} channels of this layer"
            if seconds_a_pass is not None:
                sentence += f": about {duration(max(1, channels * seconds_a_pass))} here"
        elif self.cost is Cost.PICTURE:
            sentence = (
                "One pass and, for large pictures, some seconds: one map of the whole network, "
                "whichever layer is chosen"
            )
        else:
            sentence = "One pass serves all layers"
        return sentence + ("; drawn by the grad-cam library." if self.library else ".")


METHODS: Registry[Method] = Registry(
    "explanation method",
    filled_by=("lab.explain.grad_cam", "lab.explain.library_methods"),
)


@dataclass(frozen=True, eq=False)
class Cams:
    """The maps of N images in one layer."""

    layer: str
    method: str
    maps: Tensor
    """(N, h, w) float32 on the CPU, raw, never negative, at the layer's own resolution."""
    influence: Tensor
    """(N,) float32: sum of |activation x gradient| over the layer."""
    scores: Tensor
    """(N,) float32: the logit of the class that the map speaks for."""

    @property
    def meaningful(self) -> Tensor:
        """(N,) bool: whether the class score depends on this layer, and the map is not empty."""
        enough = self.influence > NEGLIGIBLE * self.scores.abs().clamp(min=1)
        return enough & (self.maps.amax((1, 2)) > 0)

    def first(self) -> ActivationMap:
        """The map of the first image."""
        return ActivationMap(
            layer=self.layer,
            values=self.maps[0].numpy(),
            meaningful=bool(self.meaningful[0]),
            score=float(self.scores[0]),
            influence=float(self.influence[0]),
        )


@dataclass(frozen=True, eq=False)
class ActivationMap:
    """The map of one image in one layer; plain values, fit to be kept by a job."""

    layer: str
    values: npt.NDArray[np.float32]
    """(h, w) raw, never negative."""
    meaningful: bool
    score: float
    """The logit of the class that is explained."""
    influence: float
    """Sum of |activation x gradient| over the layer."""


def class_activation_maps(
    network: StagedNet,
    images: Tensor,
    *,
    targets: Sequence[int] | Tensor | None = None,
    layers: Sequence[str],
    method: str = "grad-cam",
    progress: Report = silent,
    cancel: Cancel = never,
) -> tuple[dict[str, Cams], Tensor]:
    """Maps of `images` (N, C, H, W) normalised for class `targets` (N,), and the logits (N, K).

    Without `targets` each image's own predicted class is explained. `layers` are names of layers
    with places (see `lab.explain.layers`); a method of the whole network gives the same map of
    (H, W) for each. The network's parameters, their gradients, its mode and its hooks are as before
    afterwards, also after an error. One thread at a time a network.

    An image that the network meets with values that are no numbers (its training diverged) gets a
    map of zeros that is not meaningful; its logits tell (see `require_numbers`). Raises
    NotFoundError for an unknown method or layer, ConfigError for a layer without places or a method
    that this network does not allow, Cancelled between two passes of a method that makes several.
    """
    spec = METHODS.get(method)
    layers = list(dict.fromkeys(layers))
    # Also inside somebody's inference mode, in which nothing can be differentiated.
    with torch.inference_mode(False), torch.enable_grad(), captured(network, layers) as outputs:
        # Gradients flow from the score to the activations and no further; an input that wants one
        # makes that possible in a network whose parameters do not.
        images = images.detach().clone()
        logits = network(images.clone().requires_grad_())
        classes = target_classes(logits, targets)
        scores = class_scores(logits, classes)
        explained = scores if spec.score is None else spec.score(logits, classes)
        wanted = [_with_places(outputs, name) for name in layers]
        # The sum: images do not meet in eval mode, so each gets the gradient of its own score.
        gradients = (
            torch.autograd.grad(explained.sum(), wanted, allow_unused=True) if wanted else ()
        )
    cams: dict[str, Cams] = {}
    for name, activation, gradient in zip(layers, wanted, gradients, strict=True):
        a, g, sound = _sound(activation, gradient)
        if spec.formula is not None:
            maps = spec.formula(a, g)
        elif spec.cost is Cost.PICTURE and cams:
            maps = next(iter(cams.values())).maps
        else:
            assert spec.draw is not None
            request = MapRequest(network, images, classes, name, a, progress, cancel)
            with torch.inference_mode(False), captured(network, []):
                maps = torch.where(sound[:, 0].cpu(), spec.draw(request).cpu(), 0)
        cams[name] = Cams(
            layer=name,
            method=method,
            maps=maps.clamp(min=0).float().cpu(),
            influence=(a * g).abs().sum((1, 2, 3)).float().cpu(),
            scores=scores.detach().float().cpu(),
        )
    return cams, logits.detach().float().cpu()


FORMULAS = ("hirescam", "layercam", "grad-cam++", "grad-cam")
"""Methods that ask about the class and are a formula over activations and gradients of its logit:
one pass serves all of them in all layers. Those first that find evidence where others cancel out.
"""


def formula_maps(
    network: StagedNet, images: Tensor, *, targets: Tensor, layers: Sequence[str]
) -> dict[tuple[str, str], Cams]:
    """Maps of `images` (N, C, H, W) by (layer, method), for all FORMULAS in one pass; each as
    `class_activation_maps` draws it, whose promises hold here too."""
    with torch.inference_mode(False), torch.enable_grad(), captured(network, layers) as outputs:
        logits = network(images.detach().clone().requires_grad_())
        scores = class_scores(logits, target_classes(logits, targets))
        wanted = [_with_places(outputs, name) for name in layers]
        gradients = torch.autograd.grad(scores.sum(), wanted, allow_unused=True)
    cams = {}
    for name, activation, gradient in zip(layers, wanted, gradients, strict=True):
        a, g, _ = _sound(activation, gradient)
        influence = (a * g).abs().sum((1, 2, 3)).float().cpu()
        for method in FORMULAS:
            formula = METHODS.get(method).formula
            assert formula is not None
            maps = formula(a, g).clamp(min=0).float().cpu()
            cams[name, method] = Cams(name, method, maps, influence, scores.detach().float().cpu())
    return cams


def _sound(activation: Tensor, gradient: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
    """A layer's activations and gradients (N, C, h, w), zeros for images of which one of them is no
    number; and for which it is (N, 1, 1, 1)."""
    # In float32, or in double for a network that is.
    a = activation.detach().to(torch.promote_types(activation.dtype, torch.float32))
    g = torch.zeros_like(a) if gradient is None else gradient.to(a.dtype)
    sound = (torch.isfinite(a) & torch.isfinite(g)).flatten(1).all(1).view(-1, 1, 1, 1)
    return torch.where(sound, a, 0), torch.where(sound, g, 0), sound


def target_classes(logits: Tensor, targets: Sequence[int] | Tensor | None) -> Tensor:
    """(N, K) -> (N,) int64 each image's target class, or its predicted one without targets.

    Raises ValueError when the targets do not fit.
    """
    if targets is None:
        return logits.detach().argmax(1)
    chosen = torch.as_tensor(targets, dtype=torch.int64, device=logits.device)
    count, classes = logits.shape
    if chosen.shape != (count,) or not ((chosen >= 0) & (chosen < classes)).all():
        raise ValueError(
            f"targets are {chosen.tolist()}; wanted is a class from 0 to {classes - 1} for each "
            f"of {count} images"
        )
    return chosen


def class_scores(logits: Tensor, classes: Tensor) -> Tensor:
    """(N, K), (N,) -> (N,) the logit of each image's class."""
    return logits.gather(1, classes.view(-1, 1)).squeeze(1)


def require_numbers(logits: Tensor) -> None:
    """Raises DivergedError when a logit is infinite or no number at all."""
    if not torch.isfinite(logits).all():
        raise DivergedError(
            "This network's answers are not numbers (its training diverged), so there is nothing "
            "to explain. Choose an earlier checkpoint or another run."
        )


def _with_places(outputs: Mapping[str, Tensor], name: str) -> Tensor:
    if name not in outputs:
        raise NotFoundError(f"Layer {name!r} is not used in the forward pass; choose another one.")
    output = outputs[name]
    if output.ndim != 4:
        raise ConfigError(
            f"Layer {name!r} puts out {' × '.join(map(str, output.shape[1:]))} numbers without "
            "places, so Grad-CAM cannot point at any. Choose a layer with a height and a width."
        )
    return output


def enlarge(maps: Tensor, size: tuple[int, int]) -> Tensor:
    """(N, h, w) -> (N, *size), bilinear, as the grad-cam library and OpenCV do."""
    return torch.nn.functional.interpolate(
        maps.unsqueeze(1), size=size, mode="bilinear", align_corners=False
    ).squeeze(1)


def _method(name: str, title: str, story: str, source: str) -> Callable[[Formula], Formula]:
    def register(formula: Formula) -> Formula:
        METHODS.add(name, Method(name, title, story, source, formula))
        return formula

    return register


@_method(
    "grad-cam",
    "Grad-CAM",
    "Each channel counts by its average gradient.",
    "Selvaraju et al. 2017, arXiv:1610.02391",
)
def _grad_cam(a: Tensor, g: Tensor) -> Tensor:
    return (g.mean((2, 3), keepdim=True) * a).sum(1)


@_method(
    "grad-cam++",
    "Grad-CAM++",
    "Weights positive gradients by place, so that several objects of a class all show.",
    "Chattopadhay et al. 2018, arXiv:1710.11063",
)
def _grad_cam_plus_plus(a: Tensor, g: Tensor) -> Tensor:
    squared, cubed = g**2, g**3
    total = a.sum((2, 3), keepdim=True)
    alpha = squared / (2 * squared + total * cubed + 1e-6)
    # Only where the gradient is positive, which is also where alpha cannot be infinite unless the
    # layer's activations are negative.
    weighted = torch.where(g > 0, g * alpha, 0)
    return (weighted.sum((2, 3), keepdim=True) * a).sum(1)


@_method(
    "layercam",
    "LayerCAM",
    "Each place of each channel counts by its own positive gradient; sharp in early layers too.",
    "Jiang et al. 2021, doi:10.1109/TIP.2021.3089943",
)
def _layer_cam(a: Tensor, g: Tensor) -> Tensor:
    return (g.clamp(min=0) * a).sum(1)


@_method(
    "hirescam",
    "HiResCAM",
    "Activation times gradient, place by place: exactly what the layer adds to the score when "
    "only a linear layer follows.",
    "Draelos and Carin 2020, arXiv:2011.08891",
)
def _hires_cam(a: Tensor, g: Tensor) -> Tensor:
    return (g * a).sum(1)


@_method(
    "eigen-cam",
    "Eigen-CAM",
    "The strongest common pattern of the layer. It does not look at the class at all.",
    "Muhammad and Yeasin 2020, arXiv:2008.00299",
)
def _eigen_cam(a: Tensor, g: Tensor) -> Tensor:
    n, c, h, w = a.shape
    flat = a.permute(0, 2, 3, 1).reshape(n, h * w, c)
    flat = flat - flat.mean(1, keepdim=True)
    # Double precision: the library computes it so, and close singular values need it.
    _, _, v = torch.linalg.svd(flat.double(), full_matrices=False)
    first = (flat.double() @ v[:, 0, :, None]).squeeze(2)
    # A singular vector's sign is arbitrary: let the map be high where the layer is active.
    activity = flat.double().mean(2)
    sign = torch.where((first * activity).sum(1, keepdim=True) < 0, -1.0, 1.0)
    oriented: Tensor = (first * sign).float()
    return oriented.reshape(n, h, w)


@_method(
    "eigen-grad-cam",
    "Eigen-Grad-CAM",
    "The strongest common pattern of activation times gradient: Eigen-CAM, made to look at the "
    "class.",
    "Gildenblat and contributors, pytorch-grad-cam, after arXiv:2008.00299",
)
def _eigen_grad_cam(a: Tensor, g: Tensor) -> Tensor:
    # Not the library's: that leaves the sign open, so the map may be turned over, and makes a
    # square matrix over all places, 630 MB of them in a layer of 112 x 112.
    return _eigen_cam(a * g, g)
