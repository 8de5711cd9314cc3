"""`classify`: a run's answers to picture files, one or ten thousand."""

from __future__ import annotations

import argparse
import csv
import json
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TextIO

from rich.table import Table

from lab.cli.console import Console, printable, progress_bar, progress_line
from lab.cli.find_run import find_run
from lab.cli.pictures import add_question, parse_crop
from lab.errors import ConfigError
from lab.evaluate.answer_sets import LEVELS
from lab.names import csv_cell
from lab.progress import Progress
from lab.runs.store import store
from lab.words import percent

if TYPE_CHECKING:
    from lab.evaluate.bulk import FileAnswer
    from lab.evaluate.familiarity import Familiarity

LISTED = 100
"""Pictures that have a row each in the table for people; of more it counts the classes."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "images",
        nargs="*",
        metavar="IMAGE",
        help="a picture file (JPEG, PNG, HEIC, ...), a folder of them, or a pattern in quotes such "
        "as 'scans/**/*.png'",
    )
    parser.add_argument(
        "--list", metavar="FILE", help="also the pictures named in FILE, one a line; - is stdin"
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
    parser.add_argument("--csv", action="store_true", help="CSV, one row a picture, as they come")
    parser.add_argument(
        "--out", metavar="FILE", help="write JSON lines or CSV there; what is written stays whole"
    )
    add_question(parser)
    parser.set_defaults(perform=classify)


def classify(options: argparse.Namespace) -> int:
    """Returns 0, or 1 when one of the files is no picture."""
    from lab.evaluate.bulk import classify_files, find_pictures
    from lab.evaluate.familiarity import measure_familiarity, saved_familiarity
    from lab.evaluate.how_sure import measure_how_sure, saved_how_sure
    from lab.evaluate.opened import open_own_network

    _check(options)
    crop = parse_crop(options.crop)
    files = find_pictures([*options.images, *_listed(options.list)])
    row = find_run(options.run)
    folder = store().folder(row.id)
    opened = open_own_network(folder, options.checkpoint)
    familiarity = saved_familiarity(folder, options.checkpoint, identity=opened.identity)
    if familiarity is None and options.familiarity:
        with progress_line() as report:
            familiarity = measure_familiarity(folder, options.checkpoint, progress=report)
    sure, level = None, (options.level or 0) / 100
    if level:
        sure = saved_how_sure(folder, options.checkpoint, identity=opened.identity)
        if sure is None:
            with progress_line() as report:
                sure = measure_how_sure(folder, options.checkpoint, progress=report)
    request = {"run": row.id, "checkpoint": options.checkpoint, "epoch": opened.epoch}
    errors = done = 0
    answers = classify_files(opened, files, crop=crop, familiarity=familiarity)
    with (
        _output(options, opened.card.class_names) as output,
        progress_bar(quiet=len(files) == 1) as report,
    ):
        try:
            for done, answer in enumerate(answers, start=1):
                values = {"file": answer.name, **request, **_values(answer, familiarity, options)}
                if sure is not None and answer.probabilities is not None:
                    inside = sure.sets[level].of(answer.probabilities[None])[0]
                    values["set"] = [name for name, _ in answer.top(int(inside.sum()))]
                    values["set_level"] = level
                errors += bool(answer.error)
                output.add(values)
                report(Progress(done, len(files), "Classifying", "pictures"))
        except KeyboardInterrupt:
            print(f"{done:,} of {len(files):,} pictures were classified.", file=sys.stderr)
            raise
    if sure is not None:
        print(sure.set_sentence(level), file=sys.stderr)
    if familiarity is None and not (options.json or options.csv):
        print(
            "This checkpoint has no alarm yet for pictures that are unlike what it trained on; "
            "--familiarity measures it once.",
            file=sys.stderr,
        )
    return 1 if errors else 0


def _check(options: argparse.Namespace) -> None:
    if options.top < 1:
        raise ConfigError(f"--top is {options.top}; allowed is a whole number from 1.")
    if options.json and options.csv:
        raise ConfigError("--json and --csv are two formats; choose one.")
    if options.out and not (options.json or options.csv):
        raise ConfigError("--out needs --json (JSON lines) or --csv.")
    if not options.images and options.list is None:
        raise ConfigError("Name pictures, a folder of them, or a list with --list FILE.")


def _listed(name: str | None) -> list[str]:
    """Returns the names in a list file, without empty lines."""
    if name is None:
        return []
    try:
        text = sys.stdin.read() if name == "-" else Path(name).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not a text file"
        raise ConfigError(f"--list {name} cannot be read: {reason}.") from None
    return [line for line in text.splitlines() if line.strip()]


def _values(
    answer: FileAnswer, familiarity: Familiarity | None, options: argparse.Namespace
) -> dict[str, Any]:
    """Returns an answer as JSON values."""
    if answer.probabilities is None:
        return {"error": f"{printable(answer.name)} {answer.error}."}
    top = answer.top(options.top)
    values = {
        "predicted": answer.predicted_class,
        "probability": top[0][1],
        "top": top,
        "probabilities": dict(zip(answer.class_names, answer.probabilities.tolist(), strict=True)),
        "unlike": None,
        "distance": None,
        "limit": None,
    }
    if familiarity is not None and answer.familiarity is not None:
        values |= {
            "unlike": answer.familiarity.unlike,
            "distance": answer.familiarity.distance,
            "limit": familiarity.limit,
            "false_alarm_rate": familiarity.false_alarm_rate,
        }
    return values


# --- formats --------------------------------------------------------------------------------------
class _Output(Protocol):
    def add(self, values: dict[str, Any]) -> None:
        """Adds one picture's answer."""


@contextmanager
def _output(options: argparse.Namespace, class_names: Sequence[str]) -> Iterator[_Output]:
    if not (options.json or options.csv):
        with _Tables() as tables:
            yield tables
        return
    if options.out is None:
        yield _writer(options, class_names, sys.stdout)
        return
    try:
        file = Path(options.out).expanduser().open("w", encoding="utf-8", newline="")
    except OSError as error:
        raise ConfigError(f"--out {options.out} cannot be written: {error.strerror}.") from None
    with file:
        yield _writer(options, class_names, file)


def _writer(options: argparse.Namespace, class_names: Sequence[str], file: TextIO) -> _Output:
    return _JsonLines(file) if options.json else _Csv(file, class_names, leveled=options.level)


class _JsonLines:
    """Writes a JSON object a line."""

    def __init__(self, file: TextIO) -> None:
        self.file = file

    def add(self, values: dict[str, Any]) -> None:
        print(json.dumps(values), file=self.file, flush=True)


class _Csv:
    """Writes a row a picture, with a column for each class; a file that is no picture has its
    reason in the last column."""

    def __init__(self, file: TextIO, class_names: Sequence[str], *, leveled: int | None) -> None:
        self.file = file
        self.classes = class_names
        self.level = leveled
        self.writer = csv.writer(file, lineterminator="\n")
        self.writer.writerow(
            ["picture", "run", "checkpoint", "epoch", "predicted", "probability"]
            + ([] if leveled is None else [f"one of these, {leveled}%"])
            + ["distance from training pictures", "limit", "unlike the training pictures"]
            + [f"probability of {name}" for name in class_names]
            + ["error"]
        )

    def add(self, values: dict[str, Any]) -> None:
        epoch = "" if values["epoch"] is None else values["epoch"]
        row = [csv_cell(values["file"]), values["run"], values["checkpoint"], epoch]
        measured = values.get("distance") is not None
        shares = values.get("probabilities", {})
        row += [csv_cell(values.get("predicted", ""))]
        row += [f"{values['probability']:.6f}" if shares else ""]
        if self.level is not None:
            row += [csv_cell(", ".join(values.get("set", ())))]
        row += [f"{values['distance']:.3f}" if measured else ""]
        row += [f"{values['limit']:.3f}" if measured else ""]
        row += [("yes" if values["unlike"] else "no") if measured else ""]
        row += [f"{shares[name]:.6f}" if shares else "" for name in self.classes]
        self.writer.writerow([*row, values.get("error", "")])
        self.file.flush()


class _Tables:
    """Prints a table at the end, also after an error: a row a picture, of many one a class."""

    def __init__(self) -> None:
        self.table = Table("Picture", "Says", "Next", "Alarm")
        self.counts: Counter[str] = Counter()
        self.unlike = 0

    def __enter__(self) -> _Tables:
        return self

    def add(self, values: dict[str, Any]) -> None:
        if "error" in values:
            print(values["error"], file=sys.stderr)
            return
        self.counts[values["predicted"]] += 1
        self.unlike += bool(values["unlike"])
        if self.table.row_count < LISTED:
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
        total = self.counts.total()
        if total > LISTED:
            self.table = Table("Class", "Pictures", "Share")
            for name, count in self.counts.most_common():
                self.table.add_row(name, f"{count:,}", percent(count / total))
        if total:
            Console().print(self.table)
        if total > LISTED:
            alarms = f" {self.unlike:,} are unlike the training pictures." if self.unlike else ""
            print(f"{total:,} pictures.{alarms} --csv or --json: a row for each.", file=sys.stderr)
