"""`python -m lab classify`, as somebody scripts it."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lab.cli.main import main
from lab.data import catalog
from lab.evaluate.familiarity import saved_familiarity
from lab.evaluate.how_sure import saved_how_sure
from lab.runs.store import store
from tests.data.pictures import bomb
from tests.evaluate.test_classify import ask
from tests.tiny_data import make_tiny_pack

TRAIN = ["train", "--dataset", "tiny", "--architecture", "sign-cnn", "--epochs", "2", "--json"]


@pytest.fixture
def run_id(capsys: pytest.CaptureFixture[str]) -> str:
    make_tiny_pack()
    assert main([*TRAIN, "--name", "tiny signs", "--set", "batch_size=16"]) == 0
    capsys.readouterr()
    return store().runs()[0].id


@pytest.fixture
def picture(run_id: str, tmp_path: Path) -> Path:
    """Image 7 of the pack as a file."""
    file = tmp_path / "seven.png"
    Image.fromarray(catalog.open_pack("tiny").images[7][..., 0]).save(file)
    return file


def lines(text: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in text.splitlines()]


def test_json_is_one_object_a_picture(
    run_id: str, picture: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["classify", str(picture), str(picture), "--run", run_id, "--json"]) == 0
    first, second = lines(capsys.readouterr().out)
    [answer] = ask(store().folder(run_id), "best", [("seven", picture.read_bytes())])
    assert first == second
    assert first["file"] == str(picture)
    assert (first["run"], first["checkpoint"]) == (run_id, "best")
    assert first["epoch"] == answer.epoch
    assert first["predicted"] == answer.predicted_class
    chances = first["probabilities"]
    assert isinstance(chances, dict)
    assert tuple(chances) == answer.class_names
    np.testing.assert_allclose(list(chances.values()), answer.probabilities, atol=1e-6)
    assert first["unlike"] is None
    assert isinstance(first["top"], list)
    assert len(first["top"]) == 3


def test_a_bad_file_is_told_and_hides_no_other(
    run_id: str, picture: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = {
        "logo.svg": (b"<svg></svg>", "is an SVG"),
        "empty.jpg": (b"", "is empty (0 bytes)"),
        "bomb.png": (bomb(), "at most 64 megapixels are decoded"),
    }
    for name, (data, _) in bad.items():
        (tmp_path / name).write_bytes(data)
    files = [str(tmp_path / name) for name in bad]
    files = [*files, str(picture), str(tmp_path / "none.png"), str(tmp_path)]
    assert main(["classify", *files, "--run", run_id, "--json"]) == 1
    records = {str(line["file"]): line for line in lines(capsys.readouterr().out)}
    assert list(records) == files
    for name, (_, reason) in bad.items():
        assert reason in str(records[str(tmp_path / name)]["error"])
    assert "predicted" in records[str(picture)]
    assert "is not there" in str(records[str(tmp_path / "none.png")]["error"])
    assert "is a folder" in str(records[str(tmp_path)]["error"])


def test_the_table_is_for_people(
    run_id: str, picture: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    odd = tmp_path / "[red]a\x1b[31m.png"
    odd.write_bytes(picture.read_bytes())
    (tmp_path / "text.png").write_text("hello")
    files = [str(odd), str(tmp_path / "text.png")]
    assert main(["classify", *files, "--run", run_id, "--top", "2"]) == 1
    captured = capsys.readouterr()
    assert "%" in captured.out
    assert "holds text" in captured.err
    assert "--familiarity measures it once" in captured.err
    assert "\x1b" not in captured.out + captured.err


def test_familiarity_is_measured_when_asked_for_and_then_known(
    run_id: str, picture: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["classify", str(picture), "--run", run_id, "--json", "--familiarity"]) == 0
    first = lines(capsys.readouterr().out)[0]
    known = saved_familiarity(store().folder(run_id), "best")
    assert known is not None
    assert first["limit"] == known.limit
    assert first["false_alarm_rate"] == known.false_alarm_rate
    assert first["unlike"] is (first["distance"] > known.limit)  # type: ignore[operator]
    assert main(["classify", str(picture), "--run", run_id, "--json"]) == 0
    assert lines(capsys.readouterr().out)[0] == first


def test_a_set_of_classes_when_asked_for(
    run_id: str, picture: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["classify", str(picture), "--run", run_id, "--level", "90", "--json"]) == 0
    said = capsys.readouterr()
    [answer] = lines(said.out)
    sure = saved_how_sure(store().folder(run_id), "best")
    assert sure is not None
    assert answer["set_level"] == 0.9
    assert answer["set"] == [name for name, _ in answer["top"][: len(answer["set"])]]  # type: ignore[index, arg-type]
    assert sure.set_sentence(0.9) in said.err
    assert main(["classify", str(picture), "--run", run_id, "--level", "90"]) == 0
    assert "90%" in capsys.readouterr().out


def test_the_start_of_an_id_is_enough_when_it_is_the_only_one(
    run_id: str, picture: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["classify", str(picture), "--run", run_id[:-2], "--json"]) == 0
    assert lines(capsys.readouterr().out)[0]["run"] == run_id
    other = store().create_run(store().run(run_id).config)
    assert main(["classify", str(picture), "--run", "r-", "--json"]) == 2
    error = capsys.readouterr().err
    assert "2 runs are 'r-'" in error
    assert other in error


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--run", "r-19990101-000000-0000"], "Unknown run"),
        (["--checkpoint", "epoch-0009"], "there are: best, last"),
        (["--top", "0"], "allowed is a whole number from 1"),
        (["--crop", "0.5,0.5"], "give x,y,side"),
        (["--crop", "0.5,2,1"], "give x,y,side"),
        (["--crop", "nan,0,1"], "give x,y,side"),
    ],
)
def test_what_cannot_be_is_refused_with_exit_status_2(
    run_id: str,
    picture: Path,
    arguments: list[str],
    expected: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["classify", str(picture), "--run", run_id, *arguments]) == 2
    captured = capsys.readouterr()
    assert expected in captured.err
    assert not captured.out


def test_a_crop_is_used(run_id: str, picture: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pixels = np.zeros((16, 48), dtype=np.uint8)
    pixels[:, 32:] = np.asarray(Image.open(picture))
    wide = picture.with_name("wide.png")
    Image.fromarray(pixels).save(wide)
    assert main(["classify", str(picture), "--run", run_id, "--json"]) == 0
    assert main(["classify", str(wide), "--run", run_id, "--json", "--crop", "1,0.5,1"]) == 0
    alone, cut = lines(capsys.readouterr().out)
    assert alone["probabilities"] == cut["probabilities"]
