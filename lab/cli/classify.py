"""`classify`: a run's predictions for picture files."""

from __future__ import annotations

import argparse
import json
import sys
from typing import TYPE_CHECKING, Any

from rich.table import Table

from lab.cli.console import Console, printable, progress_line
from lab.cli.find_run import find_run
from lab.cli.pictures import add_question, parse_crop, read_picture
from lab.data.decode import UnreadableFile
from lab.errors import ConfigError
from lab.evaluate.answer_sets import LEVELS
from lab.runs.store import store
from lab.words import percent

if TYPE_CHECKING:
    from lab.evaluate.classify import Answer
    from lab.evaluate.familiarity import Familiarity


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "images", nargs="+", metavar="IMAGE", help="a picture file (JPEG, PNG, HEIC, ...)"
    )
    parser.add_argument("--top", type=int, default=5, help="classes to name; default 5")
    parser.add_argument(
        "--familiarity",
        action="store_true",
        help="compare with the training pictures, to raise an alarm for what is unlike them; "
        "measured once a checkpoint",
    )
    parser.add_argument(
        "--level",
        type=int,
        choices=[round(100 * level) for level in LEVELS],
        help="name as many classes as it takes to be right in so many percent of the pictures; "
        "chosen on validation images, measured on test images once a checkpoint",
    )
    add_question(parser)
    parser.set_defaults(perform=classify)


def classify(options: argparse.Namespace) -> int:
    """Returns 0, or 1 when one of the files is no picture."""
    from lab.evaluate.classify import answer, uploaded
    from lab.evaluate.familiarity import measure_familiarity, saved_familiarity
    from lab.evaluate.how_sure import measure_how_sure, saved_how_sure
    from lab.evaluate.opened import open_network

    if options.top < 1:
        raise ConfigError(f"--top is {options.top}; allowed is a whole number from 1.")
    crop = parse_crop(options.crop)
    row = find_run(options.run)
    folder = store().folder(row.id)
    with open_network(folder, options.checkpoint) as opened:
        pass
    familiarity = saved_familiarity(folder, options.checkpoint)
    if familiarity is None and options.familiarity:
        with progress_line() as report:
            familiarity = measure_familiarity(folder, options.checkpoint, progress=report)
    sure, level = None, (options.level or 0) / 100
    if level:
        sure = saved_how_sure(folder, options.checkpoint)
        if sure is None:
            with progress_line() as report:
                sure = measure_how_sure(folder, options.checkpoint, progress=report)
    with _Answers(as_json=options.json) as answers:
        for name in options.images:
            request = {"file": name, "run": row.id, "checkpoint": options.checkpoint}
            try:
                picture = uploaded(read_picture(name), opened.card, name=name, crop=crop)
            except UnreadableFile as error:
                answers.add({**request, "error": f"{printable(name)} {error.reason}."})
            else:
                result = answer(opened, picture)
                values = _values(result, familiarity, top=options.top)
                if sure is not None:
                    inside = sure.sets[level].of(result.probabilities[None])[0]
                    values["set"] = [name for name, _ in result.top(int(inside.sum()))]
                    values["set_level"] = level
                answers.add({**request, **values})
    if sure is not None:
        print(sure.set_sentence(level), file=sys.stderr)
    if familiarity is None and not options.json:
        print(
            "This checkpoint has no alarm yet for pictures that are unlike what it trained on; "
            "--familiarity measures it once.",
            file=sys.stderr,
        )
    return 1 if answers.errors else 0


def _values(answer: Answer, familiarity: Familiarity | None, *, top: int) -> dict[str, Any]:
    """Returns an answer as JSON values."""
    probabilities = zip(answer.class_names, answer.probabilities.tolist(), strict=True)
    values = {
        "epoch": answer.epoch,
        "predicted": answer.predicted_class,
        "probability": float(answer.probabilities[answer.predicted]),
        "top": answer.top(top),
        "probabilities": dict(probabilities),
        "unlike": None,
        "distance": None,
        "limit": None,
    }
    if familiarity is not None and familiarity.identity == answer.identity:
        verdict = familiarity.judge(answer.features)
        values |= {
            "unlike": verdict.unlike,
            "distance": verdict.distance,
            "limit": familiarity.limit,
            "false_alarm_rate": familiarity.false_alarm_rate,
        }
    return values


class _Answers:
    """Prints answers as JSON lines at once, or as a table at the end, also after an error."""

    def __init__(self, *, as_json: bool) -> None:
        self.as_json = as_json
        self.table = Table("Picture", "Says", "Next", "Alarm")
        self.errors: list[str] = []

    def __enter__(self) -> _Answers:
        return self

    def add(self, values: dict[str, Any]) -> None:
        if "error" in values:
            self.errors.append(values["error"])
        if self.as_json:
            print(json.dumps(values), flush=True)
        elif "error" not in values:
            self._add_row(values)

    def _add_row(self, values: dict[str, Any]) -> None:
        first, *others = (f"{name} {percent(share)}" for name, share in values["top"])
        if "set" in values:
            first += f" ({values['set_level']:.0%}: {', '.join(values['set'])})"
        alarms = {None: "not measured", True: "unlike what it trained on", False: "none"}
        alarm = alarms[values["unlike"]]
        if values["unlike"] is not None:
            alarm += f" (distance {values['distance']:.3f}, limit {values['limit']:.3f})"
        cells = (printable(values["file"]), first, ", ".join(others), alarm)
        self.table.add_row(*cells)

    def __exit__(self, *_: object) -> None:
        if self.as_json:
            return
        if self.table.row_count:
            Console().print(self.table)
        for error in self.errors:
            print(error, file=sys.stderr)
