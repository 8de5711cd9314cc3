"""What `classify` and `explain` share: their options."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from lab.errors import ConfigError

if TYPE_CHECKING:
    from lab.evaluate.pictures import Crop


def add_question(parser: argparse.ArgumentParser, *, required: bool = True) -> None:
    """Add the options that name the network and the part of the picture."""
    parser.add_argument(
        "--run", required=required, metavar="RUN", help="a run's id, its start, or its name"
    )
    parser.add_argument(
        "--checkpoint", default="best", help="best (default), last or a kept epoch-0005"
    )
    parser.add_argument(
        "--crop", metavar="X,Y,SIDE", help="use a square part: its centre and side as shares"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object a line")


def parse_crop(text: str | None) -> Crop | None:
    """Returns a Crop from "x,y,side"; raises ConfigError."""
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
