"""Do two runs really differ? What the Compare page says of several."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import pandas as pd

from lab.cli.console import progress_line
from lab.errors import ConfigError
from lab.evaluate.compare import PairVerdict, differing_settings, groups_in_words, pair_verdicts
from lab.evaluate.leak_free import groups_of
from lab.evaluate.predictions import predict, saved_predictions
from lab.notebook.results import Run
from lab.training.checkpoint import CheckpointMetadata


@dataclass(frozen=True)
class Comparison:
    """Runs on the same images, pair by pair (McNemar's test)."""

    names: tuple[str, ...]
    pairs: tuple[PairVerdict, ...]
    """Each with its test, its p-value corrected for how many pairs there are, and its sentence."""
    verdict: str
    """The page's sentences: which of them differ by more than chance."""
    settings: pd.DataFrame
    """The settings that are not the same in all, a row a setting, a column a run."""

    def frame(self) -> pd.DataFrame:
        """Returns a row a pair: counts of images, the difference of the accuracies with its 95 %
        interval in [-1, 1], and the p-value that decides."""
        return pd.DataFrame(
            {
                "first": [self.names[pair.first] for pair in self.pairs],
                "second": [self.names[pair.second] for pair in self.pairs],
                "images": [pair.test.n for pair in self.pairs],
                "independent": [pair.test.units for pair in self.pairs],
                "both_right": [pair.test.both_right for pair in self.pairs],
                "only_first": [pair.test.only_first for pair in self.pairs],
                "only_second": [pair.test.only_second for pair in self.pairs],
                "both_wrong": [pair.test.both_wrong for pair in self.pairs],
                "difference": [pair.test.difference for pair in self.pairs],
                "low": [pair.test.interval[0] for pair in self.pairs],
                "high": [pair.test.interval[1] for pair in self.pairs],
                "p": [pair.p for pair in self.pairs],
            }
        )

    def __str__(self) -> str:
        return self.verdict


def compare(*runs: Run, split: Literal["val", "test"] = "test") -> Comparison:
    """Tests whether runs differ by more than chance on the images of a split.

    Each answers with its best weights; copies of one photograph count once where they are known.
    It is about these networks: another seed would give another one. Raises ConfigError for fewer
    than two runs, or runs on other images.
    """
    if len(runs) < 2:
        raise ConfigError(f"{len(runs)} runs were given; give two or more to compare.")
    cards = [CheckpointMetadata.read(each.folder) for each in runs]
    for each, card in zip(runs, cards, strict=True):
        if card.dataset_hash != cards[0].dataset_hash:
            raise ConfigError(
                f"{each.name} was trained on another data set or version than {runs[0].name}. Only "
                "answers to the same images can be compared."
            )
    with progress_line() as report:
        answers = [
            saved_predictions(each.folder, "best", split)
            or predict(each.folder, "best", split, progress=report)
            for each in runs
        ]
    names = tuple(each.name for each in runs)
    pairs, problems = pair_verdicts(names, answers, groups_of(cards[0]))
    if not pairs:
        raise ConfigError(next(iter(problems.values())))
    sentences = [pair.sentence for pair in pairs]
    sentences += [f"{names[i]} and {names[j]}: {why}" for (i, j), why in problems.items()]
    if alike := groups_in_words(names, pairs):
        sentences.insert(0, alike)
    rows = differing_settings([each.row.settings for each in runs])
    columns = [each.id for each in runs]
    return Comparison(
        names,
        tuple(pairs),
        " ".join(sentences),
        pd.DataFrame.from_dict(rows, orient="index", columns=columns).rename_axis("setting"),
    )
