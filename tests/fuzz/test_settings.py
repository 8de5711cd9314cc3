"""Settings as a mapping, YAML, JSON and URL; sweeps; paths and names that a person types."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from lab.config import KNOBS, RunConfig
from lab.data import catalog
from lab.data.typed_path import typed_path
from lab.data.versions import checked_name
from lab.experiments.sweeps.config import SweepConfig
from lab.names import typed_name, typed_notes, visible
from tests.fuzz.conftest import sentence_of

ODD = (
    *("../../etc", "<img src=x>", "\x1b[31m", "\ud800", "-0", "1e999"),
    *("nan", "inf", "null", "\0", "CON", "٣", "0x10", "~nosuchuser/x \\ y%20"),
)
LONG = st.sampled_from([("a", 100_000), ("9", 5000), ("1", 400)]).map(lambda p: p[0] * p[1])
TEXTS = st.text(max_size=40) | st.sampled_from(ODD) | LONG
HUGE = st.sampled_from([30, 400, 5000]).map(lambda digits: 10**digits)
NUMBERS = st.integers() | st.floats() | HUGE | st.sampled_from([1e308, -0.0])
VALUES: st.SearchStrategy[Any] = st.recursive(
    TEXTS | NUMBERS | st.none() | st.booleans() | st.binary(max_size=9) | st.dates(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=8,
)
KNOB = st.sampled_from(list(KNOBS)) | TEXTS
MAPPINGS = st.dictionaries(KNOB, VALUES, max_size=4)
BOMB = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{new}: &{new} [{','.join([f'*{old}'] * 9)}]\n"
    for old, new in zip("abcdefgh", "bcdefghi", strict=True)
)
SYNTAX = st.text("{}[]:-&*!|>'\"%@`#,?\n\t 019.eE_~=<abx", max_size=60)


@given(MAPPINGS)
def test_a_mapping(values: dict[str, Any]) -> None:
    sentence_of(lambda: RunConfig.from_mapping(values))
    texts = {name: value for name, value in values.items() if isinstance(value, str)}
    sentence_of(lambda: RunConfig.from_texts(texts))


@given(st.one_of(SYNTAX, st.text(max_size=60), MAPPINGS.map(lambda v: yaml.dump(_small(v)))))
@example(BOMB)
@example("epochs: " + "[" * 30_000)
@example("a: " + "{a: " * 9000)
@example("epochs: " + "9" * 5000)
@example("epochs: 2024-13-45")
@example("seed: " + ":".join(["59"] * 3000))
@example("x: " + "y" * 10_000_000)
@example("dataset: !!binary x")
@example("\n".join(f"k{i}: 1" for i in range(5000)))
def test_yaml(text: str) -> None:
    sentence_of(lambda: RunConfig.from_yaml(text))
    sentence_of(lambda: SweepConfig.from_yaml(text))
    sentence_of(lambda: SweepConfig.from_yaml(f"axes:\n  epochs: {text}"))


@given(st.one_of(SYNTAX, st.text(max_size=60), MAPPINGS.map(lambda v: json.dumps(_small(v)))))
@example("[" * 30_000)
@example('{"epochs": ' + "9" * 5000 + "}")
@example('"a"')
@example("[]")
@example('{"dataset": "\\ud800"}')
def test_json(text: str) -> None:
    sentence_of(lambda: RunConfig.from_json(text))
    sentence_of(lambda: SweepConfig.from_json(text))


SWEEP_PARTS = st.sampled_from([*SweepConfig.model_fields]) | TEXTS
AXES = st.dictionaries(
    KNOB,
    VALUES | st.lists(NUMBERS | TEXTS, max_size=5) | st.fixed_dictionaries(
        {"low": NUMBERS, "high": NUMBERS}, optional={"log": st.booleans(), "steps": NUMBERS}
    ),
    max_size=3,
)  # fmt: skip


@given(st.dictionaries(SWEEP_PARTS, VALUES, max_size=3), AXES, MAPPINGS)
def test_a_sweep(values: dict[str, Any], axes: Any, base: Any) -> None:
    sentence_of(lambda: SweepConfig.from_mapping({**values, "axes": axes, "base": base}))
    sentence_of(lambda: SweepConfig.from_mapping({"axes": axes, **values}, stored=True))


@pytest.mark.parametrize("many", [10**6])
def test_a_sweep_of_too_much_is_refused_at_once(many: int) -> None:
    for parts in ({"axes": {"learning_rate": [0.1] * many}}, {"seeds": list(range(many))}):
        assert sentence_of(lambda p=parts: SweepConfig.from_mapping({"axes": {"epochs": [1]}, **p}))  # type: ignore[misc]


@given(TEXTS)
@example("~nosuchuser/x")
@example("file://[::1")
@example("~\0/x")
def test_paths_and_names(text: str) -> None:
    typed_path(text)
    sentence_of(lambda: catalog.look(text or "x"))
    sentence_of(lambda: catalog.dataset_name(text))
    sentence_of(lambda: checked_name(text))
    sentence_of(lambda: typed_notes(text, "Notes", 100))
    taken: list[str] = []
    sentence_of(lambda: taken.append(typed_name(text, "A name", 80)))
    for name in taken:
        name.encode()  # no half of a character, which no database takes
        assert visible(name) == name


def _small(values: Any) -> Any:
    """Without what the writers of YAML and JSON cannot write."""
    return json.loads(json.dumps(values, default=str)) if _is_small(values) else {}


def _is_small(values: Any) -> bool:
    try:
        json.dumps(values, default=str)
    except ValueError:
        return False
    return True
