"""Our maps against the grad-cam library and captum, which know nothing of each other."""

from __future__ import annotations

import copy
import gc
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from lab.errors import ConfigError, DivergedError, NotFoundError
from lab.explain.grad_cam import (
    METHODS,
    Cost,
    Method,
    _grad_cam_plus_plus,
    class_activation_maps,
    enlarge,
    require_numbers,
)
from lab.explain.layers import list_layers
from lab.models.architecture import ARCHITECTURES
from lab.models.staged import StagedNet
from tests.explain.networks import (
    SIZE,
    bars,
    random_images,
    random_network,
    trained_network,
)
from tests.explain.test_layers import state_of

TOLERANCE = 1e-4
LAYERS = {
    "trained": ("block1.conv", "block1", "block2.conv", "block2", "block3.conv", "block3"),
    "resnet18": ("layer1", "layer1.0.conv1", "layer2.0.conv2", "layer3", "layer4"),
}


@pytest.fixture(scope="module")
def networks() -> dict[str, tuple[StagedNet, Tensor]]:
    return {
        "trained": (trained_network(), bars(4, seed=7)[0]),
        "resnet18": (random_network("resnet18", size=64), random_images(3, channels=3, size=64)),
    }


@pytest.fixture(params=list(LAYERS))
def case(
    request: pytest.FixtureRequest, networks: dict[str, tuple[StagedNet, Tensor]]
) -> tuple[StagedNet, Tensor, tuple[str, ...]]:
    network, images = networks[request.param]
    return network, images, LAYERS[request.param]


def module_of(network: StagedNet, layer: str) -> nn.Module:
    stage, _, path = layer.partition(".")
    return network.stage(stage).get_submodule(path)


def library_class(method: str) -> Any:
    import pytorch_grad_cam as library

    return {
        "grad-cam": library.GradCAM,
        "grad-cam++": library.GradCAMPlusPlus,
        "layercam": library.LayerCAM,
        "hirescam": library.HiResCAM,
        "eigen-cam": library.EigenCAM,
        "eigen-grad-cam": library.EigenGradCAM,
    }[method]


class Library:
    """The library called directly: its raw maps of one layer, and its finished ones."""

    def __init__(
        self, network: StagedNet, images: Tensor, layer: str, method: str, targets: Sequence[int]
    ) -> None:
        from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

        kind = library_class(method)
        raw: list[np.ndarray] = []

        class Listening(kind):  # type: ignore[misc, valid-type]
            def get_cam_image(self, *given: Any) -> np.ndarray:
                found: np.ndarray = super().get_cam_image(*given)
                raw.append(found.copy())
                return found

        with Listening(model=network, target_layers=[module_of(network, layer)]) as cam:
            self.finished = cam(
                input_tensor=images, targets=[ClassifierOutputTarget(t) for t in targets]
            )
        network.zero_grad()
        self.raw = raw[0]


def finished(maps: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """What the library does with a raw map: scale to 0..1, enlarge, scale again."""
    scaled = _unit(maps)
    return _unit(enlarge(torch.from_numpy(scaled), size).numpy())


def _unit(maps: np.ndarray) -> np.ndarray:
    maps = maps - maps.min((1, 2), keepdims=True)
    share: np.ndarray = maps / (1e-7 + maps.max((1, 2), keepdims=True))
    return share


OURS = ("grad-cam", "grad-cam++", "layercam", "hirescam", "eigen-cam", "eigen-grad-cam")


def test_each_method_says_what_it_is_and_what_it_costs() -> None:
    assert METHODS.names() == (
        *OURS,
        "attention-rollout",
        "xgrad-cam",
        "grad-cam-elementwise",
        "finer-cam",
        "fem",
        "fullgrad",
        "score-cam",
        "ablation-cam",
    )
    for method in METHODS:
        assert method.story.endswith(".")
        assert method.source
        assert method.library == (method.name not in (*OURS, "attention-rollout"))
        assert method.cost_sentence(7).endswith(".")
    score_cam = METHODS.get("score-cam")
    assert score_cam.passes(1280) == 1280
    assert score_cam.cost_sentence(1280, 0.05) == (
        "Runs the network once for each of the 1,280 channels of this layer: about 1 min 04 s "
        "here; drawn by the grad-cam library."
    )
    assert METHODS.get("grad-cam").passes(1280) == 1
    for given in ({}, {"formula": lambda a, g: a.sum(1), "draw": lambda request: request.images}):
        with pytest.raises(ValueError, match="either a formula or its own way to draw"):
            Method("toy", "Toy", "Nothing.", "nowhere", **given)  # type: ignore[arg-type]


@pytest.mark.parametrize("method", OURS)
def test_maps_equal_the_librarys(
    case: tuple[StagedNet, Tensor, tuple[str, ...]], method: str
) -> None:
    network, images, layers = case
    # In double precision: where gradients are near its epsilon, Grad-CAM++ squares the rounding of
    # float32 kernels, which differs with the number of threads, into the third digit.
    network, images = copy.deepcopy(network).double(), images.double()
    targets = [i % 3 for i in range(len(images))]
    found, _ = class_activation_maps(network, images, targets=targets, layers=layers, method=method)
    for layer in layers:
        library = Library(network, images, layer, method, targets)
        ours, theirs = found[layer].maps.numpy(), library.raw
        if method.startswith("eigen"):
            # The library leaves the sign open, image by image; ours is fixed.
            signs = [
                1 if np.abs(o - t.clip(0)).max() <= np.abs(o + t.clip(max=0)).max() else -1
                for o, t in zip(ours, theirs, strict=True)
            ]
            theirs = theirs * np.array(signs)[:, None, None]
            expected = finished(theirs.clip(0), images.shape[2:])
        else:
            expected = library.finished
        largest = float(np.abs(theirs).max())
        np.testing.assert_allclose(ours, theirs.clip(0), atol=TOLERANCE * max(largest, 1), rtol=0)
        np.testing.assert_allclose(ours / largest, theirs.clip(0) / largest, atol=TOLERANCE, rtol=0)
        np.testing.assert_allclose(
            finished(ours, images.shape[2:]), expected, atol=TOLERANCE, rtol=0
        )


def test_grad_cam_equals_captums(case: tuple[StagedNet, Tensor, tuple[str, ...]]) -> None:
    from captum.attr import LayerGradCam

    network, images, layers = case
    targets = torch.arange(len(images)) % 3
    found, logits = class_activation_maps(network, images, targets=targets, layers=layers)
    for layer in layers:
        theirs = LayerGradCam(network, module_of(network, layer)).attribute(
            images, target=targets, relu_attributions=True
        )
        np.testing.assert_allclose(
            found[layer].maps.numpy(), theirs[:, 0].detach().numpy(), atol=TOLERANCE, rtol=0
        )
    torch.testing.assert_close(logits, network(images).detach(), atol=1e-5, rtol=0)
    network.zero_grad()


def test_eigen_cam_is_high_where_the_layer_is_active(
    networks: dict[str, tuple[StagedNet, Tensor]],
) -> None:
    network, images = networks["trained"]
    found, _ = class_activation_maps(network, images, layers=["block3"], method="eigen-cam")
    with torch.no_grad():
        activity = network.run(images, last="block3").mean(1)
    for one, active in zip(found["block3"].maps, activity, strict=True):
        assert np.corrcoef(one.flatten(), active.flatten())[0, 1] > 0


def test_one_pass_serves_all_layers_and_images(
    case: tuple[StagedNet, Tensor, tuple[str, ...]],
) -> None:
    """Together they are what they are alone: images do not meet, hooks do not disturb each
    other."""
    network, images, layers = case
    together, logits = class_activation_maps(network, images, layers=layers)
    predicted = logits.argmax(1)
    for layer in layers:
        for i in range(len(images)):
            alone, _ = class_activation_maps(
                network, images[i : i + 1], targets=predicted[i : i + 1], layers=[layer]
            )
            torch.testing.assert_close(
                together[layer].maps[i], alone[layer].maps[0], atol=1e-5, rtol=1e-3
            )
        torch.testing.assert_close(together[layer].scores, logits.amax(1))


def test_the_same_map_whatever_mode_the_caller_is_in(
    networks: dict[str, tuple[StagedNet, Tensor]],
) -> None:
    network, images = networks["trained"]
    expected, _ = class_activation_maps(network, images, layers=["block2"])
    with torch.no_grad():
        found, _ = class_activation_maps(network, images, layers=["block2"])
    torch.testing.assert_close(found["block2"].maps, expected["block2"].maps)
    with torch.inference_mode():
        found, _ = class_activation_maps(network, images * 1, layers=["block2"])
    torch.testing.assert_close(found["block2"].maps, expected["block2"].maps)
    network.requires_grad_(False)
    try:
        found, _ = class_activation_maps(network, images, layers=["block2"])
    finally:
        network.requires_grad_(True)
    torch.testing.assert_close(found["block2"].maps, expected["block2"].maps)


@pytest.mark.parametrize("method", [*OURS, "fullgrad"])  # the library's formulas see no network
@pytest.mark.parametrize(
    "name", [n for n in ARCHITECTURES.names() if ARCHITECTURES.get(n).default_cam_stage]
)
def test_every_architecture_gives_maps_where_it_is_first_looked_at(name: str, method: str) -> None:
    network = _built(name)
    size = max(ARCHITECTURES.get(name).min_image_size, 16)
    stage = ARCHITECTURES.get(name).default_cam_stage
    assert stage is not None
    found, logits = class_activation_maps(
        network, random_images(2, channels=3, size=size), layers=[stage], method=method
    )
    cams = found[stage]
    assert logits.shape == (2, 3)
    layer = next(
        one for one in list_layers(network, channels=3, image_size=size) if one.name == stage
    )
    whole = METHODS.get(method).cost is Cost.PICTURE
    assert cams.maps.shape == (2, *((size, size) if whole else layer.shape[1:]))
    assert torch.isfinite(cams.maps).all()
    assert (cams.maps >= 0).all()
    assert torch.isfinite(cams.influence).all()


_networks: dict[str, StagedNet] = {}


def _built(name: str) -> StagedNet:
    """One at a time: the large ones take half a gigabyte."""
    if name not in _networks:
        _networks.clear()
        _networks[name] = random_network(name)
    return _networks[name]


@pytest.fixture(scope="module", autouse=True)
def _let_go() -> Iterator[None]:
    yield
    _networks.clear()
    gc.collect()


# --- what is not meaningful, and what is refused ------------------------------------------------
def test_a_score_that_does_not_depend_on_the_layer_is_not_meaningful() -> None:
    network = random_network("simple-cnn", channels=1, size=SIZE)
    images = random_images(2)
    assert class_activation_maps(network, images, layers=["block2"])[0]["block2"].meaningful.any()
    with torch.no_grad():
        last = list(network.stage("head").modules())[-1]
        assert isinstance(last, nn.Linear)
        last.weight.zero_()  # what is left is the bias: the same answer to every image
        last.bias.copy_(torch.tensor([3.0, 0.0, 0.0]))
    found, _ = class_activation_maps(network, images, layers=["block1", "block2"])
    for cams in found.values():
        assert not cams.meaningful.any()
        assert (cams.maps == 0).all()


def test_a_map_that_is_zero_everywhere_is_not_meaningful() -> None:
    """The gradient is large, but only speaks against the class."""
    network = random_network("simple-cnn", channels=1, size=SIZE)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.abs_()
        list(network.stage("head").modules())[-1].weight.neg_()  # type: ignore[operator, union-attr]
    found, _ = class_activation_maps(network, random_images(1).abs(), layers=["block3"])
    assert found["block3"].influence[0] > 1e-3
    assert not found["block3"].meaningful[0]


def test_an_unused_layer_gets_a_zero_map() -> None:
    class Beside(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(1, 2, 3)

        def forward(self, x: Tensor) -> Tensor:
            self.conv(x)  # computed, and then thrown away
            return x

    network = StagedNet(
        {"beside": Beside(), "head": nn.Sequential(nn.Flatten(), nn.Linear(SIZE**2, 3))}
    ).eval()
    found, _ = class_activation_maps(network, random_images(1), layers=["beside.conv"])
    assert (found["beside.conv"].maps == 0).all()
    assert not found["beside.conv"].meaningful.any()


def test_grad_cam_plus_plus_stays_finite_with_negative_activations() -> None:
    """alpha's denominator can be zero there; where the gradient is not positive it must not
    matter."""
    a = torch.full((1, 1, 2, 2), -0.5)
    g = torch.tensor([[[[-1.0, 1.0], [0.0, 2.0]]]])
    assert torch.isfinite(_grad_cam_plus_plus(a, g)).all()


def test_refusals_leave_no_trace() -> None:
    network = random_network("sign-cnn", channels=1, size=16).train()
    before = state_of(network)
    images = random_images(2, size=16)
    with pytest.raises(ConfigError, match="without places"):
        class_activation_maps(network, images, layers=["block1", "dense"])
    with pytest.raises(NotFoundError, match="Did you mean 'block1'"):
        class_activation_maps(network, images, layers=["blok1"])
    with pytest.raises(NotFoundError, match="explanation method"):
        class_activation_maps(network, images, layers=["block1"], method="grad-kam")
    for targets in ([0], [0, 3], [0, -1], [[0, 1]]):
        with pytest.raises(ValueError, match="wanted is a class from 0 to 2"):
            class_activation_maps(network, images, layers=["block1"], targets=targets)  # type: ignore[arg-type]
    assert state_of(network) == before
    class_activation_maps(network, images, layers=["block1", "block1"], targets=[0, 1])
    assert state_of(network) == before
    assert class_activation_maps(network, images, layers=[])[0] == {}


@pytest.mark.parametrize("method", [method.name for method in METHODS if not method.attention])
def test_what_is_no_number_becomes_an_empty_map(method: str) -> None:
    network = random_network("simple-cnn", channels=1, size=SIZE)
    images = random_images(2)
    images[1] = float("nan")  # the other image does not suffer
    found, logits = class_activation_maps(
        network, images, targets=[0, 0], layers=["block2"], method=method
    )
    alone, _ = class_activation_maps(
        network, images[:1], targets=[0], layers=["block2"], method=method
    )
    torch.testing.assert_close(found["block2"].maps[0], alone["block2"].maps[0])
    assert not found["block2"].maps[1].any()
    assert not found["block2"].meaningful[1]
    require_numbers(logits[:1])
    with pytest.raises(DivergedError, match="not numbers"):
        require_numbers(logits)


# --- enlarging ----------------------------------------------------------------------------------
@pytest.mark.parametrize(("side", "target"), [(7, 224), (3, 28), (14, 16), (64, 32), (1, 16)])
def test_enlarging_is_opencvs_bilinear(side: int, target: int) -> None:
    import cv2

    maps = torch.rand(2, side, side, generator=torch.Generator().manual_seed(side))
    ours = enlarge(maps, (target, target)).numpy()
    for one, wanted in zip(ours, maps.numpy(), strict=True):
        np.testing.assert_allclose(one, cv2.resize(wanted, (target, target)), atol=1e-5)
