"""Frozen layers run once an image: their outputs are kept, the rest is trained on those.

    image ── frozen stages ── pooling, flatten ──┤ cut ├── the rest of the head ── logits
             once, then read from a FeatureBank            at every step

The bank fills as the run goes: the first epoch costs what it always did and its first point comes
at once, each further epoch costs only the part behind the cut. Another run with another learning
rate finds the bank full. What a frozen stage puts out for an image does not depend on the other
images of its batch (it is in eval mode), so a kept feature is the one that would be computed.
"""

from __future__ import annotations

import copy
import hashlib
import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, fx, nn
from torch.fx.experimental.optimization import fuse
from torch.fx.proxy import TraceError

from lab.data.pack import Pack
from lab.data.preprocess import Preprocess
from lab.models.dropout import RandomLayer
from lab.models.staged import StagedNet
from lab.training.frozen.feature_bank import FeatureBank

FORMAT = 2
"""Raise it when kept features can no longer be compared with computed ones."""

Rows = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Cut:
    """Where the network is cut: stages before `stage`, and the first `skipped` modules of it, run
    once an image."""

    stage: str
    skipped: int


def find_cut(network: StagedNet) -> Cut | None:
    """The last place up to which nothing of `network`, frozen as it is now, changes or is random.

    None when no stage before the first trained one has parameters: nothing would be saved.
    """
    names = network.stage_names
    first = next((i for i, name in enumerate(names) if name not in network.frozen), len(names))
    if first == len(names) or not any(
        True for name in names[:first] for _ in network.stage(name).parameters()
    ):
        return None
    stage = network.stage(names[first])
    skipped = 0
    if isinstance(stage, nn.Sequential):
        for module in stage:
            # Pooling and flattening, but no dropout: it is another one at every step.
            if any(True for _ in module.parameters()) or _is_random(module):
                break
            skipped += 1
    return Cut(names[first], skipped)


def before(network: StagedNet, cut: Cut, images: Tensor) -> Tensor:
    """images (N, C, H, W) normalised -> features (N, ...): what runs once."""
    position = network.stage_names.index(cut.stage)
    x = network.run(images, last=network.stage_names[position - 1])
    for module in _modules(network, cut)[: cut.skipped]:
        x = module(x)
    return x


def frozen_part(network: StagedNet, cut: Cut) -> nn.Sequential:
    """What `before` runs, as a copy in its fastest form; equal up to rounding."""
    names = network.stage_names[: network.stage_names.index(cut.stage)]
    stages = [folded(network.stage(name)) for name in names]
    skipped = [copy.deepcopy(module) for module in _modules(network, cut)[: cut.skipped]]
    return nn.Sequential(*stages, *skipped).eval()


def folded(module: nn.Module) -> nn.Module:
    """A copy of `module` in eval mode with its BatchNorms folded into the convolutions before them.

    In eval mode a BatchNorm multiplies and shifts each channel by constants, which a convolution
    does as well with other weights: the same numbers up to rounding, one pass over the activations
    less. For MobileNetV2 on a CPU a forward pass then takes three quarters of the time. What
    torch.fx cannot trace (a branch on values) comes back as a copy that is not folded. The copy
    does not follow later changes: for frozen modules only.
    """
    plain = copy.deepcopy(module).eval()
    if not any(isinstance(part, nn.BatchNorm2d) for part in plain.modules()):
        return plain
    try:
        with _TRACING:
            traced = fx.GraphModule(plain, _OwnThreadTracer().trace(plain))
    except (TraceError, NotImplementedError, TypeError):
        return plain
    fast: nn.Module = fuse(traced, no_trace=True)
    return fast.eval()


_TRACING = threading.Lock()
"""Two traces at a time would leave torch's modules patched for good."""


class _OwnThreadTracer(fx.Tracer):
    """Follows the modules that this thread calls, and no others.

    While torch.fx traces, every module of the process asks the tracer: one that trains in another
    thread meanwhile would fail.
    """

    def __init__(self) -> None:
        super().__init__()
        self._thread = threading.get_ident()

    def call_module(
        self,
        m: nn.Module,
        forward: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> Any:
        if threading.get_ident() != self._thread:
            return forward(*args, **kwargs)
        return super().call_module(m, forward, args, kwargs)

    def getattr(self, attr: str, attr_val: Any, parameter_proxy_cache: dict[str, Any]) -> Any:
        if threading.get_ident() != self._thread:
            return attr_val
        return super().getattr(attr, attr_val, parameter_proxy_cache)


def after(network: StagedNet, cut: Cut, features: Tensor) -> Tensor:
    """features (N, ...) -> logits (N, K): what is trained."""
    x = features
    if cut.skipped:
        for module in _modules(network, cut)[cut.skipped :]:
            x = module(x)
        position = network.stage_names.index(cut.stage)
        if position + 1 == len(network.stage_names):
            return x
        return network.run(x, first=network.stage_names[position + 1])
    return network.run(x, first=cut.stage)


def row_shape(network: StagedNet, cut: Cut, preprocess: Preprocess) -> tuple[int, ...]:
    """Of one image's features as a bank keeps them. Costs one forward pass of a black image."""
    device = next(network.parameters()).device
    side = preprocess.image_size
    black = torch.zeros(1, preprocess.channels, side, side, device=device)
    with torch.inference_mode():
        return _to_rows(before(network, cut, black).float().cpu()).shape[1:]


class FrozenFeatures:
    """The features of a pack's images before a cut, computed when first asked for.

    `forward(images)` runs what is before the cut. Lives in the training thread.
    """

    def __init__(
        self,
        bank: FeatureBank,
        pack: Pack,
        *,
        forward: Callable[[Tensor], Tensor],
        device: torch.device,
    ) -> None:
        self.bank = bank
        self._pack = pack
        self._forward = forward
        self._device = device

    def missing(self, rows: Rows, *, view: int = 0) -> int:
        """How many of the pack's images `rows` have no features yet."""
        places = np.unique(rows) + view * len(self._pack)
        return int(self.bank.missing(places).sum())

    def fill(
        self, rows: Rows, images: Callable[[Mask], Tensor], *, piece: int, view: int = 0
    ) -> Iterator[None]:
        """Compute the features of the pack's images `rows` that are not there yet, `piece` images
        between two yields.

        `images(mask)` gives normalised images of those of `rows` (a mask (n,)). `view` tells
        several augmented versions of an image apart; 0 is the image as it is.
        """
        places = rows + view * len(self._pack)
        missing = self.bank.missing(places)
        if not missing.any():
            return
        # A duplicate in `rows` (oversampling) is computed once more and is the same.
        places = places[missing]
        for start, part in enumerate(torch.split(images(missing), piece)):
            with torch.inference_mode():
                computed = self._forward(part).float().cpu()
            some = places[start * piece : start * piece + len(part)]
            self.bank.write(some, _to_rows(computed))
            yield

    def read(self, rows: Rows, *, view: int = 0) -> Tensor:
        """(n, ...) the features of the pack's images `rows`, on the device; all are there."""
        places = rows + view * len(self._pack)
        return _from_rows(self.bank.read(places)).to(self._device)


def feature_key(
    network: StagedNet,
    cut: Cut,
    *,
    dataset_hash: str,
    preprocess: Preprocess,
    precision: str,
    views: str = "",
) -> str:
    """A short name for everything that the features depend on: the images, how they are scaled, the
    frozen weights, where the cut is, the precision, and how views are augmented."""
    digest = hashlib.blake2b(digest_size=12)
    facts = [FORMAT, dataset_hash, preprocess.to_dict(), cut.stage, cut.skipped, precision, views]
    digest.update(json.dumps(facts, sort_keys=True).encode())
    digest.update(repr(_modules(network, cut)[: cut.skipped]).encode())
    for name in network.stage_names[: network.stage_names.index(cut.stage)]:
        digest.update(repr(network.stage(name)).encode())
        for key, tensor in network.stage(name).state_dict().items():
            digest.update(f"{name}.{key}{tuple(tensor.shape)}".encode())
            digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()


def _modules(network: StagedNet, cut: Cut) -> list[nn.Module]:
    stage = network.stage(cut.stage)
    return list(_children(stage)) if cut.skipped else [stage]


def _children(stage: nn.Module) -> Iterator[nn.Module]:
    assert isinstance(stage, nn.Sequential)
    yield from stage


def _is_random(module: nn.Module) -> bool:
    return any(isinstance(part, (RandomLayer, nn.Dropout)) for part in module.modules())


def _to_rows(features: Tensor) -> npt.NDArray[np.float32]:
    """Maps (n, C, h, w) are kept as (n, h, w, C): channels last, as convolutions want them."""
    if features.ndim == 4:
        features = features.permute(0, 2, 3, 1)
    return np.ascontiguousarray(features.numpy())


def _from_rows(rows: npt.NDArray[np.float32]) -> Tensor:
    features = torch.from_numpy(rows)
    return features.permute(0, 3, 1, 2) if features.ndim == 4 else features
