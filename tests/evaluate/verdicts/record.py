"""Records a run of this machine as a case of the corpus:

    python -m tests.evaluate.verdicts.record RUN NAME "what it shows" [EPOCHS]

writes corpus/NAME.json with the columns that verdicts read; with EPOCHS, as the run was after so
many. `earns` and `says_not` are then filled in by hand, from what was seen to be true.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

from lab.data import catalog
from lab.runs.store import store
from lab.training.watch.layer_file import layer_history

CORPUS = Path(__file__).parent / "corpus"
MOST_STEPS, MOST_SAMPLES = 150, 15
LAYER_COLUMNS = ("gradient_norm", "weight_norm", "update_ratio", "dead")


def rounded(values: Any, digits: int = 4) -> Any:
    """Nested lists of numbers, None for NaN."""
    if np.ndim(values):
        return [rounded(one, digits) for one in values]
    return None if not np.isfinite(values) else float(f"{float(values):.{digits}g}")


def thinned(count: int, most: int) -> np.ndarray:
    return np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(int))


def record(run_id: str, story: str, epochs_kept: int | None) -> dict[str, Any]:
    row = store().run(run_id)
    epochs, steps = store().epochs(run_id), store().steps(run_id)
    n = epochs_kept or len(epochs)
    last = epochs.step[n - 1] if len(epochs) else steps.step[-1]
    kept = np.flatnonzero(steps.step <= last)
    kept = kept[np.union1d(thinned(len(kept), MOST_STEPS), np.nanargmax(steps["loss"][kept]))]
    values: dict[str, Any] = {
        "story": story,
        "earns": {},
        "says_not": [],
        "config": json.loads(row.config.to_json()),
        "classes": len(catalog.open_pack(row.config.dataset).meta.class_names),
        "val_samples": row.val_samples,
        "train_samples": row.train_samples,
        "ended": epochs_kept is None,
        "epochs": {
            "epoch": epochs.epoch[:n].tolist(),
            "learning_rate": rounded(epochs.learning_rate[:n]),
            **{
                name: rounded(epochs[name][:n])
                for name in ("train_loss", "train_accuracy", "val_loss", "val_accuracy")
            },
        },
        "steps": {
            "step": steps.step[kept].tolist(),
            "loss": rounded(steps["loss"][kept]),
            "loss_smoothed": rounded(steps["loss_smoothed"][kept]),
        },
    }
    layers = layer_history(store().folder(run_id))
    if layers is not None:
        rows = np.flatnonzero(layers.steps <= last)
        rows = rows[thinned(len(rows), MOST_SAMPLES)]
        values["layers"] = {
            "layers": layers.layers,
            "activations": layers.activations,
            "steps": layers.steps[rows].tolist(),
            **{name: rounded(getattr(layers, name)[rows], 3) for name in LAYER_COLUMNS},
        }
    return values


if __name__ == "__main__":
    run, name, story, *rest = sys.argv[1:]
    found = record(run, story, int(rest[0]) if rest else None)
    (CORPUS / f"{name}.json").write_text(json.dumps(found) + "\n", encoding="utf-8")
