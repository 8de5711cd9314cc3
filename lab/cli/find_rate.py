"""`find-rate`: which learning rates move a network, before a run is started."""

from __future__ import annotations

import argparse
import json
import math
import sys

from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from lab.cli.console import Console
from lab.cli.train import config_from
from lab.progress import Progress as Told


def run(options: argparse.Namespace) -> int:
    """0 with a suggested rate, 1 without one: a script then keeps its own."""
    from lab.training.lr_finder.ramp import find_rates
    from lab.training.plan import resolve

    config = resolve(config_from(options))
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed:,.0f}/{task.total:,.0f}"),
        TimeElapsedColumn(),
        console=Console(file=sys.stderr),
        disable=options.json,
    ) as bar:
        task = bar.add_task("Preparing", total=1)

        def tell(told: Told) -> None:
            bar.update(task, description=told.text, completed=told.done, total=max(1, told.total))

        finding = find_rates(config, progress=tell)
    if options.json:
        print(
            json.dumps(
                {
                    "suggested": finding.suggested,
                    "low": finding.low,
                    "high": finding.high,
                    "reason": finding.reason,
                    "steps": len(finding.rates),
                    "rates": finding.rates.tolist(),
                    "losses": [x if math.isfinite(x) else None for x in finding.losses.tolist()],
                    "smoothed": finding.smoothed.tolist(),
                }
            )
        )
    else:
        if finding.suggested is not None:
            print(
                f"Suggested: {finding.suggested:.1e} "
                f"(the loss falls from {finding.low:.1e} to {finding.high:.1e})"
            )
        print(finding.reason)
    return 0 if finding.suggested is not None else 1
