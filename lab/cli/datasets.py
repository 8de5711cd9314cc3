"""`datasets list | show | add | download | remove | prepare`."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.markup import escape
from rich.table import Table

from lab.cli.console import Console
from lab.data import catalog
from lab.progress import Progress


def run(options: argparse.Namespace) -> int:
    actions: dict[str, Callable[[argparse.Namespace], None]] = {
        "list": _list,
        "show": _show,
        "add": _add,
        "download": _download,
        "remove": _remove,
        "prepare": _prepare,
    }
    actions[options.action](options)
    return 0


def _list(options: argparse.Namespace) -> None:
    infos = catalog.list_datasets()
    if options.json:
        for info in infos:
            print(_json(asdict(info)))
        return
    table = Table("Name", "Title", "State", "Classes", "Training", "Val.", "Test", "Size")
    for column in (table.columns[0], *table.columns[3:]):
        column.no_wrap = True
    for info in infos:
        counts = [f"{info.split_totals.get(split, 0):,}" for split in ("train", "val", "test")]
        table.add_row(
            info.name,
            info.title,
            info.state,
            str(len(info.class_names)),
            *counts,
            f"{info.image_size}×{info.image_size}×{info.channels}",
        )
    Console().print(table)


def _show(options: argparse.Namespace) -> None:
    info = catalog.describe(options.name)
    if options.json:
        print(_json(asdict(info)))
        return
    table = Table(show_header=False)
    for key, value in asdict(info).items():
        if isinstance(value, (list, tuple)):
            value = ", ".join(str(v) for v in value)
        table.add_row(key.replace("_", " "), escape(str(value)))
    Console().print(table)


def _add(options: argparse.Namespace) -> None:
    report = catalog.add_dataset(
        options.name,
        Path(options.path).expanduser(),
        title=options.title,
        fit=options.fit,
        image_size=options.image_size,
        progress=_tell,
    )
    _finish(options, report)


def _download(options: argparse.Namespace) -> None:
    from lab.data.download.dataset import download_dataset

    _finish(options, download_dataset(options.name, progress=_tell))


def _finish(options: argparse.Namespace, report: catalog.ImportReport) -> None:
    _end_line()
    if options.json:
        print(_json(asdict(report)))
        return
    for rejected in report.rejected[:20]:
        print(f"left out: {rejected}", file=sys.stderr)
    if len(report.rejected) > 20:
        print(f"left out: {len(report.rejected) - 20} more", file=sys.stderr)
    print(report.sentence)


def _remove(options: argparse.Namespace) -> None:
    catalog.remove_dataset(options.name)
    print(f"Removed {options.name}; the original files stay where they are.")


def _prepare(options: argparse.Namespace) -> None:
    """Draw what is built in, so that the first press of Train has nothing to wait for."""
    for info in catalog.list_datasets():
        if info.state == catalog.BUILT_IN:
            catalog.open_pack(info.name, progress=_tell)
            _end_line()


def _tell(progress: Progress) -> None:
    """A line that overwrites itself; on a terminal only, so that logs stay short."""
    if not sys.stderr.isatty():
        return
    share = f" {progress.fraction:4.0%}" if progress.fraction is not None else ""
    print(f"\r\033[K{progress.text}{share}", end="", file=sys.stderr, flush=True)


def _end_line() -> None:
    if sys.stderr.isatty():
        print(file=sys.stderr)


def _json(values: dict[str, Any]) -> str:
    return json.dumps(values, default=str)
