"""Values of knobs in words, as tables and charts show them."""

from __future__ import annotations

from typing import Any

import pytest

from lab.ui.widgets.knob_form import value_word


@pytest.mark.parametrize(
    ("knob", "value", "said"),
    [
        ("freeze", "head_only", "Head only"),
        ("activation", "relu", "ReLU"),
        ("architecture", "sign-cnn", "sign-cnn"),
        ("learning_rate", 0.001, "0.001"),
        ("horizontal_flip", True, "on"),
        ("dropout", None, "automatic"),
        ("hidden_sizes", (50, 20), "50-20"),
    ],
)
def test_a_value_reads_as_in_the_form(knob: str, value: Any, said: str) -> None:
    assert value_word(knob, value) == said
