"""The facts of a lab card: what a run is, how good it is, and what it is good for.

Plain JSON values, from which `lab.export.card_page` makes the page. Test results are left out for
somebody who may not see them yet.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import platform
import shlex
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from lab import __version__
from lab.charts.epochs import epoch_curves
from lab.config import KNOBS
from lab.data.pack import Pack
from lab.data.splits import Splits
from lab.evaluate.audit_result import saved_audit
from lab.evaluate.classify import answer
from lab.evaluate.leak_free import LeakFree, known_groups, leak_free, leak_free_values
from lab.evaluate.opened import PublishedNetwork, open_data
from lab.evaluate.pictures import pack_picture
from lab.evaluate.predictions import SPLIT_WORDS, Predictions, predict, saved_predictions
from lab.evaluate.report import Report as Metrics
from lab.evaluate.report import make_report, ordered
from lab.evaluate.trust import trust_of
from lab.experiments.looks import looks_words
from lab.explain.overlay import overlay, square
from lab.export.formats import Written, measured_part
from lab.export.provenance import provenance
from lab.installation import COMMAND
from lab.metrics import METRICS
from lab.progress import Cancel, Progress, Report, check_cancel
from lab.runs.naming import value_text
from lab.runs.rows import RunRow
from lab.runs.store import store
from lab.training.checkpoint import CheckpointMetadata, weights_digest
from lab.training.plan import as_trained
from lab.words import percent

WEAK_RECALL = 0.7
"""Below it a class is named among the limits."""
MOST_NAMED = 8
SIDE = 168
"""Of a picture on the card, in pixels."""
PACKAGES = ("torch", "torchvision", "timm", "numpy", "pillow")

Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class Sample:
    """A picture of the measured part, and where the network looked."""

    kind: str
    name: str
    true: str
    predicted: str
    probability: float
    picture: Pixels
    map: Pixels | None
    verdict: str
    sentence: str


@dataclass(frozen=True, eq=False)
class Card:
    """What the page draws beside `values`."""

    values: dict[str, Any]
    metrics: Metrics | None
    samples: tuple[Sample, ...]


def make_card(run: RunRow, checkpoint: str, report: Report, cancelled: Cancel) -> Card:
    """Measures what is not known yet; raises LabError where the run's data set is gone."""
    folder = store().folder(run.id)
    network = PublishedNetwork.newest(folder, checkpoint)
    card = CheckpointMetadata.read(folder)
    pack, splits = open_data(card, progress=report, cancel=cancelled)
    part = measured_part(run)
    predictions = metrics = honest = None
    if part:
        predictions = saved_predictions(folder, checkpoint, part) or predict(
            folder, checkpoint, part, progress=report, cancel=cancelled
        )
        groups = known_groups(pack)
        metrics = make_report(predictions, groups)
        if groups is not None:
            honest = leak_free(predictions, splits, groups)
    samples: tuple[Sample, ...] = ()
    if predictions is not None:
        samples = _samples(network, pack, predictions, report, cancelled)
    epoch = network.ask(lambda opened: opened.epoch)
    audit = saved_audit(folder, checkpoint)
    if audit and audit.split == "test" and part != "test":  # not shown yet
        audit = None
    config = as_trained(card.config, folder)
    values = {
        **provenance(run, card, checkpoint, epoch),
        "format": 1,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "weights_sha256": weights_digest(folder, checkpoint),
        "trained": None if run.ended_at is None else run.ended_at.isoformat(timespec="seconds"),
        "status": run.status,
        "device": run.device,
        "training_seconds": run.seconds,
        "notes": run.notes,
        "parameters": run.total_parameters,
        "trained_parameters": run.trainable_parameters,
        "card_made_with": {
            "lab": __version__,
            "python": platform.python_version(),
            "machine": f"{platform.system()} {platform.machine()}",
            **{name: importlib.metadata.version(name) for name in PACKAGES},
        },
        "settings_in_words": {
            KNOBS[name].title if name in KNOBS else name: str(value_text(name, value))
            for name, value in config.differences().items()
        },
        "splits": _split_values(splits),
        "epochs": _epoch_values(run),
        "measured": None if metrics is None else _metric_values(metrics, part, run),
        "leak_free": None if honest is None else leak_free_values(honest),
        "explanations": audit.sentence if audit else None,
        "samples": [
            {
                "kind": s.kind, "picture": s.name, "true": s.true, "predicted": s.predicted,
                "probability": s.probability, "trust": s.verdict, "sentence": s.sentence,
            }
            for s in samples
        ],
        "good_for": _good_for(pack, metrics, part),
        "not_for": _not_for(card, metrics, honest, part),
        "reproduce": {"command": command(config.differences()), "config_yaml": config.to_yaml()},
    }  # fmt: skip
    return Card(json.loads(json.dumps(values, default=str)), metrics, samples)


def write_card_json(
    run: RunRow, checkpoint: str, path: Path, report: Report, cancelled: Cancel
) -> Written:
    return write_json_of(make_card(run, checkpoint, report, cancelled), path)


def write_json_of(card: Card, path: Path) -> Written:
    path.write_text(json.dumps(card.values, indent=1, ensure_ascii=False), encoding="utf-8")
    return Written((summary(card),), {"measured": card.values["measured"]})


def summary(card: Card) -> str:
    """Returns the card in one sentence."""
    measured = card.values["measured"]
    if measured is None:
        return "Without metrics: the run has neither validation nor test images."
    low, high = measured["interval"]
    maps = sum(sample.map is not None for sample in card.samples)
    explained = f"{maps} explanations, each tested" if maps else "no explanations: it has no maps"
    return (
        f"{percent(measured['accuracy'])} of {measured['images']:,} {measured['part']} images are "
        f"right (95% interval {percent(low)} to {percent(high)}); {explained}."
    )


def command(settings: dict[str, Any]) -> str:
    """Returns how a terminal trains the same run."""
    words = [f"{COMMAND} train"]
    for name, value in settings.items():
        flag = f"--{name}" if name in ("dataset", "architecture", "epochs") else "--set"
        text = json.dumps(value) if isinstance(value, bool | None) else str(value)
        words.append(f"{flag} {shlex.quote(text if flag != '--set' else f'{name}={text}')}")
    return " ".join(words)


def curves(card: Card) -> dict[str, Any]:
    """Returns a Plotly figure for each curve, by its title."""
    epochs = card.values["epochs"]
    if not epochs["epoch"]:
        return {}
    best = card.values["epoch"]
    return {
        METRICS[name].title: epoch_curves(
            np.array(epochs["epoch"]),
            *(np.array(epochs[f"{part}_{name}"], dtype=float) for part in ("train", "val")),
            title=METRICS[name].title.lower(),
            share=METRICS[name].is_share,
            best=best,
        )
        for name in ("loss", "accuracy")
    }


def _epoch_values(run: RunRow) -> dict[str, list[Any]]:
    columns = store().epochs(run.id)
    values: dict[str, list[Any]] = {"epoch": columns.epoch.tolist()}
    for name in ("loss", "accuracy"):
        for part in ("train", "val"):
            column = columns[f"{part}_{name}"].tolist()
            values[f"{part}_{name}"] = [_number(v) for v in column]
    return values


def _split_values(splits: Splits) -> dict[str, Any]:
    """The images of each part by their place in the data set's version, and a digest of them."""
    return {
        part: {
            "images": len(rows),
            "sha256": hashlib.sha256(rows.astype("<i8").tobytes()).hexdigest(),
            "ids": rows.tolist(),
        }
        for part, rows in (("train", splits.train), ("val", splits.val), ("test", splits.test))
    }


def _metric_values(metrics: Metrics, part: str, run: RunRow) -> dict[str, Any]:
    scores = metrics.scores
    looks = looks_words(run, store()) if part == "test" else ""
    return {
        "part": SPLIT_WORDS[part],
        "images": metrics.n,
        "independent": metrics.units,
        "accuracy": metrics.accuracy,
        "interval": list(metrics.interval),
        "baseline": metrics.baseline,
        "majority": metrics.majority,
        "loss": metrics.loss,
        "macro_f1": _number(metrics.macro.f1),
        "calibration_error": _number(metrics.calibration.expected_error),
        "calibration_gap": _number(metrics.calibration.gap),
        "looks": looks,
        "confusion": metrics.matrix.tolist(),
        "precision": [_number(v) for v in scores.precision.tolist()],
        "recall": [_number(v) for v in scores.recall.tolist()],
        "f1": [_number(v) for v in scores.f1.tolist()],
        "support": scores.support.tolist(),
    }


def _number(value: float) -> float | None:
    return None if value != value else value


def _good_for(pack: Pack, metrics: Metrics | None, part: str) -> list[str]:
    lines = [
        f"Telling {len(pack.meta.class_names)} classes apart in pictures like those of "
        f"{pack.meta.title}."
    ]
    if metrics is not None and metrics.beats_baseline:
        low, high = metrics.interval
        lines.append(
            f"On such pictures it is right in {percent(low)} to {percent(high)} of the cases "
            f"(95% interval from {metrics.units:,} independent {SPLIT_WORDS[part]} pictures), "
            f"where always answering “{metrics.majority}” is right in {percent(metrics.baseline)}."
        )
    return lines


def _not_for(
    card: CheckpointMetadata, metrics: Metrics | None, honest: LeakFree | None, part: str
) -> list[str]:
    lines = [
        "Pictures of anything else: it always answers with one of its classes, also for a picture "
        "that shows none of them.",
        "Pictures of another source, camera, light or crop: nothing here was measured on such.",
    ]
    if metrics is None:
        return [*lines, "Any use that needs a known accuracy: none was measured."]
    if not metrics.beats_baseline:
        lines.insert(0, "Any decision: it is not known to be better than always one answer.")
    weak = [
        f"{name} ({percent(recall)} of {support:,} found)"
        for name, recall, support in zip(
            card.class_names, metrics.scores.recall, metrics.scores.support, strict=True
        )
        if support and recall < WEAK_RECALL
    ]
    if weak:
        more = f" and {len(weak) - MOST_NAMED} more" if len(weak) > MOST_NAMED else ""
        lines.append(f"Finding these classes: {', '.join(weak[:MOST_NAMED])}{more}.")
    gap = metrics.calibration.gap
    if abs(gap) > 0.02:
        side = "more" if gap > 0 else "less"
        lines.append(
            f"Taking its probabilities at their word: on average it is {side} sure than right, by "
            f"{percent(abs(gap))}."
        )
    if honest is None:
        lines.append(
            f"Nobody has looked yet whether the {SPLIT_WORDS[part]} pictures are near-copies of "
            "training pictures, which would make the accuracy too good."
        )
    elif honest.leaking:
        lines.append(honest.sentence)
    return lines


def _samples(
    network: PublishedNetwork,
    pack: Pack,
    predictions: Predictions,
    report: Report,
    cancelled: Cancel,
) -> tuple[Sample, ...]:
    """The surest mistake, the least sure answer, and the surest right one."""
    by_loss = ordered(predictions, "worst")
    wrong = ordered(predictions, "confident_wrong")
    places = {"The surest right answer": int(by_loss[-1])}
    places["The least sure answer"] = int(ordered(predictions, "least_sure")[0])
    if len(wrong):
        places["The surest mistake"] = int(wrong[0])
    samples = []
    for number, (kind, place) in enumerate(places.items()):
        check_cancel(cancelled, "The card")
        report(Progress(number, len(places), "Testing explanations", "pictures"))
        picture = pack_picture(pack, int(predictions.indices[place]))
        said = network.ask(partial(answer, picture=picture))
        drawn, verdict, sentence = None, "none", "This network has no layer with places."
        if said.cam is not None and said.layer is not None:
            drawn = overlay(said.seen, said.cam, side=SIDE)
            trust = trust_of(
                network, picture, target=said.target, layer=said.layer, method=said.method,
                cancel=cancelled,
            )  # fmt: skip
            verdict, sentence = trust.verdict, trust.sentence
        names = predictions.class_names
        samples.append(
            Sample(
                kind,
                picture.name,
                names[int(predictions.labels[place])],
                names[int(predictions.predicted[place])],
                float(predictions.probabilities[place].max()),
                square(said.seen, SIDE),
                drawn,
                verdict,
                sentence,
            )
        )
    return tuple(samples)


def as_image(pixels: Pixels) -> Image.Image:
    return Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)
