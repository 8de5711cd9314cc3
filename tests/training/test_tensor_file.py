"""Tensors come back as they were, from files of older versions too, or their damage is told."""

import re
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from lab.seal import new_digest, seal
from lab.training import tensor_file

TENSORS = {"weight": torch.arange(600.0).view(20, 30), "bias": torch.tensor([1, -1]).half()}


def by_this_version(file: Path) -> None:
    tensor_file.write(file, TENSORS, {"epoch": "3"})


def by_the_one_before(file: Path) -> None:
    """Whose tensors had the seal's own hash."""
    digest = tensor_file.update_digest(new_digest(), TENSORS).hexdigest()
    save_file(TENSORS, file, metadata=seal({"epoch": "3", "tensors": digest}))


@pytest.mark.parametrize("write", [by_this_version, by_the_one_before])
def test_what_is_read_is_what_was_written(tmp_path: Path, write: object) -> None:
    assert callable(write)
    write(file := tmp_path / "x.safetensors")
    tensors, header = tensor_file.read(file)
    assert header == tensor_file.read_header(file) == {"epoch": "3"}
    assert tensors.keys() == TENSORS.keys()
    for name, tensor in TENSORS.items():
        assert torch.equal(tensors[name], tensor)
        assert tensors[name].dtype == tensor.dtype
    content = bytearray(file.read_bytes())
    for place in (len(content) - 1, len(content) - 1500):  # in the last tensor, and in the other
        content[place] ^= 4
        file.write_bytes(content)
        with pytest.raises(ValueError, match="the checksum of its weights is another"):
            tensor_file.read(file)
        content[place] ^= 4


def test_a_checksum_cannot_be_lost(tmp_path: Path) -> None:
    by_this_version(file := tmp_path / "x.safetensors")
    content = file.read_bytes()
    file.write_bytes(re.sub(b"tensors_crc32", b"tensors_crc33", content))
    with pytest.raises(ValueError, match="its checksum is another"):
        tensor_file.read_header(file)


def test_a_file_without_checksums_is_read(tmp_path: Path) -> None:
    save_file(TENSORS, file := tmp_path / "x.safetensors", metadata={"epoch": "3"})
    assert tensor_file.read(file)[1] == {"epoch": "3"}
