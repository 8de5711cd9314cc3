"""Freed memory is kept while a run trains and given back at its end."""

import platform
import resource

import pytest
import torch

from lab import process

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
        assert process.keep_freed_memory(True)
        pages()  # what is freed first leaves holes that fit later
        kept = pages()
        assert process.keep_freed_memory(False)
        process.hand_back()
        fresh = pages()
    finally:
        process.keep_freed_memory(True)
    # Thousands of pages of 4 kB, or a dozen of 2 MB where the system uses huge ones.
    assert kept < fresh / 4
