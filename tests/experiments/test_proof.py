"""Clean, train again, prove: the runs, the common test pictures and the sentence."""

from __future__ import annotations

import numpy as np
import pytest

from lab.config import RunConfig
from lab.data import catalog, versions
from lab.data.pack import EXCLUDED
from lab.data.versions import Edits, Version
from lab.errors import ConfigError, DataError, NotFoundError
from lab.evaluate.compare import mcnemar, paired_over_seeds
from lab.experiments import proof
from lab.experiments.proof import ProofResult, SeedResult, sentence
from lab.runs.queue import queue
from lab.runs.store import store
from tests.tiny_data import make_tiny_pack

NAME = "messy"
CONFIG = RunConfig(dataset=NAME, architecture="sign-cnn", image_size=16, epochs=2, seed=7)


@pytest.fixture
def messy() -> tuple[Version, Version]:
    """A set whose "top" and "middle" are mixed up in training, two test labels wrong; cleaned."""
    make_tiny_pack(NAME, train=90, test=60)
    pack = catalog.open_pack(NAME)
    names = pack.meta.class_names
    swap = {"top": "middle", "middle": "top", "bottom": "bottom"}
    right = {row: names[label] for row, label in enumerate(pack.labels.tolist())}
    wrong = {row: swap[right[row]] for row in (*range(0, 60), 90, 91)}
    before = versions.apply(NAME, Edits(relabel=wrong))
    edits = Edits(relabel={row: right[row] for row in wrong}, exclude=frozenset([92, 149]))
    return before, versions.apply(NAME, edits)


# --- the test over pictures and seeds -------------------------------------------------------------
def test_with_one_seed_it_is_mcnemars_test() -> None:
    generator = np.random.default_rng(0)
    for _ in range(20):
        first, second = generator.random((2, 80)) < [[0.7], [0.8]]
        found = paired_over_seeds(first[None], second[None])
        expected = mcnemar(second, first)
        assert found.p_both is None
        assert found.p == pytest.approx(expected.p_mid, abs=1e-12)
        assert found.difference == pytest.approx(expected.difference)
        assert found.interval == expected.interval


def test_without_any_difference_p_is_1() -> None:
    right = np.random.default_rng(0).random((3, 50)) < 0.8
    assert paired_over_seeds(right, right).p == 1.0


def test_the_luck_of_a_seed_is_no_proof() -> None:
    """Each seed's networks differ much, now one way, now the other: the pictures alone would prove
    it, pictures and seeds together do not."""
    first, second = np.zeros((2, 3, 400), dtype=bool)
    first[:, :200] = True
    second[:, :200] = True
    second[0, 200:300] = True
    second[1, 200:280] = True
    first[2, 200:230] = True
    found = paired_over_seeds(first, second)
    assert found.p_images < 0.001
    assert found.p_both is not None
    assert found.p == found.p_both > 0.05


@pytest.mark.parametrize(("seeds", "n"), [(3, 60), (5, 200)])
def test_it_seldom_finds_what_is_not_there(seeds: int, n: int) -> None:
    """Networks that differ by the luck of their seeds only: at most about 5 % false alarms."""
    generator = np.random.default_rng(seeds)

    def right(easy: np.ndarray) -> np.ndarray:
        luck = generator.normal(0, 0.4, size=(seeds, 1))
        return generator.normal(0, 1, size=(seeds, n)) < easy + luck

    alarms = 0
    for _ in range(400):
        easy = generator.normal(1, 1, size=n)
        alarms += paired_over_seeds(right(easy), right(easy)).more_than_chance
    assert alarms <= 400 * 0.08


def test_it_finds_what_is_there() -> None:
    generator = np.random.default_rng(1)
    first = generator.random((3, 300)) < 0.75
    second = first | (generator.random((3, 300)) < 0.3)
    found = paired_over_seeds(first, second)
    assert found.more_than_chance
    assert found.interval[0] < found.difference < found.interval[1]
    assert found.interval[0] > 0


# --- common test pictures -------------------------------------------------------------------------
def test_both_are_tested_on_the_same_pictures(messy: tuple[Version, Version]) -> None:
    before, after = messy
    common = proof.common_test(NAME, before.content_hash, after.content_hash)
    assert common.rows.tolist() == [row for row in range(90, 150) if row not in (92, 149)]
    assert (common.corrected, common.only_before, common.only_after) == (2, 2, 0)
    assert common.truth[:2] == ("top", "middle")


def test_a_renamed_class_is_the_same_class() -> None:
    make_tiny_pack(NAME)
    before = versions.versions(NAME)[0]
    edits = Edits(rename={"top": "up"}, exclude=frozenset([0]), move={91: "train"})
    after = versions.apply(NAME, edits)
    common = proof.common_test(NAME, before.content_hash, after.content_hash)
    assert common.corrected == 0
    assert common.renamed == {"top": "up"}
    assert (len(common.rows), common.only_before) == (29, 1)


def test_another_import_cannot_be_compared(messy: tuple[Version, Version]) -> None:
    before, _ = messy
    catalog._keep_if_needed(NAME)
    make_tiny_pack(NAME, seed=5)
    other = versions.versions(NAME)[0]
    with pytest.raises(DataError, match="different imports"):
        proof.start(NAME, before.content_hash, other.content_hash, CONFIG, 1)
    assert store().runs() == []


# --- the whole way --------------------------------------------------------------------------------
def test_both_versions_are_trained_and_judged(
    messy: tuple[Version, Version], monkeypatch: pytest.MonkeyPatch
) -> None:
    before, after = messy
    proof_id = proof.start(NAME, before.content_hash, after.content_hash, CONFIG, 1)
    shown = proof.read(proof_id)
    assert [(r.side, r.seed) for r in shown.runs] == [("before", 7), ("after", 7)]
    assert (shown.before, shown.after) == (before.content_hash, after.content_hash)
    assert [p.id for p in proof.proofs(NAME)] == [proof_id]
    versions.apply(NAME, Edits(exclude=frozenset([0])))  # a third version changes nothing
    for run in shown.runs:
        assert queue().wait(run.row.id, timeout=120).status == "completed"
    shown = proof.read(proof_id)
    assert shown.completed_seeds == (7,)
    found = proof.result(shown)
    assert found.test.n == 58
    assert found.small
    assert found.after > found.before
    assert found.test.more_than_chance
    assert sentence(found).startswith("Cleaning helped by ")
    # The older network's own figure is by the older labels and with the pictures left out since.
    own = shown.run("after", 7).test_accuracy
    assert own == pytest.approx(found.after)
    assert found.test.units == found.test.n
    # Copies of one photograph are one witness.
    monkeypatch.setattr(proof, "independent_groups", lambda pack: np.arange(len(pack)) // 2)
    by_group = proof.result(shown)
    assert by_group.test.units < found.test.units
    assert found.leaking == (0, 0)
    monkeypatch.setattr(proof, "independent_groups", lambda pack: np.zeros(len(pack), np.int64))
    assert proof.result(shown).leaking == (58, 58)  # one photograph everywhere
    assert "58 before, 58 after" in " ".join(proof.explanation(proof.result(shown)))
    assert proof.trained_on(NAME, store().runs()) == {
        before.content_hash: 1,
        after.content_hash: 1,
    }


def test_what_cannot_be_started_is_refused(messy: tuple[Version, Version]) -> None:
    before, after = (v.content_hash for v in messy)
    with pytest.raises(ConfigError, match="1, 3, 5"):
        proof.start(NAME, before, after, CONFIG, 2)
    with pytest.raises(ConfigError, match="equal"):
        proof.start(NAME, before, before, CONFIG, 1)
    with pytest.raises(ConfigError, match="reduced_class"):
        proof.start(NAME, before, after, CONFIG.changed(reduced_class="cat"), 1)
    tests = np.flatnonzero(catalog.open_pack(NAME).split != EXCLUDED)
    moved = versions.apply(NAME, Edits(move={int(r): "train" for r in tests if r >= 90}))
    with pytest.raises(DataError, match="no test picture in common"):
        proof.start(NAME, before, moved.content_hash, CONFIG, 1)
    assert store().runs() == []


@pytest.mark.parametrize("proof_id", ["p-20260101-000000-abcdef", "../../etc", ""])
def test_an_unknown_proof_is_said(proof_id: str) -> None:
    with pytest.raises(NotFoundError, match="There is no proof"):
        proof.read(proof_id)


# --- words ----------------------------------------------------------------------------------------
def outcome(first: int, second: int) -> ProofResult:
    """Of 200 pictures the older network is right on `first`, the newer one also on `second`."""
    right = np.zeros((2, 1, 200), dtype=bool)
    right[0, 0, :first] = right[1, 0, :second] = True
    test = paired_over_seeds(right[0], right[1])
    return ProofResult(test, (SeedResult(0, first / 200, second / 200),), 3, 2, 0, False)


def test_the_sentence_is_honest() -> None:
    assert sentence(outcome(100, 130)) == "Cleaning helped by 15.0 points (p < 0.001)."
    assert sentence(outcome(130, 100)) == "Cleaning made it worse by 15.0 points (p < 0.001)."
    assert sentence(outcome(100, 102)).startswith("No difference can be told: after cleaning the")
    assert "1.0 point better" in sentence(outcome(100, 102))
    assert "equally often" in sentence(outcome(100, 100))
    lines = " ".join(proof.explanation(outcome(100, 130)))
    assert "same 200 test pictures" in lines
    assert "3 of these pictures have a corrected label" in lines
    assert "McNemar's, picture by picture" in lines
