"""A run on Hugging Face's hub: its weights, and its lab card as the repository's first page.

    README.md            the card, with the hub's metadata
    model.safetensors    the weights; classes, settings and preprocessing in the header
    card.json            the card for programs

No picture of the data set is sent. A new repository is private unless somebody says otherwise.
"""

from __future__ import annotations

import re
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from lab import jobs
from lab.data.pack import Pack
from lab.download.hub import MARK, HubAddress, endpoint, hub_address, hub_errors
from lab.errors import ConfigError
from lab.evaluate.opened import open_data
from lab.export.card import Card, make_card, summary, write_json_of
from lab.export.weights import write_weights
from lab.jobs import JobView
from lab.people import require_admin
from lab.progress import Cancel, Progress, Report, check_cancel, never, silent
from lab.runs.rows import RunRow
from lab.runs.store import store
from lab.training.checkpoint import CheckpointMetadata, checkpoints, no_checkpoint
from lab.words import percent

TAG = "epochlab"
"""Of every repository that was made by this; no other one is written over."""

MOST_ROWS = 200
"""Classes in the table of the page; card.json has all."""

WHAT = "model"
WRITING = "Writing to the Hugging Face Hub"


@dataclass(frozen=True)
class Pushed:
    """What was written to the hub."""

    address: str
    """With the commit: "hf://owner/name@5c3b..."."""
    url: str
    sentence: str
    """The card in one sentence."""


def push_to_hub(
    run: RunRow,
    address: str,
    *,
    checkpoint: str = "best",
    public: bool = False,
    progress: Report = silent,
    cancel: Cancel = never,
) -> Pushed:
    """Write the run to the model repository at `address` ("hf://owner/name"), as one commit.

    A repository that is not there is made, private unless `public`. Raises NotAllowedError for who
    is no admin (the machine's token is used), ConfigError for a wrong address, one that names a
    commit, or a repository of something else, NotFoundError, DataError, Cancelled.
    """
    require_admin(WRITING)
    wanted = repository(address)
    folder = store().folder(run.id)
    if checkpoint not in checkpoints(folder):
        raise no_checkpoint(folder, checkpoint)
    is_new = _check_free(wanted)
    card = make_card(run, checkpoint, progress, cancel)
    pack, _ = open_data(CheckpointMetadata.read(folder))
    with tempfile.TemporaryDirectory() as made:
        place = Path(made)
        (place / "README.md").write_text(card_markdown(card, pack), encoding="utf-8")
        write_json_of(card, place / "card.json")
        write_weights(run, checkpoint, place / "model.safetensors", progress, cancel)
        check_cancel(cancel, "The upload")
        progress(Progress(0, 0, f"Uploading to {wanted.id}"))
        with hub_errors(wanted, WHAT):
            return _upload(wanted, place, run, card, new=is_new, public=public)


def start_push(run: RunRow, address: str, *, checkpoint: str, public: bool) -> JobView:
    """Writes the run to the hub in the background; the job's result is a `Pushed`.

    Raises NotAllowedError and ConfigError as `push_to_hub` does before it asks the hub.
    """
    require_admin(WRITING)
    wanted = repository(address)

    def work(report: Report, cancel: Cancel) -> Pushed:
        return push_to_hub(
            run, str(wanted), checkpoint=checkpoint, public=public, progress=report, cancel=cancel
        )

    return jobs.start("export", f"Writing {run.name} to {wanted.id}", work, key=job_key(run))


def job_key(run: RunRow) -> str:
    """Returns the key of the jobs that write this run to the hub."""
    return f"hub:{run.id}"


def repository(address: str) -> HubAddress:
    """Returns the repository to write to. Raises ConfigError for what is no address, or one of a
    commit."""
    wanted = hub_address(address)
    if wanted.revision:
        raise ConfigError(f"A run is written to the newest state; leave out @{wanted.revision}.")
    return wanted


def _check_free(wanted: HubAddress) -> bool:
    """Returns whether the repository is still to be made. Raises ConfigError where one of that name
    holds something else, or nobody is logged in."""
    from huggingface_hub import HfApi, get_token
    from huggingface_hub.errors import RepositoryNotFoundError

    if not get_token():
        raise ConfigError(
            f"Nobody is logged in to {endpoint()} on this machine: run `hf auth login`, or set "
            "HF_TOKEN to a token that may write."
        )
    with hub_errors(wanted, WHAT):
        try:
            info = HfApi(endpoint=endpoint()).model_info(wanted.id)
        except RepositoryNotFoundError:
            return True
    is_empty = all(each.rfilename == ".gitattributes" for each in info.siblings or ())
    if TAG not in (info.tags or ()) and not is_empty:
        raise ConfigError(
            f"There is a model {wanted.id!r} on {endpoint()} that is not the lab's; its page would "
            "be written over. Choose another name."
        )
    return False


def _upload(
    wanted: HubAddress, place: Path, run: RunRow, card: Card, *, new: bool, public: bool
) -> Pushed:
    from huggingface_hub import CommitOperationAdd, HfApi
    from huggingface_hub.utils.tqdm import disable_progress_bars

    disable_progress_bars()  # it would draw them on standard error
    api = HfApi(endpoint=endpoint())
    if new:
        api.create_repo(wanted.id, private=not public, exist_ok=True)
    done = api.create_commit(
        wanted.id,
        [CommitOperationAdd(file.name, file) for file in sorted(place.iterdir())],
        commit_message=f"Run {run.name} ({run.id})",
    )
    return Pushed(wanted.at(done.oid), f"{endpoint()}/{wanted.id}", summary(card))


# --- the repository's page ------------------------------------------------------------------------
def card_markdown(card: Card, pack: Pack) -> str:
    """Returns the lab card as Markdown with the hub's metadata before it."""
    values = card.values
    parts = [
        f"---\n{yaml.safe_dump(_metadata(values, pack), sort_keys=False, allow_unicode=True)}---",
        f"# {_plain(values['run_name'])}",
        f"{_plain(summary(card))} Made with Epochlab {values['lab_version']}.",
        _list("Good for", values["good_for"]),
        _list("Not for", values["not_for"]),
        _classes(values),
        _table("Settings that differ from the defaults", values["settings_in_words"]),
        _table("Where it comes from", _origin(values, pack)),
        "## Use\n\n"
        "`model.safetensors` holds the weights; class names, settings and preprocessing are in its "
        f"header.\n\n- {_plain(values['before'])}\n- {_plain(values['picture'])}",
        f"## Train it again\n\n```\n{values['reproduce']['command']}\n```\n\n"
        f"```yaml\n{values['reproduce']['config_yaml'].strip()}\n```",
    ]
    return "\n\n".join(filter(None, parts)) + "\n"


def _metadata(values: dict[str, Any], pack: Pack) -> dict[str, Any]:
    """What the hub reads: how it lists the model, and its results."""
    metadata: dict[str, Any] = {
        "library_name": TAG,
        "pipeline_tag": "image-classification",
        "tags": [TAG, "image-classification", values["settings"]["architecture"]],
        "metrics": ["accuracy"],
    }
    if pack.meta.source.startswith(MARK):
        metadata["datasets"] = [hub_address(pack.meta.source).id]
    if measured := values["measured"]:
        result = {
            "task": {"type": "image-classification"},
            "dataset": {"name": pack.meta.title, "type": values["dataset"]},
            "metrics": [
                {
                    "type": "accuracy",
                    "value": round(measured["accuracy"], 6),
                    "name": f"accuracy on {measured['images']} {measured['part']} images",
                }
            ],
        }
        metadata["model-index"] = [{"name": values["run_name"], "results": [result]}]
    return metadata


def _origin(values: dict[str, Any], pack: Pack) -> dict[str, str]:
    origin = {
        "Data set": pack.meta.title,
        "Its source": pack.meta.source,
        "Its licence": pack.meta.licence,
        "Its version (hash)": values["dataset_hash"],
        "Run": values["run"],
        "Checkpoint": f"{values['checkpoint']} (epoch {values['epoch']})",
        "Weights (SHA-256)": values["weights_sha256"],
        "Trained": values["trained"],
        "Versions": f"lab {values['lab_version']}, torch {values['torch_version']}",
    }
    return {name: str(value) for name, value in origin.items() if value}


def _classes(values: dict[str, Any]) -> str:
    measured = values["measured"]
    if not measured:
        return ""
    columns = (values["classes"], measured["support"], measured["precision"], measured["recall"])
    rows = [
        f"| {_plain(name)} | {support:,} | {percent(precision)} | {percent(recall)} |"
        for name, support, precision, recall in zip(*columns, strict=True)
    ]
    more = f"\n\n{len(rows) - MOST_ROWS:,} more classes are in card.json." * (len(rows) > MOST_ROWS)
    head = f"| class | {measured['part']} images | precision | recall |\n|---|---|---|---|\n"
    return f"## Classes\n\n{head}" + "\n".join(rows[:MOST_ROWS]) + more


def _table(title: str, rows: dict[str, str]) -> str:
    if not rows:
        return ""
    lines = [f"| {_plain(name)} | {_plain(value)} |" for name, value in rows.items()]
    return f"## {title}\n\n| | |\n|---|---|\n" + "\n".join(lines)


def _list(title: str, lines: list[str]) -> str:
    return f"## {title}\n\n" + "\n".join(f"- {_plain(line)}" for line in lines)


def _plain(text: str) -> str:
    """Text in which nothing is Markdown or HTML, on one line."""
    return re.sub(r"([\\`*_\[\]<>|#~&])", r"\\\1", " ".join(str(text).split()))
