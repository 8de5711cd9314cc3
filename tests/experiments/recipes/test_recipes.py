"""Every recipe: its settings hold, and its quick form runs to the end."""

import os
import shutil
import zipfile
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import pytest

from lab.config import RunConfig
from lab.data import catalog
from lab.data.drawn import animals
from lab.data.drawn import signs as drawn_signs
from lab.errors import ConfigError, NotFoundError
from lab.experiments.recipes.book import DOCUMENTS, QUESTIONS, RECIPES, all_recipes, recipe
from lab.experiments.recipes.recipe import (
    SIZES,
    Prepared,
    Size,
    dataset_choices,
    network_choices,
    prepare,
    stand_ins,
)
from lab.models.architecture import ARCHITECTURES
from lab.models.freezing import phases
from lab.models.weights import weights_ready
from lab.models.weights_source import PackageWeights
from lab.runs.foreground import run_in_foreground
from lab.runs.store import store
from lab.training.plan import resolve
from tests.tiny_data import make_tiny_pack

VARIANTS = [(r.id, v.key) for r in RECIPES for v in r.variants]


@pytest.fixture
def few_drawings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(animals, "COUNTS", {"train": 12, "test": 6})
    monkeypatch.setattr(drawn_signs, "COUNTS", {"train": 4, "test": 2})


def prepared(recipe_id: str, key: str, size: Size, **choice: str) -> Prepared:
    return prepare(recipe(recipe_id), size, only=[key], **choice)[0]


def test_the_book_is_in_order() -> None:
    assert [r.id for r in RECIPES] == list(dict.fromkeys(r.id for r in RECIPES))
    keys = [key for _, key in VARIANTS]
    assert keys == list(dict.fromkeys(keys))
    assert {r.question for r in RECIPES} == {q.key for q in QUESTIONS}
    assert {r.document for r in RECIPES} == set(DOCUMENTS)
    assert sorted(r.id for r in all_recipes()) == sorted(r.id for r in RECIPES)
    for each in RECIPES:
        assert each.story
        assert each.asks.endswith("?")
        assert each.watch_for
        assert len(each.differences) >= 3
        assert all(recipe(other).id == other for other in each.beside)
        for variant in each.variants:
            if variant.reported.than is not None:
                rival = recipe(variant.reported.than[1])
                assert rival.id in each.beside


def test_reported_figures_are_the_documents() -> None:
    """Word by word those of the digest that the recipes were made from."""
    assert {r.id: r.reported for r in RECIPES} == {
        "cd-slp": "about 50%; batch 32 + lr 1e-4: 55-61%",
        "cd-mlp": "about 50%",
        "cd-deep": "about 50%; the point is the gradient that vanishes",
        "cd-simplecnn": "better than the MLPs",
        "cd-resnet18": "S2 > 97%, S3 98%, lr 1e-3 best; CNNs 95-98%",
        "sl-mlp": "below the CNN",
        "sl-cnn": "val about 95%",
        "sl-cnn-aug": "higher accuracy, lower val loss than sl-cnn",
        "vgg-features": "test 0.974",
        "vgg-frozen-aug": "test 0.976",
        "vgg-finetune": "test 0.979",
        "rn": "test 93.8% (50) and 92.7% (101)",
        "vgg-scratch": "lesson: 0.9 accuracy while only class 0 was ever predicted -> per-class "
        "scores, oversampling; then batch/lr/epochs tuned to 0.98",
    }


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(("recipe_id", "key"), VARIANTS)
def test_settings_hold_and_come_back_from_yaml_and_url(
    recipe_id: str, key: str, size: Size, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lab.training.plan.check_weights", lambda spec: None)  # here or not
    choices = recipe(recipe_id).networks or (None,)
    for dataset in recipe(recipe_id).datasets:
        for network in choices:
            each = prepare(recipe(recipe_id), size, only=[key], dataset=dataset, network=network)[0]
            config = each.config
            assert RunConfig.from_yaml(config.to_yaml()) == config
            assert RunConfig.from_texts(config.to_query()) == config
            if catalog.describe(dataset).usable:
                resolve(config)
            assert len(each.name) <= 80
            assert key not in each.name
            assert each.name.endswith(" (quick)") == (size == "quick")
            assert recipe(each.origin.split(":")[1]).id == recipe_id


def test_full_size_is_the_documents() -> None:
    """Spot checks of what is easily lost: sizes, rates, phases, steps."""
    slow = prepared("cd-slp", "cd-slp-slow", "full", dataset="cats-dogs").config
    assert (slow.batch_size, slow.learning_rate, slow.epochs) == (32, 1e-4, 10)
    assert slow.image_size == 224
    signs = prepared("sl-cnn-aug", "sl-cnn-aug", "full", dataset="sign-mnist").config
    assert (signs.batch_size, signs.epochs, signs.rotation_degrees) == (256, 20, 10)
    assert (signs.zoom, signs.width_shift, signs.height_shift) == (0.1, 0.1, 0.1)
    assert not signs.horizontal_flip
    tuned = prepared(
        "vgg-finetune", "vgg-finetune", "full", dataset="cats-dogs", network="vgg16"
    ).config
    assert [(p.last_epoch, pytest.approx(p.learning_rate)) for p in phases(tuned)] == [
        (50, 1e-3),
        (80, 1e-5),
    ]
    assert (tuned.optimizer, tuned.momentum) == ("rmsprop", 0)
    assert (tuned.subset_per_class, tuned.validation_fraction) == (1500, 0.3333)
    deep = [p.config for p in prepare(recipe("cd-deep"), "full")]
    assert [c.activation for c in deep] == ["sigmoid", "relu"]
    assert deep[0].changed(activation="relu") == deep[1]
    resnets = [p.config for p in prepare(recipe("rn"), "full", dataset="cats-dogs")]
    assert [c.architecture for c in resnets] == ["resnet50", "resnet101"]
    assert (resnets[0].steps_per_epoch, resnets[0].batch_size, resnets[0].epochs) == (90, 20, 550)
    stopping = prepared("vgg-scratch", "vgg-scratch", "full").config
    assert stopping.early_stopping_metric == "val_accuracy"
    assert stopping.early_stopping_patience == 20


def test_runs_are_named_for_people() -> None:
    """The names of a recipe's runs differ, and say what is trained on what."""
    names = [p.name for p in prepare(recipe("cd-deep"), "quick")]
    assert names == [
        "Deep MLP on Drawn cats and dogs, Sigmoid (quick)",
        "Deep MLP on Drawn cats and dogs, ReLU (quick)",
    ]
    strategies = prepare(recipe("cd-resnet18"), "full", dataset="cats-dogs", network="mobilenet_v2")
    assert strategies[-1].name == "MobileNetV2 on Cats and dogs, head only"
    for each in RECIPES:
        names = [p.name for p in prepare(each, "quick")]
        assert len(set(names)) == len(names)


def test_no_sentence_has_a_slug() -> None:
    slugs = {r.id for r in RECIPES} | {key for _, key in VARIANTS}
    for each in RECIPES:
        texts = (each.title, each.asks, each.story, *each.watch_for, *each.differences)
        reported = [v.reported.text for v in each.variants]
        words = set(" ".join((*texts, *reported)).replace(",", " ").replace(".", " ").split())
        assert not words & slugs


def test_strategies_share_one_network_and_differ_in_freezing() -> None:
    for network in recipe("cd-resnet18").networks:
        configs = [p.config for p in prepare(recipe("cd-resnet18"), "full", network=network)]
        assert [c.freeze for c in configs] == ["scratch", "full", "last_k", "head_only"]
        assert {c.architecture for c in configs} == {network}


@pytest.fixture(scope="session")
def real_packs(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Packs of 12 + 12 photographs to train on and 6 + 6 to test with, and of 600 + 120 sign
    letters, both cut out of the real files."""
    home = tmp_path_factory.mktemp("real")
    archive = zipfile.ZipFile(real_data / "cats_and_dogs.zip")
    for split, count in (("train", 12), ("test", 6)):
        for animal in ("cats", "dogs"):
            folder = f"cats_and_dogs/{split}/{animal}/"
            names = sorted(n for n in archive.namelist() if n.startswith(folder))
            archive.extractall(home / "photographs", names[:count])
    signs = zipfile.ZipFile(real_data / "sign-language-mnist.zip")
    (home / "signs").mkdir()
    for split, count in (("train", 600), ("test", 120)):
        name = f"sign_mnist_{split}.csv"
        inside = next(n for n in signs.namelist() if n.endswith(name))
        with signs.open(inside) as lines:
            (home / "signs" / name).write_bytes(b"".join(islice(lines, count + 1)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LAB_HOME", str(home / "lab"))
        catalog.add_dataset("cats-dogs", home / "photographs")
        catalog.add_dataset("sign-mnist", home / "signs")
    return home / "lab" / "packs"


@pytest.fixture
def few_pictures(
    request: pytest.FixtureRequest, lab_home: Path, few_drawings: None
) -> Callable[[str], str]:
    """The data set that a recipe's quick form is tried on: real ones when LAB_REAL_DATA names
    them, else drawn ones."""
    if not os.environ.get("LAB_REAL_DATA"):
        return lambda recipe_id: recipe(recipe_id).datasets[-1]
    shutil.copytree(request.getfixturevalue("real_packs"), lab_home / "packs")
    return lambda recipe_id: recipe(recipe_id).datasets[0]


@pytest.mark.parametrize(("recipe_id", "key"), VARIANTS)
def test_quick_form_runs_to_the_end(
    recipe_id: str, key: str, few_pictures: Callable[[str], str]
) -> None:
    each = prepared(recipe_id, key, "quick", dataset=few_pictures(recipe_id))
    assert not each.missing
    if each.download:
        pytest.skip(f"needs ImageNet weights in TORCH_HOME: {each.config.architecture}")
    # Without the trial of number formats, which takes longer than such a short run.
    config = resolve(each.config.changed(precision="fp32"))
    row = run_in_foreground(config, name=each.name, origin=each.origin)
    assert row.status == "completed", row.message
    assert row.origin == each.origin
    assert row.test_accuracy is not None
    assert row.epoch == each.config.epochs
    assert [r.id for r in store().runs(origin=each.recipe.origin())] == [row.id]


@pytest.fixture
def no_weights(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    folder = tmp_path / "torch" / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    return folder


def test_a_fresh_machine_has_a_network_that_stands_in(no_weights: Path) -> None:
    """Its weights come with the lab: no run waits for a download."""
    for each in all_recipes():
        runs = prepare(each, "full")
        assert not any(run.download for run in runs)
        if each.networks:
            assert {run.config.architecture for run in runs} == {"efficientnet_lite0"}


def test_weights_that_are_not_here_are_told(
    no_weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(PackageWeights, "file", Path("/nowhere"))
    runs = prepare(recipe("cd-resnet18"), "full")
    assert [bool(run.download) for run in runs] == [False, True, True, True]
    assert runs[3].config.architecture == "resnet18"
    assert "resnet18-f37072fd.pth" in runs[3].download
    assert str(no_weights) in runs[3].download


def test_a_network_whose_weights_are_here_stands_in(no_weights: Path) -> None:
    (no_weights / "mobilenet_v2-b0353104.pth").touch()
    assert weights_ready(ARCHITECTURES.get("mobilenet_v2"))
    each = recipe("cd-resnet18")
    assert network_choices(each) == [
        "mobilenet_v2",
        "efficientnet_lite0",
        "resnet18",
        "squeezenet1_1",
    ]
    config = prepare(each, "full")[0].config
    assert config.architecture == "mobilenet_v2"
    assert "MobileNetV2 instead of ResNet-18" in stand_ins(each, config)


def test_drawings_stand_in_for_data_that_is_not_here() -> None:
    each = recipe("sl-cnn")
    assert [info.name for info in dataset_choices(each)] == ["drawn-signs"]
    config = prepare(each, "full")[0].config
    assert config.dataset == "drawn-signs"
    assert stand_ins(each, config) == ("Drawn signs instead of Sign-Language MNIST",)
    missing = prepare(each, "full", dataset="sign-mnist")[0].missing
    assert "not added" in missing
    assert "kaggle" in missing
    assert stand_ins(each, prepare(each, "full", dataset="sign-mnist")[0].config) == ()


def test_unknown_names_are_sentences() -> None:
    with pytest.raises(NotFoundError, match="Did you mean 'sl-cnn'"):
        recipe("sl-cn")
    with pytest.raises(NotFoundError, match="vgg-scratch-tuned"):
        prepare(recipe("vgg-scratch"), "quick", only=["vgg-scratch-tune"])
    with pytest.raises(ConfigError, match="only the recipe's own"):
        prepare(recipe("sl-cnn"), "quick", network="resnet18")
    assert recipe("cd-deep-relu").id == "cd-deep"


def test_the_thinned_class_is_one_of_the_data() -> None:
    config = prepare(recipe("vgg-scratch"), "quick", dataset=make_tiny_pack())[0].config
    assert config.reduced_class == "bottom"
