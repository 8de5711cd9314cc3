"""Input-gradient saliency: which pixels would change the class score fastest.

For networks of which no stage puts out places that Grad-CAM could point at, such as perceptrons.
Simonyan, Vedaldi and Zisserman 2013, "Deep Inside Convolutional Networks", arXiv:1312.6034.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from lab.explain.grad_cam import Cams, class_scores, target_classes
from lab.explain.layers import captured
from lab.models.staged import StagedNet

SALIENCY = "saliency"
INPUT = "input"

WHY_SALIENCY = (
    "No stage of this network puts out places for Grad-CAM to look at. Instead: the gradient of "
    "the class score with respect to each pixel (input-gradient saliency, Simonyan et al. 2013, "
    "arXiv:1312.6034). Bright pixels are those where a small change would "
    "move the score most; that is not the same as pixels that speak for the class, and the picture "
    "is noisy by nature."
)


def input_saliency(
    network: StagedNet, images: Tensor, *, targets: Sequence[int] | Tensor | None = None
) -> tuple[Cams, Tensor]:
    """|d score / d pixel| of `images` (N, C, H, W) normalised, the largest of the colour channels:
    maps (N, H, W); and the logits (N, K).

    Without `targets` for each image's own predicted class. Leaves no trace on the network; what is
    no number becomes a map of zeros that is not meaningful: both like `class_activation_maps`.
    """
    with torch.inference_mode(False), torch.enable_grad(), captured(network, []):
        images = images.detach().clone().requires_grad_()
        logits = network(images)
        scores = class_scores(logits, target_classes(logits, targets))
        (gradient,) = torch.autograd.grad(scores.sum(), [images])
    gradient = gradient.float()
    sound = torch.isfinite(gradient).flatten(1).all(1).view(-1, 1, 1, 1)
    gradient = torch.where(sound, gradient, 0)
    cams = Cams(
        layer=INPUT,
        method=SALIENCY,
        maps=gradient.abs().amax(1).cpu(),
        # Not times the pixels: a black picture can be changed as well.
        influence=gradient.abs().sum((1, 2, 3)).cpu(),
        scores=scores.detach().float().cpu(),
    )
    return cams, logits.detach().float().cpu()
