"""What to choose instead where a map is empty: another layer, method or class that has one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from lab.explain.grad_cam import FORMULAS, METHODS, Cost, class_activation_maps
from lab.models.staged import StagedNet

CLASSES_TRIED = 3


@dataclass(frozen=True)
class Alternative:
    """One change of what was asked after which there is a map."""

    kind: Literal["layer", "method", "class"]
    layer: str
    method: str
    target: int


def alternatives(
    network: StagedNet,
    image: Tensor,
    *,
    target: int,
    layer: str,
    method: str,
    stages: Sequence[str],
) -> tuple[Alternative, ...]:
    """At most one other stage, method and class of which `image` (1, C, H, W) has a meaningful map.

    The stage is the nearest one before `layer`, else the nearest after it, by the same method; the
    method is tried in the same layer; the class is the most probable one that has a map there. All
    are checked, in at most eight passes.
    """
    spec = METHODS.get(method)
    quick = method if spec.cost is Cost.ALL_LAYERS else FORMULAS[0]
    cams, logits = class_activation_maps(
        network, image, targets=[target], layers=[*stages, layer], method=quick
    )
    found = []
    own = layer.partition(".")[0]
    at = stages.index(own) if own in stages else len(stages) - 1
    nearest = [*reversed(stages[: at + 1]), *stages[at + 1 :]]
    for name in nearest:
        if name != layer and cams[name].first().meaningful:
            found.append(Alternative("layer", name, quick, target))
            break

    def has_map(name: str, class_: int) -> bool:
        other, _ = class_activation_maps(
            network, image, targets=[class_], layers=[layer], method=name
        )
        return other[layer].first().meaningful

    for name in FORMULAS:
        if name != method and has_map(name, target):
            found.append(Alternative("method", layer, name, target))
            break
    probable = [k for k in logits[0].argsort(descending=True).tolist() if k != target]
    for class_ in probable[:CLASSES_TRIED]:
        if has_map(quick, class_):
            found.append(Alternative("class", layer, quick, class_))
            break
    return tuple(found)
