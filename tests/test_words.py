"""Numbers as a person reads them."""

from __future__ import annotations

import pytest

from lab.words import (
    duration,
    gap_words,
    layer_kind,
    layer_title,
    layer_words,
    percent,
    plural,
    probability,
    size,
    stage_title,
    whole_percent,
)


def test_percent_has_one_digit_and_a_dash_for_nothing() -> None:
    assert percent(0.9314) == "93.1%"
    assert percent(0.0) == "0.0%"
    assert percent(None) == "–"


@pytest.mark.parametrize(
    ("share", "text"),
    [(0, "0%"), (0.001, "<1%"), (0.5, "50%"), (0.994, "99%"), (0.999, ">99%"), (1, "100%")],
)
def test_whole_percent_is_never_rounded_to_nothing_or_all(share: float, text: str) -> None:
    assert whole_percent(share) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(1.0, ">99.9%"), (0.99951, ">99.9%"), (0.999, "99.9%"), (0.0004, "<0.1%"), (0.0, "<0.1%")],
)
def test_a_network_is_never_certain(value: float, text: str) -> None:
    assert probability(value) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "–"),
        (7.6, "8 s"),
        (59.6, "1 min 00 s"),
        (200, "3 min 20 s"),
        (7500, "2 h 05 min"),
    ],
)
def test_duration(seconds: float | None, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("count", "text"),
    [(512, "512 bytes"), (12_345, "12.3 kB"), (12_345_678, "12.3 MB"), (3.2e12, "3200.0 GB")],
)
def test_size(count: float, text: str) -> None:
    assert size(count) == text


@pytest.mark.parametrize(
    ("name", "title"),
    [
        ("block3", "Block 3"),
        ("layer4", "Stage 4"),
        ("stem", "Stem"),
        ("last_conv", "Last convolution"),
        ("fire2_3", "Fire 2 to 3"),
        ("denseblock1", "Dense block 1"),
        ("dense", "Dense layer"),
        ("hidden2", "Hidden layer 2"),
        ("conv1", "Convolution 1"),
    ],
)
def test_stages_have_names_for_people(name: str, title: str) -> None:
    assert stage_title(name) == title


def test_a_calibration_gap_of_nothing_is_said_plainly() -> None:
    assert gap_words(0.0) == gap_words(-0.0004) == "On average as sure as it is right."
    assert gap_words(0.031) == "On average more sure than right, by 3.1%."
    assert gap_words(-0.0005) == "On average less sure than right, by 0.1%."


@pytest.mark.parametrize(
    ("count", "noun", "text"),
    [(1, "run", "1 run"), (0, "run", "0 runs"), (1200, "class", "1,200 classes")],
)
def test_nouns_follow_their_number(count: int, noun: str, text: str) -> None:
    assert plural(count, noun) == text


@pytest.mark.parametrize(
    ("name", "title", "words"),
    [
        ("head", "Head", "Head"),
        ("block2", "Block 2", "Block 2 (block2)"),
        ("layer2.0.conv1", "Stage 2 · 0.conv1", "Stage 2 · 0.conv1 (layer2.0.conv1)"),
    ],
)
def test_a_layers_title_is_its_stages_and_its_words_have_the_codes_name(
    name: str, title: str, words: str
) -> None:
    assert layer_title(name) == title
    assert layer_words(name) == words


@pytest.mark.parametrize(
    ("kind", "title"),
    [
        ("Conv2d 3×3", "Convolution 3×3"),
        ("BatchNorm2d", "Batch normalisation"),
        ("Linear", "Dense layer"),
        ("ReLU6", "ReLU6"),
    ],
)
def test_a_layers_kind_is_called_as_people_call_it(kind: str, title: str) -> None:
    assert layer_kind(kind) == title
