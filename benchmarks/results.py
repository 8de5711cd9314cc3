"""Rows of benchmarks/RESULTS.md: what was measured, on which machine, when."""

from __future__ import annotations

import datetime
import os
import platform
import re
import statistics
from dataclasses import dataclass
from pathlib import Path

FILE = Path(__file__).parent / "RESULTS.md"


@dataclass(frozen=True)
class Row:
    """One comparison: seconds of the same work, measured in turn in the same run."""

    work: str
    plain: tuple[float, ...]
    lab: tuple[float, ...]
    target: str
    note: str = ""
    tuned: tuple[float, ...] = ()
    """Of the plain script by somebody who knows PyTorch (`benchmarks.plain.TunedRun`)."""

    def ratio(self, other: tuple[float, ...]) -> str:
        if not other:
            return ""
        return f"{statistics.median(self.lab) / statistics.median(other):.3g}"

    def cells(self, *, tuned: bool) -> tuple[str, ...]:
        """The row's cells; `tuned`: with the columns of the tuned script."""
        beside = (_seconds(self.tuned), self.ratio(self.tuned)) if tuned else ()
        ratio = f"**{self.ratio(self.plain)}**"
        plain, lab = _seconds(self.plain), _seconds(self.lab)
        return (self.work, plain, lab, ratio, *beside, self.target, self.note)


def table(rows: list[Row]) -> str:
    """The rows as a table; the columns of the tuned script are there when a row has it."""
    tuned = any(row.tuned for row in rows)
    beside = ("plain, tuned, s", "ratio to it") if tuned else ()
    head = ("work", "plain PyTorch, s", "Epochlab, s", "ratio", *beside, "target", "note")
    lines = [head, ("---",) * len(head), *(row.cells(tuned=tuned) for row in rows)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


IN_TURN = "Median (lowest to highest) of the rounds; both sides in turn"


def write(section: str, rows: list[Row], *, text: str = "", how: str = "") -> None:
    """Put the rows into RESULTS.md under `section`, in the place of what stood there. `how` says
    in a sentence how they were measured."""
    body = f"## {section}\n\n{machine()}\n\n"
    if how:
        body += f"{how}.\n\n"
    if text:
        body += f"{text}\n\n"
    if rows:
        body += table(rows) + "\n"
    old = FILE.read_text(encoding="utf-8") if FILE.exists() else "# Benchmarks\n"
    pattern = re.compile(rf"^## {re.escape(section)}\n.*?(?=^## |\Z)", re.DOTALL | re.MULTILINE)
    new = pattern.sub(lambda _: body + "\n", old) if pattern.search(old) else f"{old}\n{body}"
    FILE.write_text(new.rstrip() + "\n", encoding="utf-8")
    print(body)


def machine() -> str:
    """The machine, the versions and the date, as one line."""
    import torch
    import torchvision

    date = datetime.datetime.now(datetime.UTC).date()
    return (
        f"{date}, {_processor()}, {os.cpu_count()} cores, Python {platform.python_version()}, "
        f"torch {torch.__version__}, torchvision {torchvision.__version__}."
    )


def _processor() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return platform.processor() or platform.machine()
    name = re.search(r"model name\s*:\s*(.+)", text)
    units = sorted(set(re.findall(r"\b(?:amx_bf16|avx512_bf16|avx512f|avx2)\b", text)))
    return f"{name.group(1).strip() if name else platform.machine()} ({', '.join(units)})"


def _seconds(values: tuple[float, ...]) -> str:
    if not values:
        return ""
    middle = f"{statistics.median(values):.3g}"
    return middle if len(values) == 1 else f"{middle} ({min(values):.3g} to {max(values):.3g})"
