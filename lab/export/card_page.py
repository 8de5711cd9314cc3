"""A lab card as one HTML file: works offline, in light and dark, and prints."""

from __future__ import annotations

import base64
import io
from html import escape
from pathlib import Path

from lab.charts.confusion import confusion_matrix, confusion_matrix_alt
from lab.charts.reliability import reliability
from lab.export.card import Card, Pixels, as_image, curves, make_card, summary
from lab.export.formats import Written
from lab.export.page_parts import chart, head, page, section, table
from lab.progress import Cancel, Report
from lab.runs.rows import RunRow
from lab.words import NONE, duration, percent, probability

MOST_CLASSES = 40
"""Of a confusion matrix that is drawn; a larger one is in the card's JSON."""
VERDICTS = {
    "depends": "can be trusted",
    "cannot_tell": "this picture cannot tell",
    "unchanged": "not to be trusted",
    "no_better": "not to be trusted",
    "not_meaningful": "no map",
    "knows_nothing": "not to be trusted",
    "none": "no map",
}


def write_card(
    run: RunRow, checkpoint: str, path: Path, report: Report, cancelled: Cancel
) -> Written:
    return write_page_of(make_card(run, checkpoint, report, cancelled), path)


def write_page_of(card: Card, path: Path) -> Written:
    path.write_text(card_page(card), encoding="utf-8")
    return Written((summary(card),), {"measured": card.values["measured"]})


def card_page(card: Card) -> str:
    values = card.values
    figures = curves(card)
    if card.metrics is not None:
        found = card.metrics.calibration
        figures["How sure, how right"] = reliability(
            found.edges, found.counts, found.confidence, found.accuracy
        )
    sections = [_head(card), _uses(card), *map(chart, figures), _matrix(card), _classes(card)]
    sections += [_samples(card), _settings(card), _origin(card), _reproduce(card)]
    return page(values["run_name"], sections, values, figures)


def _head(card: Card) -> str:
    values, measured = card.values, card.values["measured"]
    tiles = []
    if measured is not None:
        low, high = measured["interval"]
        tiles += [
            (f"Accuracy ({measured['part']})", percent(measured["accuracy"])),
            ("95% interval", f"{percent(low)} to {percent(high)}"),
            ("Majority baseline", percent(measured["baseline"])),
            ("Macro F1", NONE if measured["macro_f1"] is None else f"{measured['macro_f1']:.3f}"),
            ("Loss", f"{measured['loss']:.3f}"),
            ("Calibration error", percent(measured["calibration_error"])),
        ]
    clean = (values["leak_free"] or {}).get("leak_free")
    if clean is not None:
        tiles.insert(2, ("Leak-free accuracy", percent(clean["accuracy"])))
    boxes = "".join(f"<div><span>{escape(k)}</span><b>{escape(v)}</b></div>" for k, v in tiles)
    lines = [summary(card)]
    if measured is not None and measured["looks"]:
        lines.append(measured["looks"])
    if values["notes"]:
        lines.append(values["notes"])
    return head("Lab card", values["run_name"], lines) + f"<div class=tiles>{boxes}</div>"


def _uses(card: Card) -> str:
    def items(key: str) -> str:
        return "<ul>" + "".join(f"<li>{escape(v)}</li>" for v in card.values[key]) + "</ul>"

    good, bad = items("good_for"), items("not_for")
    return f"<div class=two>{section('Good for', good)}{section('Not for', bad)}</div>"


def _matrix(card: Card) -> str:
    if card.metrics is None or len(card.values["classes"]) > MOST_CLASSES:
        return ""
    names = card.values["classes"]
    matrix = confusion_matrix(card.metrics.matrix, names)
    cells = {(c["true"], c["predicted"]): c for c in matrix["cells"]}
    head = "".join(f"<th scope=col><span>{escape(n)}</span></th>" for n in names)
    rows = []
    for true, name in enumerate(names):
        row = [f"<th scope=row>{escape(name)}</th>"]
        for predicted in range(len(names)):
            cell = cells.get((true, predicted))
            row.append(
                "<td></td>"
                if cell is None
                else f'<td style="background:{cell["colour"]};color:{cell["ink"]}" '
                f'title="{escape(cell["about"])}">{cell["text"]}</td>'
            )
        rows.append("<tr>" + "".join(row) + "</tr>")
    alt = confusion_matrix_alt(card.metrics.matrix, names)
    table = f"<table class=matrix><thead><tr><td></td>{head}</tr></thead><tbody>"
    body = f'<div class="wide">{table}{"".join(rows)}</tbody></table></div>'
    return section("Confusion matrix", f"<p>Rows: true class. {escape(alt)}</p>{body}")


def _classes(card: Card) -> str:
    measured = card.values["measured"]
    if measured is None:
        return ""
    rows = [
        [name, f"{support:,}", *(NONE if v is None else percent(v) for v in (p, r)), f"{f:.3f}"]
        for name, support, p, r, f in zip(
            card.values["classes"],
            measured["support"],
            measured["precision"],
            measured["recall"],
            [value or 0.0 for value in measured["f1"]],
            strict=True,
        )
    ]
    return section("Each class", table(["Class", "Images", "Precision", "Recall", "F1"], rows))


def _samples(card: Card) -> str:
    if not card.samples:
        return ""
    boxes = []
    for sample in card.samples:
        pictures = [(sample.picture, "the picture")]
        if sample.map is not None:
            pictures.append((sample.map, "where the network looked"))
        images = "".join(
            f'<img alt="{words}" src="data:image/png;base64,{_png(pixels)}">'
            for pixels, words in pictures
        )
        right = "right" if sample.true == sample.predicted else f"it is {sample.true}"
        boxes.append(
            f"<figure><div>{images}</div><figcaption><b>{escape(sample.kind)}</b>: "
            f"{escape(sample.predicted)}, {probability(sample.probability)}; {escape(right)}."
            f"<br><b>The map: {VERDICTS.get(sample.verdict, sample.verdict)}.</b> "
            f"{escape(sample.sentence)}</figcaption></figure>"
        )
    audit = card.values["explanations"]
    below = f"<p>{escape(audit)}</p>" if audit else ""
    return section(
        "Where it looks, and whether that can be trusted",
        f'<div class="samples">{"".join(boxes)}</div>{below}',
    )


def _png(pixels: Pixels) -> str:
    file = io.BytesIO()
    as_image(pixels).save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode("ascii")


def _settings(card: Card) -> str:
    rows = [[name, value] for name, value in card.values["settings_in_words"].items()]
    note = "<p>Settings that are not the usual ones; all are in the card's JSON.</p>"
    return section("Settings", note + table([], rows))


def _origin(card: Card) -> str:
    values = card.values
    splits = values["splits"]
    counted = {name: f"{values[name]:,}" for name in ("parameters", "trained_parameters")
               if values[name] is not None}  # fmt: skip
    rows = [
        ["Data set", values["dataset"]],
        ["Its version (SHA-256)", values["dataset_hash"]],
        *(
            [f"Split {part}", f"{splits[part]['images']:,} images, ids {splits[part]['sha256']}"]
            for part in splits
        ),
        ["A picture's way", f"{values['picture']} {values['before']}"],
        ["Parameters", f"{counted.get('parameters', NONE)}, trained "
         f"{counted.get('trained_parameters', NONE)}"],
        ["Run", f"{values['run']}, {values['status']}"],
        ["Checkpoint", f"{values['checkpoint']}, epoch {values['epoch'] or NONE}"],
        ["Weights (SHA-256)", values["weights_sha256"]],
        ["Trained", f"{values['trained'] or NONE} on {values['device'] or NONE}, "
         f"{duration(values['training_seconds'])} of training steps"],
        ["Card made", f"{values['created']} with "
         + ", ".join(f"{k} {v}" for k, v in values["card_made_with"].items())],
    ]  # fmt: skip
    return section("Where it comes from", table([], rows))


def _reproduce(card: Card) -> str:
    steps = card.values["reproduce"]
    return section(
        "Train it again",
        f"<pre>{escape(steps['command'])}</pre><details><summary>All settings (YAML)</summary>"
        f"<pre>{escape(steps['config_yaml'])}</pre></details>",
    )
