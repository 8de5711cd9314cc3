"""A data set, and names for a run, of which Markdown, HTML or Plotly would make something else."""

from __future__ import annotations

import json
import re

from lab.data.pack import write_checksums
from lab.home import home_folder
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
    name = make_tiny_pack("hostile", classes=CLASSES)
    folder = home_folder("packs") / name
    meta = json.loads((folder / "meta.json").read_text(encoding="utf-8"))
    meta |= {
        "title": hostile("zqt"),
        "source": hostile("zqs"),
        "notes": [f"Read as {hostile('zqn')}."],
        "warnings": [f"1 picture is in {hostile('zqw')}."],
        "rejected": [[hostile("zqf"), f"is no {hostile('zqg')}"]],
        "rejected_count": 1,
    }
    (folder / "meta.json").write_text(json.dumps(meta), encoding="utf-8")
    count = len(json.loads((folder / "names.json").read_text(encoding="utf-8")))
    names = [f"{hostile('zqp')} {i}.png" for i in range(count)]
    (folder / "names.json").write_text(json.dumps(names), encoding="utf-8")
    write_checksums(folder)
    return name
