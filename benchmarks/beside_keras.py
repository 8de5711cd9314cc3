"""The sign CNN against Keras on TensorFlow and against plain PyTorch, in turn.

    KERAS_PYTHON=/path/to/python python -m benchmarks keras [--quick]

KERAS_PYTHON is a Python with `tensorflow` and `scipy`; without it this one is tried. Keras is no
part of the lab, and where it is not installed this benchmark says so and measures nothing. Needs
LAB_REAL_DATA.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from benchmarks import plain
from benchmarks.aside import Aside
from benchmarks.results import write
from benchmarks.training import in_turn, sign_config, sign_script
from lab.data import catalog

SCRIPT = Path(__file__).with_name("keras_script.py")
TARGETS = {False: 0.5, True: 0.6}


def main(*, quick: bool = False) -> None:
    python = os.environ.get("KERAS_PYTHON", sys.executable)
    if subprocess.run([python, "-c", "import tensorflow"], capture_output=True).returncode:
        print(f"{python} has no TensorFlow: set KERAS_PYTHON. Nothing measured against Keras.")
        return
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        os.environ["LAB_HOME"] = str(Path(folder) / "lab")
        data = Path(os.environ["LAB_REAL_DATA"])
        catalog.add_dataset("sign-mnist", data / "sign-language-mnist.zip")
        signs = _save(Path(folder) / "signs.npz")
        for augmented in (False, True):
            row, versions = _row(python, signs, augmented=augmented, rounds=1 if quick else 3)
            rows.append(row)
    text = (
        f"Seconds of an epoch of document 001's network, 27,455 + 7,172 images, in turn; each in a "
        f"process of its own. Each Keras epoch is a call of `fit`. {versions}.\n\n"
        "| | Keras | plain PyTorch | Epochlab | Epochlab / Keras | target |\n"
        "|---|---|---|---|---|---|\n" + "\n".join(rows)
    )
    write("Keras" + (", quick" if quick else ""), [], text=text)


def _row(python: str, signs: Path, *, augmented: bool, rounds: int) -> tuple[str, str]:
    config = sign_config("sign-cnn", rounds)
    if augmented:
        config = config.changed(rotation_degrees=10, zoom=0.1, width_shift=0.1, height_shift=0.1)
    keras_seconds: list[float] = []
    with (
        Aside(sign_script, plain.sign_cnn, augmented) as script,
        _keras(python, signs, augmented=augmented) as (versions, epoch),
    ):

        def others() -> float:
            keras_seconds.append(next(epoch))
            return script.epoch()

        own, theirs = in_turn(config, others)
    sides = [statistics.median(each) for each in (keras_seconds[1:], theirs, own)]
    name = "augmented" if augmented else "as it is"
    cells = " | ".join(f"{seconds:.2f}" for seconds in sides)
    ratio = f"**{sides[2] / sides[0]:.2f}** | <= {TARGETS[augmented]}"
    return f"| {name} | {cells} | {ratio} |", versions


@contextmanager
def _keras(python: str, signs: Path, *, augmented: bool) -> Iterator[tuple[str, Iterator[float]]]:
    """The script's versions, and the seconds of an epoch for each `next`."""
    command = [python, str(SCRIPT), str(signs), *(["augmented"] if augmented else [])]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        versions = process.stdout.readline().strip()

        def epochs() -> Iterator[float]:
            while True:
                process.stdin.write("epoch\n")
                process.stdin.flush()
                yield float(process.stdout.readline())

        yield versions, epochs()
        process.stdin.close()


def _save(file: Path) -> Path:
    """The sign images for the other Python; the official test part validates, as in the others."""
    pack = catalog.open_pack("sign-mnist")
    images = np.asarray(pack.images)[..., 0]
    train, val = pack.indices("train"), pack.indices("test")
    np.savez(
        file,
        train=images[train],
        train_labels=pack.labels[train],
        val=images[val],
        val_labels=pack.labels[val],
    )
    return file
