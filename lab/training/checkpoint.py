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
├── before.safetensors   the resume state before it, for the day when that one cannot be read
└── end.safetensors      the same of a completed run, so that another can go on from it exactly
                         (`lab.training.start`); weights only where last.safetensors has others

With the knob model_ema_decay all but the resume state and the end are the averaged weights. All
are sealed (`lab.seal`), so a reader notices a changed bit; those of older versions are not.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import logging
import types
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch

from lab import home
from lab.config import Precision, RunConfig
from lab.data.array_file import BROKEN, read_array, write_array
from lab.data.decode import Fit, ValueRange
from lab.data.groups import Groups
from lab.data.preprocess import Preprocess
from lab.errors import ConfigError, DataError, NotFoundError, ResourceError
from lab.home import atomic_file
from lab.models.catalog import build_network
from lab.models.staged import StagedNet
from lab.seal import read_sealed, seal
from lab.training import tensor_file
from lab.training.counters import Counters
from lab.training.failures import is_out_of_memory
from lab.training.tensor_file import Tensors

logger = logging.getLogger(__name__)

RESUME = "resume.safetensors"
BEFORE = "before.safetensors"
END = "end.safetensors"
"""With Adam twice the size of the weights that are trained, with SGD once, without momentum none:
what a run costs on the disk so that another can go on from it."""
LOOKS = "test-looks.txt"
"""How often the test images were looked at, of a completed run whose state was cleaned away."""
CARD = "network.json"
WEIGHTS = ("network", "average")
"""What of the state is not kept a second time where it is what last.safetensors has."""
COPIES = "copies.npy"
TEST_LOGITS = "test-logits.npz"
_UNTRAINED = "untrained"
_PRECISION = "precision"
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
            write_array(folder / COPIES, self.copies)
        with atomic_file(folder / CARD) as temporary:
            temporary.write_text(json.dumps(seal(text), indent=2), encoding="utf-8")

    @classmethod
    def read(cls, folder: Path) -> CheckpointMetadata:
        """Raises NotFoundError when the run never came far enough to have one, DataError when it
        cannot be used."""
        try:
            return cls._read(folder)
        except (FileNotFoundError, NotADirectoryError):
            raise NotFoundError(
                home.files_elsewhere(folder)
                or f"Run {folder.name} has no network: it ended before its first step, or its "
                "folder was removed. Choose another run, or train it again with its settings."
            ) from None
        except (OSError, ValueError, KeyError, TypeError, AttributeError, ConfigError) as error:
            raise DataError(
                f"Run {folder.name} cannot be used: its {CARD} is damaged ({_reason(error)}). "
                "Train the run again with its settings, or put the file back from a backup."
            ) from error

    @classmethod
    def _read(cls, folder: Path) -> CheckpointMetadata:
        values = read_sealed(folder / CARD)
        preprocess = Preprocess.from_dict(values["preprocess"])
        value_range = values.get("value_range")
        config = RunConfig.from_mapping(values["config"])
        cut_by_copies = config.split_by == "group"
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
            copies=_read_copies(folder) if cut_by_copies else None,
        )


def _read_copies(folder: Path) -> Groups | None:
    """None of a set that brings its own validation images, which is not cut."""
    try:
        return np.asarray(read_array(folder / COPIES), dtype=np.int64)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, EOFError) as error:
        raise DataError(
            f"The validation cut of run {folder.name} cannot be read from {COPIES} "
            f"({_reason(error)}). Train the run again with its settings."
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
    tensor_file.write(last, _on_cpu(network.state_dict()), header)
    names = ["best.safetensors"] * best + [f"epoch-{epoch:04d}.safetensors"] * kept
    for name in names:
        tensor_file.give_name(last, folder / name)


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


def read_weights(folder: Path, name: str) -> Tensors:
    """The tensors of checkpoint `name`. Raises NotFoundError and DataError like `load_weights`."""
    try:
        return tensor_file.read(folder / f"{name}.safetensors")[0]
    except FileNotFoundError:
        raise no_checkpoint(folder, name) from None
    except ValueError as error:
        raise _unusable(folder, name, error) from error


def _unusable(folder: Path, name: str, error: Exception) -> DataError:
    return DataError(
        f"Checkpoint {name!r} of run {folder.name} cannot be used ({_reason(error)}). Choose "
        "another checkpoint, or train the run again with its settings."
    )


def _reason(error: Exception) -> str:
    """Why a file cannot be used, as a part of a sentence."""
    if isinstance(error, json.JSONDecodeError):
        return "it is cut off or something else"
    text = " ".join(str(error).split())[:200].rstrip(".")
    return f"{text} is missing" if isinstance(error, KeyError) else text


def weights_digest(folder: Path, name: str) -> str:
    """SHA-256 of the weights of checkpoint `name`: by name, kind and bytes, whatever the file's
    header says."""
    digest = tensor_file.update_digest(hashlib.sha256(), read_weights(folder, name))
    return str(digest.hexdigest())


def checkpoints(folder: Path) -> list[str]:
    """Names of the published checkpoints, best and last first."""
    states = {name.partition(".")[0] for name in (RESUME, BEFORE, END)}
    names = {file.stem for file in folder.glob("*.safetensors")} - states
    return sorted(names, key=lambda name: (name.startswith("epoch-"), name))


def checkpoint_epoch(folder: Path, name: str) -> int | None:
    """The epoch after which checkpoint `name` was written; None when its file does not say.

    Raises NotFoundError like `load_weights`.
    """
    epoch = checkpoint_facts(folder, name).get("epoch", "")
    return int(epoch) if epoch.isdecimal() else None


def checkpoint_facts(folder: Path, name: str) -> dict[str, str]:
    """What the header of checkpoint `name` says: the epoch after which it was written, the learning
    rate of that epoch's last step, and seconds and elapsed time up to it.

    Raises NotFoundError like `load_weights`.
    """
    try:
        return tensor_file.read_header(folder / f"{name}.safetensors")
    except FileNotFoundError:
        raise no_checkpoint(folder, name) from None
    except ValueError:
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
    except BROKEN as error:
        logger.warning("%s cannot be read (%s)", folder / TEST_LOGITS, error)
        return None


def _written(folder: Path) -> int:
    """When the best weights were written, in nanoseconds."""
    return (folder / "best.safetensors").stat().st_mtime_ns


def drop_end(folder: Path, *, test_looks: int) -> None:
    """Deletes the state of a completed run; another run can still start from its weights. How often
    the test images were looked at stays known."""
    with atomic_file(folder / LOOKS) as temporary:
        temporary.write_text(str(test_looks), encoding="ascii")
    (folder / END).unlink(missing_ok=True)


def read_looks(folder: Path) -> int | None:
    """Returns what `drop_end` kept; None where it kept nothing."""
    try:
        return int((folder / LOOKS).read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None


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
        "run": folder.name,
        "counters": counters.to_json(),
        "optimizer": json.dumps(numbers),
        "trained": json.dumps(_trained_names(network, optimizer)),
    }
    if (folder / RESUME).is_file():
        tensor_file.give_name(folder / RESUME, folder / BEFORE)
    tensor_file.write(folder / RESUME, tensors, header)


def begin_resume(folder: Path, precision: Precision) -> None:
    """Write the resume state of a run that has not taken a step: it begins from its seed, in the
    number format `precision`.

    From then on a run without a resume state has lost it.
    """
    header = {"run": folder.name, _UNTRAINED: "yes", _PRECISION: precision}
    tensor_file.write(folder / RESUME, {}, header)


def drop_resume(folder: Path) -> None:
    """Delete the resume states of a run that is completed."""
    for name in (BEFORE, RESUME):
        try:
            (folder / name).unlink(missing_ok=True)
        except OSError as error:  # the run is completed all the same
            logger.warning("%s cannot be deleted: %s", folder / name, error)


def keep_end(folder: Path, counters: Counters) -> None:
    """Make the resume state of a run that has completed with `counters` the state of its end.

    Where the disk has no room nothing is kept.
    """
    state = _read_state(folder, RESUME)  # which was written just now
    weights = read_weights(folder, "last")
    last = {f"{kind}.{name}": value for kind in WEIGHTS for name, value in weights.items()}
    tensors = {
        name: value
        for name, value in state.tensors.items()
        if name not in last or not torch.equal(value, last[name])
    }
    try:
        tensor_file.write(folder / END, tensors, state.header | {"counters": counters.to_json()})
    except ResourceError as error:
        logger.warning("the state of the end is not kept: %s", error)


@dataclass(frozen=True, eq=False)
class ResumeState:
    """Everything that an exact continuation needs, of one moment of a run."""

    folder: Path
    """The run's."""
    header: dict[str, str]
    tensors: Tensors
    """Empty where only the header was read."""
    counters: Counters | None
    """None before the first step."""
    warning: str = ""
    """For the run's log: why it is not the newest state."""

    @property
    def precision(self) -> Precision | None:
        """The number format in which the run began; None where an older version began it and no
        step was saved."""
        if self.counters is not None:
            return self.counters.precision
        return cast("Precision | None", self.header.get(_PRECISION))


class _UnusableState(Exception):
    """Half a sentence: why a file is no state of the run."""


def _read_state(folder: Path, name: str, *, whole: bool = True) -> ResumeState:
    """Raises FileNotFoundError, _UnusableState."""
    try:
        file = folder / name
        tensors, header = tensor_file.read(file) if whole else ({}, tensor_file.read_header(file))
        if (run := header.get("run", folder.name)) != folder.name:
            raise ValueError(f"it belongs to run {run}")
        untrained = header.get(_UNTRAINED)
        counters = None if untrained else Counters.from_json(header["counters"])
    except (ValueError, KeyError, TypeError) as error:
        raise _UnusableState(_reason(error)) from error
    return ResumeState(folder, header, tensors, counters)


def read_resume(folder: Path, *, whole: bool = False) -> ResumeState | None:
    """The newest resume state that can be used; None when there is none.

    Where the newest cannot be used it is the one before, with a warning; read as a `whole` it then
    takes the place of the newest. Raises DataError when neither can be used.
    """
    damage = "it is gone"
    try:
        return _read_state(folder, RESUME, whole=whole)
    except FileNotFoundError:
        if not (folder / BEFORE).exists():
            return None
    except _UnusableState as error:
        damage = str(error)
    try:
        state = _read_state(folder, BEFORE, whole=whole)
    except (FileNotFoundError, _UnusableState) as error:
        raise DataError(
            f"The resume state of run {folder.name} cannot be read ({damage}). Train the run again "
            "with its settings, or a new one from its weights."
        ) from error
    if whole:
        tensor_file.give_name(folder / BEFORE, folder / RESUME)
    step = state.counters.step if state.counters else 0
    warning = (
        f"The newest resume state cannot be used ({damage}); the one before it is used, of step "
        f"{step:,}. What was trained since then is trained again."
    )
    return dataclasses.replace(state, warning=warning)


def require_resume(folder: Path) -> ResumeState | None:
    """The header of `read_resume`; raises NotFoundError for a run that has lost its state."""
    state = read_resume(folder)
    if state is None and (folder / CARD).exists():
        raise NotFoundError(
            home.files_elsewhere(folder)
            or f"Run {folder.name} cannot go on: its resume state is gone from {folder}. Train it "
            "again with its settings, or put the file back from a backup."
        )
    return state


def read_end(folder: Path, *, whole: bool = False) -> ResumeState | None:
    """The state in which a completed run ended; None when none is kept. Raises DataError."""
    try:
        state = _read_state(folder, END, whole=whole)
    except FileNotFoundError:
        return None
    except _UnusableState as error:
        raise DataError(
            f"The state in which run {folder.name} ended cannot be read ({error}). Start from "
            "another run, or train that one again with its settings."
        ) from error
    if not whole:
        return state
    last = read_weights(folder, "last")
    weights = {f"{kind}.{key}": value for kind in WEIGHTS for key, value in last.items()}
    return dataclasses.replace(state, tensors=weights | state.tensors)


def load_state(
    state: ResumeState,
    *,
    network: StagedNet,
    optimizer: torch.optim.Optimizer | None,
    generator: torch.Generator,
    average: Mapping[str, torch.Tensor] | None = None,
    goes_on: bool = False,
) -> None:
    """Put the saved tensors back, each in the memory format of the parameter that it belongs to;
    into `average` the averaged weights.

    With `goes_on` the state is of the run from which this one goes on: its optimizer stays as it is
    where it is None, or trains other parameters than were trained then. Raises DataError where the
    state is of another network.
    """
    try:
        _load_state(state, network, optimizer, generator, average or {}, goes_on)
    except (RuntimeError, KeyError, IndexError, ValueError, TypeError) as error:
        if is_out_of_memory(error):
            raise
        raise DataError(
            f"The resume state of run {state.folder.name} does not fit its network "
            f"({_reason(error)}). Train the run again with its settings."
        ) from error


def _load_state(
    state: ResumeState,
    network: StagedNet,
    optimizer: torch.optim.Optimizer | None,
    generator: torch.Generator,
    average: Mapping[str, torch.Tensor],
    goes_on: bool,
) -> None:
    header, tensors = state.header, state.tensors
    network.load_state_dict(
        {k.removeprefix("network."): v for k, v in tensors.items() if k.startswith("network.")}
    )
    for key, tensor in average.items():
        tensor.copy_(tensors[f"average.{key}"])
    generator.set_state(tensors["generator"])
    if optimizer is None or (
        goes_on and json.loads(header["trained"]) != _trained_names(network, optimizer)
    ):
        return
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    numbers: dict[str, dict[str, Any]] = json.loads(header["optimizer"])
    states: dict[int, dict[str, Any]] = {int(i): dict(values) for i, values in numbers.items()}
    for key, value in tensors.items():
        if key.startswith("optimizer."):
            _, index, name = key.split(".", 2)
            parameter = parameters[int(index)]
            if value.shape == parameter.shape:
                value = torch.empty_like(parameter).copy_(value)
            states.setdefault(int(index), {})[name] = value
    saved = optimizer.state_dict()
    optimizer.load_state_dict({"state": states, "param_groups": saved["param_groups"]})


def _trained_names(network: StagedNet, optimizer: torch.optim.Optimizer) -> list[str]:
    """The names of the parameters in the optimizer's order, by which its state is numbered."""
    names = {id(parameter): name for name, parameter in network.named_parameters()}
    return [names[id(p)] for group in optimizer.param_groups for p in group["params"]]


def no_checkpoint(folder: Path, name: str) -> NotFoundError:
    """The error for a checkpoint that is not there, naming those that are."""
    there = ", ".join(checkpoints(folder)) or "none yet"
    return NotFoundError(
        home.files_elsewhere(folder)
        or f"Run {folder.name} has no checkpoint {name!r}; there are: {there}."
    )


def _on_cpu(state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name: tensor.detach().cpu().contiguous() for name, tensor in state.items()}
