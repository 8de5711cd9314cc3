"""Can a map be trusted? Tests of one map, and a verdict: yes, no, or this picture cannot tell.

    random weights   Adebayo et al. 2018, "Sanity checks for saliency maps", arXiv:1810.03292:
                     a map of what the network learned must change when the weights are random:
                     those of the head alone, and those of all stages. Steps between are shown.
    place            halves of the picture, with shifted copies of the map as rivals: see
                     lab.explain.placement.
    hiding, ROAD     lab.explain.hiding and lab.explain.road: shown beside the verdict, which rests
                     on the first two.

A passed test says that the map is about this network, not that the network is right: maps of a
network that knows nothing can show faithfully what its answers hang on. Whether it knows anything
takes several pictures (lab.evaluate.trust), and so does a verdict on a run (lab.evaluate.audit).

The network in hand is only ever read. The mixed networks of the first test share its modules in
front and have random ones behind, so that a single other network is in memory at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from lab.errors import DivergedError
from lab.explain.grad_cam import Cams, class_activation_maps, require_numbers
from lab.explain.hiding import Cells, Curve, Hiding
from lab.explain.layers import captured
from lab.explain.placement import MIN_GAIN, Halves, Placement, half_batches
from lab.explain.road import PASSES, Road, road
from lab.models.staged import StagedNet
from lab.progress import Cancel, Progress, Report, check_cancel, never, silent
from lab.words import stage_title

Floats = npt.NDArray[np.float64]
DRAWS = 3
"""Random networks a step of the first test."""

ALIKE = 0.7
"""Rank correlation from which a map counts as unchanged with all weights random. On the trained
networks of our own runs (sign-cnn, mobilenet_v2) Grad-CAM and its like came to 0.0 to 0.4, the
brightness of the picture in place of a map to 1.0."""

BLIND = 0.95
"""Rank correlation from which a map counts as unchanged when only the head is random. Stricter:
the layer itself is still the trained one, and two classes may well share places in it."""

_WHAT = "The trust test"


Answer = Literal[
    "depends", "cannot_tell", "unchanged", "no_better", "not_meaningful", "knows_nothing"
]
"""Trust it; this picture cannot tell; do not: the map is the same with random weights, or others of
its shape do as well elsewhere; there is no map; the network is no better than guessing."""


class Correlation(NamedTuple):
    """How alike the map is when some stages' weights are random."""

    what: str
    """What was randomised, such as "head" or "layer4 to head"."""
    mean: float
    """Over the draws, in [0, 1]; a map that came out turned over counts as 0."""
    spread: float
    """Standard deviation over the draws."""
    draws: tuple[float, ...]
    """Spearman's rank correlation of each draw in [-1, 1]; NaN where its map was empty."""


@dataclass(frozen=True, eq=False)
class Trust:
    """What the tests found for one map; plain values."""

    verdict: Answer
    sentence: str
    correlations: tuple[Correlation, ...] = ()
    """From the head alone down to the layer's own stage, then all stages."""
    placement: Placement | None = None
    deletion: Curve | None = None
    insertion: Curve | None = None
    road: Road | None = None
    """All five are missing when there is nothing to test."""

    @property
    def trusted(self) -> bool:
        return self.verdict == "depends"


def trust_test(
    network: StagedNet,
    image: Tensor,
    *,
    target: int,
    layer: str,
    method: str,
    randomised: Callable[[int], StagedNet],
    progress: Report = silent,
    cancel: Cancel = never,
) -> Trust:
    """Test the map of `image` (1, C, H, W) normalised for class `target` in `layer`.

    `randomised(seed)` gives a network of the same architecture with fresh random weights; its
    stages are used up. `network` keeps its weights, mode and hooks, also after an error; one thread
    at a time. The same arguments give the same verdict. Raises what `class_activation_maps` raises,
    DivergedError when the network's answer is no number, and Cancelled between two passes.
    """
    check_cancel(cancel, _WHAT)
    device = next(network.parameters()).device
    image = image.detach().to(device)

    def map_of(net: StagedNet) -> Cams:
        cams, logits = class_activation_maps(
            net, image, targets=[target], layers=[layer], method=method, cancel=cancel
        )
        require_numbers(logits)
        return cams[layer]

    cams = map_of(network)
    original = cams.maps[0].numpy().astype(np.float64)
    empty = _why_empty(cams, original)
    if empty:
        return Trust("not_meaningful", f"This map is not meaningful: {empty}")

    steps = _cascade(network.stage_names, layer.partition(".")[0])
    cells = Cells(original)
    plan = Hiding(cells, image)
    total = DRAWS * len(steps) + half_batches(image) + plan.batches + PASSES
    done = 0

    def tick() -> None:
        nonlocal done
        done += 1
        progress(Progress(done, total, "Testing whether the map can be trusted", "steps"))
        check_cancel(cancel, _WHAT)

    draws: list[list[float]] = [[] for _ in steps]
    for seed in range(1, DRAWS + 1):
        other = randomised(seed).to(device).requires_grad_(False)
        for correlations, (_, stages) in zip(draws, steps, strict=True):
            mixed = _mixed(network, other, stages)
            _measure_statistics(mixed, stages, image)
            try:
                new = map_of(mixed).maps[0].numpy().astype(np.float64)
                correlations.append(rank_correlation(original, new))
            except DivergedError:  # of the random network, not of the one in hand
                correlations.append(float("nan"))
            tick()
        del other, mixed  # before the next one is made
    summaries = tuple(
        _summary(what, values) for (what, _), values in zip(steps, draws, strict=True)
    )
    deletion, insertion = plan.curves(network, target, tick)
    with captured(network, []):  # in eval mode
        placement = Halves(network, image, target, tick).placement(cams.maps[0])
        debiased = road(network, image, target, cells, tick)
    verdict, sentence = trust_verdict(summaries[0].mean, summaries[-1].mean, placement)
    return Trust(verdict, sentence, summaries, placement, deletion, insertion, debiased)


def maps_drawn(stages: Sequence[str], layer: str) -> int:
    """How many maps a test in `layer` of a network with `stages` draws."""
    return 1 + DRAWS * len(_cascade(stages, layer.partition(".")[0]))


def rank_correlation(one: npt.ArrayLike, other: npt.ArrayLike) -> float:
    """Spearman's, of all values of two arrays of one shape; equal values share their mean rank.

    NaN where one of them is constant or not finite: there is no order to compare.
    """
    a, b = (np.asarray(values, dtype=np.float64).ravel() for values in (one, other))
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        return float("nan")
    a, b = _ranks(a), _ranks(b)
    a, b = a - a.mean(), b - b.mean()
    length = float(np.sqrt((a @ a) * (b @ b)))
    return float(a @ b) / length if length else float("nan")


def _ranks(values: Floats) -> Floats:
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    ranks: Floats = (last - (counts - 1) / 2)[place]
    return ranks


def _why_empty(cams: Cams, values: Floats) -> str:
    """Why there is nothing to test; empty when there is."""
    if not np.isfinite(values).all():
        return "it holds numbers that are not finite, because the network's have grown too large."
    if not values.max() > 0:
        return "it is empty, because nothing in this layer speaks for the class."
    if not bool(cams.meaningful[0]):
        return "the class's score hardly depends on this layer (its gradient is about zero)."
    if values.min() == values.max():
        return "it is the same everywhere and points at no place."
    return ""


# --- random weights ------------------------------------------------------------------------------
def _cascade(names: Sequence[str], own: str) -> list[tuple[str, tuple[str, ...]]]:
    """What is randomised, step by step: from the head down to the layer's own stage, then all."""
    last = len(names) - 1
    starts = [*range(last, names.index(own) - 1, -1), 0]
    titles = [stage_title(name) for name in names]
    what = {last: titles[last], 0: "all stages"}
    return [
        (what.get(k, f"{titles[k]} to {titles[last]}"), tuple(names[k:]))
        for k in dict.fromkeys(starts)
    ]


def _mixed(network: StagedNet, other: StagedNet, stages: Sequence[str]) -> StagedNet:
    """A network of `network`'s own modules, but `stages` of `other`. Nothing is copied."""
    return StagedNet(
        {name: (other if name in stages else network).stage(name) for name in network.stage_names}
    )


def _measure_statistics(mixed: StagedNet, stages: Sequence[str], image: Tensor) -> None:
    """Give the BatchNorms of the random `stages` the statistics of this image and its mirror image.

    The ones they were made with (mean 0, variance 1) fit no weights: without training, numbers grow
    or fade from layer to layer until the map is empty or not finite, and "changed" would be said of
    a broken network. Two images, as one of them may be a single place by then. Each is measured
    just before it is used, in eval mode, so that the later ones see what they will see.
    """

    def measure(norm: nn.modules.batchnorm._BatchNorm, inputs: tuple[Tensor, ...]) -> None:
        x = inputs[0]
        places = [0, *range(2, x.ndim)]
        norm.running_mean = x.mean(places)
        norm.running_var = x.var(places, unbiased=False)

    hooks = [
        module.register_forward_pre_hook(measure)
        for name in stages
        for module in mixed.stage(name).modules()
        if isinstance(module, nn.modules.batchnorm._BatchNorm)
    ]
    if not hooks:
        return
    modes = {module: module.training for module in mixed.modules()}
    try:
        mixed.eval()
        with torch.no_grad():
            mixed(torch.cat([image, image.flip(3)]))
    finally:
        for hook in hooks:
            hook.remove()
        for module, mode in modes.items():
            module.training = mode


def _summary(what: str, draws: Sequence[float]) -> Correlation:
    # Turned over is changed as well: a negative correlation must not cancel a positive one, and an
    # empty map has nothing of the original left.
    alike = np.clip(np.nan_to_num(np.array(draws)), 0, 1)
    return Correlation(what, float(alike.mean()), float(alike.std()), tuple(draws))


# --- the verdict ---------------------------------------------------------------------------------
def trust_verdict(head: float, everything: float, placement: Placement) -> tuple[Answer, str]:
    """The answer and its sentence, by how alike the map is with a random head and with all weights
    random (rank correlations in [0, 1]), and by its place."""
    if everything >= ALIKE:
        return "unchanged", (
            "Do not trust this map: it hardly changes when the weights are random "
            f"(rank correlation {everything:.2f})."
        )
    if head >= BLIND:
        return "unchanged", (
            "Do not trust this map as a reason for this class: it hardly changes when the weights "
            f"that tell the classes apart are random (rank correlation {head:.2f}). It shows "
            "what the layer responds to, whichever class is asked for."
        )
    numbers = (
        f"The half of the picture with more of the map gets {placement.shown:.0%}, the half with "
        f"less {placement.hidden:.0%}"
    )
    rivals = placement.gains.size - 1
    tied = f"{placement.as_good} of {rivals} copies of the map, shifted to other places,"
    if placement.is_right:
        no_more = "none" if not placement.as_good else f"{placement.as_good} of them"
        return "depends", (
            "This map can be trusted: it shows what this network's answer hangs on. "
            f"{numbers}; of {rivals} copies of the map, shifted to other places, {no_more} tell "
            "the halves apart as well. With random weights it looks different (rank correlation "
            f"{everything:.2f}, where 1 is the same)."
        )
    if placement.is_wrong:
        return "no_better", (
            "Do not trust this map: the answer hangs on other places. "
            f"{numbers}; {tied} tell the halves apart as well or better."
        )
    if placement.reaction < MIN_GAIN:
        why = (
            "the answer stays nearly the same whichever half of the picture is shown (they differ "
            f"by {placement.reaction:.0%} on average)"
        )
    elif placement.gain < MIN_GAIN:
        why = "the marked places make too little difference"
    else:
        why = f"{tied} tell the halves apart as well"
    return "cannot_tell", f"This picture cannot tell: {why}. {numbers}."
