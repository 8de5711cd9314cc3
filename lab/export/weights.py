"""A checkpoint's weights as safetensors, with labels and provenance in the header."""

from __future__ import annotations

from pathlib import Path

from safetensors.torch import save_file

from lab.export.formats import Written
from lab.export.provenance import as_texts, provenance
from lab.progress import Cancel, Report
from lab.runs.rows import RunRow
from lab.runs.store import store
from lab.training.checkpoint import CheckpointMetadata, checkpoint_epoch, read_weights


def write_weights(
    run: RunRow, checkpoint: str, path: Path, report: Report, cancelled: Cancel
) -> Written:
    folder = store().folder(run.id)
    card = CheckpointMetadata.read(folder)
    tensors = read_weights(folder, checkpoint)
    epoch = checkpoint_epoch(folder, checkpoint)
    header = as_texts(provenance(run, card, checkpoint, epoch))
    save_file(tensors, path, metadata=header)
    count = sum(tensor.numel() for tensor in tensors.values())
    return Written(
        (
            f"{len(tensors)} tensors, {count:,} numbers; the names of the {len(card.class_names)} "
            "classes, the settings and the preprocessing are in the header.",
        ),
        {"tensors": len(tensors), "numbers": count, "classes": list(card.class_names)},
    )
