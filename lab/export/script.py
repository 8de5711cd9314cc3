"""A run as a plain PyTorch file that trains it again without the lab, and the same as a notebook.

    pieces/script.py.jinja      the file, with the other pieces in it: text in "percent format", in
                                which "# %%" begins a cell and "# %% [markdown]" one of story
    script_network.py           the network as code

Only what the run uses is written. A run with a setting for which there is no text is refused.
"""

from __future__ import annotations

import csv
import html
import io
import json
import re
import textwrap
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import jinja2
import numpy as np

from lab import __version__
from lab.config import FREEZING, KNOBS, RunConfig
from lab.data.augment import Augmentation
from lab.data.decode import CUT_OFF, FITS
from lab.data.pack import Pack
from lab.data.preprocess import IMAGENET_MEAN
from lab.data.sources.photographs import is_image
from lab.data.splits import Splits, steps_in_epoch
from lab.errors import ConfigError
from lab.evaluate.opened import open_data
from lab.export.dataset import add_dataset
from lab.export.formats import Written
from lab.export.script_network import NetworkCode, network_code
from lab.models.architecture import ARCHITECTURES, JOINED
from lab.models.freezing import phases, trainable_stages
from lab.names import csv_cell
from lab.progress import Cancel, Report, never, silent
from lab.runs.class_rules import results_hidden
from lab.runs.rows import RunRow
from lab.runs.store import store
from lab.training.checkpoint import CheckpointMetadata, read_end

PIECES = Path(__file__).parent / "pieces"
SCRIPT, NOTEBOOK, TABLE = "train.py", "train.ipynb", "labels.csv"
_HEIC = (".heic", ".heif", ".hif")


@dataclass(frozen=True, eq=False)
class Opened:
    """A run's network and data, as they are on the disk."""

    card: CheckpointMetadata
    pack: Pack
    splits: Splits

    @classmethod
    def of(cls, run: RunRow, report: Report = silent, cancelled: Cancel = never) -> Opened:
        """Raises NotFoundError, DataError where the data set is gone."""
        card = CheckpointMetadata.read(store().folder(run.id))
        pack, splits = open_data(card, progress=report, cancel=cancelled)
        return cls(card, pack, splits)


def unwritten(run: RunRow) -> str:
    """Returns why there is no script of this run, in a sentence; "" where there is one."""
    if run.status != "completed":
        return f"A script does what a completed run did; this one is {run.status}."
    if run.rate_changes:
        step, rate = run.rate_changes[0]
        return (
            f"Its learning rate was changed by hand at step {step:,}, to {rate:g}; a script knows "
            "the settings alone."
        )
    if _finished_by_hand(run):
        return f"It was finished by hand after {run.step:,} of {run.total_steps:,} steps."
    named = [f"{KNOBS[name].title} ({name})" for name in _unwritten_knobs(run.config)]
    return f"A script cannot write its setting of {', '.join(named)}." if named else ""


def _finished_by_hand(run: RunRow) -> bool:
    return run.step != run.total_steps and "early stopping" not in run.message


def _unwritten_knobs(config: RunConfig) -> list[str]:
    spec = ARCHITECTURES.get(config.architecture)
    library = spec.family in ("torchvision", "timm")
    views = config.freeze in FREEZING and config.augments and config.kept_views > 0
    at_fault = {
        "auto_augment": config.auto_augment != "off",
        "model_ema_decay": config.model_ema_decay > 0,
        "start_from": bool(config.start_from),
        "precision": config.precision == "fp16",
        "kept_views": views and config.frozen_features == "auto" and not config.mixes,
        "architecture": JOINED in config.architecture,
        "activation": library and config.activation not in ("auto", spec.native_activation),
        "head": library and config.head == "dense",
        "dropout": spec.family == "timm"
        and not spec.name.startswith("efficientnet_lite")
        and bool(config.dropout),
    }
    return [name for name, is_at_fault in at_fault.items() if is_at_fault]


def write_script(
    run: RunRow, checkpoint: str, path: Path, report: Report, cancelled: Cancel
) -> Written:
    return _write(run, path, report, cancelled, notebook=False)


def write_notebook(
    run: RunRow, checkpoint: str, path: Path, report: Report, cancelled: Cancel
) -> Written:
    return _write(run, path, report, cancelled, notebook=True)


def _write(
    run: RunRow, path: Path, report: Report, cancelled: Cancel, *, notebook: bool
) -> Written:
    """Writes a zip of the file, the table of its pictures, and where these are no files of their
    own, the pictures."""
    opened = Opened.of(run, report, cancelled)
    originals = originals_usable(opened.pack, opened.splits)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        written = _add(archive, run, "", opened, originals=originals, notebook=notebook)
        if originals:
            archive.writestr(TABLE, _table(opened))
        else:
            add_dataset(archive, run, "", report, cancelled)
    return written


def add_script(
    archive: zipfile.ZipFile,
    run: RunRow,
    place: str,
    report: Report,
    cancelled: Cancel,
    *,
    notebook: bool,
) -> tuple[str, Written]:
    """Adds the file alone to the folder `place` of the zip, where the data set's pictures and
    table are; returns its name there."""
    opened = Opened.of(run, report, cancelled)
    written = _add(archive, run, place, opened, originals=False, notebook=notebook)
    return place + (NOTEBOOK if notebook else SCRIPT), written


def _add(
    archive: zipfile.ZipFile,
    run: RunRow,
    place: str,
    opened: Opened,
    *,
    originals: bool,
    notebook: bool,
) -> Written:
    name = NOTEBOOK if notebook else SCRIPT
    text = script_text(run, opened, originals=originals, notebook=notebook)
    archive.writestr(place + name, as_notebook(text) if notebook else text)
    needed = _needed(opened.card)
    where = "the original files, whose folder it is told" if originals else "beside it"
    sentences = (
        f"{name}: {len(text.splitlines())} lines, without the lab; needs {', '.join(needed)}. The "
        f"pictures are {where}; {TABLE} says which are for what.",
        "It draws its own random numbers: its test accuracy is the run's within the chance of "
        "another seed.",
    )
    return Written(sentences, {"originals": originals, "needs": needed})


def _needed(card: CheckpointMetadata) -> list[str]:
    family = ARCHITECTURES.get(card.config.architecture).family
    library = [family] if family in ("torchvision", "timm") else []
    return ["numpy", "pillow", "torch", *library]


def originals_usable(pack: Pack, splits: Splits) -> bool:
    """Whether the data set's pictures are files that a script reads as the lab did."""
    names = [pack.names[row] for rows in (splits.train, splits.val, splits.test) for row in rows]
    return (
        pack.meta.channels == 3
        and pack.meta.value_range is None
        and not any(note.startswith(CUT_OFF) for note in pack.meta.notes)
        and len(set(names)) == len(names)
        and all(is_image(n) and not n.lower().endswith(_HEIC) and csv_cell(n) == n for n in names)
    )


def script_text(run: RunRow, opened: Opened, *, originals: bool, notebook: bool) -> str:
    """Returns the file's text, in percent format. Raises ConfigError for a run that cannot be
    written."""
    if reason := unwritten(run):
        raise ConfigError(reason)
    card = opened.card
    end = read_end(store().folder(run.id))
    counters = end.counters if end else None
    if counters is not None and counters.decay_all and card.config.weight_decay:
        raise ConfigError("An earlier version of the lab trained it, with other weight decay.")
    precision = counters.precision if counters else card.config.precision
    if precision == "fp16":
        raise ConfigError(f"A script cannot write {KNOBS['precision'].title} (precision) fp16.")
    frozen = card.config.freeze in FREEZING
    layer_decay = card.config.in_effect("layer_decay")
    code = network_code(card, staged=frozen or layer_decay != 1)
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(PIECES),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    text = environment.get_template("script.py.jinja").render(
        _values(run, opened, code, precision=precision, originals=originals),
        notebook=notebook,
    )
    text = re.sub(r"\n{4,}", "\n\n\n", text).rstrip() + "\n"
    return text if not notebook else re.sub(r"\n{3,}(?=# %%)", "\n\n", text)


def _values(
    run: RunRow,
    opened: Opened,
    code: NetworkCode,
    *,
    precision: str,
    originals: bool,
) -> dict[str, Any]:
    """What the pieces are filled with."""
    card, pack, splits = opened.card, opened.pack, opened.splits
    config, preprocess = card.config, card.preprocess
    frozen = config.freeze in FREEZING
    decay = config.in_effect("layer_decay")
    warps = any(
        (config.rotation_degrees, config.shear_degrees, config.zoom, config.width_shift,
         config.height_shift)
    )  # fmt: skip
    grouped = bool(config.weight_decay) or decay != 1
    test_hidden = results_hidden(store().database)
    per_epoch = steps_in_epoch(splits, config, pack.labels)
    if config.class_balancing == "oversampling":
        counts = np.bincount(pack.labels[splits.train])
        samples = int(counts.max()) * int((counts > 0).sum())
    else:
        samples = len(splits.train)
    if config.steps_per_epoch:
        samples = min(samples, config.steps_per_epoch * config.batch_size)
    size = preprocess.image_size
    return {
        **code.values,
        "title": f"{run.name}, trained again",
        "file": SCRIPT,
        "start_story": _start_story(run, pack, splits, originals=originals),
        "picture_story": _picture_story(card, code, originals=originals),
        "network_story": _network_story(card, frozen=frozen),
        "step_story": _step_story(config),
        "training_story": _training_story(config),
        "originals": originals,
        "test_accuracy": None if test_hidden else run.test_accuracy,
        "test_images": 0 if test_hidden else len(splits.test),
        "classes": _listed(card.class_names),
        "size": size,
        "own_size": card.data_image_size or size,
        "grey": preprocess.channels == 1,
        "mean": list(code.mean or preprocess.mean),
        "std": list(code.std or preprocess.std),
        "fit": card.fit,
        "config": config,
        "precision": precision,
        "augments": Augmentation(config).active,
        "warps": warps,
        "frozen": frozen,
        "phases": [
            {
                "first_epoch": p.first_epoch,
                "last_epoch": p.last_epoch,
                "rate": p.learning_rate,
                "stages": trainable_stages(list(code.values["paths"]), config, phase=p.number),
            }
            for p in (phases(config) if frozen else ())
        ],
        "single_left": config.batch_size > 1
        and samples > config.batch_size
        and samples % config.batch_size == 1,
        "steps_per_epoch": per_epoch,
        "varies": config.schedule != "constant"
        or bool(config.in_effect("warmup_epochs"))
        or frozen,
        "warmup": config.in_effect("warmup_epochs"),
        "grouped": grouped,
        "layer_decay": decay,
        "group_words": _group_words(config, decay),
        "optimizer": _optimizer(config, grouped=grouped, frozen=frozen),
        "weighted": config.class_balancing == "weighted_loss",
        "patience": config.early_stopping_patience,
        "eval_batch": 512 if size < 64 else 64,
        "loss": partial(_loss, config),
    }


def _loss(config: RunConfig, target: str) -> str:
    smoothing = f", label_smoothing={config.smoothing}" if config.smoothing else ""
    if config.class_balancing == "weighted_loss":
        inside = f'logits, {target}, class_weights, reduction="sum"{smoothing}'
        return f"F.cross_entropy({inside}) / len(y)"
    return f"F.cross_entropy(logits, {target}{smoothing})"


def _optimizer(config: RunConfig, *, grouped: bool, frozen: bool) -> str:
    name = {"adam": "Adam", "adamw": "AdamW", "sgd": "SGD", "rmsprop": "RMSprop"}[config.optimizer]
    what = "net.parameters()"
    if grouped:
        what = "parameter_groups()"
    elif frozen:
        what = "[p for p in net.parameters() if p.requires_grad]"
    options = f"lr={'rate' if frozen else 'RATE'}"
    if config.optimizer in ("sgd", "rmsprop"):
        options += f", momentum={config.momentum}"
    if config.optimizer == "sgd" and config.nesterov:
        options += ", nesterov=True"
    if config.optimizer == "adamw" and not grouped:
        options += ", weight_decay=0"
    return f"torch.optim.{name}({what}, {options})"


def _group_words(config: RunConfig, decay: float) -> str:
    words = []
    if config.weight_decay:
        words.append("Biases and norm layers have no weight decay.")
    if decay != 1:
        words.append(f"A stage learns at {decay:g} times the rate of the one behind it.")
    return " ".join(words)


def _listed(names: Sequence[str]) -> str:
    """The class names as code, in lines of 100 characters where that is possible."""
    words = [json.dumps(name, ensure_ascii=False) for name in names]
    if len(", ".join(words)) < 88:
        return f"[{', '.join(words)}]"
    lines = ["   "]
    for word in words:
        if len(lines[-1]) + len(word) > 97:
            lines.append("   ")
        lines[-1] += f" {word},"
    return "[\n" + "\n".join(lines) + "\n]"


def _story(*sentences: str) -> str:
    """The sentences as lines of a comment; empty ones are left out."""
    text = " ".join(" ".join(sentences).split())
    return textwrap.fill(text, 100, initial_indent="# ", subsequent_indent="# ")


def _start_story(run: RunRow, pack: Pack, splits: Splits, *, originals: bool) -> str:
    title = ARCHITECTURES.get(run.architecture).title
    parts = [f"{len(splits.train):,} pictures to train on", f"{len(splits.val):,} to choose by"]
    parts.append(f"{len(splits.test):,} to test on")
    return _story(
        f"Trains {title} on “{pack.meta.title}”, as run {run.id} of Epochlab {__version__} did, "
        "without the lab.",
        f"{TABLE} names {', '.join(parts[:-1])} and {parts[-1]};",
        "the pictures are the original files, in the folder PICTURES."
        if originals
        else "the pictures lie beside it, as the lab keeps them.",
        "Chance is drawn anew, so this is a sister of the run's network: its accuracy differs as "
        "much as between two seeds of the lab.",
    )


def _picture_story(card: CheckpointMetadata, code: NetworkCode, *, originals: bool) -> str:
    config, size = card.config, card.preprocess.image_size
    own = card.data_image_size or size
    kind = config.normalisation
    if code.mean is not None:
        scale = "scaled as the pretrained weights know colours"
    elif card.preprocess.mean == IMAGENET_MEAN:
        scale = "minus ImageNet's mean and over its deviation"
    elif kind == "unit":
        scale = "and stay so"
    else:
        scale = "minus the mean of the training pictures and over their deviation"
    return _story(
        "Every picture is read once and kept as bytes.",
        f"It is turned upright, transparency becomes white, and it is {FITS[card.fit]} of {own} "
        "pixels."
        if originals
        else "",
        f"It is resized to {size} pixels." if own != size else "",
        f"Only in a batch do bytes become numbers from 0 to 1, {scale}.",
    )


def _network_story(card: CheckpointMetadata, *, frozen: bool) -> str:
    spec, config = ARCHITECTURES.get(card.config.architecture), card.config
    begins = "It begins with random weights."
    if config.pretrained:
        begins = "It begins with ImageNet's weights and a new last layer."
    parts = "Some of it is left as it is, so its parts have names." if frozen else ""
    return _story(f"{spec.title}. {spec.story}", begins, parts)


def _step_story(config: RunConfig) -> str:
    mixes = " and ".join(name for name in ("mixup", "CutMix") if getattr(config, name.lower()) > 0)
    return _story(
        f"{KNOBS['optimizer'].text(config.optimizer)} takes a step for each batch of "
        f"{config.batch_size} pictures, drawn in a new order every epoch.",
        "Pictures of rare classes come more often." if config.class_balancing == "oversampling"
        else "",
        f"Pictures of a batch are mixed ({mixes}), and so are their labels." if mixes else "",
        _SCHEDULES[config.schedule],
        "It warms up at first." if config.in_effect("warmup_epochs") else "",
    )  # fmt: skip


_SCHEDULES = {
    "constant": "The learning rate stays what it is.",
    "step": "The learning rate falls in steps.",
    "cosine": "The learning rate falls to nothing along half a cosine.",
    "one_cycle": "The learning rate rises and falls once.",
    "on_plateau": "The learning rate falls when the validation loss does not.",
}


def _training_story(config: RunConfig) -> str:
    by = "accuracy" if config.best_metric == "val_accuracy" else "loss"
    two = config.freeze == "two_phase"
    return _story(
        "First only the head is trained, then the last stages too, at a smaller rate." if two
        else "",
        f"After each epoch the network is asked about the validation pictures; the weights with "
        f"the best {by} are kept.",
        f"Training ends after {config.early_stopping_patience} epochs without a better one."
        if config.early_stopping_patience
        else "",
    )  # fmt: skip


def as_notebook(text: str) -> str:
    """Returns a script in percent format as a notebook (nbformat 4.5), as JSON."""
    cells = []
    for number, part in enumerate(re.split(r"^# %%", text, flags=re.MULTILINE)[1:]):
        head, _, body = part.partition("\n")
        cell: dict[str, Any] = {"id": f"cell-{number}", "metadata": {}}
        if "[markdown]" in head:
            body = re.sub(r"^# ?", "", body, flags=re.MULTILINE)
            cell |= {"cell_type": "markdown", "source": html.escape(body.strip(), quote=False)}
        else:
            cell |= {"cell_type": "code", "source": body.strip()}
            cell |= {"execution_count": None, "outputs": []}
        cells.append(cell)
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    values = {
        "cells": cells,
        "metadata": {"kernelspec": kernel, "language_info": {"name": "python"}},
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    return json.dumps(values, ensure_ascii=False, indent=1)


def _table(opened: Opened) -> str:
    """The table of the original files, as `add_dataset` writes that of the lab's."""
    pack, splits, names = opened.pack, opened.splits, opened.card.class_names
    table = io.StringIO(newline="")
    lines = csv.writer(table, lineterminator="\n")
    lines.writerow(["file", "part", "class", "label"])
    for part, rows in (("train", splits.train), ("val", splits.val), ("test", splits.test)):
        for row in rows.tolist():
            label = int(pack.labels[row])
            lines.writerow([pack.names[row], part, csv_cell(names[label]), label])
    return table.getvalue()
