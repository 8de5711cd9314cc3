"""`find-rate`: which learning rates move a network, before a run is started."""

from __future__ import annotations

import argparse
import json
import math
from typing import TYPE_CHECKING, Any

from lab.cli.console import progress_bar
from lab.cli.train import add_knobs, config_from

if TYPE_CHECKING:
    from lab.training.lr_finder.ramp import RateFinding


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="one JSON object")
    add_knobs(parser)
    parser.set_defaults(perform=find_rate)


def find_rate(options: argparse.Namespace) -> int:
    """Returns 0 with a suggested rate, 1 without one."""
    from lab.training.lr_finder.ramp import find_rates
    from lab.training.plan import resolve

    config = resolve(config_from(options))
    with progress_bar(quiet=options.json) as report:
        finding = find_rates(config, progress=report)
    if options.json:
        print(json.dumps(_as_json(finding)))
    else:
        if finding.suggested is not None:
            print(
                f"Suggested: {finding.suggested:.1e} "
                f"(the loss falls from {finding.low:.1e} to {finding.high:.1e})"
            )
        print(finding.reason)
    return 0 if finding.suggested is not None else 1


def _as_json(finding: RateFinding) -> dict[str, Any]:
    return {
        "suggested": finding.suggested,
        "low": finding.low,
        "high": finding.high,
        "reason": finding.reason,
        "steps": len(finding.rates),
        "rates": finding.rates.tolist(),
        "losses": [x if math.isfinite(x) else None for x in finding.losses.tolist()],
        "smoothed": finding.smoothed.tolist(),
    }
