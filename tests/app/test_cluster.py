"""Pages of a server whose runs train on a cluster: they claim nothing about its machines that only
this one's disk says. Of the cluster the devices alone are known."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from lab.errors import PlaceLostError
from lab.models import weights
from lab.training import devices
from tests.app.conftest import OpenPage, settled
from tests.app.test_form import choose, texts


@pytest.fixture(autouse=True)
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch-home"))
    monkeypatch.setattr(weights, "_can_download", lambda url: False)
    there = {"cuda": 4, "mps": 0, "cpu": 0}
    devices.train_on(lambda: there, elsewhere=True)
    yield
    devices.train_on(devices.devices_here)


def test_weights_are_asked_of_the_machine_that_trains(open_page: OpenPage) -> None:
    app = choose(open_page("train"), "architecture", "resnet18")
    app = choose(app, "freeze", "head_only")
    assert "ResNet-18" in app.selectbox(key="train_architecture").options
    assert "Head only" in app.selectbox(key="train_freeze").options
    shown = texts(app, "caption")
    assert "not on this machine" not in shown
    assert (
        "The machine that trains is asked for the pretrained weights of ResNet-18 when the run "
        "starts: 45 MB download if it does not have them." in shown
    )
    assert not texts(app, "error")
    assert not app.button(key="train_start").disabled
    app = choose(app, "architecture", "efficientnet_lite0")  # its weights come with the lab
    assert "The machine that trains is asked" not in texts(app, "caption")


def test_home_knows_its_times_once_the_cluster_answers(
    open_page: OpenPage, monkeypatch: pytest.MonkeyPatch
) -> None:
    def silent() -> Mapping[str, int]:
        raise PlaceLostError("The Ray cluster at 10.0.0.5:6379 does not answer yet.")

    with monkeypatch.context() as patch:
        patch.setattr(devices, "_devices", silent)
        app = open_page().run()
        assert "Simple CNN ·" not in texts(app, "caption")
    assert "Simple CNN ·" in texts(settled(app), "caption")


def test_what_the_cluster_keeps_is_not_counted_here(open_page: OpenPage) -> None:
    app = open_page("storage")
    assert "The machines of the cluster keep data sets and features" in texts(app, "caption")
