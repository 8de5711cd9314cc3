"""Class activation maps: which places of a layer speak for a class.

Every method is a formula over the layer's activations A (N, C, h, w) and the gradient G of the
class score (the logit) with respect to them. So one forward and one backward pass serve any number
of layers, images and methods, and the maps stay raw: not scaled, not enlarged. (The grad-cam
library makes a pass a layer and scales every map to 0..1, which hides that a map is next to
nothing. It is the oracle of our tests, with captum's LayerGradCam.)

To add a method, write its formula and register it in METHODS.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from lab.errors import ConfigError, DivergedError, NotFoundError
from lab.explain.layers import captured
from lab.models.staged import StagedNet
from lab.registry import Registry

Formula = Callable[[Tensor, Tensor], Tensor]
"""activations, gradients (N, C, h, w) -> maps (N, h, w), before negative values are cut off."""

NEGLIGIBLE = 1e-6
"""A layer whose activations times gradients add up to less than this share of the class score (or
of 1, if that is larger) says nothing about the class."""


@dataclass(frozen=True)
class Method:
    """One way of turning activations and gradients into a map."""

    name: str
    title: str
    story: str
    """One line for a learner."""
    source: str
    formula: Formula


METHODS: Registry[Method] = Registry("explanation method")


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


def class_activation_maps(
    network: StagedNet,
    images: Tensor,
    *,
    targets: Sequence[int] | Tensor | None = None,
    layers: Sequence[str],
    method: str = "grad-cam",
) -> tuple[dict[str, Cams], Tensor]:
    """Maps of `images` (N, C, H, W) normalised for class `targets` (N,), and the logits (N, K).

    Without `targets` each image's own predicted class is explained. `layers` are names of layers
    with places (see `lab.explain.layers`). The network's parameters, their gradients, its mode and
    its hooks are as before afterwards, also after an error. One thread at a time a network.

    An image that the network meets with values that are no numbers (its training diverged) gets a
    map of zeros that is not meaningful; its logits tell (see `require_numbers`). Raises
    NotFoundError for an unknown method or layer, ConfigError for a layer without places.
    """
    formula = METHODS.get(method).formula
    layers = list(dict.fromkeys(layers))
    # Also inside somebody's inference mode, in which nothing can be differentiated.
    with torch.inference_mode(False), torch.enable_grad(), captured(network, layers) as outputs:
        # Gradients flow from the score to the activations and no further; an input that wants one
        # makes that possible in a network whose parameters do not.
        logits = network(images.detach().clone().requires_grad_())
        scores = class_scores(logits, targets)
        wanted = [_with_places(outputs, name) for name in layers]
        # The sum: images do not meet in eval mode, so each gets the gradient of its own score.
        gradients = torch.autograd.grad(scores.sum(), wanted, allow_unused=True) if wanted else ()
    found = {}
    for name, activation, gradient in zip(layers, wanted, gradients, strict=True):
        # In float32, or in double for a network that is.
        a = activation.detach().to(torch.promote_types(activation.dtype, torch.float32))
        g = torch.zeros_like(a) if gradient is None else gradient.to(a.dtype)
        sound = (torch.isfinite(a) & torch.isfinite(g)).flatten(1).all(1).view(-1, 1, 1, 1)
        a, g = torch.where(sound, a, 0), torch.where(sound, g, 0)
        found[name] = Cams(
            layer=name,
            method=method,
            maps=formula(a, g).clamp(min=0).float().cpu(),
            influence=(a * g).abs().sum((1, 2, 3)).float().cpu(),
            scores=scores.detach().float().cpu(),
        )
    return found, logits.detach().float().cpu()


def class_scores(logits: Tensor, targets: Sequence[int] | Tensor | None) -> Tensor:
    """(N, K) -> (N,) the logit of each image's target class, or of its predicted one.

    Raises ValueError when the targets do not fit.
    """
    if targets is None:
        chosen = logits.detach().argmax(1)
    else:
        chosen = torch.as_tensor(targets, dtype=torch.int64, device=logits.device)
    count, classes = logits.shape
    if chosen.shape != (count,) or not ((chosen >= 0) & (chosen < classes)).all():
        raise ValueError(
            f"targets are {chosen.tolist()}; wanted is a class from 0 to {classes - 1} for each "
            f"of {count} images"
        )
    return logits.gather(1, chosen.view(-1, 1)).squeeze(1)


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
