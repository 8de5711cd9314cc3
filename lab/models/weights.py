"""Pretrained weights: whether they are here, how they are downloaded and loaded.

Where they come from is said by `lab.models.weights_source`. There is no silent random start: a run
with pretrained weights gets them or a WeightsError.
"""

from __future__ import annotations

import hashlib
import pickle
import re
import threading
import time
from pathlib import Path
from urllib.parse import urlsplit

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from lab.errors import DataError, ResourceError, WeightsError
from lab.models.architecture import ARCHITECTURES, ArchitectureSpec, Pretrained
from lab.models.weights_source import WeightsSource
from lab.progress import Cancel, Report, never, silent


def weights_url(spec: ArchitectureSpec) -> str | None:
    """Where the file can be downloaded; None when an installed package brings it."""
    return _source(spec).url


def weights_file(spec: ArchitectureSpec) -> Path:
    """Where the weights of this architecture belong; the file need not be there."""
    return _source(spec).file


def weights_ready(spec: ArchitectureSpec) -> bool:
    """Whether a run can start from these weights without the internet."""
    return spec.weights is not None and spec.weights.file.is_file()


def missing_weights(spec: ArchitectureSpec) -> str:
    """What it takes to get weights that are not on this machine, in a few words such as "45 MB
    download"; "" when they are here."""
    return "" if weights_ready(spec) else what_to_get(spec)


def what_to_get(spec: ArchitectureSpec) -> str:
    """What it takes to get the weights where they are missing, in a few words."""
    return _source(spec).to_get


ANSWER_SECONDS = 2.0
"""How long a server may take to answer before nothing is concluded from its silence."""
REMEMBERED_SECONDS = 30.0

_reachable: dict[str, tuple[float, bool]] = {}  # by host: when it was asked, what came of it


def check_weights(spec: ArchitectureSpec) -> None:
    """Refuse to start from weights that are not on this machine and cannot be downloaded.

    Asks the server only where the file is missing, at most every REMEMBERED_SECONDS. Raises
    WeightsError.
    """
    if weights_ready(spec):
        return
    url = weights_url(spec)
    if url is None:
        raise _not_installed(spec)
    if not _can_download(url):
        raise WeightsError(
            f"The ImageNet weights of {spec.name} are not on this machine, and "
            f"{urlsplit(url).hostname} cannot be reached to download them. {_ways_out(spec)}"
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
    return f"{_source(spec).by_hand}, or choose freeze=scratch{alternatives}."


def _not_installed(spec: ArchitectureSpec) -> WeightsError:
    return WeightsError(
        f"The ImageNet weights of {spec.name} come with a Python package that is not installed "
        f"here: {weights_file(spec)} is missing. {_ways_out(spec)}"
    )


def load_pretrained(
    spec: ArchitectureSpec, *, progress: Report = silent, cancel: Cancel = never
) -> Pretrained:
    """Read the weights of `spec`, downloading them first when they are not there.

    Raises WeightsError that says what is wrong with which file and what else can be chosen;
    Cancelled when the download is cancelled.
    """
    source = _source(spec)
    file = source.file
    if not file.is_file():
        if source.url is None:
            raise _not_installed(spec)
        _download(spec, source.url, file, progress=progress, cancel=cancel)
    try:
        if source.sha256 is not None and _sha256(file) != source.sha256:
            raise unusable(file, spec, "its SHA-256 is not that of the file it should be")
        if file.suffix == ".safetensors":
            tensors = load_file(file)
        else:
            # weights_only: tensors and nothing that could run.
            tensors = torch.load(file, map_location="cpu", weights_only=True)
    except (
        OSError,
        EOFError,
        RuntimeError,
        ValueError,
        KeyError,
        pickle.UnpicklingError,
        SafetensorError,
    ) as error:
        raise unusable(file, spec, "it cannot be read as PyTorch weights") from error
    if not isinstance(tensors, dict) or not all(isinstance(t, Tensor) for t in tensors.values()):
        raise unusable(file, spec, "it holds something other than weights")
    return Pretrained(file, tensors)


def load_backbone(
    net: nn.Module,
    pretrained: Pretrained,
    spec: ArchitectureSpec,
    *,
    classifier: str,
    ignored: tuple[str, ...] = (),
) -> None:
    """Load pretrained weights into the library's own `net`; the layer `classifier` stays random.

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
        raise unusable(pretrained.file, spec, "its layers have other shapes") from error
    missing = [name for name in missing if not name.startswith(f"{classifier}.")]
    if missing or unexpected:
        layer = (missing or unexpected)[0]
        raise unusable(
            pretrained.file, spec, f"it {'lacks' if missing else 'has an unknown'} layer {layer!r}"
        )
    empty = [name for name, tensor in backbone.items() if tensor.ndim > 1 and not tensor.any()]
    if empty:
        raise unusable(pretrained.file, spec, f"its layer {empty[0]!r} is all zeros")


def _download(
    spec: ArchitectureSpec, url: str, file: Path, *, progress: Report, cancel: Cancel
) -> None:
    """Download the weights file to where torchvision keeps it: whole and checked, or not at all."""
    # Here, not at the top: see lab.download.
    from lab.download.fetch import fetch
    from lab.download.remote_file import RemoteFile

    by_hand = _ways_out(spec)
    try:
        sha256 = _source(spec).published_sha256()
    except OSError as error:
        raise WeightsError(
            f"The ImageNet weights of {spec.name} could not be asked for at "
            f"{urlsplit(url).hostname} ({type(error).__name__}). {by_hand}"
        ) from error
    remote = RemoteFile(
        url=url,
        title=f"the ImageNet weights file of {spec.name}",
        by_hand=f"Or {by_hand[0].lower()}{by_hand[1:]}",
        again="start the run again",
        sha256=sha256,
        folder_variable="TORCH_HOME",
    )
    try:
        fetch(remote, file, progress=progress, cancel=cancel)
    except (DataError, ResourceError) as error:
        raise WeightsError(str(error)) from error


def unusable(file: Path, spec: ArchitectureSpec, why: str) -> WeightsError:
    """The error for a weights file that is there and does not fit."""
    return WeightsError(
        f"The weights file {file} cannot be used for {spec.name}: {why}. "
        f"{_source(spec).get_again}, or choose freeze=scratch."
    )


def _sha256(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def _source(spec: ArchitectureSpec) -> WeightsSource:
    if spec.weights is None:
        raise WeightsError(f"{spec.name} has no pretrained weights; choose freeze=scratch.")
    return spec.weights
