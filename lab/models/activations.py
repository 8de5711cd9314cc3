"""The activation functions, and how a network's own one is replaced by another."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import nn

from lab.registry import Registry


@dataclass(frozen=True)
class ActivationSpec:
    """One activation function and what a network must know about it."""

    name: str
    title: str
    story: str
    make: Callable[[], nn.Module]
    monotone: bool
    """Never falls as its input rises. Then max-pooling before it gives exactly what max-pooling
    after it gives."""
    rectifier: bool
    """Of the ReLU family: weights are initialised by Kaiming's rule, for the others by Xavier's."""
    """False for those that only come with a library's networks."""


ACTIVATIONS: Registry[ActivationSpec] = Registry("activation")

for _spec in (
    ActivationSpec(
        "sigmoid",
        "Sigmoid",
        (
            "Squeezes everything into 0 to 1. Its slope is at most a quarter, so deep nets starve"
            " of gradient."
        ),
        nn.Sigmoid,
        monotone=True,
        rectifier=False,
    ),
    ActivationSpec(
        "tanh",
        "Tanh",
        "Squeezes into -1 to 1, centred on zero. Steeper than sigmoid, still flat at both ends.",
        nn.Tanh,
        monotone=True,
        rectifier=False,
    ),
    ActivationSpec(
        "relu",
        "ReLU",
        (
            "Zero below zero, the input itself above. Fast and keeps gradients; a unit can die at"
            " zero."
        ),
        nn.ReLU,
        monotone=True,
        rectifier=True,
    ),
    ActivationSpec(
        "leaky_relu",
        "Leaky ReLU",
        "ReLU with a slight slope below zero, so that no unit dies.",
        nn.LeakyReLU,
        monotone=True,
        rectifier=True,
    ),
    ActivationSpec(
        "elu",
        "ELU",
        "Like ReLU above zero; below, it bends smoothly towards -1.",
        nn.ELU,
        monotone=True,
        rectifier=True,
    ),
    ActivationSpec(
        "gelu",
        "GELU",
        "A smooth ReLU with a small dip below zero. The activation of transformers and ConvNeXt.",
        nn.GELU,
        monotone=False,
        rectifier=True,
    ),
    ActivationSpec(
        "silu",
        "SiLU (swish)",
        (
            "The input times its own sigmoid: smooth, with a small dip below zero. EfficientNet's"
            " activation."
        ),
        nn.SiLU,
        monotone=False,
        rectifier=True,
    ),
    ActivationSpec(
        "relu6",
        "ReLU6",
        (
            "ReLU cut off at 6, which suits the low-precision arithmetic of phones. MobileNetV2's"
            " activation."
        ),
        nn.ReLU6,
        monotone=True,
        rectifier=True,
    ),
    ActivationSpec(
        "hardswish",
        "Hard swish",
        "SiLU drawn with straight lines, cheap to compute. MobileNetV3's, beside ReLU.",
        nn.Hardswish,
        monotone=False,
        rectifier=True,
    ),
):
    ACTIVATIONS.add(_spec.name, _spec)

REPLACED = (nn.ReLU, nn.ReLU6, nn.SiLU, nn.Hardswish, nn.GELU)
"""What torchvision's networks put between layers. Not Sigmoid and Hardsigmoid, which are gates
there."""


def replace_activations(net: nn.Module, name: str) -> int:
    """Replace every activation between layers, in place, by the one called `name`.

    Returns how many were replaced.

    The gate of a squeeze-and-excitation block (torchvision calls it `scale_activation`) stays: it
    must give a share between 0 and 1 to work as a gate at all. Only modules are seen, so a network
    must not call an activation as a function. Raises NotFoundError for an unknown name.
    """
    make = ACTIVATIONS.get(name).make
    count = 0
    for parent in list(net.modules()):
        for child_name, child in list(parent.named_children()):
            if isinstance(child, REPLACED) and child_name != "scale_activation":
                setattr(parent, child_name, make())
                count += 1
    return count
