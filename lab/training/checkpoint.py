"""Weights and resume state on disk, as safetensors, written atomically.

<run folder>/
├── network.json         what the weights need around them: config, classes, pixel scaling
├── copies.npy           the near-copies that its validation cut kept together, if it went by them
├── last.safetensors     weights after the newest epoch, published for inspection while training
├── best.safetensors     weights of the best epoch by the validation figure
├── epoch-0005.safetensors   weights of a kept epoch (knob keep_every)
├── resume.safetensors   weights, their average if the run makes one, optimizer, random state;
│                        counters in its header, so that both are always of the same moment;
│                        while the run is not completed
└── end.safetensors      the same of a completed run, so that another can go on from it exactly
                         (`lab.training.start`); weights only where last.safetensors has others

With the knob model_ema_decay all but the resume state and the end are the averaged weights.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
import types
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file

from lab.config import RunConfig
from lab.data.decode import Fit, ValueRange
from lab.data.groups import Groups
from lab.data.preprocess import Preprocess
from lab.errors import DataError, NotFoundError, ResourceError
from lab.home import atomic_file
from lab.models.catalog import build_network
from lab.models.staged import StagedNet
from lab.training.counters import Counters
from lab.training.failures import is_out_of_memory

logger = logging.getLogger(__name__)

RESUME = "resume.safetensors"
END = "end.safetensors"
"""With Adam twice the size of the weights that are trained, with SGD once, without momentum none:
what a run costs on the disk so that another can go on from it."""
WEIGHTS = ("network", "average")
"""What of the state is not kept a second time where it is what last.safetensors has."""
COPIES = "copies.npy"
TEST_LOGITS = "test-logits.npz"
MOST_TEST_LOGITS = 50_000_000
"""Numbers of a test's answers that are kept: 200 MB."""


@dataclass(frozen=True)
class CheckpointMetadata:
    """What published weights need around them to become a classifier again."""

    config: RunConfig
    class_names: tuple[str, ...]
    preprocess: Preprocess
    dataset_hash: str
    data_channels: int
    """1 or 3: a grey data set whose network takes colour was grey before it was repeated."""
    fit: Fit
    """How the data set's pictures became squares; an upload takes the same way."""
    value_range: ValueRange | None = None
    """How the data set's files of more than 8 bits a value were spread; an upload's are, too."""
    data_image_size: int | None = None
    """The data set's own size: a network of another size saw pictures that were made this size
    first, and so must an upload be. None where an earlier version of the lab did not note it."""
    started_from: Mapping[str, str | int] | None = None
    """Of a run that starts from another one: its id, its epoch, and the SHA-256 of the weights."""
    copies: Groups | None = field(default=None, compare=False, repr=False)
    """Which images of the pack are near-copies, as the validation cut had them. Kept with the run,
    so that its cut stays what it was when a later version of the lab finds others."""

    def write(self, folder: Path) -> None:
        text = {
            "config": json.loads(self.config.to_json()),
            "class_names": list(self.class_names),
            "preprocess": self.preprocess.to_dict(),
            "dataset_hash": self.dataset_hash,
            "data_channels": self.data_channels,
            "fit": self.fit,
            "value_range": self.value_range,
            "data_image_size": self.data_image_size,
            "started_from": self.started_from,
        }
        if self.copies is not None:
            with atomic_file(folder / COPIES) as temporary, temporary.open("wb") as output:
                np.save(output, self.copies)
        with atomic_file(folder / "network.json") as temporary:
            temporary.write_text(json.dumps(text, indent=2), encoding="utf-8")

    @classmethod
    def read(cls, folder: Path) -> CheckpointMetadata:
        """Raises NotFoundError when the run never came far enough to have one."""
        try:
            values = json.loads((folder / "network.json").read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise NotFoundError(
                f"Run {folder.name} has no network yet: it ended before its first step."
            ) from None
        preprocess = Preprocess.from_dict(values["preprocess"])
        value_range = values.get("value_range")
        config = RunConfig.from_mapping(values["config"])
        return cls(
            config=config,
            class_names=tuple(values["class_names"]),
            preprocess=preprocess,
            dataset_hash=values["dataset_hash"],
            # Version 0.1 did not write these two.
            data_channels=values.get("data_channels", preprocess.channels),
            fit=values.get("fit", "stretch"),
            value_range=None if value_range is None else tuple(value_range),
            data_image_size=values.get("data_image_size"),
            started_from=values.get("started_from"),
            copies=_read_copies(folder) if config.split_by == "group" else None,
        )


def _read_copies(folder: Path) -> Groups | None:
    """None of a set that brings its own validation images, which is not cut."""
    try:
        return np.asarray(np.load(folder / COPIES, allow_pickle=False), dtype=np.int64)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, EOFError) as error:
        raise DataError(
            f"The validation cut of run {folder.name} cannot be read from {COPIES} ({error}). "
            "Train the run again with its settings."
        ) from error


def publish(
    network: StagedNet,
    folder: Path,
    *,
    epoch: int,
    best: bool,
    kept: bool,
    facts: Mapping[str, float] = types.MappingProxyType({}),
) -> None:
    """Write the weights after `epoch` as last, and as best or as a kept epoch where asked; `facts`
    are read by `checkpoint_facts`."""
    last = folder / "last.safetensors"
    header = {"epoch": str(epoch), **{name: repr(value) for name, value in facts.items()}}
    with atomic_file(last) as temporary:
        save_file(_on_cpu(network.state_dict()), temporary, metadata=header)
    names = ["best.safetensors"] * best + [f"epoch-{epoch:04d}.safetensors"] * kept
    for name in names:
        with atomic_file(folder / name) as temporary:
            temporary.unlink()
            try:
                os.link(last, temporary)  # the same bytes under a second name: no second write
            except OSError:  # file systems without hard links
                shutil.copyfile(last, temporary)


def load_weights(network: StagedNet, folder: Path, name: str) -> None:
    """Load checkpoint `name` ("best", "last", "epoch-0005") into `network`, in place.

    Raises NotFoundError naming the checkpoints that are there, DataError when the file is damaged
    or belongs to another network.
    """
    try:
        network.load_state_dict(read_weights(folder, name))
    except RuntimeError as error:
        if is_out_of_memory(error):
            raise
        raise _unusable(folder, name, error) from error


def read_weights(folder: Path, name: str) -> dict[str, torch.Tensor]:
    """The tensors of checkpoint `name`. Raises NotFoundError and DataError like `load_weights`."""
    try:
        return load_file(folder / f"{name}.safetensors")
    except FileNotFoundError:
        raise no_checkpoint(folder, name) from None
    except SafetensorError as error:
        raise _unusable(folder, name, error) from error


def _unusable(folder: Path, name: str, error: Exception) -> DataError:
    reason = " ".join(str(error).split())[:200]
    return DataError(
        f"Checkpoint {name!r} of run {folder.name} cannot be used ({reason}). Choose another "
        "checkpoint, or train the run again with its settings."
    )


def weights_digest(folder: Path, name: str) -> str:
    """SHA-256 of the weights of checkpoint `name`: by name, kind and bytes, whatever the file's
    header says."""
    digest = hashlib.sha256()
    for key, tensor in sorted(read_weights(folder, name).items()):
        digest.update(f"{key}{tensor.dtype}{tuple(tensor.shape)}".encode())
        digest.update(tensor.contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def checkpoints(folder: Path) -> list[str]:
    """Names of the published checkpoints, best and last first."""
    names = {file.stem for file in folder.glob("*.safetensors")} - {"resume", "end"}
    return sorted(names, key=lambda name: (name.startswith("epoch-"), name))


def checkpoint_epoch(folder: Path, name: str) -> int | None:
    """The epoch after which checkpoint `name` was written; None when its file does not say.

    Raises NotFoundError like `load_weights`.
    """
    epoch = checkpoint_facts(folder, name).get("epoch")
    return None if epoch is None else int(epoch)


def checkpoint_facts(folder: Path, name: str) -> dict[str, str]:
    """What the header of checkpoint `name` says: the epoch after which it was written, the learning
    rate of that epoch's last step, and seconds and elapsed time up to it.

    Raises NotFoundError like `load_weights`.
    """
    try:
        with safe_open(folder / f"{name}.safetensors", framework="pt") as file:
            return dict(file.metadata() or {})
    except FileNotFoundError:
        raise no_checkpoint(folder, name) from None
    except SafetensorError:
        return {}  # whoever loads the weights says what is wrong with them


def kept_epochs(folder: Path) -> dict[int, str]:
    """The epochs after which weights are kept, ascending, each with the name of its checkpoint."""
    names = {checkpoint_epoch(folder, name): name for name in reversed(checkpoints(folder))}
    return {epoch: names[epoch] for epoch in sorted(e for e in names if e is not None)}


def load_network(folder: Path, name: str = "best") -> tuple[StagedNet, CheckpointMetadata]:
    """A published checkpoint as a fresh network in eval mode, with its card.

    Never touches the network in training; safe from any thread.
    """
    card = CheckpointMetadata.read(folder)
    network = build_network(
        card.config,
        channels=card.preprocess.channels,
        image_size=card.preprocess.image_size,
        classes=len(card.class_names),
        device="meta",  # the weights come from the file: nothing is drawn, nothing downloaded
    )
    network.to_empty(device="cpu")
    load_weights(network, folder, name)
    return network.eval(), card


def save_test_logits(folder: Path, rows: Groups, logits: list[torch.Tensor]) -> None:
    """Keep what the best weights answered to the test images `rows`, so that nobody asks again.

    `logits` are the batches' (n, K), together one row for each of `rows`. A disk without room is
    no reason to lose a run: then nothing is kept.
    """
    together = torch.cat(logits).float().cpu().numpy()
    if together.size > MOST_TEST_LOGITS:
        return
    try:
        with atomic_file(folder / TEST_LOGITS) as temporary, temporary.open("wb") as output:
            np.savez(output, rows=rows, logits=together, written=_written(folder))
    except ResourceError as error:
        logger.warning("the test's answers are not kept: %s", error)


def read_test_logits(folder: Path, rows: Groups) -> torch.Tensor | None:
    """Returns the answers (n, K) that the best weights of now gave to the test images `rows`; None
    when none are kept."""
    try:
        with np.load(folder / TEST_LOGITS, allow_pickle=False) as kept:
            if int(kept["written"]) != _written(folder) or not np.array_equal(kept["rows"], rows):
                return None
            return torch.from_numpy(kept["logits"])
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        logger.warning("%s cannot be read (%s)", folder / TEST_LOGITS, error)
        return None


def _written(folder: Path) -> int:
    """When the best weights were written, in nanoseconds."""
    return (folder / "best.safetensors").stat().st_mtime_ns


def save_resume(
    folder: Path,
    *,
    network: StagedNet,
    optimizer: torch.optim.Optimizer,
    generator: torch.Generator,
    counters: Counters,
    average: Mapping[str, torch.Tensor] | None = None,
) -> None:
    """Write everything that an exact continuation needs, in one atomic file.

    `average` are the averaged weights of a run that makes them.
    """
    tensors = {f"network.{k}": v for k, v in _on_cpu(network.state_dict()).items()}
    tensors |= {f"average.{k}": v for k, v in _on_cpu(average or {}).items()}
    numbers: dict[str, dict[str, Any]] = {}
    for index, values in optimizer.state_dict()["state"].items():
        for key, value in values.items():
            if isinstance(value, torch.Tensor):
                tensors[f"optimizer.{index}.{key}"] = value.detach().cpu().contiguous()
            else:
                numbers.setdefault(str(index), {})[key] = value
    tensors["generator"] = generator.get_state()
    header = {
        "counters": counters.to_json(),
        "optimizer": json.dumps(numbers),
        "trained": json.dumps(_trained_names(network, optimizer)),
    }
    with atomic_file(folder / RESUME) as temporary:
        save_file(tensors, temporary, metadata=header)


def keep_end(folder: Path, counters: Counters) -> None:
    """Make the resume state of a run that has completed with `counters` the state of its end.

    Where the disk has no room nothing is kept.
    """
    with safe_open(folder / RESUME, framework="pt") as file:
        header = file.metadata() | {"counters": counters.to_json()}
    weights = read_weights(folder, "last")
    last = {f"{kind}.{name}": value for kind in WEIGHTS for name, value in weights.items()}
    tensors = {
        name: value
        for name, value in load_file(folder / RESUME).items()
        if name not in last or not torch.equal(value, last[name])
    }
    try:
        with atomic_file(folder / END) as temporary:
            save_file(tensors, temporary, metadata=header)
    except ResourceError as error:
        logger.warning("the state of the end is not kept: %s", error)


def read_counters(folder: Path, name: str = RESUME) -> Counters | None:
    """The counters of the resume state, or of the END; None when there is none."""
    try:
        with safe_open(folder / name, framework="pt") as file:
            return Counters.from_json(file.metadata()["counters"])
    except FileNotFoundError:
        return None
    except SafetensorError as error:
        raise NotFoundError(
            f"The resume state of run {folder.name} cannot be read ({error}). "
            "Start the run again with its settings."
        ) from error


def load_resume(
    folder: Path,
    *,
    network: StagedNet,
    optimizer: torch.optim.Optimizer | None,
    generator: torch.Generator,
    name: str = RESUME,
    average: Mapping[str, torch.Tensor] | None = None,
) -> None:
    """Put the saved tensors back, each in the memory format of the parameter that it belongs to;
    into `average` the averaged weights.

    `name` is RESUME, or END of the run from which another one goes on: its optimizer stays as it is
    where it is None, or trains other parameters than were trained then.
    """
    tensors = load_file(folder / name)
    if name == END:
        last = read_weights(folder, "last")
        tensors = {f"{kind}.{key}": value for kind in WEIGHTS for key, value in last.items()} | (
            tensors
        )
    with safe_open(folder / name, framework="pt") as file:
        header = file.metadata()
    numbers: dict[str, dict[str, Any]] = json.loads(header["optimizer"])
    network.load_state_dict(
        {k.removeprefix("network."): v for k, v in tensors.items() if k.startswith("network.")}
    )
    for key, tensor in (average or {}).items():
        tensor.copy_(tensors[f"average.{key}"])
    generator.set_state(tensors["generator"])
    if optimizer is None or (
        name == END and json.loads(header["trained"]) != _trained_names(network, optimizer)
    ):
        return
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    state: dict[int, dict[str, Any]] = {int(i): dict(values) for i, values in numbers.items()}
    for key, value in tensors.items():
        if key.startswith("optimizer."):
            _, index, name = key.split(".", 2)
            parameter = parameters[int(index)]
            if value.shape == parameter.shape:
                value = torch.empty_like(parameter).copy_(value)
            state.setdefault(int(index), {})[name] = value
    saved = optimizer.state_dict()
    optimizer.load_state_dict({"state": state, "param_groups": saved["param_groups"]})


def _trained_names(network: StagedNet, optimizer: torch.optim.Optimizer) -> list[str]:
    """The names of the parameters in the optimizer's order, by which its state is numbered."""
    names = {id(parameter): name for name, parameter in network.named_parameters()}
    return [names[id(p)] for group in optimizer.param_groups for p in group["params"]]


def no_checkpoint(folder: Path, name: str) -> NotFoundError:
    """The error for a checkpoint that is not there, naming those that are."""
    there = ", ".join(checkpoints(folder)) or "none yet"
    return NotFoundError(f"Run {folder.name} has no checkpoint {name!r}; there are: {there}.")


def _on_cpu(state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name: tensor.detach().cpu().contiguous() for name, tensor in state.items()}
