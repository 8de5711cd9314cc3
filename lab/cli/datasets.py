"""`datasets list | show | add | check | download | remove | prepare`."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from rich.table import Table

from lab.cli.console import Console, printable, progress_line
from lab.data import catalog
from lab.data.decode import FITS
from lab.data.download.dataset import download_dataset
from lab.data.download.hub import add_from_hub
from lab.data.importer import check_answers
from lab.data.pack import Pack
from lab.data.quality import check as quality
from lab.data.quality.findings import CHECKS, CheckResult, Finding
from lab.download.hub import is_hub_address
from lab.errors import ConfigError
from lab.words import duration

LISTED = 10
"""Findings of a kind that are printed for people; --json has all."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    listing = actions.add_parser("list", help="all data sets and whether they are here")
    listing.set_defaults(perform=list_datasets)
    show = actions.add_parser("show", help="one data set in detail")
    show.add_argument("name")
    show.set_defaults(perform=show_dataset)
    add = actions.add_parser("add", help="add a folder or a zip")
    add.add_argument("name", help="sign-mnist, cats-dogs, or a new name or title of your own")
    add.add_argument(
        "path", help="a folder, a zip file, or hf://owner/name on the Hugging Face Hub"
    )
    add.add_argument("--title", help="a title for your own images")
    add.add_argument("--image-size", type=int, help="side of the stored squares, in pixels")
    add.add_argument(
        "--fit",
        choices=tuple(FITS),
        default="stretch",
        help="how an image becomes a square: squeezed, its middle, or filled up with black bars",
    )
    add.add_argument("--replace", action="store_true", help="replace a data set of this name")
    add.add_argument(
        "--answer",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="settle a question that --dry-run shows, for example level=2",
    )
    add.add_argument(
        "--leave-out",
        action="append",
        default=[],
        metavar="CLASS",
        help="a class that is not added; may be repeated",
    )
    add.add_argument(
        "--dry-run", action="store_true", help="say what would be added and write nothing"
    )
    add.set_defaults(perform=add_dataset)
    download = actions.add_parser("download", help="fetch a public data set over the internet")
    download.add_argument("name", help="sign-mnist, cats-dogs or cats-dogs-filtered")
    download.add_argument("--replace", action="store_true", help="replace it when it is here")
    download.set_defaults(perform=download_one)
    remove = actions.add_parser("remove", help="delete a data set from this machine")
    remove.add_argument("name")
    remove.set_defaults(perform=remove_dataset)
    prepare = actions.add_parser("prepare", help="make the built-in data sets now")
    prepare.set_defaults(perform=prepare_datasets)
    check = actions.add_parser("check", help="look for copies, label errors and odd pictures")
    check.add_argument("name")
    check.add_argument(
        "--only", metavar="CHECK", action="append", default=[], help="this check; may be repeated"
    )
    check.add_argument(
        "--again", action="store_true", help="also what this version was checked for"
    )
    check.set_defaults(perform=check_dataset)
    for action in actions.choices.values():
        action.add_argument("--json", action="store_true", help="machine-readable output")


def list_datasets(options: argparse.Namespace) -> int:
    infos = catalog.list_datasets()
    if options.json:
        for info in infos:
            print(_json(asdict(info)))
        return 0
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
    return 0


def show_dataset(options: argparse.Namespace) -> int:
    info = catalog.describe(options.name)
    if options.json:
        print(_json(asdict(info)))
        return 0
    table = Table(show_header=False)
    for key, value in asdict(info).items():
        if isinstance(value, (list, tuple)):
            value = ", ".join(str(v) for v in value)
        table.add_row(key.replace("_", " "), str(value))
    Console().print(table)
    return 0


def add_dataset(options: argparse.Namespace) -> int:
    name, title = options.name, options.title
    if name not in catalog.DATASETS and not catalog.is_dataset_name(name):
        title = title or name  # "My Pets" and "꽃 사진" are titles; the name is made from them
        name = catalog.dataset_name(name)
    answers = dict(map(_answer, options.answer))
    from_hub = is_hub_address(options.path)
    if options.dry_run and from_hub:
        raise ConfigError("--dry-run reads files that are here; leave it out for an hf:// address.")
    if options.dry_run:
        return _preview(name, answers, options)
    with progress_line() as report:
        imported = (add_from_hub if from_hub else _add_path)(
            options.path,
            name,
            title=title,
            replace=options.replace,
            fit=options.fit,
            image_size=options.image_size,
            answers=answers,
            without=options.leave_out,
            progress=report,
        )
    return _print_import(imported, as_json=options.json)


def _add_path(path: str, name: str, **how: Any) -> catalog.ImportReport:
    return catalog.add_dataset(name, path, **how)


def _answer(text: str) -> tuple[str, str]:
    key, sign, value = text.partition("=")
    if not (key and sign and value):
        raise ConfigError(f"--answer is {text!r}; it takes a key and a value, such as level=2.")
    return key, value


def _preview(name: str, answers: dict[str, str], options: argparse.Namespace) -> int:
    with progress_line() as report:
        preview = catalog.look(
            options.path,
            name,
            fit=options.fit,
            image_size=options.image_size,
            answers=answers,
            without=options.leave_out,
            pictures_of=(),
            progress=report,
        )
    check_answers(preview.questions, answers)
    if options.json:
        print(_json({"dataset": name} | preview.as_dict()))
        return 0
    table = Table("Class", "Training", "Val.", "Test")
    for class_name in preview.class_names[:50]:
        counts = [f"{preview.counts[split][class_name]:,}" for split in preview.counts]
        table.add_row(class_name, *counts)
    Console().print(table)
    for question in preview.questions:
        print(f"{question.text} {question.why}".strip())
        for value, words in question.choices:
            mark = "*" if value == preview.answers[question.key] else " "
            print(f"  {mark} --answer '{question.key}={value}'  {words}")
    for rejected in preview.rejected[:20]:
        print(f"left out: {rejected}", file=sys.stderr)
    if preview.rejected_count > 20:
        print(f"left out: {preview.rejected_count - 20:,} more", file=sys.stderr)
    print(preview.sentence)
    print("Nothing was written: this was a dry run.")
    return 0


def download_one(options: argparse.Namespace) -> int:
    with progress_line() as report:
        imported = download_dataset(options.name, replace=options.replace, progress=report)
    return _print_import(imported, as_json=options.json)


def _print_import(imported: catalog.ImportReport, *, as_json: bool) -> int:
    if as_json:
        print(_json(asdict(imported)))
        return 0
    for rejected in imported.rejected[:20]:
        print(f"left out: {rejected}", file=sys.stderr)
    if len(imported.rejected) > 20:
        print(f"left out: {len(imported.rejected) - 20} more", file=sys.stderr)
    print(imported.sentence)
    return 0


def check_dataset(options: argparse.Namespace) -> int:
    """Run checks of a data set and print what they found, a line of JSON a check with --json."""
    with progress_line() as report:
        pack = catalog.open_pack(options.name, progress=report)
        results = quality.run_checks(pack, options.only, report, again=options.again)
    for name, result in results.items():
        check = CHECKS.get(name)
        if options.json:
            print(_json({"check": name, **_found(pack, result)}))
            continue
        print(f"{check.title}: {result.count():,} ({duration(result.seconds)})")
        for note in result.notes:
            print(f"  {note}")
        for kind, title in check.kinds.items():
            findings = [finding for finding in result.findings if finding.kind == kind]
            if findings:
                print(f"  {title}: {len(findings):,}")
            for finding in findings[:LISTED]:
                print(f"    {printable(_in_words(pack, finding))}")
            if len(findings) > LISTED:
                print(f"    and {len(findings) - LISTED:,} more")
    return 0


def _in_words(pack: Pack, finding: Finding) -> str:
    given = pack.meta.class_names[pack.labels[finding.row]]
    text = f"{pack.names[finding.row]} ({given})"
    if finding.suggestion not in (None, given):
        text += f" -> {finding.suggestion}"
    return text


def _found(pack: Pack, result: CheckResult) -> dict[str, Any]:
    findings = [{**asdict(finding), "name": pack.names[finding.row]} for finding in result.findings]
    return {
        "seconds": result.seconds,
        "figures": dict(result.figures),
        "notes": result.notes,
        "findings": findings,
    }


def remove_dataset(options: argparse.Namespace) -> int:
    catalog.remove_dataset(options.name)
    if options.json:
        print(_json({"removed": options.name}))
        return 0
    print(f"Removed {options.name}; the original files stay where they are.")
    return 0


def prepare_datasets(options: argparse.Namespace) -> int:
    for name in prepare_built_in():
        print(_json({"prepared": name}) if options.json else f"Made {name}.")
    return 0


def prepare_built_in() -> Iterator[str]:
    """Makes what is built in, so that the first press of Train has nothing to wait for; yields the
    names of what was made."""
    for info in catalog.list_datasets():
        if info.state == catalog.BUILT_IN:
            with progress_line() as report:
                catalog.open_pack(info.name, progress=report)
            yield info.name


def _json(values: dict[str, Any]) -> str:
    return json.dumps(values, default=str)
