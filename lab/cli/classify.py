"""`classify`: what a run says about picture files."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich.markup import escape
from rich.table import Table

from lab.cli.console import Console
from lab.data.decode import MAX_BYTES, UnreadableFile
from lab.errors import ConfigError, NotFoundError, ResourceError, unknown_name
from lab.progress import Progress
from lab.runs.rows import RunRow
from lab.runs.store import store


def run(options: argparse.Namespace) -> int:
    from lab.evaluate.classify import answer, uploaded
    from lab.evaluate.familiarity import Familiarity, measure_familiarity, saved_familiarity
    from lab.evaluate.opened import open_network

    if options.top < 1:
        raise ConfigError(f"--top is {options.top}; allowed is a whole number from 1.")
    crop = parse_crop(options.crop)
    row = find_run(options.run)
    folder = store().folder(row.id)
    with open_network(folder, options.checkpoint) as opened:
        pass
    known: Familiarity | None = saved_familiarity(folder, options.checkpoint)
    if known is None and options.familiarity:
        known = measure_familiarity(folder, options.checkpoint, progress=_tell)
        _end_line()
    failed = False
    with _teller(options.json, options.top) as tell:
        for name in options.images:
            said: dict[str, Any] = {"file": name, "run": row.id, "checkpoint": options.checkpoint}
            try:
                picture = uploaded(read_picture(name), opened.card, name=name, crop=crop)
            except UnreadableFile as error:
                failed = True
                tell({**said, "error": f"{printable(name)} {error.reason}."})
                continue
            found = answer(opened, picture)
            chances = zip(found.class_names, found.probabilities.tolist(), strict=True)
            said |= {
                "epoch": found.epoch,
                "predicted": found.predicted_class,
                "probability": float(found.probabilities[found.predicted]),
                "top": found.top(options.top),
                "probabilities": dict(chances),
                "unlike": None,
                "distance": None,
                "limit": None,
            }
            if known is not None and known.identity == found.identity:
                verdict = known.judge(found.features)
                said |= {
                    "unlike": verdict.unlike,
                    "distance": verdict.distance,
                    "limit": known.limit,
                    "false_alarm_rate": known.false_alarm_rate,
                }
            tell(said)
    if known is None and not options.json:
        print(
            "Whether pictures are unlike the training pictures has not been measured for this "
            "checkpoint; --familiarity measures it once.",
            file=sys.stderr,
        )
    return 1 if failed else 0


def find_run(text: str) -> RunRow:
    """The run of that id, or the only one whose id begins so; raises NotFoundError."""
    rows = {row.id: row for row in store().runs()}
    if text in rows:
        return rows[text]
    fitting = [run_id for run_id in rows if text and run_id.startswith(text)]
    if len(fitting) == 1:
        return rows[fitting[0]]
    if fitting:
        raise NotFoundError(f"Several runs begin with {text!r}: {', '.join(fitting[:5])}.")
    raise NotFoundError(f"{unknown_name('run', text, rows)} `python -m lab runs` lists them.")


def read_picture(name: str) -> bytes:
    """The bytes of the file `name`; raises UnreadableFile."""
    try:
        with Path(name).open("rb") as file:
            return file.read(MAX_BYTES + 1)  # one more than is allowed: enough to be refused
    except IsADirectoryError:
        raise UnreadableFile(name, "is a folder; name the pictures in it") from None
    except FileNotFoundError:
        raise UnreadableFile(name, "is not there") from None
    except (OSError, ValueError) as error:  # ValueError: a name that no file can have
        reason = getattr(error, "strerror", None) or str(error)
        raise UnreadableFile(name, f"cannot be read ({reason})") from None


def parse_crop(text: str | None) -> Any:
    """A Crop from "x,y,side"; None for None. Raises ConfigError."""
    from lab.evaluate.pictures import Crop

    if text is None:
        return None
    try:
        x, y, side = (float(part) for part in text.split(","))
        if not (0 <= x <= 1 and 0 <= y <= 1 and 0.01 <= side <= 1):
            raise ValueError
    except ValueError:
        raise ConfigError(
            f"--crop is {text!r}; give x,y,side: the centre as shares of width and height from 0 "
            "to 1, and the side as a share of the shorter side from 0.01 to 1, such as 0.5,0.4,0.6."
        ) from None
    return Crop(x, y, side)


def printable(name: str) -> str:
    """A file name without what a terminal would take for a command."""
    return "".join(letter if letter.isprintable() else "�" for letter in name)


class _teller:
    """Tells answers as JSON lines as they come, or as a table at the end."""

    def __init__(self, as_json: bool, top: int) -> None:
        self.as_json, self.top = as_json, top
        self.table = Table("Picture", "Says", "Next", "Like the training pictures?")
        self.errors: list[str] = []

    def __enter__(self) -> Callable[[dict[str, Any]], None]:
        return self.tell

    def tell(self, said: dict[str, Any]) -> None:
        if self.as_json:
            print(json.dumps(said), flush=True)
            return
        if "error" in said:
            self.errors.append(said["error"])
            return
        first, *rest = (f"{name} {share:.1%}" for name, share in said["top"])
        like = {None: "not measured", True: "no", False: "yes"}[said["unlike"]]
        if said["unlike"] is not None:
            like += f" ({said['distance']:.3g}, limit {said['limit']:.3g})"
        cells = (printable(said["file"]), first, ", ".join(rest), like)
        self.table.add_row(*(escape(cell) for cell in cells))

    def __exit__(self, *_: object) -> None:
        if self.table.row_count:
            Console().print(self.table)
        for error in self.errors:
            print(error, file=sys.stderr)


def write_file(target: Path, content: bytes) -> bool:
    """Write it whole or not at all; whether an older file was replaced. Raises ResourceError."""
    from lab.home import atomic_file

    existed = target.exists()
    try:
        with atomic_file(target) as temporary:
            temporary.write_bytes(content)
            temporary.chmod(0o644)  # atomic_file's is for this user alone, as for LAB_HOME
    except OSError as error:
        raise ResourceError(
            f"{target} cannot be written ({error.strerror or error}). Give another --out."
        ) from error
    return existed


def _tell(progress: Progress) -> None:
    """A line that overwrites itself; on a terminal only, so that logs stay short."""
    if sys.stderr.isatty():
        share = f" {progress.fraction:4.0%}" if progress.fraction is not None else ""
        print(f"\r\033[K{progress.text}{share}", end="", file=sys.stderr, flush=True)


def _end_line() -> None:
    if sys.stderr.isatty():
        print(file=sys.stderr)
