"""`explain`: one picture with the map of where a layer looks, as a PNG file; or, with --audit, how
far the maps of a run can be trusted."""

from __future__ import annotations

import argparse
import io
import json
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from lab.cli.console import printable, progress_line
from lab.cli.find_run import find_run
from lab.cli.pictures import add_question, parse_crop
from lab.data.decode import read_picture
from lab.errors import ConfigError, NotFoundError, ResourceError, unknown_name
from lab.home import atomic_file
from lab.progress import silent
from lab.runs.store import store
from lab.words import percent, whole_percent

if TYPE_CHECKING:
    from lab.evaluate.classify import Answer
    from lab.evaluate.opened import Opened

SIDE = 448
"""Of the PNG in pixels: whole blocks of 28 and of 224."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "image", metavar="IMAGE", nargs="?", help="a picture file (JPEG, PNG, HEIC, ...)"
    )
    parser.add_argument(
        "--audit",
        action="store_true",
        help="instead of one map: test the maps of many test images, in every stage, by all "
        "methods of one pass; takes about a minute",
    )
    parser.add_argument(
        "--seed", type=int, default=None, help="which images --audit samples; default 0"
    )
    parser.add_argument(
        "--layer", metavar="NAME", help="a stage or convolution; default: the architecture's own"
    )
    parser.add_argument(
        "--method", default="grad-cam", help="default: grad-cam; --methods lists all"
    )
    parser.add_argument(
        "--methods", action="store_true", help="list the methods and what each costs"
    )
    parser.add_argument(
        "--target", metavar="CLASS", help="what speaks for this class; default: the predicted one"
    )
    parser.add_argument(
        "--style",
        choices=("overlay", "contour", "map"),
        default="overlay",
        help="colours over the picture in black and white (the default), lines at 50%% and 80%% of "
        "the peak over the picture itself, or the map alone",
    )
    parser.add_argument(
        "--strength",
        type=float,
        default=None,
        help="of an overlay's colours, from 0 to 1; default 0.75",
    )
    parser.add_argument("--out", metavar="FILE.png", help="where to write; replaces an older file")
    add_question(parser, required=False)  # not for --methods
    parser.set_defaults(perform=explain)


def explain(options: argparse.Namespace) -> int:
    from lab.evaluate.classify import answer, uploaded
    from lab.evaluate.opened import open_network
    from lab.explain.overlay import drawn, overlay

    if options.methods:
        return _list_methods(as_json=options.json)
    if options.run is None:
        raise ConfigError("--run is missing: name the run that explains the picture.")
    if options.audit:
        return _audit(options)
    if options.seed is not None:
        raise ConfigError("--seed is for --audit, which samples images; leave it out.")
    if options.image is None or options.out is None:
        raise ConfigError("Give a picture and --out FILE.png, or --audit for the whole run.")
    if options.strength is not None:
        if not 0 <= options.strength <= 1:
            raise ConfigError(f"--strength is {options.strength:g}; allowed is 0 to 1.")
        if options.style != "overlay":
            raise ConfigError(
                f"--strength is of the colours of an overlay, and --style is {options.style!r}. "
                "Leave one of them out."
            )
    out = _out(options)
    crop = parse_crop(options.crop)
    row = find_run(options.run)
    with open_network(store().folder(row.id), options.checkpoint) as opened:
        pass
    target = _class(options.target, opened.card.class_names)
    picture = uploaded(read_picture(options.image), opened.card, name=options.image, crop=crop)
    cost = _cost(opened, options.method, options.layer)
    if cost:
        print(cost, file=sys.stderr)
    with progress_line() if cost else nullcontext(silent) as progress:
        result = answer(
            opened,
            picture,
            method=options.method,
            layer=options.layer,
            target=target,
            progress=progress,
        )
    if result.layer is None or result.cam is None:
        raise ConfigError(
            f"{row.name} is a {opened.card.config.architecture}, which has no layer with places, "
            "so there is no map of where it looks. `classify` gives its answer."
        )
    content = io.BytesIO()
    if options.style == "overlay":
        pixels = overlay(result.seen, result.cam, strength=options.strength, side=SIDE)
    else:
        pixels = drawn(result.seen, result.cam, options.style, side=SIDE)
    Image.fromarray(pixels).save(content, "PNG")
    replaced = _write(out, content.getvalue())
    share = half_of_the_map(result.cam) if result.meaningful else None
    if options.json:
        question = {"file": options.image, "run": row.id}
        print(json.dumps({**question, **_values(result, result.cam, share), "out": str(out)}))
    else:
        sentences = _sentences(result, result.cam, share)
        wrote = f"{'Replaced' if replaced else 'Wrote'} {out}."
        print(f"{printable(options.image)}: {sentences} {wrote}")
    return 0


def _audit(options: argparse.Namespace) -> int:
    """How far the maps of the run can be trusted, as lines or JSON."""
    from lab.evaluate.audit import audit
    from lab.evaluate.audit_result import audit_values
    from lab.explain.grad_cam import METHODS

    if options.image is not None or options.out is not None:
        raise ConfigError("--audit is about the whole run: leave out the picture and --out.")
    row = find_run(options.run)
    with progress_line() as progress:
        found = audit(
            store().folder(row.id), options.checkpoint, seed=options.seed or 0, progress=progress
        )
    if options.json:
        print(json.dumps({"run": row.id, **audit_values(found)}))
        return 0
    print(f"{printable(row.name)}: {found.sentence}\n{found.why}")
    for cell in found.cells:
        print(
            f"  {cell.layer:12} {METHODS.get(cell.method).title:12} trusted "
            f"{cell.right.count} of {cell.right.images} answered right, "
            f"{cell.wrong.count} of {cell.wrong.images} answered wrong"
        )
    return 0


def _list_methods(*, as_json: bool) -> int:
    from lab.explain.grad_cam import METHODS

    for method in METHODS:
        if as_json:
            facts = {"method": method.name, "title": method.title, "story": method.story}
            facts |= {"cost": method.cost.value, "source": method.source}
            print(json.dumps(facts))
            continue
        by = ", by the grad-cam library" if method.library else ""
        print(f"{method.name}\n    {method.title}: {method.story}")
        print(f"    Costs {method.cost.value}{by}. Source: {method.source}.")
    return 0


def _cost(opened: Opened, method: str, layer: str | None) -> str:
    """What a map by a method of a pass a channel takes here; empty for the quick ones."""
    from lab.explain.grad_cam import METHODS, Cost

    spec, layer = METHODS.get(method), layer or opened.layers.default_stage
    if spec.cost is not Cost.CHANNEL or layer is None:
        return ""
    channels = opened.layers.cam_layer(layer).shape[0]
    return f"{spec.title}: {spec.cost_sentence(channels, opened.seconds_a_pass)}"


def _values(answer: Answer, cam: npt.NDArray[np.float32], share: float | None) -> dict[str, Any]:
    """An answer and its map as JSON has them."""
    return {
        "checkpoint": answer.checkpoint,
        "epoch": answer.epoch,
        "predicted": answer.predicted_class,
        "probability": float(answer.probabilities[answer.predicted]),
        "target": answer.class_names[answer.target],
        "target_probability": float(answer.probabilities[answer.target]),
        "layer": answer.layer,
        "method": answer.method,
        "map_size": list(cam.shape),
        "meaningful": answer.meaningful,
        "share_with_half_of_the_map": share,
    }


def _sentences(answer: Answer, cam: npt.NDArray[np.float32], share: float | None) -> str:
    """The same in words."""
    from lab.explain.grad_cam import METHODS

    place = METHODS.get(answer.method).place(answer.layer or "")
    predicted = percent(float(answer.probabilities[answer.predicted]))
    target = answer.class_names[answer.target]
    if share is not None:
        chance = percent(float(answer.probabilities[answer.target]))
        where = (
            f"What speaks for {target} ({chance}) in {place}: half of the map lies on "
            f"{whole_percent(share)} of the picture."
        )
    elif cam.any():
        where = f"The score of {target} hardly depends on {place}: the map is not meaningful."
    else:
        where = f"The map is empty: nothing in {place} speaks for {target}."
    return f"{answer.predicted_class} ({predicted}). {where}"


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


def _write(target: Path, content: bytes) -> bool:
    """Write it whole or not at all; whether an older file was replaced. Raises ResourceError."""
    existed = target.exists()
    try:
        with atomic_file(target) as temporary:
            temporary.write_bytes(content)
            temporary.chmod(0o644)  # atomic_file's is for this user alone, as for LAB_HOME
    except OSError as error:
        raise ResourceError(
            f"{target} cannot be written ({error.strerror or error}). Give another --out."
        ) from error
    return existed


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
