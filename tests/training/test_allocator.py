"""Freed memory is kept while a run trains and given back at its end."""

import platform
import resource

import pytest
import torch

from lab.config import RunConfig
from lab.training import allocator
from lab.training import fit as fit_module
from tests.training.conftest import Train

on_glibc = pytest.mark.skipif(
    platform.libc_ver()[0] != "glibc", reason="only glibc has settings for it"
)

ENOUGH = 24 << 20
"""Bytes of one tensor: above the usual threshold for a mapping of its own, below the raised one."""


def pages(rounds: int = 20) -> int:
    """Pages that the system hands out while tensors come and go."""
    before = resource.getrusage(resource.RUSAGE_THREAD).ru_minflt
    for _ in range(rounds):
        torch.zeros(ENOUGH // 4)
    return resource.getrusage(resource.RUSAGE_THREAD).ru_minflt - before


@on_glibc
def test_kept_memory_costs_no_fresh_pages() -> None:
    try:
        assert allocator.keep_freed_memory(True)
        pages()  # what is freed first leaves holes that fit later
        kept = pages()
        assert allocator.keep_freed_memory(False)
        allocator.hand_back()
        fresh = pages()
    finally:
        allocator.keep_freed_memory(True)
    # Thousands of pages of 4 kB, or a dozen of 2 MB where the system uses huge ones.
    assert kept < fresh / 4


def test_a_run_does_as_its_config_says(
    tiny: RunConfig, train: Train, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[object] = []
    monkeypatch.setattr(fit_module, "keep_freed_memory", calls.append)
    monkeypatch.setattr(fit_module, "hand_back", lambda: calls.append("handed back"))
    train(tiny.changed(epochs=1, reuse_memory=False))
    assert calls == [False, "handed back"]
    calls.clear()
    train(tiny.changed(epochs=1, learning_rate=10, optimizer="sgd"))  # however it ends
    assert calls == [allocator.can_keep(), "handed back"]
