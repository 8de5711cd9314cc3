"""A data set, and names for a run, of which Markdown, HTML or Plotly would make something else."""

from __future__ import annotations

import re

from lab.data.pack import Rejected
from tests.tiny_data import make_tiny_pack

FOREIGN = "http://names.invalid"
"""Whoever asks it for a picture has read Markdown in a name."""


def hostile(mark: str) -> str:
    """Returns a name with a picture, a link, a formula, a colour, an icon and HTML in it."""
    return (
        f"![{mark}]({FOREIGN}/{mark}.png) [{mark}]({FOREIGN}) ${mark}^2$ :red[{mark}] "
        f"<b>{mark}</b><img src={FOREIGN}/{mark}.gif>"
    )


CLASSES = tuple(hostile(f"zq{letter}") for letter in "abc")
RUN = ":red[zqr] ![zqr](http://names.invalid/r) $zqr^2$ <b>zqr</b> [/zqr]"
"""As long as a run's name may be."""

READ_AS_MARKDOWN = re.compile(r"(?<!\\)(?:\[/?zq|\$zq|<b>zq)")
"""Where one of the names stands without the backslashes that keep it from being read."""


def make_hostile_pack() -> str:
    """Writes the pack into LAB_HOME and returns its name."""
    return make_tiny_pack(
        "hostile",
        classes=CLASSES,
        file=hostile("zqp"),
        title=hostile("zqt"),
        source=hostile("zqs"),
        notes=(f"Read as {hostile('zqn')}.",),
        warnings=(f"1 picture is in {hostile('zqw')}.",),
        rejected=(Rejected(hostile("zqf"), f"is no {hostile('zqg')}"),),
        rejected_count=1,
    )
