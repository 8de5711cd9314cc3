"""How many unfamiliar pictures each measure finds at 5 false alarms in 100 validation pictures.

    python -m benchmarks familiarity            three minutes; writes docs/familiarity.md's tables
    python -m benchmarks familiarity --quick    one minute, prints them only

Small networks: two that learn from the lab's drawings and, with LAB_REAL_DATA (and TORCH_HOME), one
of photographs (a new head on MobileNetV2) and one of photographed hand signs. Each is shown what it
did not learn from. The photographs are those of LAB_REAL_DATA; without it they are parts of the two
that come with scikit-learn.
"""

from __future__ import annotations

import io
import os
import re
import statistics
import tempfile
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image, ImageFilter
from sklearn.covariance import ledoit_wolf
from sklearn.datasets import load_sample_images
from sklearn.metrics import roc_auc_score

from benchmarks.results import machine
from lab.config import RunConfig
from lab.data import catalog
from lab.evaluate.classify import feature_stage, feature_vectors
from lab.evaluate.familiarity import ACCEPTED_SHARE, measure_familiarity, nearest
from lab.evaluate.opened import Opened, open_data, open_own_network
from lab.evaluate.pictures import upload_picture
from lab.explain.layers import captured
from lab.training.control import Control
from lab.training.fit import fit
from lab.training.plan import make_plan

DOCUMENT = Path(__file__).parents[1] / "docs" / "familiarity.md"
COUNT, QUICK_COUNT = 200, 60
"""Pictures of each kind that are shown to each network."""
MOST = 1000
"""Most training, validation and test pictures."""

NETWORKS: dict[str, tuple[str, dict[str, object]]] = {
    "drawn cats and dogs": (
        "Simple CNN, trained on drawn cats and dogs",
        {"dataset": "drawn-cats-dogs", "architecture": "simple-cnn", "epochs": 4},
    ),
    "drawn signs": (
        "Sign CNN, trained on drawn hand signs",
        {"dataset": "drawn-signs", "architecture": "sign-cnn", "epochs": 3, "batch_size": 64},
    ),
    "drawn signs, perceptron": (
        "Multi-layer perceptron, trained on drawn hand signs",
        {"dataset": "drawn-signs", "architecture": "mlp", "epochs": 3, "batch_size": 64},
    ),
    "drawn cats and dogs, perceptron": (
        "Multi-layer perceptron, trained on drawn cats and dogs, which it hardly tells apart",
        {"dataset": "drawn-cats-dogs", "architecture": "mlp", "epochs": 3},
    ),
    "photographed signs": (
        "Sign CNN, trained on photographed hand signs (Sign-Language MNIST)",
        {"dataset": "sign-mnist", "architecture": "sign-cnn", "epochs": 2, "batch_size": 64}
        | {"subset_per_class": 300},
    ),
    "photographs": (
        "MobileNetV2 with a new head, trained on photographs of cats and dogs",
        {"dataset": "cats-dogs", "architecture": "mobilenet_v2", "freeze": "head_only"}
        | {"epochs": 4, "subset_per_class": 400, "image_size": 128},
    ),
}
"""What a network learned from: its title and settings."""
REAL = {"photographed signs": "sign-language-mnist.zip", "photographs": "cats_and_dogs.zip"}

Floats = npt.NDArray[np.float64]
Pixels = npt.NDArray[np.uint8]
Scores = dict[str, Floats]
"""Set of pictures -> a score each, larger for less familiar ones."""


class Outputs:
    """What a network makes of a set of pictures."""

    def __init__(self, opened: Opened, pixels: Pixels) -> None:
        logits, pooled, features = [], [], []
        network, stage = opened.network, feature_stage(opened)
        assert stage is not None
        for first in range(0, len(pixels), 50):
            batch = torch.from_numpy(np.array(pixels[first : first + 50]))
            x = opened.card.preprocess(batch)
            with captured(network, network.stage_names) as outputs, torch.inference_mode():
                logits.append(network(x).numpy().astype(np.float64))
            places = [o.mean((2, 3)) if o.ndim == 4 else o for o in outputs.values()]
            pooled.append([each.flatten(1).numpy().astype(np.float64) for each in places[:-1]])
            features.append(feature_vectors(outputs[stage]))
        self.logits = np.concatenate(logits)
        """(N, K)"""
        self.stages = [np.concatenate(each) for each in zip(*pooled, strict=True)]
        """Of every stage before the head (N, C): its output averaged over places."""
        self.features = np.concatenate(features)
        """(N, D) of the last stage with places: `lab.evaluate.classify.feature_vectors`."""


Sets = Mapping[str, Outputs]
Measure = Callable[[Sets, npt.NDArray[np.int64]], Scores]


def energy(sets: Sets, labels: npt.NDArray[np.int64]) -> Scores:
    """-logsumexp of the logits (Liu et al. 2020, arXiv:2010.03759)."""
    return {name: -np.logaddexp.reduce(each.logits, axis=1) for name, each in sets.items()}


def diagonal(sets: Sets, labels: npt.NDArray[np.int64]) -> Scores:
    """What the lab had before: Mahalanobis with one deviation a feature, of what the head gets."""
    return _mahalanobis({name: each.stages[-1] for name, each in sets.items()}, labels, full=False)


def several_stages(sets: Sets, labels: npt.NDArray[np.int64]) -> Scores:
    """Mahalanobis with a shrunken covariance shared by the classes, at every stage before the head
    (Lee et al. 2018, arXiv:1807.03888): the largest, each in units of its validation pictures."""
    scores = []
    for stage in range(len(sets["val"].stages)):
        score = _mahalanobis({name: each.stages[stage] for name, each in sets.items()}, labels)
        middle, limit = np.quantile(score["val"], [0.5, ACCEPTED_SHARE])
        scores.append({name: (each - middle) / (limit - middle) for name, each in score.items()})
    return {name: np.max([score[name] for score in scores], axis=0) for name in sets}


def nearest_pooled(sets: Sets, labels: npt.NDArray[np.int64]) -> Scores:
    """The cosine distance to the nearest training picture, of what the head gets (Sun et al.)."""
    return _nearest({name: each.stages[-1] for name, each in sets.items()})


def nearest_with_places(sets: Sets, labels: npt.NDArray[np.int64]) -> Scores:
    """The same of the last stage with places, which are kept: what the lab uses."""
    return _nearest({name: each.features for name, each in sets.items()})


MEASURES: dict[str, Measure] = {
    "energy": energy,
    "Mahalanobis, diagonal (before)": diagonal,
    "Mahalanobis, all stages": several_stages,
    "nearest, head's input": nearest_pooled,
    "**nearest, with places**": nearest_with_places,
}


def _nearest(sets: Mapping[str, npt.NDArray[np.floating]]) -> Scores:
    train = sets["train"].astype(np.float32)
    lengths = np.linalg.norm(train, axis=1, keepdims=True)
    directions = (train / np.where(lengths > 0, lengths, 1)).astype(np.float16)
    return {
        name: nearest(each.astype(np.float32), directions).astype(np.float64)
        for name, each in sets.items()
    }


def _mahalanobis(
    sets: Mapping[str, Floats], labels: npt.NDArray[np.int64], *, full: bool = True
) -> Scores:
    train = sets["train"]
    means = np.stack([train[labels == k].mean(0) for k in np.unique(labels)])
    within = train - means[np.unique(labels, return_inverse=True)[1]]
    deviations = within.std(0)
    floor = (1e-3 if full else 0.1) * (deviations.max() if full else np.sqrt(train.var(0).mean()))
    deviations = np.maximum(deviations, floor + 1e-12)
    whiten = np.eye(train.shape[1])
    if full:
        covariance, _ = ledoit_wolf(within / deviations)
        whiten = np.linalg.cholesky(np.linalg.inv(covariance))
    return {
        name: np.min(
            [np.linalg.norm(((each - mean) / deviations) @ whiten, axis=1) for mean in means],
            axis=0,
        )
        for name, each in sets.items()
    }


# --- the pictures -------------------------------------------------------------------------------
def unfamiliar(opened: Opened, test: Pixels, learned_from: str, count: int) -> dict[str, Pixels]:
    """The kinds of pictures that a network did not learn from, at its size and in its channels."""
    rng = np.random.default_rng(0)
    shape = test.shape[1:]
    own = test[rng.permutation(len(test))[:count]]

    def made(images: list[Image.Image]) -> Pixels:
        return np.stack([upload_picture(each, opened.card, name="").pixels for each in images])

    kinds: dict[str, Pixels] = {}
    if learned_from != "photographs":
        kinds["photographs"] = made(photographs(count))
    for name, dataset in (
        ("drawn cats and dogs", "drawn-cats-dogs"),
        ("drawn signs", "drawn-signs"),
        ("photographed signs", "sign-mnist"),
    ):
        if not learned_from.startswith(name) and catalog.describe(dataset).usable:
            kinds[name] = made(from_pack(dataset, count))
    uniform = rng.integers(0, 256, (count, *shape), dtype=np.uint8)
    gaussian = np.clip(rng.normal(128, 40, (count, *shape)), 0, 255).astype(np.uint8)
    greys = np.linspace(10, 245, count).astype(np.uint8)[:, None, None, None]
    return {
        **kinds,
        "uniform noise": uniform,
        "Gaussian noise": gaussian,
        "plain grey": np.broadcast_to(greys, (count, *shape)).copy(),
        "black": np.zeros((1, *shape), np.uint8),
        "own, heavily blurred": blurred(own),
        "own, inverted": 255 - own,
        "own, upside down": own[:, ::-1].copy(),
    }


def photographs(count: int) -> list[Image.Image]:
    rng = np.random.default_rng(1)
    if "LAB_REAL_DATA" in os.environ:
        file = Path(os.environ["LAB_REAL_DATA"]) / REAL["photographs"]
        with zipfile.ZipFile(file) as archive:
            names = sorted(n for n in archive.namelist() if "/test/" in n and n.endswith(".jpg"))
            chosen = rng.choice(names, count, replace=False)
            return [Image.open(io.BytesIO(archive.read(str(n)))).convert("RGB") for n in chosen]
    cuts = []
    for index in range(count):
        photo = Image.fromarray(load_sample_images().images[index % 2])
        side = int(rng.integers(100, 400))
        left, top = rng.integers(0, photo.width - side), rng.integers(0, photo.height - side)
        cuts.append(photo.crop((left, top, left + side, top + side)))
    return cuts


def from_pack(dataset: str, count: int) -> list[Image.Image]:
    pack = catalog.open_pack(dataset)
    indices = pack.indices("test")
    chosen = np.random.default_rng(2).permutation(indices)[:count]
    return [Image.fromarray(pack.images[i].squeeze()).convert("RGB") for i in chosen]


def blurred(pixels: Pixels) -> Pixels:
    blur = ImageFilter.GaussianBlur(pixels.shape[1] / 10)
    images = [Image.fromarray(each.squeeze()).filter(blur) for each in pixels]
    return np.stack([np.asarray(each) for each in images]).reshape(pixels.shape)


# --- training and the tables --------------------------------------------------------------------
def compare(name: str, folder: Path, count: int) -> dict[str, Scores]:
    """Measure -> its scores for every set of pictures."""
    _, knobs = NETWORKS[name]
    folder.mkdir()
    list(fit(make_plan(RunConfig.from_mapping(knobs), folder=folder), Control()))
    opened = open_own_network(folder, "best")
    pack, splits = open_data(opened.card)
    rng = np.random.default_rng(3)
    parts = {"train": splits.train, "val": splits.val, "test": splits.test}
    chosen = {part: np.sort(rng.permutation(each)[:MOST]) for part, each in parts.items()}
    pixels = {part: np.array(pack.images[each]) for part, each in chosen.items()}
    pixels |= unfamiliar(opened, pixels["test"], name, count)
    sets = {each: Outputs(opened, images) for each, images in pixels.items()}
    labels = pack.labels[chosen["train"]]
    scores = {title: measure(sets, labels) for title, measure in MEASURES.items()}
    known = measure_familiarity(folder, "best")  # the lab's own, which samples by itself
    print(f"{name}: the lab says {known.false_alarm_rate:.1%} of its test pictures alarm falsely")
    return scores


def found(scores: Scores, kind: str) -> float:
    """Share of the pictures of `kind` that lie beyond 95 of 100 validation pictures."""
    limit = np.quantile(scores["val"], ACCEPTED_SHARE, method="inverted_cdf")
    return float((scores[kind] > limit).mean())


def ranked(scores: Scores, kind: str) -> float:
    """The area under the ROC curve of these pictures against the test pictures."""
    truth = np.r_[np.zeros(len(scores["test"])), np.ones(len(scores[kind]))]
    return float(roc_auc_score(truth, np.r_[scores["test"], scores[kind]]))


def table(title: str, results: dict[str, Scores]) -> str:
    kinds = [kind for kind in results["energy"] if kind not in ("train", "val", "test")]
    rows = [
        f"| {kind} | "
        + " | ".join(
            f"{100 * found(scores, kind):.0f} · {ranked(scores, kind):.2f}"
            for scores in results.values()
        )
        + " |"
        for kind in kinds
    ]
    asked = [kind for kind in kinds if kind not in ("own, inverted", "own, upside down")]
    means = [statistics.mean(found(s, kind) for kind in asked) for s in results.values()]
    alarms = [found(scores, "test") for scores in results.values()]
    rows.append("| *mean without the last two* | " + _percents(means))
    rows.append("| *false alarms, test pictures* | " + _percents(alarms))
    head = f"| shown | {' | '.join(results)} |\n|---|{'---|' * len(results)}"
    return f"### {title}\n\n{head}\n" + "\n".join(rows)


def _percents(shares: list[float]) -> str:
    return " | ".join(f"{100 * share:.0f}" for share in shares) + " |"


def main(*, quick: bool = False) -> None:
    data = os.environ.get("LAB_REAL_DATA")
    names = [name for name in NETWORKS if data or name not in REAL]
    tables = []
    with tempfile.TemporaryDirectory() as home:
        os.environ["LAB_HOME"] = str(Path(home) / "lab")
        for name in names if data else []:
            if name in REAL:
                catalog.add_dataset(str(NETWORKS[name][1]["dataset"]), Path(str(data)) / REAL[name])
        for name in names[:2] if quick else names:
            folder = Path(home) / name.replace(" ", "-")
            results = compare(name, folder, QUICK_COUNT if quick else COUNT)
            tables.append(table(NETWORKS[name][0], results))
    text = f"{machine()}\n\n" + "\n\n".join(tables)
    print(text)
    if not quick:
        page = DOCUMENT.read_text(encoding="utf-8")
        mark = re.compile(r"(?<=<!-- tables -->\n).*?(?=<!-- end -->)", re.DOTALL)
        DOCUMENT.write_text(mark.sub(lambda _: f"\n{text}\n\n", page), encoding="utf-8")
