"""A dozen more of timm's networks, as data, and any other by its name: "timm:NAME".

One builder makes them all. Their stages come from `lab.models.timm_stages`, their weights from
Hugging Face's hub, loaded by timm's own code, which also fits position embeddings to the image size
and raises where a tensor is missing.
"""

from __future__ import annotations

import math
from functools import partial
from typing import Any, NamedTuple

from torch import nn

from lab.errors import NotFoundError, unknown_name
from lab.models.architecture import ARCHITECTURES, TIMM, ArchitectureSpec, NetworkSettings
from lab.models.dropout import Dropout, replace_dropouts
from lab.models.staged import HEAD, StagedNet
from lab.models.staging import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    FromImageNetScale,
    Resized,
    chain,
    staged_net,
)
from lab.models.timm_nets import use_plain_modules
from lab.models.timm_stages import plan_of, timm_stages
from lab.models.weights import unusable
from lab.models.weights_source import HubWeights

SMALLEST = 32
"""Pixels: vision transformers then see two by two patches."""


class _Facts(NamedTuple):
    name: str
    timm: str
    """timm's name, with the tag of the weights."""
    title: str
    year: int
    story: str
    activation: str
    cam_stage: str
    megabytes: int
    licence: str = "Apache-2.0"


_DOZEN = (
    _Facts(
        "mobilenetv4_small", "mobilenetv4_conv_small.e2400_r224_in1k", "MobileNetV4-Conv-S", 2024,
        "Blocks chosen by search to be quick on every phone's processor.",
        "relu", "block5", 15,
    ),
    _Facts(
        "efficientnetv2_b0", "tf_efficientnetv2_b0.in1k", "EfficientNetV2-B0", 2021,
        "EfficientNet with plain convolutions where depthwise ones were slow to train.",
        "silu", "block6", 29,
    ),
    _Facts(
        "regnety_400mf", "regnety_004.tv2_in1k", "RegNetY-400MF", 2020,
        "Widths that follow one simple rule, found by looking at whole families of networks.",
        "relu", "stage4", 17, "BSD-3-Clause",
    ),
    _Facts(
        "repvgg_a0", "repvgg_a0.rvgg_in1k", "RepVGG-A0", 2021,
        "A VGG that learns with side branches, which can be folded into plain 3×3 convolutions.",
        "relu", "stage4", 36, "MIT",
    ),
    _Facts(
        "resnet18d", "resnet18d.ra2_in1k", "ResNet-18-D", 2018,
        "ResNet-18 with three small convolutions at its entry and gentler shrinking.",
        "relu", "layer4", 47,
    ),
    _Facts(
        "resnet50_a1", "resnet50.a1_in1k", "ResNet-50 (A1)", 2021,
        "The very ResNet-50, its weights learned anew by a modern recipe: 80.2 in place of 76.1% "
        "on ImageNet.",
        "relu", "layer4", 102,
    ),
    _Facts(
        "convnext_atto", "convnext_atto.d2_in1k", "ConvNeXt-Atto", 2022,
        "A convolutional network with the habits of a transformer, in its smallest size.",
        "gelu", "stage4", 15,
    ),
    _Facts(
        "edgenext_xx_small", "edgenext_xx_small.in1k", "EdgeNeXt-XXS", 2022,
        "Convolutions near by, attention far away: 1.3 million weights.",
        "gelu", "stage4", 5, "MIT",
    ),
    _Facts(
        "swin_tiny", "swin_tiny_patch4_window7_224.ms_in1k", "Swin-T", 2021,
        "Attention within windows that shift from layer to layer; maps shrink as in a CNN.",
        "gelu", "norm", 113, "MIT",
    ),
    _Facts(
        "vit_tiny", "vit_tiny_patch16_224.augreg_in21k_ft_in1k", "ViT-Ti/16", 2020,
        "A vision transformer: the picture as a sequence of 16×16 patches, each of which looks at "
        "all others.",
        "gelu", "block11", 23,
    ),
    _Facts(
        "vit_small", "vit_small_patch16_224.augreg_in21k_ft_in1k", "ViT-S/16", 2020,
        "The vision transformer of the size of a ResNet-50.",
        "gelu", "block11", 88,
    ),
    _Facts(
        "dinov2_small", "vit_small_patch14_reg4_dinov2.lvd142m", "DINOv2 ViT-S/14", 2023,
        "A vision transformer that learned from 142 million pictures without any label. Four extra "
        "tokens, registers, keep its maps clean.",
        "gelu", "block11", 88,
    ),
)  # fmt: skip


def timm_name(architecture: str) -> str:
    """Returns timm's own name of one of these networks."""
    known = {facts.name: facts.timm for facts in _DOZEN}
    return known.get(architecture, architecture.removeprefix(TIMM))


def _build(settings: NetworkSettings, timm_name: str) -> StagedNet:
    import timm

    plan = plan_of(timm_name)
    size: dict[str, Any] = {}
    if plan.step:
        size["img_size"] = math.ceil(settings.image_size / plan.step) * plan.step
    create = partial(timm.create_model, timm_name, **size)
    net: Any
    if settings.pretrained is None:
        net = create(num_classes=settings.classes)
    else:
        # With as many classes as the weights have, so that nothing may be missing.
        tensors = {"state_dict": dict(settings.pretrained.tensors)}
        try:
            net = create(pretrained=True, pretrained_cfg_overlay=tensors, num_classes=plan.classes)
        except (RuntimeError, KeyError) as error:
            raise unusable(
                settings.pretrained.file, settings.spec, "its layers are others"
            ) from error
        net.pretrained_cfg = net.default_cfg = {}  # it keeps the tensors alive
        net.reset_classifier(settings.classes)
    use_plain_modules(net)
    # By the knob only what stands before the classifier: it does not belong into attention.
    replace_dropouts(net, None)
    entry: dict[str, nn.Module] = {}
    if settings.config.pretrained and (plan.mean, plan.std) != (IMAGENET_MEAN, IMAGENET_STD):
        entry["rescale"] = FromImageNetScale(plan.mean, plan.std)
    if size and size["img_size"] != settings.image_size:
        entry["resize"] = Resized(size["img_size"])
    stages = timm_stages(net, timm_name, entry)
    *pooling, (name, classifier) = stages[HEAD].named_children()
    classifier.reset_parameters()  # type: ignore[operator]  # by PyTorch's rule
    dropout = ("dropout", Dropout(settings.dropout(0.0)))
    return staged_net(
        settings, {**stages, HEAD: chain(dict([*pooling, dropout, (name, classifier)]))}
    )


def _named(name: str) -> ArchitectureSpec:
    """The architecture which timm has under the name behind "timm:". Raises NotFoundError."""
    import timm

    known = timm.list_models()
    own = name.removeprefix(TIMM)
    architecture, _, tag = own.partition(".")
    if not name.startswith(TIMM) or architecture not in known:
        raise NotFoundError(unknown_name("timm network", own, known).partition(" There are: ")[0])
    tags = timm.list_pretrained(f"{architecture}.*")
    if tag and own not in tags:
        raise NotFoundError(unknown_name("timm network", own, [architecture, *tags]))
    plan = plan_of(own)
    config = timm.get_pretrained_cfg(own)
    weights = None
    if config is not None and config.hf_hub_id and not config.hf_hub_filename:
        weights = HubWeights(config.hf_hub_id, config.license or "")
    return ArchitectureSpec(
        name=name,
        title=own,
        family="timm",
        year=0,  # timm does not say
        story="One of timm's networks, chosen by name.",
        native_activation=plan.activation,
        min_image_size=SMALLEST,
        build=partial(_build, timm_name=own),
        weights=weights,
        default_cam_stage=plan.cam_stage,
    )


for _facts in _DOZEN:
    ARCHITECTURES.add(
        _facts.name,
        ArchitectureSpec(
            name=_facts.name,
            title=_facts.title,
            family="timm",
            year=_facts.year,
            story=_facts.story,
            native_activation=_facts.activation,
            min_image_size=SMALLEST,
            build=partial(_build, timm_name=_facts.timm),
            weights=HubWeights(f"timm/{_facts.timm}", _facts.licence, _facts.megabytes),
            default_cam_stage=_facts.cam_stage,
        ),
    )
ARCHITECTURES.make_names_with(TIMM, _named)
