"""A run on the hub, of which a stand-in answers on loopback: the real one is never asked."""

import dataclasses
import json
from collections.abc import Iterator

import pytest
import yaml
from safetensors.torch import load

from lab.cli.main import main
from lab.data import catalog
from lab.errors import ConfigError, DataError, NotAllowedError, NotFoundError
from lab.export.card import Card
from lab.export.hub import card_markdown, push_to_hub
from lab.people import Person, acting_as
from lab.runs.rows import RunRow
from lab.runs.store import store
from lab.training.checkpoint import read_weights
from tests.hub_stub import COMMIT, TOKEN, Hub, Repository, serve_hub

# Of huggingface_hub's own upload by Git LFS.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    with serve_hub(monkeypatch) as made:
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        yield made


def parts(readme: bytes) -> tuple[dict[str, object], str]:
    """The metadata of the repository's page, and its text."""
    _, metadata, text = readme.decode().split("---\n", 2)
    return yaml.safe_load(metadata), text


def test_weights_and_card_arrive(run: RunRow, hub: Hub, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", run.id, "--to", "hf://me/bars", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["address"] == f"hf://me/bars@{COMMIT}"
    assert told["url"] == f"{hub.url}/me/bars"
    assert [each["private"] for each in hub.created] == [True]
    files = hub.models["me/bars"].files
    assert files.keys() == {"README.md", "card.json", "model.safetensors"}
    kept = read_weights(store().folder(run.id), "best")
    sent = load(files["model.safetensors"])
    assert sent.keys() == kept.keys()
    assert all(sent[name].equal(kept[name]) for name in kept)
    card = json.loads(files["card.json"])
    assert card["run"] == run.id
    metadata, text = parts(files["README.md"])
    assert metadata["pipeline_tag"] == "image-classification"
    assert "epochlab" in metadata["tags"]  # type: ignore[operator]
    (model,) = metadata["model-index"]  # type: ignore[misc]
    (metric,) = model["results"][0]["metrics"]
    assert metric["value"] == pytest.approx(card["measured"]["accuracy"], abs=1e-6)
    assert "# Bars \\& \\<b\\>stripes\\</b\\>" in text
    assert card["reproduce"]["command"] in text
    for line in (*card["good_for"], *card["not_for"]):
        assert line.split("“")[0][:40] in text.replace("\\", "")


def test_a_second_time_the_same_repository(run: RunRow, hub: Hub) -> None:
    push_to_hub(run, "hf://me/bars", public=True)
    assert [each["private"] for each in hub.created] == [False]
    hub.models["me/bars"].tags = ("epochlab",)
    push_to_hub(run, "hf://me/bars")
    assert len(hub.created) == 1


def test_a_repository_of_something_else_is_left_alone(run: RunRow, hub: Hub) -> None:
    hub.models["me/other"] = Repository({"README.md": b"mine"}, tags=("pytorch",))
    with pytest.raises(ConfigError, match="is not the lab's"):
        push_to_hub(run, "hf://me/other")
    assert hub.models["me/other"].files == {"README.md": b"mine"}


def test_what_cannot_be_is_one_sentence(
    run: RunRow, hub: Hub, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ConfigError, match="leave out @main"):
        push_to_hub(run, "hf://me/bars@main")
    with pytest.raises(NotFoundError, match="no checkpoint"):
        push_to_hub(run, "hf://me/bars", checkpoint="epoch-0009")
    hub.refuse_uploads = True
    with pytest.raises(DataError, match=r"answered HTTP 507 for the model 'me/bars'"):
        push_to_hub(run, "hf://me/bars")
    hub.refuse = 403
    with pytest.raises(DataError, match="to an account that may"):
        push_to_hub(run, "hf://me/bars")
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:1")
    with pytest.raises(DataError, match="cannot be reached"):
        push_to_hub(run, "hf://me/bars")
    monkeypatch.delenv("HF_TOKEN")
    with pytest.raises(ConfigError, match="Nobody is logged in"):
        push_to_hub(run, "hf://me/bars")
    for arguments, sentence in (
        ([], "--as is missing"),
        (["--as", "onnx", "--to", "hf://me/bars"], "leave out --as"),
        (["--as", "card", "--public"], "--public is for"),
    ):
        assert main(["export", run.id, *arguments]) == 2
        assert sentence in capsys.readouterr().err


def test_only_an_admin_writes_with_the_machines_token(
    run: RunRow, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LAB_SHARED", "class")
    with acting_as(Person("p1", "Pupil", "member")), pytest.raises(NotAllowedError):
        push_to_hub(run, "hf://me/bars")
    assert hub.requests == []


def test_the_data_sets_repository_is_named(run: RunRow) -> None:
    pack = catalog.open_pack(run.dataset)
    meta = dataclasses.replace(pack.meta, source=f"hf://me/pets@{COMMIT}")
    pack = dataclasses.replace(pack, meta=meta)
    values = {
        "run_name": "r", "lab_version": "1", "measured": None, "good_for": [], "not_for": [],
        "settings": {"architecture": "mlp"}, "settings_in_words": {}, "dataset_hash": "",
        "run": "r-1", "checkpoint": "best", "epoch": 1, "weights_sha256": "", "trained": None,
        "torch_version": "2", "before": "", "picture": "", "dataset": "tiny",
        "reproduce": {"command": "", "config_yaml": ""},
    }  # fmt: skip
    metadata, text = parts(card_markdown(Card(values, None, ()), pack).encode())
    assert metadata["datasets"] == ["me/pets"]
    assert f"hf://me/pets@{COMMIT}" in text
