"""Vision transformers explained: Grad-CAM on the patches, attention rollout."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from pytorch_grad_cam import GradCAM, HiResCAM
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
from torch import Tensor, nn

from lab.errors import ConfigError
from lab.explain.attention import attention_blocks, rollout
from lab.explain.feature_maps import feature_maps
from lab.explain.grad_cam import METHODS, class_activation_maps
from lab.explain.layers import captured, inspectable_layers, list_layers
from lab.explain.trust import trust_test
from lab.models.staged import StagedNet
from lab.models.tokens import TokenStage
from tests.explain.networks import random_images, random_network

SIZE = 64  # four by four patches
VIT = "timm:test_vit"
REGISTERS = "dinov2_small"


@pytest.fixture(scope="module")
def vit() -> StagedNet:
    return random_network(VIT, size=SIZE)


@pytest.fixture(scope="module")
def images() -> Tensor:
    return random_images(2, channels=3, size=SIZE)


def test_stages_give_maps_of_the_patches(vit: StagedNet, images: Tensor) -> None:
    layers = list_layers(vit, channels=3, image_size=SIZE)
    shapes = {layer.name: layer.shape for layer in layers if layer.tokens}
    assert set(shapes) == set(vit.stage_names) - {"head"}
    assert set(shapes.values()) == {(64, 4, 4)}
    with captured(vit, ["block2"]) as outputs, torch.no_grad():
        logits = vit(images)
        tokens = vit.run(images, last="block2")
        assert torch.equal(vit(images), logits)
    # The first token is the class token; the patch in row 1, column 2 is the seventh behind it.
    assert torch.equal(outputs["block2"][:, :, 1, 2], tokens[:, 1 + 4 + 2])
    whole = inspectable_layers(vit, channels=3, image_size=SIZE, default_stage="block5")
    assert whole.stages[-1] == "block6"
    assert "patch_embed" in whole.layers[0].name  # the convolution, which has filters to show


def reshape_transform(tensor: Tensor) -> Tensor:
    """As in the grad-cam library's documentation of vision transformers."""
    result = tensor[:, 1:, :].reshape(tensor.size(0), 4, 4, tensor.size(2))
    return result.transpose(2, 3).transpose(1, 2)


@pytest.mark.parametrize(("method", "cam"), [("grad-cam", GradCAM), ("hirescam", HiResCAM)])
@pytest.mark.parametrize("stage", ["stem", "block3", "block5"])
def test_maps_are_the_grad_cam_librarys(
    vit: StagedNet, images: Tensor, method: str, cam: type, stage: str
) -> None:
    found, _ = class_activation_maps(vit, images, targets=[1, 1], layers=[stage], method=method)
    library = cam(vit, [vit.stage(stage)], reshape_transform=reshape_transform)
    library(images, [ClassifierOutputTarget(1)] * 2)
    seen = library.activations_and_grads
    activations, gradients = seen.activations[0].numpy(), seen.gradients[0].numpy()
    raw = library.get_cam_image(images, None, None, activations, gradients, False)
    # Of the sum over the channels: LayerNorm makes activation times gradient cancel.
    atol = 1e-6 * abs(activations * gradients).sum(1).max()
    np.testing.assert_allclose(found[stage].maps.numpy(), raw.clip(0), rtol=0, atol=atol)
    assert found[stage].meaningful.all()


def test_the_last_block_says_nothing_to_a_class_token(vit: StagedNet, images: Tensor) -> None:
    found, _ = class_activation_maps(vit, images, layers=["block5", "block6"])
    assert found["block5"].meaningful.all()
    assert not found["block6"].meaningful.any()


def by_loop(net: StagedNet, images: Tensor, blocks: int) -> Tensor:
    """(N, T, T): rollout by its definition, from queries and keys."""
    whole = None
    with torch.no_grad():
        x = net.run(images, last="stem")
        for number in range(1, blocks + 1):
            (block, *_) = net.stage(f"block{number}").children()
            attention = block.attn  # type: ignore[union-attr]
            n, t, c = x.shape
            heads = attention.num_heads  # type: ignore[union-attr]
            qkv = attention.qkv(block.norm1(x))  # type: ignore[union-attr,operator]
            q, k, _ = qkv.reshape(n, t, 3, heads, c // heads).permute(2, 0, 3, 1, 4)
            weights = (q @ k.transpose(-1, -2) / (c // heads) ** 0.5).softmax(-1)
            mean = sum(weights[:, head] for head in range(heads)) / heads
            step = 0.5 * mean + 0.5 * torch.eye(t)
            whole = step if whole is None else torch.stack([s @ w for s, w in zip(step, whole)])  # noqa: B905
            x = block(x)
    assert whole is not None
    return whole


@pytest.mark.parametrize("blocks", [1, 3, 6])
def test_rollout_is_its_definition(vit: StagedNet, images: Tensor, blocks: int) -> None:
    found, logits = class_activation_maps(
        vit, images, layers=[f"block{blocks}"], method="attention-rollout"
    )
    expected = by_loop(vit, images, blocks)[:, 0, 1:].reshape(2, 4, 4)
    torch.testing.assert_close(found[f"block{blocks}"].maps, expected)
    assert found[f"block{blocks}"].meaningful.all()
    assert all(module.fused_attn for module in attention_blocks(vit))
    assert torch.equal(vit(images), logits.to(images))


def test_rollout_shares_add_up_to_one() -> None:
    attentions = [torch.rand(2, 3, 5, 5).softmax(-1) for _ in range(4)]
    torch.testing.assert_close(rollout(attentions).sum(2), torch.ones(2, 5))
    same = torch.eye(5).expand(2, 3, 5, 5)
    assert torch.equal(rollout([same, same]), torch.eye(5).expand(2, 5, 5))


def test_rollout_is_offered_where_there_is_attention(vit: StagedNet) -> None:
    method = METHODS.get("attention-rollout")
    cnn = random_network("simple-cnn", size=32)
    assert all(
        map(method.fits, (la for la in list_layers(vit, channels=3, image_size=64) if la.tokens))
    )
    assert not any(map(method.fits, list_layers(cnn, channels=3, image_size=32)))
    with pytest.raises(ConfigError, match="needs a vision transformer"):
        class_activation_maps(
            cnn, random_images(1, channels=3), layers=["block1"], method="attention-rollout"
        )


@pytest.mark.parametrize("method", METHODS.names())
def test_every_method_draws_maps_of_patches(vit: StagedNet, images: Tensor, method: str) -> None:
    found, _ = class_activation_maps(vit, images, layers=["block5"], method=method)
    maps = found["block5"].maps
    assert maps.shape in ((2, 4, 4), (2, SIZE, SIZE))
    assert torch.isfinite(maps).all()
    assert maps.any()


def test_other_ways_of_looking_work_too(vit: StagedNet, images: Tensor) -> None:
    shown = feature_maps(vit, images[:1], layer="block3")
    assert shown
    trust = trust_test(
        vit, images[:1], target=0, layer="block5", method="grad-cam",
        randomised=lambda seed: random_network(VIT, size=SIZE, seed=seed),
    )  # fmt: skip
    assert trust.verdict != "not_meaningful"


def test_registers_are_taken_off() -> None:
    net = random_network(REGISTERS, size=SIZE)
    stage = net.stage("stem")
    assert isinstance(stage, TokenStage)
    assert stage.placeless > 0
    x = random_images(1, channels=3, size=SIZE)
    tokens = net.run(x, last="stem")
    maps = stage.maps(tokens)
    assert maps.shape[2] * maps.shape[3] + stage.placeless == tokens.shape[1]
    assert torch.equal(stage.with_maps(tokens, maps), tokens)
    changed = stage.with_maps(tokens, maps + 1)
    assert torch.equal(changed[:, : stage.placeless], tokens[:, : stage.placeless])
    assert torch.equal(changed[:, stage.placeless :], tokens[:, stage.placeless :] + 1)


def test_no_random_layer_is_left_to_the_process(vit: StagedNet) -> None:
    assert not any(type(module) is nn.Dropout for module in vit.modules())
