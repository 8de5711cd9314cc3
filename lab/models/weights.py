"""Pretrained weights: where they are stored, how they are downloaded and loaded.

They are stored where torchvision keeps them (TORCH_HOME is respected), so downloads are shared with
other programs. There is no silent random start: a run with pretrained weights gets them or a
WeightsError.
"""

from __future__ import annotations

import pickle
import re
import threading
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import torch
from torch import Tensor, nn

from lab.errors import DataError, ResourceError, WeightsError
from lab.models.architecture import ARCHITECTURES, ArchitectureSpec, Pretrained
from lab.progress import Cancel, Report, never, silent


def weights_url(spec: ArchitectureSpec) -> str:
    return str(_entry(spec).url)


def weights_megabytes(spec: ArchitectureSpec) -> float:
    """Size of the file in MB (of 2^20 bytes, as torchvision counts)."""
    return float(_entry(spec).meta["_file_size"])


def weights_file(spec: ArchitectureSpec) -> Path:
    """Where torchvision looks for the weights of this architecture; the file need not be there."""
    return Path(torch.hub.get_dir()) / "checkpoints" / weights_url(spec).rsplit("/", 1)[-1]


def weights_ready(spec: ArchitectureSpec) -> bool:
    """Whether a run can start from these weights without the internet."""
    return spec.weights is not None and weights_file(spec).is_file()


ANSWER_SECONDS = 2.0
"""How long a server may take to answer before nothing is concluded from its silence."""
REMEMBERED_SECONDS = 30.0

_reachable: dict[str, tuple[float, bool]] = {}  # by host: when it was asked, what came of it


def check_weights(spec: ArchitectureSpec) -> None:
    """Refuse to start from weights that are not on this machine and cannot be downloaded.

    Asks the server only where the file is missing, at most every REMEMBERED_SECONDS. Raises
    WeightsError.
    """
    if weights_ready(spec) or _can_download(weights_url(spec)):
        return
    raise WeightsError(
        f"The ImageNet weights of {spec.name} are not on this machine, and "
        f"{urlsplit(weights_url(spec)).hostname} cannot be reached to download them. "
        f"{_ways_out(spec)}"
    )


def _can_download(url: str) -> bool:
    """Whether the server can be reached; True while that is not known."""
    host = urlsplit(url).hostname or url
    asked, answer = _reachable.get(host, (float("-inf"), True))
    if time.monotonic() - asked < REMEMBERED_SECONDS:
        return answer
    answers: list[bool] = []

    # A thread of its own, because a look-up of the address knows no time limit.
    thread = threading.Thread(target=lambda: answers.append(_answers(url)), daemon=True)
    thread.start()
    thread.join(ANSWER_SECONDS)
    _reachable[host] = (time.monotonic(), answers[0] if answers else True)
    return _reachable[host][1]


def _answers(url: str) -> bool:
    """Whether there is a server at the other end; what it says is left to the download."""
    import requests  # here, not at the top: see lab.download

    try:
        requests.head(url, timeout=ANSWER_SECONDS)
    except requests.exceptions.SSLError:
        return True
    except requests.ConnectionError:
        return False
    except requests.RequestException:
        return True
    return True


def _ways_out(spec: ArchitectureSpec) -> str:
    """What to do without the weights, in a sentence."""
    ready = ", ".join(other.name for other in ARCHITECTURES if weights_ready(other))
    alternatives = f", or an architecture whose weights are there: {ready}" if ready else ""
    return (
        f"Put {weights_url(spec)} ({weights_megabytes(spec):.0f} MB) at {weights_file(spec)} "
        f"yourself, or choose freeze=scratch{alternatives}."
    )


def load_pretrained(
    spec: ArchitectureSpec, *, progress: Report = silent, cancel: Cancel = never
) -> Pretrained:
    """Read the weights of `spec`, downloading them first when they are not there.

    Raises WeightsError that says what is wrong with which file and what else can be chosen;
    Cancelled when the download is cancelled.
    """
    file = weights_file(spec)
    if not file.is_file():
        _download(spec, file, progress=progress, cancel=cancel)
    try:
        # weights_only: tensors and nothing that could run.
        tensors = torch.load(file, map_location="cpu", weights_only=True)
    except (OSError, EOFError, RuntimeError, ValueError, KeyError, pickle.UnpicklingError) as error:
        raise _unusable(file, spec, "it cannot be read as PyTorch weights") from error
    if not isinstance(tensors, dict) or not all(isinstance(t, Tensor) for t in tensors.values()):
        raise _unusable(file, spec, "it holds something other than weights")
    return Pretrained(file, tensors)


def load_backbone(
    net: nn.Module,
    pretrained: Pretrained,
    spec: ArchitectureSpec,
    *,
    classifier: str,
    ignored: tuple[str, ...] = (),
) -> None:
    """Load pretrained weights into torchvision's own `net`; the layer `classifier` stays random.

    Every other name and shape must match, on both sides; names that begin with one of `ignored`
    belong to parts that the lab does not build. Raises WeightsError.
    """
    # Files from before 2017's naming rule: denselayer1.norm.1.weight is now
    # denselayer1.norm1.weight.
    renamed = {
        re.sub(r"(denselayer\d+\.(?:norm|relu|conv))\.([12]\.)", r"\1\2", name): tensor
        for name, tensor in pretrained.tensors.items()
    }
    backbone = {
        name: tensor
        for name, tensor in renamed.items()
        if not name.startswith((f"{classifier}.", *ignored))
    }
    try:
        missing, unexpected = net.load_state_dict(backbone, strict=False)
    except RuntimeError as error:  # a shape that differs
        raise _unusable(pretrained.file, spec, "its layers have other shapes") from error
    missing = [name for name in missing if not name.startswith(f"{classifier}.")]
    if missing or unexpected:
        layer = (missing or unexpected)[0]
        raise _unusable(
            pretrained.file, spec, f"it {'lacks' if missing else 'has an unknown'} layer {layer!r}"
        )
    empty = [name for name, tensor in backbone.items() if tensor.ndim > 1 and not tensor.any()]
    if empty:
        raise _unusable(pretrained.file, spec, f"its layer {empty[0]!r} is all zeros")


def _download(spec: ArchitectureSpec, file: Path, *, progress: Report, cancel: Cancel) -> None:
    """Download the weights file to where torchvision keeps it: whole and checked, or not at all."""
    # Here, not at the top: see lab.download.
    from lab.download.fetch import fetch
    from lab.download.remote_file import RemoteFile

    url = weights_url(spec)
    # As torch.hub checks it: the name ends in the first digits of the file's SHA-256.
    hash_prefix = re.search(r"-([0-9a-f]{8,})\.", file.name)
    by_hand = _ways_out(spec)
    remote = RemoteFile(
        url=url,
        title=f"the ImageNet weights file of {spec.name}",
        by_hand=f"Or {by_hand[0].lower()}{by_hand[1:]}",
        again="start the run again",
        sha256=hash_prefix[1] if hash_prefix else "",
        folder_variable="TORCH_HOME",
    )
    try:
        fetch(remote, file, progress=progress, cancel=cancel)
    except (DataError, ResourceError) as error:
        raise WeightsError(str(error)) from error


def _unusable(file: Path, spec: ArchitectureSpec, why: str) -> WeightsError:
    return WeightsError(
        f"The weights file {file} cannot be used for {spec.name}: {why}. Delete it, so that it is "
        "downloaded again, or choose freeze=scratch."
    )


def _entry(spec: ArchitectureSpec) -> Any:
    """torchvision's record of the weights: url and meta."""
    if spec.weights is None:
        raise WeightsError(f"{spec.name} has no pretrained weights; choose freeze=scratch.")
    from torchvision.models import get_model_weights

    return get_model_weights(spec.name)[spec.weights]
