"""`python -m lab explain`, as somebody scripts it."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lab.cli.explain import SIDE, half_of_the_map
from lab.cli.main import main
from lab.explain.grad_cam import METHODS
from lab.explain.overlay import Mode, backdrop, drawn, overlay, square
from lab.runs.store import store
from tests.cli.test_classify import TRAIN, picture, run_id
from tests.evaluate.test_classify import ask

__all__ = ["picture", "run_id"]  # fixtures


def test_the_png_is_the_overlay_of_the_layer(
    run_id: str, picture: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "why.png"
    arguments = ["--layer", "block2", "--method", "layercam", "--strength", "0.4", "--json"]
    assert main(["explain", str(picture), "--run", run_id, "--out", str(out), *arguments]) == 0
    [said] = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    file = ("seven", picture.read_bytes())
    [answer] = ask(store().folder(run_id), "best", [file], layer="block2", method="layercam")
    assert said["predicted"] == said["target"] == answer.predicted_class
    assert (said["layer"], said["method"]) == ("block2", "layercam")
    assert said["out"] == str(out)
    assert answer.cam is not None
    assert said["map_size"] == list(answer.cam.shape)
    expected = overlay(answer.seen, answer.cam, strength=0.4, side=SIDE)
    np.testing.assert_array_equal(np.asarray(Image.open(out)), expected)


@pytest.mark.parametrize("style", ["contour", "map"])
def test_the_map_is_drawn_in_other_ways(
    run_id: str, picture: Path, tmp_path: Path, style: Mode, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "why.png"
    arguments = ["explain", str(picture), "--run", run_id, "--out", str(out), "--style", style]
    assert main(arguments) == 0
    [answer] = ask(store().folder(run_id), "best", [("seven", picture.read_bytes())])
    assert answer.cam is not None
    expected = drawn(answer.seen, answer.cam, style, side=SIDE)
    np.testing.assert_array_equal(np.asarray(Image.open(out)), expected)
    assert main([*arguments, "--strength", "0.5"]) == 2
    assert "Leave one of them out" in capsys.readouterr().err


def test_the_methods_are_listed_with_what_they_cost(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "--methods"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if not line.startswith(" ")] == list(METHODS.names())
    assert "    Costs one pass for all layers. Source: Selvaraju" in lines[2]
    assert "Costs one pass a channel, by the grad-cam library." in lines[-1]


def test_what_takes_long_is_said_before(
    run_id: str, picture: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "why.png"
    arguments = ["explain", str(picture), "--run", run_id, "--out", str(out), "--layer", "block2"]
    assert main([*arguments, "--method", "score-cam", "--json"]) == 0
    told = capsys.readouterr()
    assert told.err.startswith("Score-CAM: Runs the network once for each of the ")
    assert json.loads(told.out)["method"] == "score-cam"
    assert out.exists()
    assert main([*arguments, "--method", "fullgrad"]) == 0
    assert not capsys.readouterr().err


def test_strength_0_is_the_picture_in_black_and_white(
    run_id: str, picture: Path, tmp_path: Path
) -> None:
    out = tmp_path / "plain.png"
    arguments = ["--run", run_id, "--out", str(out), "--strength", "0"]
    assert main(["explain", str(picture), *arguments]) == 0
    seen = np.asarray(Image.open(picture))[..., None]
    np.testing.assert_array_equal(np.asarray(Image.open(out)), backdrop(square(seen, SIDE)))


def test_another_class_can_be_explained(
    run_id: str, picture: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "why.png"
    arguments = ["explain", str(picture), "--run", run_id, "--out", str(out)]
    assert main([*arguments, "--target", "Bottom", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["target"] == "bottom"
    assert main(arguments) == 0
    said = capsys.readouterr().out
    assert f"Replaced {out}." in said
    assert said.count("\n") == 1
    assert main([*arguments[:-1], str(tmp_path / "new.png")]) == 0
    assert "Wrote" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--layer", "blok2"], "Did you mean 'block2'"),
        (["--layer", "head"], "without places"),
        (["--method", "gradcam"], "Did you mean 'grad-cam'"),
        (["--target", "botom"], "Did you mean 'bottom'"),
        (["--strength", "1.5"], "allowed is 0 to 1"),
        (["--strength", "nan"], "allowed is 0 to 1"),
        (["--out", "why.jpg"], "give a name.png"),
        (["--out", "/proc/nowhere/why.png"], "cannot be written"),
        (["--checkpoint", "first"], "there are: best, last"),
    ],
)
def test_what_cannot_be_is_refused_and_nothing_is_written(
    run_id: str,
    picture: Path,
    tmp_path: Path,
    arguments: list[str],
    said: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    before = sorted(tmp_path.iterdir())
    out = ["--out", str(tmp_path / "why.png")]
    assert main(["explain", str(picture), "--run", run_id, *out, *arguments]) == 2
    told = capsys.readouterr()
    assert said in told.err
    assert not told.out
    assert sorted(tmp_path.iterdir()) == before


def test_the_picture_itself_is_never_written_over(
    run_id: str, picture: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = picture.read_bytes()
    assert main(["explain", str(picture), "--run", run_id, "--out", str(picture)]) == 2
    assert "is the picture itself" in capsys.readouterr().err
    assert picture.read_bytes() == before


def test_what_is_no_picture_and_a_network_without_places_are_refused(
    run_id: str, picture: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.svg").write_text("<svg></svg>")
    out = ["--out", str(tmp_path / "why.png")]
    assert main(["explain", str(tmp_path / "a.svg"), "--run", run_id, *out]) == 2
    assert "is an SVG" in capsys.readouterr().err
    assert main([*TRAIN, "--architecture", "mlp", "--epochs", "1"]) == 0
    capsys.readouterr()
    assert main(["explain", str(picture), "--run", store().runs()[0].id, *out]) == 2
    assert "has no layer with places" in capsys.readouterr().err


def test_half_of_the_map() -> None:
    assert half_of_the_map(np.array([[0, 0], [0, 3]], dtype=np.float32)) == 0.25
    assert half_of_the_map(np.ones((2, 2), dtype=np.float32)) == 0.5
    assert half_of_the_map(np.array([[4, 3], [2, 1]], dtype=np.float32)) == 0.5


def test_an_audit_says_which_maps_can_be_trusted(
    run_id: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["explain", "--audit", "--run", run_id, "--json"]) == 0
    [said] = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert said["run"] == run_id
    assert said["cells"][0]["right"]["images"] + said["cells"][0]["wrong"]["images"] > 0
    assert said["why"]
    assert main(["explain", "why.png", "--audit", "--run", run_id]) == 2
    assert "leave out the picture" in capsys.readouterr().err
    assert main(["explain", "--run", run_id]) == 2
    assert "or --audit for the whole run" in capsys.readouterr().err
