"""Verdicts from what went on in the layers: gradients that fade or grow, units that are dead."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from lab.config import RunConfig
from lab.evaluate.verdicts.evidence import Column, RunEvidence, Verdict, slower, times
from lab.words import layer_title, layer_words

if TYPE_CHECKING:
    from lab.training.watch.layer_file import LayerHistory

FEWEST_SAMPLES = 3
"""Sampled steps from which a median is worth something: a short run on a busy machine has no more,
and what is looked for here is a matter of powers of ten."""

RECENT, FEWEST_RECENT = 0.2, 5
"""Share of the samples, and their number, that count as the present state: the newest ones."""

FADED = 1 / 1000
"""The first layer's gradient over the last one's. Ten layers with sigmoid end near 1/400,000; with
ReLU or tanh, and in the lab's convolutional networks, it stayed above 1/500 in short runs."""

LOST = 0.1
"""Share of the run's steps, from the first on, with a faded gradient that is reported even if the
network recovered later."""

FEWEST_LAYERS = 4
"""Of trained ones: below that nothing can fade layer by layer."""

GROWN = 100.0
"""A gradient's growth since the first samples that counts as exploding."""

DEAD = 0.75
"""Of a layer's units. A unit may well be silent for the images of one batch and not for others, so
half of them is nothing unusual."""

SMALLEST_BATCH = 32
"""Of fewer images, silence in one batch tells nothing: a unit that answers to 2 % of all images is
silent in half of such batches."""

RISEN = 1.2
"""Loss over that of guessing, and over the first batch's, from which growing gradients count as
exploding. A network that leaves a plateau has growing gradients too, at a loss near guessing's."""

MOVED = 0.1
"""A first layer whose steps, as a share of its weights, are this share of the median layer's moves
with the others, however faint its gradient: Adam divides by the gradient's own size."""

SQUASHING = ("sigmoid", "tanh")


def vanishing_gradients(config: RunConfig, layers: LayerHistory | None) -> Verdict | None:
    """Whether the first trained layer gets less than a thousandth of the last one's gradient, layer
    by layer less, in the newest samples; or did so for a tenth of the run, from its beginning.

    X. Glorot and Y. Bengio, "Understanding the difficulty of training deep feedforward neural
    networks" (AISTATS 2010) show the same effect, layer by layer.
    """
    if layers is None or len(layers.steps) < FEWEST_SAMPLES:
        return None
    trained = np.flatnonzero(np.isfinite(_median(layers.gradient_norm[_recent(layers)])))
    if len(trained) < FEWEST_LAYERS:
        return None
    first, last = int(trained[0]), int(trained[-1])
    ends = layers.gradient_norm[:, [first, last]].astype(np.float64)
    rows, still = _faded(ends, layers.steps, _recent(layers))
    if rows is None:
        return None
    norms = _median(layers.gradient_norm[rows])
    fading = np.mean(norms[trained][:-1] < norms[trained][1:])
    dead = _median(layers.dead[rows])[trained]
    if fading < 0.6 or np.any(dead > DEAD):  # some other reason: one narrow place, or dead units
        return None
    lost = float(norms[last] / norms[first]) if norms[first] > 0 else float("inf")
    count, activation, steps = len(trained), _activation(config, layers), layers.steps[rows]
    part = f"1/{_round(lost)}" if np.isfinite(lost) else "nothing"
    fades, learns = ("fades", "learn") if still else ("faded", "learned")
    why = (
        f"with {activation} and {count} layers the signal {fades} on its way back"
        if activation in SQUASHING
        else f"over {count} layers the signal {fades} on its way back"
    )
    low, high = layers.layers[first], layers.layers[last]
    who = f"{layer_title(low)} receives" if still else (
        f"For the first {steps[-1]:,} of {layers.steps[-1]:,} steps {layer_title(low)} received"
    )  # fmt: skip
    suggestion, change = _against_fading(config, activation)
    moves = _median(layers.update_ratio[rows])[trained]
    keeps_up = bool(moves[0] >= MOVED * np.median(moves))
    effect = (
        f"The optimizer still {'moves' if still else 'moved'} it as far as the others, but by what "
        "little is left of the signal"
    )
    a_layer = lost ** (1 / (count - 1))
    passed = f"; from layer to layer about 1/{a_layer:.2g} is left" if np.isfinite(lost) else ""
    return Verdict(
        "vanishing_gradients",
        f"{who} {part} of the gradient that reaches {layer_title(high)}: {why}"
        + (
            f". {effect}."
            if keeps_up
            else f", and the first layers hardly {learns}{'' if still else ' all that time'}."
        ),
        f"Median length of the weights' gradient over {times(len(steps), 'sampled step')} "
        f"({steps[0]:,} to {steps[-1]:,}): {norms[first]:.1e} in {layer_words(low)}, "
        f"{norms[last]:.1e} in {layer_words(high)}{passed}."
        + (
            f" One step moves the first one's weights by {moves[0]:.1e} of their length, the "
            f"median layer's by {np.median(moves):.1e}."
            if np.isfinite(moves).all()
            else ""
        ),
        suggestion,
        change,
    )


def _faded(ends: Column, steps: Column, recent: slice) -> tuple[slice | None, bool]:
    """The samples in which the first layer's gradient had faded beside the last one's, and whether
    those are the newest. `ends` (T, 2): first, last."""
    faded = (ends[:, 1] > 0) & (ends[:, 0] <= FADED * ends[:, 1])
    if np.mean(faded[recent]) > 0.5:
        return recent, True
    over = np.flatnonzero(~faded[:-1] & ~faded[1:])  # two in a row: one may be a stray
    count = int(over[0]) if len(over) else len(faded)
    if count < FEWEST_SAMPLES or steps[count - 1] < LOST * steps[-1]:
        return None, False
    return slice(0, count), False


def exploding_gradients(run: RunEvidence) -> Verdict | None:
    """Gradients a hundred times what they were, while the loss is clearly above its first value and
    above guessing."""
    layers, losses = run.layers, run.steps["loss_smoothed"]
    if layers is None or len(layers.steps) < 2 * FEWEST_SAMPLES or not len(losses):
        return None
    rows = _recent(layers)
    then, now = _median(layers.gradient_norm[:FEWEST_SAMPLES]), _median(layers.gradient_norm[rows])
    with np.errstate(divide="ignore", invalid="ignore"):
        growth = now / then
    limit = RISEN * max(float(run.steps["loss"][0]), run.guessing or 0.0)
    if not np.any(growth > GROWN) or not losses[-1] > limit:
        return None
    worst = int(np.nanargmax(growth))
    name = layers.layers[worst]
    return Verdict(
        "exploding",
        f"Gradients explode: those of {layer_title(name)} are {_round(growth[worst])} times "
        "what they were at first, and each step throws the weights further.",
        f"Median length of the gradient in {layer_words(name)}: {then[worst]:.1e} in the first "
        f"{FEWEST_SAMPLES} sampled steps, {now[worst]:.1e} in the last {len(layers.steps[rows])}. "
        f"The loss began at {run.steps['loss'][0]:.3g} and is {losses[-1]:.3g} now.",
        "Clip the gradient at a length of 1 and take a tenth of the rate.",
        {**slower(run.rate()), "gradient_clip": 1.0},
    )


def dead_units(run: RunEvidence) -> Verdict | None:
    """A layer of the ReLU family in which most units answered 0 to whole batches.

    That is more than are dead: a unit silent in one batch may answer in the next.
    """
    layers, config = run.layers, run.config
    if layers is None or len(layers.steps) < FEWEST_SAMPLES or config.batch_size < SMALLEST_BATCH:
        return None
    rows = _recent(layers)
    dead = layers.dead[rows]
    shares = _median(dead)
    if not np.any(shares > DEAD):
        return None
    worst = int(np.nanargmax(shares))
    if not np.all(dead[:, worst] > DEAD - 0.1):  # not in each of the newest samples
        return None
    steps = layers.steps[rows]
    name = layers.layers[worst]
    several = int(np.count_nonzero(shares > DEAD))
    also = f"; {several} layers are above {DEAD:.0%}" if several > 1 else ""
    change: dict[str, Any]
    if config.pretrained or config.activation == "leaky_relu":
        suggestion = "Try a tenth of the rate: a large step pushes units over the edge."
        change = slower(run.rate())
    else:
        suggestion = (
            "Try leaky ReLU, which lets a little through below zero, so that a unit can come back, "
            "or a smaller rate."
        )
        change = {"activation": "leaky_relu"}
    return Verdict(
        "dead_units",
        f"{shares[worst]:.0%} of the units of {layer_title(name)} answer 0 to every image of a "
        "batch, so they learn nothing from it. Some of them may answer to other images: how many "
        "are dead for good, one batch cannot tell.",
        f"Median over {times(len(steps), 'sampled step')} ({steps[0]:,} to {steps[-1]:,}) of "
        f"{layer_words(name)}, batches of {config.batch_size} images{also}.",
        suggestion,
        change,
    )


def update_ratio(layers: LayerHistory | None) -> float | None:
    """How far one step moves the weights, as a share of their own length: the median over trained
    layers and newest samples. None when it was not sampled."""
    if layers is None or len(layers.steps) < FEWEST_SAMPLES:
        return None
    ratios = _median(layers.update_ratio[_recent(layers)])
    ratios = ratios[np.isfinite(ratios)]
    return float(np.median(ratios)) if len(ratios) else None


def _recent(layers: LayerHistory) -> slice:
    count = len(layers.steps)
    return slice(count - max(min(FEWEST_RECENT, count), round(RECENT * count)), count)


def _median(samples: Column) -> Column:
    """(T, L) -> (L,), NaN (frozen, not meaningful) left out."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of a column of NaN only
        return np.asarray(np.nanmedian(samples.astype(np.float64), axis=0))


def _activation(config: RunConfig, layers: LayerHistory) -> str:
    """The most frequent activation between the layers; "" when unknown."""
    if config.activation != "auto":
        return config.activation
    names = [name for name in layers.activations if name]
    return max(set(names), key=names.count) if names else ""


def _against_fading(config: RunConfig, activation: str) -> tuple[str, dict[str, Any]]:
    if activation in SQUASHING and not config.pretrained:
        return (
            "Try ReLU: its slope is 1 wherever it lets something through, so the gradient keeps "
            "its length.",
            {"activation": "relu"},
        )
    if config.architecture == "deep-mlp" and config.depth > 3:
        return "Try half as many layers.", {"depth": max(3, config.depth // 2)}
    return (
        "Try a network with shortcuts (a ResNet) or batch normalisation, which carry the gradient "
        "past its layers.",
        {},
    )


def _round(value: float) -> str:
    """Two digits, with commas: 8,312 becomes 8,300."""
    if not np.isfinite(value):
        return "endless"
    return f"{float(f'{value:.2g}'):,.0f}"
