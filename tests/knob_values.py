"""Values that knobs may have, for tests that go through all of them."""

from typing import Any

from lab.config import Knob


def other_value(knob: Knob) -> Any:
    """An allowed value that is not the default."""
    if knob.kind == "bool":
        return not knob.default
    if knob.kind == "choice":
        return next(choice for choice in knob.choices if choice != knob.default)
    if knob.kind == "ints":
        return (*knob.default, 7)
    if knob.kind == "text":
        return "other"
    assert knob.minimum is not None
    assert knob.maximum is not None
    middle = (knob.minimum + knob.maximum) / 2
    value = round(middle) if knob.kind == "int" else middle
    return value if value != knob.default else (value + 1 if knob.kind == "int" else middle / 2)
