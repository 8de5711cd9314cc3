"""Every benchmark is one that `python -m benchmarks` can run."""

import importlib
import inspect

import pytest

from benchmarks.__main__ import BENCHMARKS, BY_NAME_ONLY, OPTIONS


@pytest.mark.parametrize("name", BENCHMARKS)
def test_each_has_a_main_that_takes_what_it_is_called_with(name: str) -> None:
    parameters = inspect.signature(importlib.import_module(BENCHMARKS[name]).main).parameters
    assert {"quick", *OPTIONS.get(name, ())} <= set(parameters)


def test_those_that_are_named_elsewhere_are_there() -> None:
    assert "shared-queue" in BENCHMARKS
    assert {*BY_NAME_ONLY, *OPTIONS} <= set(BENCHMARKS)
