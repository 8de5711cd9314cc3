"""Files of tensors that notice when they are damaged: safetensors, written atomically and sealed.

The header's seal (`lab.seal`) covers the header and the tensors' checksum, so that a reader of the
header alone is as safe as one who reads everything. That checksum is a CRC-32, four times as fast
as the seal's hash, which an older version used; files of still older ones have neither.
"""

from __future__ import annotations

import os
import shutil
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from lab.home import atomic_file
from lab.seal import new_digest, seal, unseal

Tensors = dict[str, torch.Tensor]

_CHECKSUM, _OLD_CHECKSUM = _CHECKSUMS = ("tensors_crc32", "tensors")
"""Names in the header."""


class _Crc32:
    """A CRC-32 that is used as a hash of `hashlib` is."""

    def __init__(self) -> None:
        self._value = 0

    def update(self, data: Any) -> None:
        self._value = zlib.crc32(data, self._value)

    def hexdigest(self) -> str:
        return f"{self._value:08x}"


def write(file: Path, tensors: Mapping[str, torch.Tensor], header: Mapping[str, str]) -> None:
    """Write tensors on the CPU and `header`; raises ResourceError when the disk is full."""
    values = dict(header) | {_CHECKSUM: update_digest(_Crc32(), tensors).hexdigest()}
    with atomic_file(file) as temporary:
        save_file(dict(tensors), temporary, metadata=seal(values))


def read(file: Path) -> tuple[Tensors, dict[str, str]]:
    """The tensors and the header.

    Raises FileNotFoundError, and ValueError with half a sentence where the file cannot be used.
    """
    tensors, header = _open(file, whole=True)
    for name, digest in ((_CHECKSUM, _Crc32()), (_OLD_CHECKSUM, new_digest())):
        checksum = header.pop(name, None)
        if checksum is not None and checksum != update_digest(digest, tensors).hexdigest():
            raise ValueError("it is damaged: the checksum of its weights is another")
    return tensors, header


def read_header(file: Path) -> dict[str, str]:
    """The header alone; raises as `read` does."""
    header = _open(file, whole=False)[1]
    return {name: value for name, value in header.items() if name not in _CHECKSUMS}


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
    """Returns the digest (`update`), brought on by name, kind, shape and bytes of each tensor."""
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
