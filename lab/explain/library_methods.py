"""Methods of the grad-cam library (Gildenblat, MIT), in the same list as our own.

Its import takes seconds and brings OpenCV, scikit-learn and matplotlib, so it happens at the first
map of one of its methods. What it is given, and what is taken from it:

- Formulas get our activations and gradients, so one pass serves all layers; it never sees the
  network.
- Methods that run the network get a stand-in with a single empty layer (`_StandIn`). The library
  may change that layer as it likes: it reaches no module, mode or gradient of the network.
- Maps are taken before it scales them to 0..1.

Left out: Shapley-CAM (on networks of ReLUs it equals Grad-CAM, and it fails in the last layer),
KPCA-CAM (memory grows with the square of the places; its sign is open), Seg-Eigen-CAM (made for
segmentation), Refine-CAM and SESS (they combine finished maps that were scaled), RandomCAM.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from lab.errors import ConfigError
from lab.explain.grad_cam import METHODS, Cost, Formula, MapRequest, Method, class_scores
from lab.explain.layers import captured, module_of
from lab.models.tokens import maps_of, with_maps
from lab.progress import Progress, check_cancel

RIVALS = 3
"""Classes that Finer-CAM compares with: the paper's and the library's default."""


def _library() -> Any:
    import pytorch_grad_cam
    from pytorch_grad_cam import ablation_cam, score_cam

    # Their progress bars, one a map, would fill the terminal of the server; ours is reported.
    score_cam.tqdm = ablation_cam.tqdm = SimpleNamespace(tqdm=iter)
    return pytorch_grad_cam


# --- formulas ------------------------------------------------------------------------------------
def _formula(kind: str) -> Formula:
    """The raw map of the library's class `kind`, from activations and gradients alone."""

    def formula(a: Tensor, g: Tensor) -> Tensor:
        cam = getattr(_library(), kind)(_StandIn(), [])
        maps = cam.get_cam_image(None, None, None, a.cpu().numpy(), g.cpu().numpy(), False)
        return torch.as_tensor(maps)

    return formula


def _against_rivals(logits: Tensor, classes: Tensor) -> Tensor:
    """(N,) how much the class leads over the classes whose logits are nearest to its own."""
    from_library = _library().utils.model_targets.FinerWeightedTarget
    found = []
    for row, own in zip(logits, classes.tolist(), strict=True):
        distance = (row.detach() - row[own].detach()).abs()
        distance[own] = -1
        rivals = distance.argsort(stable=True)[1 : RIVALS + 1].tolist()
        found.append(from_library(own, rivals, alpha=1)(row))
    return torch.stack(found)


# --- methods that run the network ----------------------------------------------------------------
class _StandIn(nn.Module):
    """What the library gets in place of a network: one empty layer, which it may hook or replace,
    and with a request its forward pass, in which that layer stands behind the one asked about."""

    def __init__(self, request: MapRequest | None = None) -> None:
        super().__init__()
        self.layer: nn.Module = nn.Identity()
        device = None if request is None else request.images.device
        # The library asks the first parameter where the network is.
        self.place = nn.Parameter(torch.zeros(1, device=device), requires_grad=False)
        self._request, self._done = request, 0

    def forward(self, images: Tensor) -> Tensor:
        request = self._request
        assert request is not None
        check_cancel(request.cancel, "Drawing the map")
        total = len(request.images) * request.activations.shape[1]
        request.progress(Progress(self._done, total, "Drawing the map", "channels"))
        module = module_of(request.network, request.layer)
        handle = module.register_forward_hook(
            lambda module, _, output: with_maps(module, output, self.layer(maps_of(module, output)))
        )
        try:
            logits: Tensor = request.network(images)
        finally:
            handle.remove()
        self._done = min(total, self._done + len(images))
        return logits


def _targets(request: MapRequest) -> list[Any]:
    """Each image's class as the library wants it."""
    wanted = _library().utils.model_targets.ClassifierOutputTarget
    return [wanted(number) for number in request.classes.tolist()]


def _score_cam(request: MapRequest) -> Tensor:
    cam = _library().ScoreCAM(_StandIn(request), [])
    a = request.activations.cpu().numpy()
    return torch.as_tensor(cam.get_cam_image(request.images, None, _targets(request), a, None))


def _ablation_cam(request: MapRequest) -> Tensor:
    library = _library()

    class ZeroChannels(library.AblationLayer):  # type: ignore[misc, name-defined]
        """A channel taken out is zero, as in the paper. The library writes -10,000,000 instead
        where a layer has values below zero; what comes of that is no map."""

        def __call__(self, x: Tensor) -> Tensor:
            rows = torch.arange(len(self.activations))
            self.activations[rows, torch.as_tensor(self.indices[: len(rows)])] = 0
            ablated: Tensor = self.activations
            return ablated

    model = _StandIn(request)
    targets = _targets(request)
    cam = library.AblationCAM(model, [], ablation_layer=ZeroChannels())
    a = request.activations.cpu().numpy()
    with np.errstate(divide="ignore", invalid="ignore"):
        maps = torch.as_tensor(cam.get_cam_image(request.images, model.layer, targets, a, None))
    # Its weights are shares of the class's score: a score below zero would turn the map over, and
    # of nothing there are no shares.
    with torch.no_grad():
        scores = class_scores(request.network(request.images), request.classes).cpu().view(-1, 1, 1)
    return torch.where(scores == 0, 0, maps * scores.sign())


def _full_grad(request: MapRequest) -> Tensor:
    network = request.network
    cam = _library().FullGrad(network, [])
    cam.activations_and_grads.release()  # its hooks pair gradients with layers by their order
    if not cam.target_layers:
        raise ConfigError(
            "FullGrad adds up the biases of convolutions and batch norms, and this network has "
            "none. Choose another method."
        )
    paths = {module: path for path, module in network.stages.named_modules()}
    names = [paths[module] for module in cam.target_layers]
    with torch.enable_grad(), captured(network, names) as outputs:
        images = request.images.clone().requires_grad_()
        score = class_scores(network(images), request.classes).sum()
        images.grad, *gradients = torch.autograd.grad(
            score, [images, *(outputs[name] for name in names)]
        )
    # Copies: the library detaches in place when it goes, and a gradient may be a view of another.
    cam.activations_and_grads.gradients = [gradient.clone() for gradient in gradients]
    return torch.as_tensor(cam.compute_cam_per_layer(images, None, False)[:, 0])


def _add(name: str, title: str, story: str, source: str, **how: Any) -> None:
    METHODS.add(name, Method(name, title, story, source, library=True, **how))


_add(
    "xgrad-cam",
    "XGrad-CAM",
    "Grad-CAM, but a channel's gradient is averaged over the places where the channel is active.",
    "Fu et al. 2020, arXiv:2008.02312",
    formula=_formula("XGradCAM"),
)
_add(
    "grad-cam-elementwise",
    "Grad-CAM, element by element",
    "Activation times gradient at each place, and only what speaks for the class is added up.",
    "Gildenblat and contributors, pytorch-grad-cam",
    formula=_formula("GradCAMElementWise"),
)
_add(
    "finer-cam",
    "Finer-CAM",
    "What speaks for this class rather than for the classes that the network finds most like it.",
    "Zhang et al. 2025, arXiv:2501.11309",
    formula=_formula("GradCAM"),
    score=_against_rivals,
)
_add(
    "fem",
    "FEM",
    "Where channels are unusually active. It does not look at the class at all.",
    "Fuad et al. 2020, hal-02963298",
    formula=_formula("FEM"),
)
_add(
    "fullgrad",
    "FullGrad",
    "What every pixel and every bias of the network adds to the score, as one map of the picture.",
    "Srinivas and Fleuret 2019, arXiv:1905.00780",
    draw=_full_grad,
    cost=Cost.PICTURE,
)
_add(
    "score-cam",
    "Score-CAM",
    "Shows the network the picture through each channel as a mask; a channel counts by the score "
    "that is left. Needs no gradient.",
    "Wang et al. 2020, arXiv:1910.01279",
    draw=_score_cam,
    cost=Cost.CHANNEL,
)
_add(
    "ablation-cam",
    "Ablation-CAM",
    "Takes out one channel after another; a channel counts by the score that is lost. Needs no "
    "gradient.",
    "Desai and Ramaswamy 2020, doi:10.1109/WACV45572.2020.9093360",
    draw=_ablation_cam,
    cost=Cost.CHANNEL,
)
