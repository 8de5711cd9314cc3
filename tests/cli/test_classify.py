"""`python -m lab classify`, as somebody scripts it."""

import csv
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
    files = [*files, str(picture), str(tmp_path / "none.png")]
    assert main(["classify", *files, "--run", run_id, "--json"]) == 1
    records = {str(line["file"]): line for line in lines(capsys.readouterr().out)}
    assert list(records) == files
    for name, (_, reason) in bad.items():
        assert reason in str(records[str(tmp_path / name)]["error"])
    assert "predicted" in records[str(picture)]
    assert "is not there" in str(records[str(tmp_path / "none.png")]["error"])


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
        (["--json", "--csv"], "choose one"),
        (["--out", "x.csv"], "--out needs"),
        (["--csv", "--out", "none/x.csv"], "--out none/x.csv cannot be written"),
        (["--list", "none.txt"], "--list none.txt cannot be read"),
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


def test_a_folder_a_pattern_and_a_list_are_written_as_they_come(
    run_id: str, picture: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "pictures"
    (folder / "more").mkdir(parents=True)
    for place in ("b.png", "more/c.png", ".hidden.png"):
        (folder / place).write_bytes(picture.read_bytes())
    (folder / "a.png").write_text("no picture")
    (folder / "notes.txt").write_text("not even named as one")
    named = tmp_path / "names.txt"
    named.write_text(f"{picture}\n\n{tmp_path / 'gone.png'}\n")
    out = tmp_path / "answers.csv"
    pattern = str(folder / "**" / "c.*")
    command = ["classify", str(folder), pattern, "--list", str(named), "--run", run_id]
    assert main([*command, "--csv", "--out", str(out)]) == 1
    rows = list(csv.DictReader(out.read_text().splitlines()))
    names = ["a.png", "b.png", "more/c.png", "more/c.png"]
    expected = [str(folder / name) for name in names] + [str(picture), str(tmp_path / "gone.png")]
    assert [row["picture"] for row in rows] == expected
    assert "holds text" in rows[0]["error"]
    assert rows[0]["predicted"] == ""
    assert "is not there" in rows[-1]["error"]
    shares = [
        [float(v) for k, v in row.items() if k.startswith("probability of")] for row in rows[1:-1]
    ]
    assert all(share == shares[0] for share in shares)
    assert sum(shares[0]) == pytest.approx(1, abs=1e-5)
    assert main([*command, "--json"]) == 1
    assert [line["file"] for line in lines(capsys.readouterr().out)] == expected


def test_of_many_pictures_the_table_counts_the_classes(
    run_id: str, picture: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lab.cli.classify.LISTED", 2)
    assert main(["classify", *[str(picture)] * 3, "--run", run_id]) == 0
    captured = capsys.readouterr()
    assert "100.0%" in captured.out
    assert "3 pictures. --csv or --json" in captured.err


def test_ctrl_c_leaves_a_whole_file_of_what_was_done(
    run_id: str,
    picture: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from lab.evaluate import bulk

    whole = bulk.classify_files

    def interrupted(*arguments: object, **options: object) -> object:
        for number, answer in enumerate(whole(*arguments, **options)):  # type: ignore[arg-type]
            if number == 3:
                raise KeyboardInterrupt
            yield answer

    monkeypatch.setattr(bulk, "classify_files", interrupted)
    out = tmp_path / "answers.jsonl"
    command = ["classify", *[str(picture)] * 9, "--run", run_id, "--json", "--out", str(out)]
    assert main(command) == 130
    assert [line["file"] for line in lines(out.read_text())] == [str(picture)] * 3
    assert "3 of 9 pictures were classified" in capsys.readouterr().err
