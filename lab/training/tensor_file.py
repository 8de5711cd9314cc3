"""Files of tensors that notice when they are damaged: safetensors, written atomically and sealed.

The header's seal (`lab.seal`) covers the header and the digest of the tensors, so that a reader of
the header alone is as safe as one who reads everything. Files of older versions have no seal.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from lab.home import atomic_file
from lab.seal import new_digest, seal, unseal

Tensors = dict[str, torch.Tensor]

_DIGEST = "tensors"


def write(file: Path, tensors: Mapping[str, torch.Tensor], header: Mapping[str, str]) -> None:
    """Write tensors on the CPU and `header`; raises ResourceError when the disk is full."""
    values = dict(header) | {_DIGEST: update_digest(new_digest(), tensors).hexdigest()}
    with atomic_file(file) as temporary:
        save_file(dict(tensors), temporary, metadata=seal(values))


def read(file: Path) -> tuple[Tensors, dict[str, str]]:
    """The tensors and the header.

    Raises FileNotFoundError, and ValueError with half a sentence where the file cannot be used.
    """
    tensors, header = _open(file, whole=True)
    digest = header.pop(_DIGEST, None)
    if digest is not None and digest != update_digest(new_digest(), tensors).hexdigest():
        raise ValueError("it is damaged: the checksum of its weights is another")
    return tensors, header


def read_header(file: Path) -> dict[str, str]:
    """The header alone; raises as `read` does."""
    header = _open(file, whole=False)[1]
    header.pop(_DIGEST, None)
    return header


def give_name(file: Path, name: Path) -> None:
    """Make the bytes of `file` those of `name`, too, at once: a hard link, or a copy where the
    disk knows none."""
    with atomic_file(name, durable=False) as temporary:
        temporary.unlink()
        try:
            os.link(file, temporary)  # its bytes are on the disk
        except OSError:
            shutil.copyfile(file, temporary)
            with temporary.open("rb") as copied:
                os.fsync(copied.fileno())


def update_digest(digest: Any, tensors: Mapping[str, torch.Tensor]) -> Any:
    """Returns the `hashlib` digest, brought on by name, kind, shape and bytes of each tensor."""
    for key, tensor in sorted(tensors.items()):
        digest.update(f"{key}{tensor.dtype}{tuple(tensor.shape)}".encode())
        digest.update(tensor.contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest


def _open(file: Path, *, whole: bool) -> tuple[Tensors, dict[str, str]]:
    try:
        with safe_open(file, framework="pt") as opened:
            header = unseal(opened.metadata() or {})
            return opened.get_tensors() if whole else {}, header
    except FileNotFoundError:
        raise
    except (OSError, SafetensorError) as error:
        if file.is_dir():
            raise ValueError("it is a folder") from error
        raise ValueError(" ".join(str(error).split())[:200]) from error
