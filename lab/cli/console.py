"""Output for people: a console, a progress line, printable names."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import rich.console
import rich.progress
import rich.text
from rich.progress import BarColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Column

from lab.names import visible
from lab.progress import Progress, Report


class Console(rich.console.Console):
    """Rich's console, but a reader that has gone (`| head`) is no failed run: the error comes
    through to `main`, as that of a plain print does. Texts are text: brackets are no markup,
    :smile: is no picture, and what would command the terminal is replaced."""

    def __init__(self, **options: Any) -> None:
        super().__init__(markup=False, emoji=False, **options)

    def render_str(self, text: str, **options: Any) -> rich.text.Text:
        return super().render_str(visible(text), **options)

    def on_broken_pipe(self) -> None:
        raise BrokenPipeError


def run_column() -> Column:
    """A table's column of run ids, whole however narrow the terminal or the pipe is."""
    return Column("Run", no_wrap=True, min_width=len("r-20261122-031911-e827"))


@contextmanager
def progress_line() -> Iterator[Report]:
    """Shows a job's progress as one line on standard error that overwrites itself; on a terminal
    only, so that logs stay short."""
    is_terminal = sys.stderr.isatty()

    def report(progress: Progress) -> None:
        if is_terminal:
            share = "" if progress.fraction is None else f" {progress.fraction:4.0%}"
            print(f"\r\033[K{progress.text}{share}", end="", file=sys.stderr, flush=True)

    try:
        yield report
    finally:
        if is_terminal:
            print(file=sys.stderr)


@contextmanager
def progress_bar(*, quiet: bool = False) -> Iterator[Report]:
    """Shows a job's progress as a bar on standard error; on a terminal only, and not if `quiet`."""
    with rich.progress.Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TextColumn("{task.completed:,.0f}/{task.total:,.0f}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=Console(file=sys.stderr),
        disable=quiet or not sys.stderr.isatty(),
    ) as bar:
        task = bar.add_task("Preparing", total=1)

        def report(job: Progress) -> None:
            bar.update(task, description=job.text, completed=job.done, total=max(1, job.total))

        yield report


def printable(name: str) -> str:
    """Returns a file name without characters that a terminal would take for a command."""
    return "".join(letter if letter.isprintable() else "�" for letter in name)
