"""The learning-rate finder on the Train page."""

from dataclasses import replace

import pytest
from streamlit.testing.v1 import AppTest

from lab import jobs
from lab.config import KNOBS, RunConfig
from lab.data import catalog, versions
from lab.data.versions import Edits
from lab.runs.store import store
from lab.ui.train.lr_finder import rates_key
from tests.app.conftest import OpenPage
from tests.knob_values import other_value
from tests.tiny_data import make_tiny_pack

LEARNS = {
    "dataset": "tiny",
    "architecture": "mlp",
    "activation": "relu",
    "batch_size": "16",
}


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """AppTest does not tick: a page waits for its job instead."""
    monkeypatch.setattr("lab.ui.widgets.background.PATIENCE", 60)
    make_tiny_pack()
    with jobs._lock:
        jobs._jobs.clear()  # another test's ramp is the same one


@pytest.fixture
def finder(open_page: OpenPage) -> AppTest:
    """The Train page for a network that learns, the finder open."""
    app = open_page("train", **LEARNS)
    assert "train_rates_start" not in keys(app)  # closed: nothing is drawn
    app.session_state["train_rates"] = True
    return check(app.run())


def check(app: AppTest) -> AppTest:
    assert not app.exception, app.exception[0].value
    return app


def keys(app: AppTest) -> list[str]:
    return [button.key for button in app.button]


def test_it_suggests_a_rate_and_puts_it_into_the_form(finder: AppTest) -> None:
    check(finder.button(key="train_rates_start").click().run())
    assert "The loss stood at" in "\n".join(c.value for c in finder.caption)
    use = finder.button(key="train_rates_use")
    rate = float(use.label.removeprefix("Use "))
    assert rate != 1e-3
    check(use.click().run())
    assert finder.number_input(key="train_learning_rate").value == rate
    assert finder.button(key="train_rates_use").disabled  # it is set; the result stays
    assert store().runs() == []


def test_another_network_wants_another_ramp(finder: AppTest) -> None:
    check(finder.button(key="train_rates_start").click().run())
    check(finder.number_input(key="train_epochs").set_value(3).run())
    assert "train_rates_use" in keys(finder)  # epochs do not matter
    check(finder.number_input(key="train_batch_size").set_value(8).run())
    assert "train_rates_start" in keys(finder)
    assert "train_rates_use" not in keys(finder)


def test_without_a_suggestion_there_is_a_reason_and_no_button(finder: AppTest) -> None:
    check(finder.selectbox(key="train_architecture").select("deep-mlp").run())
    check(finder.selectbox(key="train_activation").select("sigmoid").run())
    check(finder.number_input(key="train_depth").set_value(20).run())
    check(finder.button(key="train_rates_start").click().run())
    assert any(w.value.startswith("No suggestion") for w in finder.warning)
    assert "train_rates_use" not in keys(finder)


def test_settings_that_do_not_fit_are_not_tried(finder: AppTest) -> None:
    finder.session_state["train_nesterov"] = True
    check(finder.run())
    assert "train_rates_start" not in keys(finder)
    assert any("does not fit" in c.value for c in finder.caption)


def test_a_failure_is_a_sentence(finder: AppTest, monkeypatch: pytest.MonkeyPatch) -> None:
    from lab.errors import ResourceError

    def full(*_: object, **__: object) -> None:
        raise ResourceError("Out of memory, said the test.")

    monkeypatch.setattr("lab.ui.train.lr_finder.find_rates", full)
    check(finder.button(key="train_rates_start").click().run())
    assert any("Out of memory, said the test" in e.value for e in finder.error)


def test_the_key_is_what_the_ramp_depends_on() -> None:
    config = RunConfig(dataset="tiny")
    for name, knob in KNOBS.items():
        if name not in ("dataset", "dataset_version"):
            other = config.changed(**{name: other_value(knob)})
            assert (rates_key(other) != rates_key(config)) == knob.rate_finder, name
    first = catalog.describe("tiny").content_hash
    versions.apply("tiny", Edits(exclude=frozenset([0])))
    assert rates_key(config.changed(dataset_version=first)) != rates_key(config)


def test_other_images_under_the_same_name_want_another_ramp(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    config = RunConfig(dataset="tiny")
    info = catalog.describe("tiny")
    first, second, drawn = (
        replace(info, drawn=False, content_hash="a"),
        replace(info, drawn=False, content_hash="b"),
        replace(info, drawn=True, content_hash="c"),
    )
    keys = []
    for one in (first, second, drawn, replace(drawn, content_hash="")):
        monkeypatch.setattr(catalog, "describe", lambda *_, one=one: one)
        keys.append(rates_key(config))
    assert keys[0] != keys[1]
    assert keys[2] == keys[3]  # not drawn yet, or drawn: the same pictures
