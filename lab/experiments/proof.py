"""Clean, train again, prove: the same settings and seeds on two versions of a data set.

    start ── 2 x seeds runs ──> queue        origin "proof:<id>:before" and "proof:<id>:after"
    read(id)   the proof with its runs as they are now; nothing else is stored
    result     both tested on the test pictures of both versions, and whether it helped

The runs are ordinary ones: they wait, train, pause and resume like all others, here or on another
machine, and a proof whose runs are there can be opened by its id anywhere.
"""

from __future__ import annotations

import math
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

import numpy as np
import numpy.typing as npt

from lab.config import RunConfig
from lab.data import catalog, versions
from lab.data.pack import Pack
from lab.data.quality.duplicates import independent_groups
from lab.data.versions import Diff, Version
from lab.errors import ConfigError, DataError, LabError, NotFoundError
from lab.evaluate.compare import SeedsTest, paired_over_seeds
from lab.progress import Cancel, Progress, Report, check_cancel, never, silent
from lab.runs.queue import Queue, queue
from lab.runs.rows import RunRow
from lab.runs.store import Store, store
from lab.words import percent

Side = Literal["before", "after"]
SIDES: tuple[Side, Side] = ("before", "after")
SEED_COUNTS = (1, 3, 5)
"""How many seeds a person may choose."""
_ID = re.compile(r"p-\d{8}-\d{6}-[0-9a-f]{6}")


@dataclass(frozen=True)
class ProofRun:
    """One of a proof's runs."""

    side: Side
    seed: int
    row: RunRow


@dataclass(frozen=True)
class Proof:
    """Two versions of a data set and the runs on them, as they are now."""

    id: str
    dataset: str
    before: str
    """The content hash of the version that was there first."""
    after: str
    config: RunConfig
    """The settings of all runs but for version and seed."""
    created_at: datetime
    runs: tuple[ProofRun, ...]

    @property
    def seeds(self) -> tuple[int, ...]:
        """The seeds of which both runs are here, in the order in which they train."""
        by_side = {side: {r.seed for r in self.runs if r.side == side} for side in SIDES}
        both = by_side["before"] & by_side["after"]
        return tuple(dict.fromkeys(r.seed for r in self.runs if r.seed in both))

    def run(self, side: Side, seed: int) -> RunRow:
        return next(r.row for r in self.runs if r.side == side and r.seed == seed)

    @property
    def is_live(self) -> bool:
        """Whether a run of it trains or waits."""
        return any(r.row.is_live for r in self.runs)

    @property
    def completed_seeds(self) -> tuple[int, ...]:
        """The seeds whose two runs have been completed."""
        done = {(r.side, r.seed) for r in self.runs if r.row.status == "completed"}
        return tuple(s for s in self.seeds if all((side, s) in done for side in SIDES))


@dataclass(frozen=True)
class SeedResult:
    """Accuracies of one seed's two runs on the pictures that both are tested on."""

    seed: int
    before: float
    after: float


@dataclass(frozen=True)
class ProofResult:
    """What a proof says."""

    test: SeedsTest
    """Its `difference` is the accuracy after minus the accuracy before."""
    seeds: tuple[SeedResult, ...]
    corrected: int
    """Test pictures whose label the newer version corrects; both are tested on the new label."""
    only_before: int
    """Test pictures of the older version that the newer one leaves out or uses otherwise."""
    only_after: int
    small: bool
    """Whether the common test pictures are too few to show any but a large difference."""
    leaking: tuple[int, int] = (0, 0)
    """Common test pictures with a near-copy among the training pictures, before and after; as far
    as copies were looked for."""

    @property
    def before(self) -> float:
        return float(np.mean([s.before for s in self.seeds]))

    @property
    def after(self) -> float:
        return float(np.mean([s.after for s in self.seeds]))


SMALL_TEST = 100


# --- what a person asks ---------------------------------------------------------------------------
def start(
    dataset: str,
    before: str,
    after: str,
    config: RunConfig,
    seeds: int = 3,
    *,
    runs: Queue | None = None,
) -> str:
    """Queues the runs on both versions, seed by seed; returns the proof's id.

    `before` and `after` are content hashes. `config` is any run's settings on the data set; its own
    seed is the first one. Raises LabError when the versions share no test picture or the settings
    do not fit one of them; nothing is queued then.
    """
    from lab.training.plan import resolve  # brings torch

    if seeds not in SEED_COUNTS:
        raise ConfigError(f"seeds is {seeds}; allowed are {', '.join(map(str, SEED_COUNTS))}.")
    if before == after:
        raise ConfigError("These two versions are equal, so there is nothing to prove. Choose two.")
    if not len(common_test(dataset, before, after).rows):
        raise DataError(
            "These two versions have no test picture in common, so networks trained on them cannot "
            "be compared. Keep the test pictures in the test split."
        )
    hashes = {"before": before, "after": after}
    wanted: list[tuple[Side, int, RunConfig]] = []
    for number in range(seeds):
        seed = (config.seed + number) % 2**31
        for side in SIDES:
            changed = config.changed(dataset=dataset, dataset_version=hashes[side], seed=seed)
            wanted.append((side, seed, resolve(changed)))
    proof_id = f"p-{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(3)}"
    numbers = {side: versions.version(dataset, hashes[side]).number for side in SIDES}
    title = catalog.describe(dataset).title[:40]
    for side, seed, each in wanted:
        name = f"{title} version {numbers[side]}, seed {seed}"
        (runs or queue()).submit(each, name, origin=f"proof:{proof_id}:{side}")
    return proof_id


def read(proof_id: str, runs: Store | None = None) -> Proof:
    """The proof with its runs as they are now; raises NotFoundError."""
    rows = []
    if _ID.fullmatch(proof_id):  # ids come from URLs
        rows = (runs or store()).runs(origin=f"proof:{proof_id}", order="oldest")
    found = []
    for row in rows:
        side = row.origin.rsplit(":", 1)[-1]
        if side in SIDES:
            found.append(ProofRun(side, row.config.seed, row))
    by_side = {side: [r for r in found if r.side == side] for side in SIDES}
    if not all(by_side.values()):
        raise NotFoundError(
            f"There is no proof {proof_id!r} here: its runs were deleted, or the link is of "
            "another lab. The Versions tab of the Data page lists those that there are."
        )
    first = by_side["before"][0].row
    return Proof(
        id=proof_id,
        dataset=first.dataset,
        before=first.config.dataset_version,
        after=by_side["after"][0].row.config.dataset_version,
        config=first.config,
        created_at=first.created_at,
        runs=tuple(found),
    )


def proofs(dataset: str, runs: Store | None = None) -> list[Proof]:
    """The proofs on a data set, the newest first."""
    rows = (runs or store()).runs(origin="proof")
    ids = dict.fromkeys(row.origin.split(":")[1] for row in rows if row.dataset == dataset)
    found = []
    for proof_id in ids:
        try:
            found.append(read(proof_id, runs))
        except LabError:  # of another version of the lab, or half of it was deleted
            continue
    return found


# --- what comes out -------------------------------------------------------------------------------
@dataclass(frozen=True, eq=False)
class CommonTest:
    """The test pictures of two versions that are the same pictures."""

    rows: npt.NDArray[np.int64]
    """(n,) the same in both versions."""
    truth: tuple[str, ...]
    """Their classes in the newer version."""
    corrected: int
    only_before: int
    only_after: int
    renamed: dict[str, str]
    """Class of the older version -> class of the newer one, where the name or class changed."""


def common_test(dataset: str, before: str, after: str) -> CommonTest:
    """Returns the test pictures that two versions share, with the newer version's labels.

    Raises DataError when the versions are of different imports.
    """
    count = versions.aligned(dataset, before, after)
    if count is None:
        raise DataError(
            "These two versions are of different imports, whose pictures are not the same, so "
            "networks cannot be compared on them picture by picture."
        )
    old, new = (catalog.open_pack(dataset, version=v) for v in (before, after))
    tested = (old.indices("test"), new.indices("test"))
    rows = np.intersect1d(tested[0], tested[1])
    rows = rows[rows < count]
    changes = versions.diff(dataset, before, after)
    truth = tuple(new.meta.class_names[label] for label in new.labels[rows].tolist())
    named = _renamed(changes)
    was = [old.meta.class_names[label] for label in old.labels[rows].tolist()]
    return CommonTest(
        rows=rows,
        truth=truth,
        corrected=sum(named.get(a, a) != b for a, b in zip(was, truth, strict=True)),
        only_before=len(tested[0]) - len(rows),
        only_after=len(tested[1]) - len(rows),
        renamed=named,
    )


def _renamed(changes: Diff) -> dict[str, str]:
    return {**dict(changes.renamed), **dict(changes.merged)}


def result(
    proof: Proof,
    runs: Store | None = None,
    *,
    progress: Report = silent,
    cancel: Cancel = never,
) -> ProofResult:
    """Tests the runs of all seeds that are completed; for a background job.

    A class that the newer version renamed or merged counts as its new class in the answers of the
    older networks, too. Raises ConfigError while no seed is completed, and what `predict` raises.
    """
    from lab.evaluate.predictions import Predictions, predict, saved_predictions  # brings torch

    runs = runs or store()
    if not proof.completed_seeds:
        raise ConfigError("No seed has been trained on both versions yet. Wait for the runs.")
    common = common_test(proof.dataset, proof.before, proof.after)

    def right(side: Side, seed: int) -> npt.NDArray[np.bool_]:
        folder = runs.folder(proof.run(side, seed).id)
        answers: Predictions = saved_predictions(folder, "best", "test") or predict(
            folder, "best", "test", cancel=cancel
        )
        place = {row: i for i, row in enumerate(answers.indices.tolist())}
        order = np.array([place[row] for row in common.rows.tolist()])
        names = answers.class_names
        if side == "before":
            names = tuple(common.renamed.get(name, name) for name in names)
        said = [names[label] for label in answers.predicted[order].tolist()]
        return np.array([a == b for a, b in zip(said, common.truth, strict=True)])

    packs = [catalog.open_pack(proof.dataset, version=v) for v in (proof.before, proof.after)]
    groups = independent_groups(packs[1])
    first, second = [], []
    seeds = proof.completed_seeds
    for done, seed in enumerate(seeds):
        check_cancel(cancel, "The proof")
        progress(Progress(done, len(seeds), "Testing both on the same pictures", "seeds"))
        first.append(right("before", seed))
        second.append(right("after", seed))
    return ProofResult(
        test=paired_over_seeds(
            np.stack(first), np.stack(second), None if groups is None else groups[common.rows]
        ),
        seeds=tuple(
            SeedResult(seed, float(a.mean()), float(b.mean()))
            for seed, a, b in zip(seeds, first, second, strict=True)
        ),
        corrected=common.corrected,
        only_before=common.only_before,
        only_after=common.only_after,
        small=len(common.rows) < SMALL_TEST,
        leaking=(_leaking(packs[0], common.rows), _leaking(packs[1], common.rows)),
    )


def _leaking(pack: Pack, tested: npt.NDArray[np.int64]) -> int:
    groups = independent_groups(pack)
    if groups is None:
        return 0
    return int(np.isin(groups[tested], groups[pack.indices("train")]).sum())


def sentence(found: ProofResult) -> str:
    """Returns the verdict, such as "Cleaning helped by 2.1 points (p = 0.003)."."""
    test = found.test
    points = abs(100 * test.difference)
    size = f"{points:.1f} point{'s' * (f'{points:.1f}' != '1.0')}"
    if test.more_than_chance:
        verb = "helped by" if test.difference > 0 else "made it worse by"
        return f"Cleaning {verb} {size} ({p_text(test.p)})."
    if test.difference == 0:
        return f"No difference can be told: both are right equally often ({p_text(test.p)})."
    way = "better" if test.difference > 0 else "worse"
    return (
        f"No difference can be told: after cleaning the networks are {size} {way}, and chance "
        f"alone would often do as much ({p_text(test.p)})."
    )


def explanation(found: ProofResult) -> list[str]:
    """Returns what the verdict rests on, as sentences."""
    test = found.test
    low, high = (f"{100 * value:+.1f}" for value in test.interval)
    many = test.seeds > 1
    lines = [
        f"Both were tested on the same {test.n:,} test pictures, with the labels of the newer "
        f"version: {percent(found.before)} right before, {percent(found.after)} after; 95% "
        f"interval of the difference {low} to {high} points."
    ]
    if test.units < test.n:
        lines.append(
            f"Copies of one photograph count once: these are {test.units:,} independent pictures."
        )
    if found.corrected:
        lines.append(
            f"{found.corrected:,} of these pictures have a corrected label, and both are measured "
            "by it: the older networks' own test figure differs."
        )
    if any(found.leaking):
        lines.append(
            "Test pictures with a near-copy among the training pictures, which flatter: "
            f"{found.leaking[0]:,} before, {found.leaking[1]:,} after."
        )
    if found.only_before or found.only_after:
        lines.append(
            "Test pictures that are not counted, because only one of the versions tests on them: "
            f"{found.only_before:,} of the older one, {found.only_after:,} of the newer one."
        )
    lines.append(
        f"The test compares the answers picture by picture and over {test.seeds} seeds: McNemar's "
        "test over the pictures, and a model in which pictures and seeds are both drawn by chance; "
        "the larger p-value counts."
        if many
        else "The test is McNemar's, picture by picture. One seed cannot show how much is the luck "
        "of a training: three or five can."
    )
    if found.small:
        lines.append(f"{test.n:,} test pictures are few: only a large difference would show.")
    return lines


def p_text(p: float) -> str:
    """Such as "p = 0.032" or "p < 0.001"."""
    if math.isnan(p):
        return "p unknown"
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}" if p < 0.1 else f"p = {p:.2f}"


def base_of(dataset: str, run: RunRow | None) -> RunConfig:
    """The settings to prove with: those of a run, else what suits the data set."""
    from lab.experiments.starts import suited_to

    return suited_to(dataset) if run is None else run.config.changed(dataset_version="")


def version_of(proof: Proof, side: Side) -> Version | None:
    """The version that one side was trained on; None when it is no longer on this machine."""
    try:
        return versions.version(proof.dataset, proof.before if side == "before" else proof.after)
    except NotFoundError:
        return None


def trained_on(dataset: str, rows: Sequence[RunRow], runs: Store | None = None) -> dict[str, int]:
    """Returns how many of these runs trained, or wait to train, on each version, by its hash."""
    from lab.training.checkpoint import CheckpointMetadata

    runs = runs or store()
    counts: dict[str, int] = {}
    for row in rows:
        if row.dataset != dataset:
            continue
        try:
            trained = CheckpointMetadata.read(runs.folder(row.id)).dataset_hash
        except LabError:
            trained = row.settings.get("dataset_version", "")
            if not trained and row.is_live:
                trained = catalog.describe(dataset).content_hash
        if trained:
            counts[trained] = counts.get(trained, 0) + 1
    return counts
