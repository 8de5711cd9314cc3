"""How far work is, in words and at what rate."""

from __future__ import annotations

import pytest

from lab import progress as module
from lab.progress import Progress, Rate, throttled


@pytest.mark.parametrize(
    ("progress", "per_second", "words"),
    [
        (
            Progress(12_300_000, 46_800_000, "Downloading Pets", "bytes"),
            3_100_000,
            "Downloading Pets · 12.3 MB of 46.8 MB · 3.1 MB/s · 11 s left",
        ),
        (
            Progress(0, 500, "Downloading Pets", "bytes"),
            None,
            "Downloading Pets · 0 bytes of 500 bytes",
        ),
        (
            Progress(2_000, 0, "Downloading Pets", "bytes"),
            1_000,
            "Downloading Pets · 2.0 kB · 1.0 kB/s",
        ),
        (
            Progress(100, 3_100, "Decoding", "images"),
            10,
            "Decoding · 100 of 3,100 images · 5 min 00 s left",
        ),
        (Progress(3_090, 3_100, "Decoding", "images"), 10, "Decoding · 3,090 of 3,100 images"),
        (Progress(0, 0, "Building the network"), None, "Building the network"),
    ],
)
def test_progress_in_words(progress: Progress, per_second: float | None, words: str) -> None:
    assert progress.in_words(per_second) == words


def test_throttled_lets_the_first_and_the_last_through(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 5.0
    monkeypatch.setattr(module.time, "monotonic", lambda: now)
    seen: list[int] = []
    report = throttled(lambda progress: seen.append(progress.done), per_second=10)
    for done in range(5):
        report(Progress(done, 9, "Decoding"))
    now += 0.11
    report(Progress(5, 9, "Decoding"))
    report(Progress(9, 9, "Decoding"))
    assert seen == [0, 5, 9]


def test_the_rate_counts_the_last_seconds_of_one_phase() -> None:
    rate = Rate(window_seconds=10)
    assert rate.per_second(now=0.0) is None
    rate.add(
        Progress(40_000_000, 68_000_000, "Downloading", "bytes"), now=0.0
    )  # a resumed download
    assert rate.per_second(now=0.1) is None
    for second in range(1, 31):
        rate.add(
            Progress(40_000_000 + second * 1000, 68_000_000, "Downloading", "bytes"), now=second
        )
    assert rate.per_second(now=30.0) == pytest.approx(1000)  # what was there before does not count
    assert rate.per_second(now=40.0) == pytest.approx(500, rel=0.1)  # it stalls: the rate falls
    rate.add(Progress(0, 3000, "Decoding", "images"), now=41.0)  # another phase starts afresh
    rate.add(Progress(100, 3000, "Decoding", "images"), now=42.0)
    assert rate.per_second(now=42.0) == pytest.approx(100)
    for tick in range(100_000):
        rate.add(Progress(100 + tick, 0, "Decoding", "images"), now=42.0 + tick * 1e-4)
    assert len(rate._marks) < 60
