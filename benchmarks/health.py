"""What gradient health costs a run: the steps that it looks at beside the other ones of that run.

    python -m benchmarks health [--quick]     three minutes; one

Not runs with it against runs without it: two runs of the same settings differ by more than it costs
on a machine that other programs use, too. A look is in one step and leaves the next one with cold
caches, so these two are compared with as many half way to the looks before and behind. Medians, as
a disturbance from outside may hit either. On a CPU: elsewhere steps are told in lots.
"""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchmarks.results import write
from lab.config import RunConfig
from lab.data import catalog
from lab.training.control import Control
from lab.training.events import EpochDone, StepDone
from lab.training.fit import fit
from lab.training.plan import make_plan
from lab.training.watch import layer_file

WORKS = {
    "sign CNN, batch 256": {"dataset": "drawn-signs", "architecture": "sign-cnn", "epochs": 48},
    "deep MLP, batch 256": {"dataset": "drawn-signs", "architecture": "deep-mlp", "epochs": 800},
    "simple CNN, batch 32": {
        "dataset": "drawn-cats-dogs",
        "architecture": "simple-cnn",
        "batch_size": 32,
        "epochs": 24,
    },
}
"""About a minute each. How often the lab looks depends on the length of the run, too."""

COUNTED = 2
"""Steps: that of the look and the one behind it, which finds the caches cold."""
DRAWS = 2000
"""Of the bootstrap behind the interval."""

Floats = npt.NDArray[np.float64]
Places = npt.NDArray[np.intp]


def main(*, quick: bool = False) -> None:
    lines = [
        "A look's step and the next one less two steps half way to the look before or behind: "
        "the median of the looks, times their number, over the time of all steps (target: at "
        "most 3 %), with the interval that a bootstrap of the looks gives in 90 of 100 cases.",
        "",
        "| run | steps | looks | a step, ms | a look adds, ms | costs |",
        "|---|---|---|---|---|---|",
    ]
    with tempfile.TemporaryDirectory() as home:
        os.environ["LAB_HOME"] = home
        for name, knobs in WORKS.items():
            config = RunConfig(batch_size=256, film_strip=False).changed(**knobs)
            if quick:
                config = config.changed(epochs=config.epochs // 4)
            catalog.open_pack(config.dataset)
            lines.append(_row(name, config))
    write("Gradient health" + (", quick" if quick else ""), [], text="\n".join(lines))


def _row(name: str, config: RunConfig) -> str:
    with tempfile.TemporaryDirectory() as folder:
        seconds = _steps(config, Path(folder))
        history = layer_file.layer_history(Path(folder), points=10_000)
        assert history is not None, "the monitor looked at nothing"
        looks = np.asarray([step - 1 for step in history.steps if step <= len(seconds)])
    added = _added(seconds, looks)
    assert len(added) > len(looks) / 2, "looks lie too close for ordinary steps between them"
    total = float(seconds.sum())
    draws = np.random.default_rng(0).choice(added, (DRAWS, len(added)))
    low, high = np.quantile(np.median(draws, axis=1), (0.05, 0.95))
    costs = " to ".join(f"{each * len(looks) / total:+.1%}" for each in (low, high))
    middle = statistics.median(added)
    return (
        f"| {name} | {len(seconds):,} | {len(looks)} | {1e3 * statistics.median(seconds):.2f} "
        f"| {1e3 * middle:.2f} | {middle * len(looks) / total:+.1%} ({costs}) |"
    )


def _steps(config: RunConfig, folder: Path) -> Floats:
    """(T,) seconds of each step of a run, with all that happens in it but an epoch's end."""
    seconds: list[float] = []
    mark = time.perf_counter()
    for event in fit(make_plan(config, folder=folder), Control()):
        if isinstance(event, StepDone):
            seconds.append(time.perf_counter() - mark)
        if isinstance(event, StepDone | EpochDone):
            mark = time.perf_counter()
    return np.asarray(seconds)


def _added(seconds: Floats, looks: Places) -> Floats:
    """What each look adds, in seconds: its steps less the mean of those half way to the looks
    before and behind it. Left out are the first, the last and those that have a look too near."""
    sums = np.convolve(seconds, np.ones(COUNTED), "valid")  # of the steps from each place on
    found = []
    for before, look, behind in zip(looks, looks[1:], looks[2:], strict=False):
        if min(look - before, behind - look) >= 2 * COUNTED and behind < len(sums):
            between = (sums[(before + look) // 2] + sums[(look + behind) // 2]) / 2
            found.append(sums[look] - between)
    return np.asarray(found)
