"""Explanation audit: how far the maps of a run can be trusted, over many pictures.

    a sample of the test images, some answered right, some wrong
        |  maps in every stage by every method of one pass (FORMULAS)
        |  the same maps with a random head, and with all weights random
        |  halves of each picture, asked once for all maps  -> a verdict a map
        v
    share of trusted maps by layer, method, right or wrong, with intervals
        |  the best of them beside the usual one: deletion, insertion, ROAD, pointing game
        v
    <run folder>/evaluation/<checkpoint>-audit.json   for this write of the checkpoint

One picture often cannot tell; many can. The layer and method that Inspect begins with follow from
the shares. They are chosen and reported on the same pictures, which flatters the winner a little;
so it must beat the usual one by more than chance, counted for all that were tried.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from lab.data.built_in import subject_box
from lab.data.pack import Pack
from lab.errors import ConfigError, DataError
from lab.evaluate.audit_result import (
    Audit,
    Faithful,
    MapShare,
    Mean,
    Place,
    Share,
    keep_audit,
    verdict,
)
from lab.evaluate.leak_free import known_groups
from lab.evaluate.metrics import design_effect, grouped_share, student_95
from lab.evaluate.opened import Opened, open_data, open_own_network
from lab.evaluate.pictures import pack_picture
from lab.evaluate.trust import answers_to, guessed_right_by_luck, random_network, skill_in
from lab.explain.grad_cam import FORMULAS, Cams, enlarge, formula_maps
from lab.explain.hiding import Cells, Hiding
from lab.explain.layers import captured
from lab.explain.placement import PAIRS, Halves
from lab.explain.road import road
from lab.explain.trust import measure_statistics, mixed_network, rank_correlation, trust_verdict
from lab.progress import Cancel, Progress, Report, check_cancel, never, silent

PICTURES, WRONG = 40, 10
"""Sampled in all, and at most so many of them that are answered wrong."""
FEWEST = 8
"""Pictures that are looked at whatever the budget."""
ASKED = 200
"""Images that are asked to find those."""
BUDGET_SECONDS = 60.0
"""For the whole audit, about: fewer pictures are looked at where the network is slow."""
HALVES_SHARE = 0.7
"""Of the budget; the rest is for deletion, insertion and ROAD."""
FAITHFUL, FEWEST_FAITHFUL = 12, 4
"""Pictures for deletion, insertion and ROAD: at most, and whatever the budget."""
DRAWS = 2
"""Random networks; a single test takes three."""
AT_ONCE = 8
HABIT_METHOD = "grad-cam"
LUCK = 0.05


def audit(
    folder: Path,
    checkpoint: str = "best",
    *,
    seed: int = 0,
    pictures: int = PICTURES,
    with_test: bool = True,
    seconds: float = BUDGET_SECONDS,
    progress: Report = silent,
    cancel: Cancel = never,
) -> Audit:
    """Tests the maps of a checkpoint of the run in `folder` over sampled test images (validation
    images where there are none, or not `with_test`), and keeps the result.

    Loads networks of its own, two at a time, and may run in any thread. Raises ConfigError for a
    network without places, DataError without images, what `open_data` raises, Cancelled.
    """
    began = time.monotonic()
    opened = open_own_network(folder, checkpoint)
    layers, habit_layer = opened.layers.stages, opened.layers.default_stage
    if not layers or habit_layer is None:
        raise ConfigError(
            f"The run is a {opened.card.config.architecture}, which has no layer with places, so "
            "there are no maps to test."
        )
    pack, splits = open_data(opened.card, progress=progress, cancel=cancel)
    on_test = with_test and len(splits.test)
    split, indices = ("test", splits.test) if on_test else ("val", splits.val)
    if not len(indices) and not with_test:
        raise DataError(
            f"{pack.meta.title} has no validation images to ask, and results on test images are "
            "not shown yet."
        )
    if not len(indices):
        raise DataError(f"{pack.meta.title} has neither test nor validation images to ask.")
    chance = np.random.Generator(np.random.Philox(seed))
    asked = chance.permutation(indices)[:ASKED]
    answers = answers_to(opened, pack, asked, progress, cancel)
    right = answers == pack.labels[asked]
    skill = skill_in(answers, pack.labels[asked], split)
    # A pass of all maps is about three passes forward; with the random networks it is made 5 times.
    a_picture = opened.seconds_a_pass * (2 * PAIRS + 3 * (1 + 2 * DRAWS))
    fit = int(HALVES_SHARE * seconds / a_picture)
    rows = _sample(right, max(min(pictures, fit), FEWEST))
    run = _Run(opened, pack, asked[rows], answers[rows], right[rows], layers, progress, cancel)
    alike = run.alike_with_random_weights()
    deadline = began + HALVES_SHARE * seconds
    verdicts, gains = run.verdicts(alike, deadline)
    count = len(next(iter(gains.values())))
    places = [(layer, method) for layer in layers for method in FORMULAS]
    groups = known_groups(pack)
    own = None if groups is None else groups[asked[rows][:count]]
    boxes = [subject_box(pack.meta.dataset, pack.names[int(i)]) for i in asked[rows][:count]]
    cells = [run.cell(place, verdicts[place], gains[place], own, boxes) for place in places]
    habit = (habit_layer, HABIT_METHOD)
    best = _proposal(cells, {place: verdicts[place] for place in places}, right[rows], habit)
    level, sentence, why = verdict(opened, cells, best, habit, skill)
    faithful = run.faithful(list(dict.fromkeys([best, habit])), count, began + seconds, own)
    found = Audit(
        checkpoint=checkpoint,
        identity=opened.identity,
        split=split,
        seed=seed,
        asked=len(asked),
        asked_right=skill.right,
        pictures=count,
        seconds=round(time.monotonic() - began, 1),
        level=level,
        sentence=sentence,
        layer=best[0],
        method=best[1],
        why=why,
        cells=tuple(cells),
        faithful=tuple(faithful),
        pointing_chance=_mean_area(boxes),
    )
    keep_audit(folder, found)
    return found


class _Run:
    """One audit at work: the sampled pictures in front of the network."""

    def __init__(
        self,
        opened: Opened,
        pack: Pack,
        indices: npt.NDArray[np.int64],
        answers: npt.NDArray[np.int64],
        right: npt.NDArray[np.bool_],
        layers: Sequence[str],
        progress: Report,
        cancel: Cancel,
    ) -> None:
        self._opened, self._layers, self._right = opened, layers, right
        self._progress, self._cancel = progress, cancel
        pictures = [opened.tensor(pack_picture(pack, int(i))) for i in indices]
        self._images = torch.cat(pictures)
        self._targets = torch.from_numpy(answers)
        self._maps = self._maps_of(opened.network.eval())

    def alike_with_random_weights(self) -> dict[Place, npt.NDArray[np.float64]]:
        """(2, N) rank correlations in [0, 1] of each place's maps: random head, all random."""
        network, names = self._opened.network, self._opened.network.stage_names
        totals = {place: np.zeros((2, len(self._images))) for place in self._maps}
        for draw in range(1, DRAWS + 1):
            other = random_network(self._opened.card, draw).requires_grad_(False)
            for row, stages in enumerate((names[-1:], names)):
                self._tell("Maps with random weights", 2 * (draw - 1) + row, 2 * DRAWS, "networks")
                mixed = mixed_network(network, other, stages).eval()
                measure_statistics(mixed, stages, self._images[:AT_ONCE])
                for place, maps in self._maps_of(mixed).items():
                    for i, (own, new) in enumerate(zip(self._maps[place], maps, strict=True)):
                        alike = rank_correlation(own.maps[0].numpy(), new.maps[0].numpy())
                        totals[place][row, i] += max(0.0, np.nan_to_num(alike)) / DRAWS
        return totals

    def verdicts(
        self, alike: dict[Place, npt.NDArray[np.float64]], deadline: float
    ) -> tuple[dict[Place, list[str]], dict[Place, list[float]]]:
        """The verdict and the gain of each place's map, picture by picture until the deadline."""
        verdicts: dict[Place, list[str]] = {place: [] for place in self._maps}
        gains: dict[Place, list[float]] = {place: [] for place in self._maps}
        for i in range(len(self._images)):
            if i >= FEWEST and time.monotonic() > deadline:
                break
            self._tell("Halves of the pictures", i, len(self._images), "images")
            halves = Halves(
                self._opened.network, self._images[i : i + 1], int(self._targets[i]), self._check
            )
            for place, maps in self._maps.items():
                cams = maps[i]
                if not _is_map(cams):
                    verdicts[place].append("not_meaningful")
                    gains[place].append(0.0)
                    continue
                found = halves.placement(cams.maps[0])
                head, everything = alike[place][:, i].tolist()
                verdicts[place].append(trust_verdict(head, everything, found)[0])
                gains[place].append(found.gain)
        return verdicts, gains

    def cell(
        self,
        place: Place,
        verdicts: Sequence[str],
        gains: Sequence[float],
        groups: npt.NDArray[np.int64] | None,
        boxes: Sequence[tuple[float, float, float, float] | None],
    ) -> MapShare:
        trusted = np.array([verdict == "depends" for verdict in verdicts])
        refused = np.array([verdict in ("unchanged", "no_better") for verdict in verdicts])
        right = self._right[: len(trusted)]

        def share(rows: npt.NDArray[np.bool_], hits: npt.NDArray[np.bool_]) -> Share:
            return Share.of(grouped_share(hits[rows], None if groups is None else groups[rows]))

        known = np.array([box is not None for box in boxes])
        points = np.array(
            [
                box is not None and _points_into(cams.maps, box)
                for cams, box in zip(self._maps[place], boxes, strict=False)
            ]
        )
        return MapShare(
            *place,
            right=share(right, trusted),
            wrong=share(~right, trusted),
            refused=int(refused.sum()),
            gain=_mean(np.array(gains)[right], None if groups is None else groups[right]),
            pointing=share(known, points) if known.any() else None,
        )

    def faithful(
        self,
        places: Sequence[Place],
        count: int,
        deadline: float,
        groups: npt.NDArray[np.int64] | None,
    ) -> list[Faithful]:
        """Deletion, insertion and ROAD of the maps at `places`, on the same pictures for all."""
        network, found = self._opened.network, []
        usable = [i for i in range(count) if all(_is_map(self._maps[place][i]) for place in places)]
        figures: dict[Place, list[tuple[float, float, float]]] = {place: [] for place in places}
        used: list[int] = []
        for i in usable[:FAITHFUL]:
            if len(used) >= FEWEST_FAITHFUL and time.monotonic() > deadline:
                break
            self._tell("Hiding and showing places", len(used), FAITHFUL, "images")
            image, target = self._images[i : i + 1], int(self._targets[i])
            for place in places:
                cells = Cells(self._maps[place][i].maps[0].numpy().astype(np.float64))
                deletion, insertion = Hiding(cells, image).curves(network, target, self._check)
                with captured(network, []):
                    score = road(network, image, target, cells, self._check).score
                figures[place].append((deletion.area, insertion.area, score))
            used.append(i)
        own = None if groups is None else groups[used]
        for place, rows in figures.items():
            means = [_mean(np.array(column), own) for column in zip(*rows, strict=True)]
            if means and all(means):
                found.append(Faithful(*place, *means))  # type: ignore[arg-type]
        return found

    def _maps_of(self, network: Any) -> dict[Place, list[Cams]]:
        """Of all pictures, a Cams a picture."""
        found: dict[Place, list[Cams]] = {}
        for images, targets in zip(
            torch.split(self._images, AT_ONCE), torch.split(self._targets, AT_ONCE), strict=True
        ):
            self._check()
            for place, cams in formula_maps(
                network, images, targets=targets, layers=self._layers
            ).items():
                found.setdefault(place, []).extend(
                    Cams(*place, *(t[i : i + 1] for t in (cams.maps, cams.influence, cams.scores)))
                    for i in range(len(images))
                )
        return found

    def _tell(self, text: str, done: int, total: int, unit: str) -> None:
        self._progress(Progress(done, total, text, unit))
        self._check()

    def _check(self) -> None:
        check_cancel(self._cancel, "The audit of the maps")


# --- the sample ----------------------------------------------------------------------------------
def _sample(right: npt.NDArray[np.bool_], pictures: int) -> npt.NDArray[np.int64]:
    """Rows of `pictures` images, up to WRONG of them answered wrong, the two kinds mixed evenly so
    that an audit that ends early has both."""
    good, bad = np.flatnonzero(right), np.flatnonzero(~right)
    bad = bad[: max(min(WRONG, pictures // 4), pictures - len(good))]
    good = good[: pictures - len(bad)]
    places = [*((i + 0.5) / len(good) for i in range(len(good)))]
    places += [(i + 0.5) / len(bad) for i in range(len(bad))]
    return np.concatenate([good, bad])[np.argsort(places, kind="stable")]


def _is_map(cams: Cams) -> bool:
    values = cams.maps[0]
    return bool(cams.meaningful[0]) and bool(values.min() < values.max())


def _points_into(maps: Tensor, box: tuple[float, float, float, float]) -> bool:
    """Whether the highest place of (1, h, w), enlarged, lies in left, top, right, bottom."""
    side = 64
    top = int(enlarge(maps, (side, side)).argmax())
    x, y = (top % side + 0.5) / side, (top // side + 0.5) / side
    return box[0] <= x <= box[2] and box[1] <= y <= box[3]


def _mean_area(boxes: Sequence[tuple[float, float, float, float] | None]) -> float | None:
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in boxes if box is not None]
    return float(np.mean(areas)) if areas else None


def _mean(values: npt.NDArray[np.float64], groups: npt.NDArray[np.int64] | None) -> Mean | None:
    """None where one picture, or one group, says nothing about others."""
    n = units = len(values)
    spread = 1.0
    if groups is not None:
        names, which = np.unique(groups, return_inverse=True)
        units = len(names)
    if units < 2:
        return None
    if groups is not None:
        spread = design_effect(values - values.mean(), which, units)
    half = student_95(units - 1) * float(values.std(ddof=1)) * math.sqrt(spread / n)
    mean = float(values.mean())
    return Mean(mean, mean - half, mean + half, n)


def _proposal(
    cells: Sequence[MapShare],
    verdicts: dict[Place, list[str]],
    right: npt.NDArray[np.bool_],
    habit: Place,
) -> Place:
    """The place with the most trusted maps of right answers, if it beats the usual one by more than
    chance: an exact sign test over the pictures on which the two differ, times the places tried."""

    def passed(place: Place) -> npt.NDArray[np.bool_]:
        own = verdicts[place]
        return np.array([verdict == "depends" for verdict in own])[right[: len(own)]]

    best = max(cells, key=lambda cell: (cell.right.count, cell.gain.value if cell.gain else 0))
    place, usual = (best.layer, best.method), passed(habit)
    own = passed(place)
    better, worse = int((own & ~usual).sum()), int((usual & ~own).sum())
    luck = guessed_right_by_luck(better, better + worse, 0.5)
    return place if better > worse and luck * (len(cells) - 1) <= LUCK else habit
