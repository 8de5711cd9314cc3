"""A newcomer's knob and a newcomer's architecture: one entry each, and every place shows them."""

from collections.abc import Iterator
from typing import Any

import pytest
from pydantic.fields import FieldInfo
from streamlit.testing.v1 import AppTest

from lab.cli.main import build_parser
from lab.cli.train import config_from
from lab.config import KNOBS, RunConfig, _describe, knob
from lab.data import catalog
from lab.evaluate.compare import over_seeds
from lab.experiments.estimates import estimate
from lab.experiments.sweeps.config import SweepConfig
from lab.models.architecture import ARCHITECTURES, NetworkSettings, architecture
from lab.models.perceptrons import perceptron
from lab.models.staged import StagedNet
from lab.ui.experiments.sweep_form import knobs_to_vary
from lab.ui.train.lr_finder import rates_key
from tests.app.conftest import OpenPage

TOYS: dict[str, tuple[type, FieldInfo]] = {
    "toy_width": (
        float,
        knob(
            2.0,
            "Toy width",
            "How wide the toy network is.",
            group="network",
            by_architecture=True,
            essential=True,
            log=True,
            ge=1,
            le=64,
        ),
    ),
    "toy_watch": (
        bool,
        knob(False, "Toy watch", "Keep something to look at.", group="machine", effect="watch"),
    ),
}


@pytest.fixture(autouse=True)
def newcomers(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Two fields in RunConfig and one registered function, as somebody would add them."""
    for name, (kind, field) in TOYS.items():
        field.annotation = kind
        RunConfig.model_fields[name] = field
        monkeypatch.setitem(KNOBS, name, _describe(name, field))
    RunConfig.model_rebuild(force=True)
    monkeypatch.setattr(ARCHITECTURES, "_entries", dict(ARCHITECTURES._filled()))

    @architecture(
        name="toy",
        title="Toy network",
        family="perceptron",
        year=2026,
        story="A toy.",
        native_activation="relu",
        min_image_size=1,
        knobs=("depth", "toy_width"),
    )
    def toy(settings: NetworkSettings) -> StagedNet:
        knobs = settings.config.model_dump()
        return perceptron(settings, [int(knobs["toy_width"])] * knobs["depth"])

    yield
    for name in TOYS:
        del RunConfig.model_fields[name]
    RunConfig.model_rebuild(force=True)


def widgets(app: AppTest) -> set[str]:
    return {w.key for w in (*app.number_input, *app.toggle, *app.selectbox, *app.text_input)}


def toy(**knobs: Any) -> RunConfig:
    return RunConfig().changed(architecture="toy", **knobs)


def test_the_form_has_the_knobs_of_the_architecture(open_page: OpenPage) -> None:
    catalog.open_pack(RunConfig().dataset)
    app = open_page("train")
    assert not {"train_depth", "train_toy_width"} & widgets(app)
    app.selectbox(key="train_architecture").select("toy").run()
    assert not app.exception
    assert {"train_depth", "train_toy_width"} <= widgets(app)
    assert "train_hidden_sizes" not in widgets(app)
    app.session_state["train_sharing"] = True
    app.number_input(key="train_toy_width").set_value(8.0).run()
    assert not app.exception
    (settings,) = (block.value for block in app.code if block.value.startswith("dataset:"))
    assert RunConfig.from_yaml(settings).model_dump()["toy_width"] == 8


def test_what_the_next_architecture_lacks_is_not_in_its_settings(open_page: OpenPage) -> None:
    catalog.open_pack(RunConfig().dataset)
    app = open_page("train", **toy(toy_width=8).to_query())
    app.selectbox(key="train_architecture").select("resnet18").run()
    app.session_state["train_head"] = "dense"
    app.session_state["train_sharing"] = True
    app.selectbox(key="train_architecture").select("simple-cnn").run()
    assert not app.exception
    assert not app.error  # a dense head is refused there, and has no widget any more
    (settings,) = (block.value for block in app.code if block.value.startswith("dataset:"))
    config = RunConfig.from_yaml(settings)
    assert (config.head, config.model_dump()["toy_width"]) == ("linear", 2)


def test_a_group_of_the_form_has_it(open_page: OpenPage) -> None:
    app = open_page("train")
    app.session_state["train_group_machine"] = True
    app.run()
    assert "train_toy_watch" in widgets(app)


def test_a_link_fills_it_in(open_page: OpenPage) -> None:
    query = toy(toy_width=4).to_query()
    assert query["toy_width"] == "4.0"
    app = open_page("train", **query)
    assert app.number_input(key="train_toy_width").value == 4


def test_the_command_line_takes_and_explains_it(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["train", "--toy-width", "4", "--set", "toy_watch=true"]
    options = build_parser(arguments).parse_args(arguments)
    assert config_from(options) == RunConfig().changed(toy_width=4, toy_watch=True)
    with pytest.raises(SystemExit):
        build_parser(["train"]).parse_args(["train", "--help"])
    words = " ".join(capsys.readouterr().out.split())
    assert "Toy width: a number from 1 to 64; default 2.0; only for architectures that" in words


def test_a_sweep_varies_it(open_page: OpenPage) -> None:
    assert {"depth", "toy_width"} <= set(knobs_to_vary(toy(), "grid", ()))
    assert "toy_width" not in knobs_to_vary(RunConfig(), "grid", ())
    assert "toy_width" in knobs_to_vary(RunConfig(), "grid", ("architecture",))
    assert "toy_watch" not in knobs_to_vary(toy(), "grid", ())
    sweep = SweepConfig.from_mapping({"base": toy(), "axes": {"toy_width": [2, 4]}})
    assert sweep.points == ({"toy_width": 2.0}, {"toy_width": 4.0})
    app = open_page("experiments")
    app.session_state["train_architecture"] = "toy"
    app.session_state["experiments_tab"] = "Sweep"
    app.run()
    app.multiselect(key="experiments_sweep_knobs").set_value(["toy_width"]).run()
    assert not app.exception
    assert app.text_input(key="experiments_sweep_values_toy_width").value == "2, 20"


def test_runs_are_told_apart_by_it() -> None:
    def differences() -> None:
        from lab.config import RunConfig
        from lab.ui.widgets.settings_table import draw_differences

        runs = [RunConfig().changed(architecture="toy", toy_width=w) for w in (2, 4)]
        draw_differences(["one", "other"], [run.model_dump(mode="json") for run in runs])

    app = AppTest.from_function(differences).run()
    assert not app.exception
    assert app.dataframe[0].value.to_dict("records") == [
        {"Setting": "Toy width", "one": "2", "other": "4"}
    ]
    wide = [toy(toy_width=w, seed=s).model_dump() for w, s in ((2, 0), (4, 1))]
    watched = [toy(toy_watch=w, seed=s).model_dump() for w, s in ((True, 0), (False, 1))]
    assert not over_seeds(wide, [0.5, 0.6])
    assert over_seeds(watched, [0.5, 0.6])


def test_the_rate_finder_minds_what_matters() -> None:
    assert rates_key(toy()) != rates_key(toy(toy_width=4))
    assert rates_key(toy()) == rates_key(toy(toy_watch=True))


def test_the_architecture_has_a_time_estimate() -> None:
    thin, wide = estimate(toy()), estimate(toy(toy_width=64))
    assert thin is not None
    assert wide is not None
    assert 0 < thin.seconds < wide.seconds
