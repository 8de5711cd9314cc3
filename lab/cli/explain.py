"""`explain`: one picture with the map of where a layer looks, as a PNG file."""

from __future__ import annotations

import argparse
import io
import json
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from lab.cli.classify import find_run, parse_crop, printable, read_picture, write_file
from lab.errors import ConfigError, NotFoundError, unknown_name
from lab.runs.store import store

SIDE = 448
"""Of the PNG in pixels: whole blocks of 28 and of 224."""


def run(options: argparse.Namespace) -> int:
    from lab.evaluate.classify import answer, uploaded
    from lab.evaluate.opened import open_network
    from lab.explain.overlay import overlay

    if not 0 <= options.strength <= 1:
        raise ConfigError(f"--strength is {options.strength:g}; allowed is 0 to 1.")
    out = _out(options)
    crop = parse_crop(options.crop)
    row = find_run(options.run)
    with open_network(store().folder(row.id), options.checkpoint) as opened:
        pass
    target = _class(options.target, opened.card.class_names)
    picture = uploaded(read_picture(options.image), opened.card, name=options.image, crop=crop)
    found = answer(opened, picture, method=options.method, layer=options.layer, target=target)
    if found.layer is None or found.cam is None:
        raise ConfigError(
            f"{row.name} is a {opened.card.config.architecture}, which has no layer with places, "
            "so there is no map of where it looks. `classify` gives its answer."
        )
    pixels = overlay(found.seen, found.cam, strength=options.strength, side=SIDE)
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, "PNG")
    replaced = write_file(out, content.getvalue())
    share = half_of_the_map(found.cam) if found.meaningful else None
    target_class = found.class_names[found.target]
    chance = float(found.probabilities[found.target])
    if options.json:
        said = {
            "file": options.image,
            "run": row.id,
            "checkpoint": found.checkpoint,
            "epoch": found.epoch,
            "predicted": found.predicted_class,
            "probability": float(found.probabilities[found.predicted]),
            "target": target_class,
            "target_probability": chance,
            "layer": found.layer,
            "method": found.method,
            "map_size": list(found.cam.shape),
            "meaningful": found.meaningful,
            "share_with_half_of_the_map": share,
            "out": str(out),
        }
        print(json.dumps(said))
        return 0
    print(
        f"{printable(options.image)}: {found.predicted_class} "
        f"({float(found.probabilities[found.predicted]):.1%}). "
        + (
            f"What speaks for {target_class} ({chance:.1%}) in layer {found.layer}: half of the "
            f"map lies on {share:.0%} of the picture. "
            if share is not None
            else f"The score of {target_class} hardly depends on layer {found.layer}: the map is "
            "not meaningful. "
            if found.cam.any()
            else f"The map is empty: no place of layer {found.layer} speaks for {target_class}. "
        )
        + f"{'Replaced' if replaced else 'Wrote'} {out}."
    )
    return 0


def half_of_the_map(cam: npt.NDArray[np.float32]) -> float:
    """The smallest share of the picture, in (0, 1], that holds half of the map's total."""
    from lab.explain.overlay import scaled

    places = np.sort(scaled(cam).astype(np.float64).reshape(-1))[::-1]
    reached = np.searchsorted(np.cumsum(places), places.sum() / 2)
    return float((reached + 1) / places.size)


def _out(options: argparse.Namespace) -> Path:
    """Where to write; refuses what would hurt, before any work."""
    out = Path(options.out).expanduser()
    if out.suffix.lower() != ".png":
        raise ConfigError(f"--out is {options.out!r}; the picture is a PNG, so give a name.png.")
    image = Path(options.image)
    if out.exists() and image.exists() and out.samefile(image):
        raise ConfigError(f"--out is the picture itself, {options.image}; give another name.")
    if out.is_dir():
        raise ConfigError(f"--out is {options.out!r}, which is a folder; give a name.png in it.")
    return out


def _class(name: str | None, names: tuple[str, ...]) -> int | None:
    """The class's number, capitals aside; raises NotFoundError with the close names."""
    if name is None:
        return None
    if name in names:
        return names.index(name)
    alike = [i for i, known in enumerate(names) if known.casefold() == name.casefold()]
    if len(alike) == 1:
        return alike[0]
    raise NotFoundError(unknown_name("class", name, names))
