"""Nonsense of all kinds: an answer or one sentence comes back, soon and in little memory.

The short form runs with all tests, the same examples each time. `make fuzz` (LAB_FUZZ=long) looks
for new ones; what it finds becomes an @example or a test beside the reader's own.
"""

from __future__ import annotations

import os
import resource
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from lab.errors import LabError

LONG = os.environ.get("LAB_FUZZ") == "long"
MOST_MEMORY_KB = 1_000_000
"""By which a process may grow over all examples of a file."""
LONGEST_SENTENCE = 6_000

settings.register_profile(
    "short", max_examples=20, derandomize=True, deadline=None, database=None,
    suppress_health_check=list(HealthCheck),
)  # fmt: skip
settings.register_profile(
    "long", max_examples=int(os.environ.get("LAB_FUZZ_EXAMPLES", "3000")), database=None,
    deadline=timedelta(seconds=20), suppress_health_check=list(HealthCheck),
)  # fmt: skip
settings.load_profile("long" if LONG else "short")


@pytest.fixture(autouse=True, scope="module")
def bounded_memory() -> Iterator[None]:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    yield
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < MOST_MEMORY_KB, f"{grown:,} kB"


def sentence_of(act: Callable[[], object]) -> str:
    """Returns the refusal, "" for an answer; any error but a LabError fails the test."""
    try:
        act()
        return ""
    except LabError as error:
        text = str(error)
    assert 0 < len(text) < LONGEST_SENTENCE, f"{len(text):,} characters: {text[:300]}"
    return text


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    ignore = pytest.mark.filterwarnings("ignore::hypothesis.errors.HypothesisWarning")
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(ignore)  # of the length of an input: long ones are meant
