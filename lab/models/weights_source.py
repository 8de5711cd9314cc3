"""Where an architecture's pretrained weights come from: one class a kind of place.

    TorchvisionWeights     a file that torchvision names, downloaded when it is first needed
    HubWeights             a file on Hugging Face's hub, where timm keeps its weights
    PackageWeights         a file that an installed Python package brings: no internet needed

`lab.models.weights` reads the files of both.
"""

from __future__ import annotations

import re
import sysconfig
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

import torch.hub

from lab.installation import how_to_install

_SAFETENSORS = "model.safetensors"
"""What timm calls the file in each of its repositories."""


class WeightsSource(Protocol):
    """What is known of a weights file without opening it."""

    @property
    def file(self) -> Path:
        """Where the file belongs; it need not be there."""

    @property
    def url(self) -> str | None:
        """Where the file can be downloaded; None when it comes with a package."""

    @property
    def sha256(self) -> str | None:
        """The checksum that the file must have whenever it is read; None when it was checked as it
        was downloaded."""

    @property
    def to_get(self) -> str:
        """What it takes to get the file, in a few words."""

    @property
    def by_hand(self) -> str:
        """How a person gets the file, as the beginning of a sentence."""

    @property
    def get_again(self) -> str:
        """What to do with a file that cannot be used, as the beginning of a sentence."""

    @property
    def licence(self) -> str:
        """The licence of the weights; "" when their publisher states none."""

    @property
    def origin(self) -> str:
        """Who gives them out, in a few words that end a sentence beginning with "from"."""

    def published_sha256(self) -> str:
        """The checksum, or its first digits, that the publisher states for a download; "" if none.
        May ask the server; OSError when it does not answer."""


@dataclass(frozen=True)
class TorchvisionWeights:
    """Weights by torchvision's names, kept where torchvision keeps them (TORCH_HOME is respected),
    so that downloads are shared with other programs."""

    network: str
    """Such as "resnet18"."""
    name: str = "IMAGENET1K_V1"
    sha256: None = None
    licence: str = ""
    origin: str = "torchvision"

    def published_sha256(self) -> str:
        # As torch.hub checks it: the name ends in the first digits of the file's SHA-256.
        digits = re.search(r"-([0-9a-f]{8,})\.", self.file.name)
        return digits[1] if digits else ""

    @property
    def file(self) -> Path:
        return Path(torch.hub.get_dir()) / "checkpoints" / self.url.rsplit("/", 1)[-1]

    @property
    def url(self) -> str:
        return str(self._entry.url)

    @property
    def megabytes(self) -> float:
        """Size of the file in MB (of 2^20 bytes, as torchvision counts)."""
        return float(self._entry.meta["_file_size"])

    @property
    def to_get(self) -> str:
        return f"{self.megabytes:.0f} MB download"

    @property
    def by_hand(self) -> str:
        return f"Put {self.url} ({self.megabytes:.0f} MB) at {self.file} yourself"

    @property
    def get_again(self) -> str:
        return "Delete it, so that it is downloaded again"

    @property
    def _entry(self) -> Any:
        """torchvision's record of the weights: url and meta."""
        from torchvision.models import get_model_weights

        return get_model_weights(self.network)[self.name]


@dataclass(frozen=True)
class HubWeights:
    """Weights in a repository of Hugging Face's hub. Read from the hub's own cache (HF_HOME is
    respected) when another program has put them there; downloaded beside torchvision's, which can
    be resumed."""

    repository: str
    """Such as "timm/resnet18d.ra2_in1k"."""
    licence: str = ""
    megabytes: float = 0
    """Size of the file in MB; 0 when unknown."""
    sha256: None = None

    @property
    def file(self) -> Path:
        from huggingface_hub import try_to_load_from_cache

        cached = try_to_load_from_cache(self.repository, _SAFETENSORS)
        if isinstance(cached, str):
            return Path(cached)
        name = f"{self.repository.rsplit('/', 1)[-1]}.safetensors"
        return Path(torch.hub.get_dir()) / "checkpoints" / name

    @property
    def url(self) -> str:
        from huggingface_hub import hf_hub_url

        return hf_hub_url(self.repository, _SAFETENSORS)

    @property
    def origin(self) -> str:
        return f"{self.repository} on Hugging Face"

    @property
    def to_get(self) -> str:
        return f"{self.megabytes:.0f} MB download" if self.megabytes else "download"

    @property
    def by_hand(self) -> str:
        return f"Put {self.url} at {self.file} yourself"

    @property
    def get_again(self) -> str:
        return "Delete it, so that it is downloaded again"

    def published_sha256(self) -> str:
        import requests  # here, not at the top: see lab.download

        # The hub answers with a redirection; of large files it states the SHA-256.
        answer = requests.head(self.url, timeout=10, allow_redirects=False)
        etag = answer.headers.get("X-Linked-Etag", "").strip('"')
        return etag if re.fullmatch(r"[0-9a-f]{64}", etag) else ""


@dataclass(frozen=True)
class PackageWeights:
    """A weights file inside an installed Python package. Its content is pinned, because a package
    of the same name may bring another file one day."""

    distribution: str
    """The name for pip."""
    package: str
    """The name for import; it is not imported."""
    path: str
    """Of the file inside the package."""
    sha256: str
    licence: str
    url: None = None

    def published_sha256(self) -> str:
        return self.sha256

    @property
    def origin(self) -> str:
        return f"the Python package {self.distribution}"

    @property
    def file(self) -> Path:
        found = find_spec(self.package)
        folders = (found.submodule_search_locations or ()) if found else ()
        folder = next(iter(folders), f"{sysconfig.get_path('purelib')}/{self.package}")
        return Path(folder) / self.path

    @property
    def to_get(self) -> str:
        return how_to_install(self.distribution)

    @property
    def by_hand(self) -> str:
        return f"Install them with: {self.to_get}"

    @property
    def get_again(self) -> str:
        return f"Get it anew with: {how_to_install(self.distribution, anew=True)}"
