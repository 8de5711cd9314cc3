"""A run: its results as tables, and what its network says about pictures."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pandas as pd
import plotly.graph_objects as go
from PIL import Image

from lab.api.judging import verdict_values
from lab.charts.run import EPOCH_COLUMNS, run_curves
from lab.cli.console import progress_bar, progress_line
from lab.cli.find_run import find_run
from lab.config import RunConfig
from lab.data.decode import UnreadableFile
from lab.errors import ConfigError, unknown_name
from lab.evaluate.bulk import FileAnswer, classify_files, find_pictures
from lab.evaluate.classify import answer, uploaded
from lab.evaluate.familiarity import saved_familiarity
from lab.evaluate.opened import open_data, open_network, open_own_network
from lab.evaluate.pictures import pack_picture
from lab.evaluate.predictions import Predictions, predict, saved_predictions
from lab.evaluate.report import make_report, ordered
from lab.experiments.results_csv import run_values
from lab.export.exporting import Export, export_to, file_name
from lab.notebook.explanation import Explanation
from lab.notebook.pictures import AnyPicture, named_bytes
from lab.progress import Progress
from lab.runs.history import thinned_steps
from lab.runs.judging import judge
from lab.runs.rows import RunRow
from lab.runs.store import store
from lab.training.checkpoint import CheckpointMetadata

Split = Literal["val", "test"]


@dataclass(frozen=True)
class Run:
    """One run of the lab, trained here, on a page or from a shell.

    Every call reads what is there now, so a run that still trains shows its progress.
    """

    id: str
    """Such as r-20261129-120000-ab12."""

    def __repr__(self) -> str:
        row = self.row
        return f"Run({self.id!r}: {row.name}, {row.status})"

    # --- facts ----------------------------------------------------------------------------------
    @property
    def row(self) -> RunRow:
        """All facts of the run as they are now. Raises NotFoundError once it is deleted."""
        return store().run(self.id)

    @property
    def name(self) -> str:
        """The name a person gave it, or the one made from its settings."""
        return self.row.name

    @property
    def status(self) -> str:
        """Such as "running", "completed" or "failed"; `row.message` says how it ended."""
        return self.row.status

    @property
    def config(self) -> RunConfig:
        """Its settings. Raises ConfigError for a run of a version with other knobs."""
        return self.row.config

    @property
    def folder(self) -> Path:
        """Where its weights are."""
        return store().folder(self.id)

    @property
    def test(self) -> dict[str, float]:
        """The best weights' test metrics, such as {"accuracy": 0.97}; empty before the test."""
        return dict(self.row.test)

    # --- tables ---------------------------------------------------------------------------------
    def epochs(self) -> pd.DataFrame:
        """Returns a row an epoch, by its number: learning rate, seconds, every metric in training
        ("train_loss") and validation ("val_loss"). Shares are in [0, 1]; NaN is not known."""
        columns = store().epochs(self.id)
        return pd.DataFrame(
            {
                "step": columns.step,
                "phase": columns.phase,
                "is_best": columns.is_best,
                "learning_rate": columns.learning_rate,
                "seconds": columns.seconds,
                "elapsed": columns.elapsed,
                "images_per_second": columns.images_per_second,
                **columns.metrics,
            },
            index=pd.Index(columns.epoch, name="epoch"),
        )

    def steps(self) -> pd.DataFrame:
        """Returns a row a training step, by its number: epoch, learning rate, seconds, and every
        metric of the batch and its moving average ("loss_smoothed")."""
        columns = store().steps(self.id)
        return pd.DataFrame(
            {
                "epoch": columns.epoch,
                "learning_rate": columns.learning_rate,
                "seconds": columns.seconds,
                **columns.metrics,
            },
            index=pd.Index(columns.step, name="step"),
        )

    def predictions(self, split: Split = "test", *, checkpoint: str = "best") -> pd.DataFrame:
        """Returns a row an image of the split, by its index in the data set.

        Columns: image (its name), true, predicted, right, probability (of the answer), loss (nats),
        and "probability of <class>" of each. Computed once a checkpoint, then read from disk; what
        the Results page shows. Raises LabError when the data set or the checkpoint is not there.
        """
        return self._frame(*self._predictions(split, checkpoint))

    def wrong(
        self, split: Split = "test", *, limit: int | None = None, checkpoint: str = "best"
    ) -> pd.DataFrame:
        """Returns the rows of `predictions` that are wrong, the surest answer first.

        `picture` shows one of them.
        """
        answers, names = self._predictions(split, checkpoint)
        frame = self._frame(answers, names)
        return frame.iloc[ordered(answers, "confident_wrong")[:limit]]

    def per_class(self, split: Split = "test", *, checkpoint: str = "best") -> pd.DataFrame:
        """Returns a row a class: precision, recall, f1, its images, how often it was answered."""
        answers, _ = self._predictions(split, checkpoint)
        scores = make_report(answers).scores
        return pd.DataFrame(
            {
                "precision": scores.precision,
                "recall": scores.recall,
                "f1": scores.f1,
                "images": scores.support,
                "predicted": scores.predicted,
            },
            index=pd.Index(answers.class_names, name="class"),
        )

    def confusion(self, split: Split = "test", *, checkpoint: str = "best") -> pd.DataFrame:
        """Returns counts of images: a row is a true class, a column an answer."""
        answers, _ = self._predictions(split, checkpoint)
        names = list(answers.class_names)
        matrix = pd.DataFrame(make_report(answers).matrix, names, names)
        return matrix.rename_axis(index="true", columns="predicted")

    def verdicts(self) -> pd.DataFrame:
        """Returns a row for each thing that stands out, as the run's page says it: title, sentence,
        evidence, suggestion."""
        values = verdict_values(store(), self.row, judge(store(), self.row))
        columns = ["kind", "title", "sentence", "evidence", "suggestion", "change"]
        return pd.DataFrame(values["verdicts"], columns=columns)

    # --- pictures -------------------------------------------------------------------------------
    def picture(self, index: int) -> Image.Image:
        """Returns image `index` of the run's data set, as its network sees it."""
        pack, _ = open_data(CheckpointMetadata.read(self.folder))
        pixels = pack_picture(pack, index).pixels
        return Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)

    def figure(self) -> go.Figure:
        """Returns the loss by step and the accuracy by epoch as an interactive chart."""
        steps, epochs = thinned_steps(store(), self.id), store().epochs(self.id)
        metrics = [epochs[column] for column in EPOCH_COLUMNS[2:]]
        return run_curves(steps.step, steps["loss"], epochs.epoch, epochs.step, *metrics)

    # --- questions ------------------------------------------------------------------------------
    def classify(self, picture: AnyPicture, *, checkpoint: str = "best") -> FileAnswer:
        """Returns the network's answer to one picture: a path, bytes, an image or a uint8 array.

        `answer.predicted_class`, `answer.top(3)`, `answer.probabilities`. Raises LabError for what
        cannot be read.
        """
        source = named_bytes(picture)
        opened = open_own_network(self.folder, checkpoint)
        known = saved_familiarity(self.folder, checkpoint, identity=opened.identity)
        [said] = classify_files(opened, [source], familiarity=known)
        if said.error:
            raise UnreadableFile(said.name, said.error)
        return said

    def classify_many(
        self, pictures: str | Path | Iterable[AnyPicture], *, checkpoint: str = "best"
    ) -> pd.DataFrame:
        """Returns a row a picture, of a folder, of a pattern such as "scans/*.png", or of several.

        Columns: picture, predicted, probability, unlike (an alarm, where it is measured), error
        (why it could not be read, else ""), and "probability of <class>" of each. In batches, with
        decoding beside the network; the table holds all answers, pictures come and go.
        """
        if isinstance(pictures, str | Path):
            pictures = [pictures]
        sources: list[Any] = []
        for number, each in enumerate(pictures):
            if isinstance(each, str | Path):
                sources += find_pictures([each])
            else:
                sources.append(named_bytes(each, f"picture {number}"))
        opened = open_own_network(self.folder, checkpoint)
        known = saved_familiarity(self.folder, checkpoint, identity=opened.identity)
        rows = []
        with progress_bar() as report:
            for said in classify_files(opened, sources, familiarity=known):
                rows.append(_answer_row(said))
                report(Progress(len(rows), len(sources), "Classifying", "pictures"))
        columns = ["picture", "predicted", "probability", "unlike", "error"]
        columns += [f"probability of {name}" for name in opened.card.class_names]
        return pd.DataFrame(rows, columns=columns)

    def explain(
        self,
        picture: AnyPicture | int,
        *,
        method: str = "grad-cam",
        layer: str | None = None,
        target: str | None = None,
        checkpoint: str = "best",
    ) -> Explanation:
        """Returns the map of where the network looks in a picture, or in image `picture` of the
        run's data set.

        `layer` is a stage or convolution, by default the architecture's own; `target` the class
        that the map speaks for, by default the predicted one. Raises LabError, also for a network
        that has no layer with places.
        """
        with open_network(self.folder, checkpoint) as opened:
            pass
        card = opened.card
        if target is not None and target not in card.class_names:
            raise ConfigError(unknown_name("class", target, card.class_names))
        if isinstance(picture, int):
            shown = pack_picture(open_data(card)[0], picture)
        else:
            name, data = named_bytes(picture)
            shown = uploaded(data, card, name=name)
        number = None if target is None else card.class_names.index(target)
        said = answer(opened, shown, method=method, layer=layer, target=number)
        if said.cam is None:
            raise ConfigError(
                f"{self.name} is a {card.config.architecture}, which has no layer with places, so "
                "there is no map of where it looks. `classify` gives its answer."
            )
        return Explanation(said)

    def export(
        self, name: str, path: str | Path | None = None, *, checkpoint: str = "best"
    ) -> Export:
        """Writes the run as a file that works without the lab, such as "onnx", "html" or "card".

        `path` is by default a name made from the run's, in the folder of now. Returns the file and
        what was measured (`written.sentences`). Raises LabError.
        """
        row = self.row
        target = Path(path or file_name(row, name)).expanduser()
        with progress_line() as report:
            return export_to(row, name, target, checkpoint=checkpoint, progress=report)

    def resume(self, *, live: bool = True) -> Run:
        """Goes on with a stopped, paused or interrupted run exactly where it was; as `train`."""
        from lab.notebook.training import train_run  # it needs this module

        return train_run(self.id, live=live)

    # --- inside ---------------------------------------------------------------------------------
    def _predictions(self, split: Split, checkpoint: str) -> tuple[Predictions, list[str]]:
        if split not in ("val", "test"):
            raise ConfigError(f"split is {split!r}; allowed are 'val' and 'test'.")
        with progress_line() as report:
            answers = saved_predictions(self.folder, checkpoint, split)
            if answers is None:
                answers = predict(self.folder, checkpoint, split, progress=report)
            pack, _ = open_data(CheckpointMetadata.read(self.folder), progress=report)
        return answers, [pack.names[index] for index in answers.indices.tolist()]

    @staticmethod
    def _frame(answers: Predictions, names: list[str]) -> pd.DataFrame:
        classes = answers.class_names
        return pd.DataFrame(
            {
                "image": names,
                "true": [classes[label] for label in answers.labels],
                "predicted": [classes[label] for label in answers.predicted],
                "right": answers.right,
                "probability": answers.probabilities.max(axis=1),
                "loss": answers.losses,
                **{
                    f"probability of {name}": answers.probabilities[:, number]
                    for number, name in enumerate(classes)
                },
            },
            index=pd.Index(answers.indices, name="index"),
        )


def run(name: str) -> Run:
    """Returns the run with this id, with the only id that begins so, or with this name.

    Raises NotFoundError for none and for several.
    """
    return Run(find_run(name).id)


def runs() -> pd.DataFrame:
    """Returns a row a run, by its id, the newest first: status, results and all settings."""
    values = [run_values(row) for row in store().runs()]
    frame = pd.DataFrame(values) if values else pd.DataFrame(columns=["id"])
    return frame.set_index("id")


def _answer_row(said: FileAnswer) -> dict[str, Any]:
    row: dict[str, Any] = {
        "picture": said.name,
        "predicted": said.predicted_class,
        "probability": said.top(1)[0][1] if said.probabilities is not None else None,
        "unlike": None if said.familiarity is None else said.familiarity.unlike,
        "error": said.error,
    }
    if said.probabilities is not None:
        shares = zip(said.class_names, said.probabilities.tolist(), strict=True)
        row |= {f"probability of {name}": share for name, share in shares}
    return row
