"""What the grad-cam library offers beyond our own formulas: its very numbers, and no trace left."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from lab.errors import ConfigError
from lab.explain.grad_cam import METHODS, Cost, class_activation_maps, enlarge
from lab.explain.layers import module_of
from lab.models.staged import StagedNet
from lab.progress import Cancelled, Progress
from tests.explain.networks import SIZE, bars, random_images, random_network, trained_network
from tests.explain.test_grad_cam import finished
from tests.explain.test_layers import half_frozen, state_of

__all__ = ["half_frozen"]  # a fixture

LIBRARY = [method.name for method in METHODS if method.library]
CLASS_BLIND = ("fem", "eigen-cam", "attention-rollout")
"""They do not look at the class at all."""


@pytest.fixture(scope="module")
def trained() -> StagedNet:
    return trained_network()


@pytest.fixture(scope="module")
def images() -> Tensor:
    return bars(2, seed=7)[0]


def maps_of(network: StagedNet, images: Tensor, method: str, layer: str, **rest: Any) -> np.ndarray:
    targets = rest.pop("targets", [0] * len(images))
    found, _ = class_activation_maps(
        network, images, targets=targets, layers=[layer], method=method, **rest
    )
    return found[layer].maps.numpy()


def raw_of(kind: Any, network: StagedNet, images: Tensor, layer: str, targets: list[int]) -> Any:
    """The library's own raw maps, made as its own page says."""
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    raw: list[np.ndarray] = []

    class Listening(kind):  # type: ignore[misc]
        def get_cam_image(self, *given: Any) -> np.ndarray:
            raw.append(super().get_cam_image(*given))
            return raw[0]

    with Listening(network, [module_of(network, layer)]) as cam:
        cam(images, [ClassifierOutputTarget(target) for target in targets])
    network.zero_grad()
    return raw[0]


# --- the library's own numbers -------------------------------------------------------------------
@pytest.mark.parametrize(
    ("method", "kind"),
    [("xgrad-cam", "XGradCAM"), ("grad-cam-elementwise", "GradCAMElementWise"), ("fem", "FEM")],
)
def test_formulas_are_the_librarys(
    trained: StagedNet, images: Tensor, method: str, kind: str
) -> None:
    import pytorch_grad_cam as library

    for layer in ("block1", "block2.conv", "block3"):
        theirs = raw_of(getattr(library, kind), trained, images, layer, [0, 2])
        ours = maps_of(trained, images, method, layer, targets=[0, 2])
        largest = float(np.abs(theirs).max())
        np.testing.assert_allclose(ours, theirs.clip(0), rtol=0, atol=1e-4 * largest)
        assert ours.max() > 0


@pytest.mark.parametrize("layer", ["block1", "block2.conv", "block3"])
def test_score_cam_is_the_librarys(trained: StagedNet, images: Tensor, layer: str) -> None:
    import pytorch_grad_cam as library

    theirs = raw_of(library.ScoreCAM, trained, images, layer, [0, 2])
    ours = maps_of(trained, images, "score-cam", layer, targets=[0, 2])
    np.testing.assert_allclose(ours, theirs.clip(0), rtol=1e-4, atol=1e-6)
    assert ours.max() > 0


def test_ablation_cam_is_the_librarys_with_the_sign_that_is_meant(
    trained: StagedNet, images: Tensor
) -> None:
    import pytorch_grad_cam as library

    with torch.no_grad():
        logits = trained(images)
    for targets in (logits.argmax(1), logits.argmin(1)):
        scores = logits.gather(1, targets.view(-1, 1)).numpy()[:, :, None]
        theirs = raw_of(library.AblationCAM, trained, images, "block2", targets.tolist())
        ours = maps_of(trained, images, "ablation-cam", "block2", targets=targets)
        # Shares of a score below zero turn the map over; ours is turned back.
        np.testing.assert_allclose(ours, (theirs * np.sign(scores)).clip(0), rtol=1e-3, atol=1e-5)
    assert (logits.amin(1) < 0).all()
    assert (logits.amax(1) > 0).all()


def test_a_channel_taken_out_is_zero_also_where_a_layer_has_negative_values(
    trained: StagedNet, images: Tensor
) -> None:
    """The library alone writes -10,000,000 there."""
    layer = "block2.conv"
    targets = [0, 0]
    kept: list[Tensor] = []
    module = module_of(trained, layer)

    def ablate(channel: int) -> Tensor:
        def hook(module: nn.Module, given: Any, output: Tensor) -> Tensor:
            kept.append(output)
            output = output.clone()
            if channel >= 0:
                output[:, channel] = 0
            return output

        handle = module.register_forward_hook(hook)
        try:
            with torch.no_grad():
                return trained(images)[:, 0]
        finally:
            handle.remove()

    whole = ablate(-1)
    a = kept[0]
    assert (a < 0).any()
    lost = torch.stack([whole - ablate(channel) for channel in range(a.shape[1])], 1)
    expected = ((lost / whole.abs()[:, None])[:, :, None, None] * a).sum(1).clamp(min=0)
    ours = maps_of(trained, images, "ablation-cam", layer, targets=targets)
    np.testing.assert_allclose(ours, expected.numpy(), rtol=1e-3, atol=1e-5)


def test_fullgrad_is_the_librarys(trained: StagedNet, images: Tensor) -> None:
    import pytorch_grad_cam as library
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    with library.FullGrad(trained, []) as cam:
        theirs = cam(images, [ClassifierOutputTarget(0), ClassifierOutputTarget(2)])
    trained.zero_grad()
    found, _ = class_activation_maps(
        trained, images, targets=[0, 2], layers=["block1", "block3"], method="fullgrad"
    )
    ours = found["block1"].maps.numpy()
    assert ours.shape == (2, SIZE, SIZE)
    assert (found["block3"].maps.numpy() == ours).all()
    low, high = ours.min((1, 2), keepdims=True), ours.max((1, 2), keepdims=True)
    np.testing.assert_allclose((ours - low) / (high - low), theirs, atol=1e-4)


def test_fullgrad_pairs_each_bias_with_its_own_gradient(images: Tensor) -> None:
    """The library pairs them by the order in which modules were registered; it need not be that of
    the forward pass."""

    class Swapped(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.second = nn.Conv2d(2, 2, 3, padding=1)
            self.first = nn.Conv2d(1, 2, 3, padding=1)

        def forward(self, x: Tensor) -> Tensor:
            return torch.relu(self.second(torch.relu(self.first(x))))

    class InOrder(Swapped):
        def __init__(self) -> None:
            nn.Module.__init__(self)
            self.first = nn.Conv2d(1, 2, 3, padding=1)
            self.second = nn.Conv2d(2, 2, 3, padding=1)

    head = nn.Sequential(nn.Flatten(), nn.Linear(2 * SIZE**2, 3))
    swapped = StagedNet({"conv": Swapped(), "head": head}).eval()
    in_order = StagedNet({"conv": InOrder(), "head": head}).eval()
    in_order.load_state_dict(swapped.state_dict())
    ours, other = (maps_of(net, images, "fullgrad", "conv") for net in (swapped, in_order))
    np.testing.assert_allclose(ours, other, rtol=1e-5)
    assert ours.max() > 0


def test_finer_cam_is_the_librarys(trained: StagedNet, images: Tensor) -> None:
    import pytorch_grad_cam as library

    with torch.no_grad():
        predicted = trained(images).argmax(1)
    with library.FinerCAM(trained, [trained.stage("block2")]) as cam:
        theirs = cam(images)  # of the predicted classes against the two others
    trained.zero_grad()
    ours = maps_of(trained, images, "finer-cam", "block2", targets=predicted)
    np.testing.assert_allclose(finished(ours, (SIZE, SIZE)), theirs, atol=1e-4)
    plain = maps_of(trained, images, "grad-cam", "block2", targets=predicted)
    assert np.abs(plain - ours).max() > 0.01 * plain.max()


# --- a known answer ------------------------------------------------------------------------------
NEAR, FAR = slice(4, 12), slice(20, 28)


def told_places() -> tuple[StagedNet, Tensor]:
    """A bright square in one corner speaks for class 0, a dark one in another for class 1."""

    class Look(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(1, 2, 1)

        def forward(self, x: Tensor) -> Tensor:
            return torch.relu(self.conv(x))

    network = StagedNet(
        {"look": Look(), "head": nn.Sequential(nn.Flatten(), nn.Linear(2 * SIZE**2, 2))}
    )
    with torch.no_grad():
        conv, linear = module_of(network, "look.conv"), module_of(network, "head.1")
        assert isinstance(conv, nn.Conv2d)
        assert isinstance(linear, nn.Linear)
        assert conv.bias is not None
        conv.weight.copy_(torch.tensor([1.0, -1.0]).view(2, 1, 1, 1))
        conv.bias.fill_(-0.1)
        weight = torch.zeros(2, 2, SIZE, SIZE)
        weight[0, 0], weight[1, 1] = 0.2, 0.2
        linear.weight.copy_(weight.flatten(1))
        linear.bias.fill_(0)
    image = torch.zeros(1, 1, SIZE, SIZE)
    image[..., NEAR, NEAR], image[..., FAR, FAR] = 1, -1
    return network.eval(), image


@pytest.mark.parametrize("method", [name for name in METHODS.names() if name not in CLASS_BLIND])
def test_the_map_is_where_the_answer_comes_from(method: str) -> None:
    network, image = told_places()
    for target, place in ((0, NEAR), (1, FAR)):
        drawn = maps_of(network, image, method, "look", targets=[target])
        whole = enlarge(torch.from_numpy(drawn), (SIZE, SIZE))[0]
        assert whole[place, place].sum() > 0.9 * whole.sum(), (method, target)


# --- shapes, progress, refusals ------------------------------------------------------------------
@pytest.mark.parametrize("method", LIBRARY)
def test_shapes_are_the_layers_or_the_pictures(
    trained: StagedNet, images: Tensor, method: str
) -> None:
    whole = METHODS.get(method).cost is Cost.PICTURE
    for layer, side in (("block1", 16), ("block2.conv", 16), ("block3", 4)):
        found, logits = class_activation_maps(trained, images, layers=[layer], method=method)
        maps = found[layer].maps
        assert maps.shape == (2, *(2 * (SIZE if whole else side,)))
        assert maps.dtype == torch.float32
        assert torch.isfinite(maps).all()
        assert (maps >= 0).all()
        torch.testing.assert_close(logits, trained(images).detach(), atol=1e-5, rtol=0)


@pytest.mark.parametrize("method", ["score-cam", "ablation-cam"])
def test_a_pass_a_channel_tells_how_far_it_is_and_can_be_cancelled(
    trained: StagedNet, images: Tensor, method: str, capfd: pytest.CaptureFixture[str]
) -> None:
    told: list[Progress] = []
    maps_of(trained, images, method, "block3", progress=told.append)
    done = [progress.done for progress in told]
    assert done == sorted(done)
    assert len(done) > 3
    assert done[0] == 0
    assert {progress.total for progress in told} == {2 * 64}
    assert capfd.readouterr() == ("", "")  # no progress bars of the library's own
    with pytest.raises(Cancelled):
        maps_of(trained, images, method, "block3", cancel=lambda: len(told) > 0)


def test_fullgrad_needs_a_bias(images: Tensor) -> None:
    network = StagedNet(
        {
            "conv": nn.Sequential(nn.Conv2d(1, 2, 3, bias=False), nn.ReLU()),
            "head": nn.Sequential(nn.Flatten(), nn.Linear(2 * (SIZE - 2) ** 2, 3)),
        }
    ).eval()
    before = state_of(network)
    with pytest.raises(ConfigError, match=r"this network has none. Choose another method"):
        maps_of(network, images, "fullgrad", "conv")
    assert state_of(network) == before


def test_a_score_of_nothing_has_no_shares(images: Tensor) -> None:
    network = random_network("simple-cnn", channels=1, size=SIZE)
    with torch.no_grad():
        for parameter in list(network.stage("head").modules())[-1].parameters():
            parameter.zero_()
    assert not maps_of(network, images, "ablation-cam", "block2").any()


# --- no trace ------------------------------------------------------------------------------------
@pytest.mark.parametrize("method", LIBRARY)
def test_afterwards_nobody_was_there(half_frozen: StagedNet, method: str) -> None:
    before, random = state_of(half_frozen), torch.random.get_rng_state()
    modules = list(half_frozen.modules())
    given = random_images(2, size=16)
    class_activation_maps(half_frozen, given, layers=["block1", "block3.conv"], method=method)
    assert state_of(half_frozen) == before
    assert list(half_frozen.modules()) == modules
    # A run that trains in another thread may draw from it.
    assert torch.equal(torch.random.get_rng_state(), random)


@pytest.mark.parametrize("method", ["fullgrad", "score-cam", "ablation-cam"])
def test_afterwards_nobody_was_there_also_after_an_error(
    half_frozen: StagedNet, method: str
) -> None:
    before, modules = state_of(half_frozen), list(half_frozen.modules())
    passes = 0

    def fail(module: nn.Module, given: Any) -> None:
        nonlocal passes
        passes += 1
        if passes == 2:  # the first is that of activations and gradients
            raise KeyError("mine")

    handle = half_frozen.stage("head").register_forward_pre_hook(fail)
    with pytest.raises(KeyError, match="mine"):
        maps_of(half_frozen, random_images(1, size=16), method, "block2")
    handle.remove()
    assert passes == 2
    assert state_of(half_frozen) == before
    assert list(half_frozen.modules()) == modules


def test_the_library_is_not_imported_before_one_of_its_methods_is_asked_for() -> None:
    code = """
import sys
from contextlib import suppress
from streamlit.testing.v1 import AppTest
from lab.cli.main import main
from lab.explain import trust
from lab.explain.grad_cam import METHODS

def absent(after):
    print(after, "pytorch_grad_cam" not in sys.modules)

assert "score-cam" in METHODS.names()
absent("registry")
for words in (["explain", "--help"], ["explain", "--methods"]):
    with suppress(SystemExit):
        main(words)
    absent(words[1])
app = AppTest.from_file("streamlit_app.py", default_timeout=60).run()
assert not app.exception
absent("page")
"""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=True
    )
    said = [line for line in done.stdout.splitlines() if line.endswith(("True", "False"))]
    assert said == ["registry True", "--help True", "--methods True", "page True"], done.stderr
