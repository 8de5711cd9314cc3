"""Each part of the modern recipe switched off once: what it is worth on 1,000 photographs a class.

    for each seed: the whole recipe, the recipe without one part (each in turn), the plain recipe
    difference of test accuracy, whole - without, seed by seed -> mean, 95 % interval over seeds

The runs are ordinary ones and stay in the store under the origin "ablation:..."; those that are
there are not made again, and a stopped one goes on, so the benchmark may be broken off. `--quick`
tries the machinery on a few pictures; its figures mean nothing.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

from scipy import stats

from benchmarks import results
from lab.config import KNOBS, RunConfig
from lab.data import catalog
from lab.errors import LabError
from lab.experiments.starts import preset_knobs
from lab.runs.foreground import run_in_foreground
from lab.runs.rows import RunRow
from lab.runs.status import RESUMABLE
from lab.runs.store import store
from lab.training.plan import resolve
from lab.words import percent

SEEDS = (0, 1, 2)
WHOLE, PLAIN = "modern recipe", "as in the documents"
PARTS: dict[str, tuple[str, ...]] = {
    "weight decay": ("weight_decay",),
    "layer-wise rates": ("layer_decay",),
    "warm-up": ("warmup_epochs",),
    "cosine": ("schedule",),
    "label smoothing": ("smoothing",),
    "mixup and CutMix": ("mixup", "cutmix"),
    "TrivialAugment": ("auto_augment",),
    "random crop": ("crop_scale",),
    "random erasing": ("random_erasing",),
    "averaged weights": ("model_ema_decay",),
    "gradient clipping": ("gradient_clip",),
}
"""By title, the knobs that are set back to their defaults, at which they do nothing."""


def main(*, quick: bool) -> None:
    seeds = SEEDS[:2] if quick else SEEDS
    configs = _configs(_base(quick))
    size = "quick" if quick else "full"
    accuracies = {
        name: [_accuracy(config, seed, f"ablation:{size}:{name}") for seed in seeds]
        for name, config in configs.items()
    }
    text = _table(accuracies, configs[WHOLE], len(seeds))
    if quick:
        print(text)
    else:
        results.write("Ablation of the modern recipe", [], text=text)


def _base(quick: bool) -> RunConfig:
    """What all runs share; the photographs where they are on this machine."""
    if not quick:
        # Fine-tuning all of a small network: every part has something to do.
        return resolve(
            RunConfig(
                dataset="cats-dogs",
                subset_per_class=1000,
                architecture="efficientnet_lite0",
                freeze="full",
                image_size=64,  # all 39 runs in an hour or two of one core
                learning_rate=5e-4,
                epochs=6,
            )
        )
    photographs = catalog.describe("cats-dogs").usable
    return resolve(
        RunConfig(
            dataset="cats-dogs" if photographs else "drawn-cats-dogs",
            subset_per_class=24,
            architecture="efficientnet_lite0",
            freeze="full",
            image_size=64,
            batch_size=16,
            epochs=2,
        )
    )


def _configs(base: RunConfig) -> dict[str, RunConfig]:
    plain = base.changed(**preset_knobs("documents", base))
    whole = base.changed(**preset_knobs("modern", base))
    without = {
        name: whole.changed(**{knob: KNOBS[knob].default for knob in knobs})
        for name, knobs in PARTS.items()
    }
    return {WHOLE: whole, **without, PLAIN: plain}


def _accuracy(config: RunConfig, seed: int, origin: str) -> float:
    """Of the test images, by a run that is there, goes on, or is made now."""
    config, origin = config.changed(seed=seed), f"{origin}:{seed}"
    for row in store().runs(origin=origin):
        if row.config == config and row.status == "completed":
            return _test(row)
        if row.config == config and row.status in RESUMABLE:
            return _test(run_in_foreground(row.id))
    print(f"{origin}: training")
    return _test(run_in_foreground(config, origin=origin))


def _test(row: RunRow) -> float:
    if row.status != "completed" or row.test_accuracy is None:
        raise LabError(f"Run {row.id} is {row.status}: {row.message} Start the benchmark again.")
    return row.test_accuracy


def _table(accuracies: dict[str, list[float]], config: RunConfig, seeds: int) -> str:
    knobs = ", ".join(
        f"{KNOBS[name].title} {KNOBS[name].text(value)}"
        for name, value in preset_knobs("modern", config).items()
    )
    lines = [
        f"{config.architecture}, {config.freeze}, {config.subset_per_class} pictures a class of "
        f"{config.dataset} at {config.image_size} pixels, {config.epochs} epochs, {seeds} seeds. "
        f"The recipe: {knobs}. Test accuracy, looked at once a run; differences are paired by "
        "seed, with a 95 % t-interval over seeds.",
        "",
        "| run | test accuracy | whole recipe better by, points | with these seeds |",
        "|---|---|---|---|",
    ]
    for name, values in accuracies.items():
        mean = percent(statistics.mean(values))
        title = name if name in (WHOLE, PLAIN) else f"without {name}"
        pairs = [a - b for a, b in zip(accuracies[WHOLE], values, strict=True)]
        lines.append(f"| {title} | {mean} | {_difference(pairs) if name != WHOLE else ' | '} |")
    return "\n".join(lines)


def _difference(pairs: Sequence[float]) -> str:
    """Mean and interval in points, and what they allow to say; two table cells."""
    mean = statistics.mean(pairs)
    half = stats.t.ppf(0.975, len(pairs) - 1) * statistics.stdev(pairs) / math.sqrt(len(pairs))
    sign = "helps" if mean > 0 else "harms"
    words = sign if abs(mean) > half else "not distinguishable"
    return f"{100 * mean:+.1f} ({100 * (mean - half):+.1f} to {100 * (mean + half):+.1f}) | {words}"
