"""What every command has in common."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import lab
from lab.api.guard import api_token
from lab.cli import ui
from lab.cli.console import Console
from lab.cli.find_run import find_run
from lab.cli.main import COMMANDS, build_parser, main
from lab.config import RunConfig
from lab.errors import NotFoundError
from lab.installation import APP
from lab.runs import schema
from lab.runs.store import store


@pytest.mark.parametrize("options", [["--json"], []])
def test_a_reader_that_has_seen_enough_is_no_error(options: list[str]) -> None:
    command = [sys.executable, "-m", "lab", "datasets", "list", *options]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as lab:
        assert lab.stdout is not None
        assert lab.stderr is not None
        lab.stdout.close()  # before anything is written
        assert lab.stderr.read() == ""
        assert lab.wait(60) == 141


def test_every_command_is_explained(capsys: pytest.CaptureFixture[str]) -> None:
    for name in COMMANDS:
        with pytest.raises(SystemExit) as end:
            main([name, "--help"])
        assert end.value.code == 0
        out = capsys.readouterr().out
        assert out.startswith(f"usage: python -m lab {name} ")
        assert "examples:\n  " in out
        assert f"python -m lab {name}" in out.partition("examples:")[2]


def actions(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    """The parser, or those of its actions."""
    below = [a for a in parser._actions if isinstance(a, argparse._SubParsersAction)]
    if not below:
        yield parser
    for each in below:
        for choice in each.choices.values():
            yield from actions(choice)


def test_whatever_prints_something_prints_json_when_asked() -> None:
    for name in COMMANDS:
        whole = build_parser([name])
        [commands] = [a for a in whole._actions if isinstance(a, argparse._SubParsersAction)]
        for action in actions(commands.choices[name]):
            if name != "ui":  # it serves
                assert "--json" in action.format_usage(), action.prog


def test_small_answers_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["api-token", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"token": api_token()}
    assert main(["explain", "--methods", "--json"]) == 0
    methods = [json.loads(line)["method"] for line in capsys.readouterr().out.splitlines()]
    assert "grad-cam" in methods
    assert main(["explain", "cat.jpg"]) == 2
    assert "--run is missing" in capsys.readouterr().err
    assert main(["storage", "--json", "--clean", "features"]) == 0
    parts = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert all(part["freed"] == 0 for part in parts)


def test_all_commands_are_listed_and_an_unknown_one_is_refused(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    out = capsys.readouterr().out
    assert all(name in out and summary in out for name, summary in COMMANDS.items())
    with pytest.raises(SystemExit) as end:
        main(["trian"])
    assert end.value.code == 2
    err = capsys.readouterr().err
    assert "invalid choice: 'trian'" in err
    assert "Did you mean train?" in err


def test_a_mistyped_option_is_answered_with_the_near_one(
    capsys: pytest.CaptureFixture[str],
) -> None:
    for words, near in ((["train", "--epocs", "3"], "--epochs"), (["runs", "--jsn"], "--json")):
        with pytest.raises(SystemExit) as end:
            main(words)
        assert end.value.code == 2
        assert f"Did you mean {near}?" in capsys.readouterr().err


def test_the_version_is_the_packages(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(["--version"])
    assert end.value.code == 0
    assert capsys.readouterr().out.startswith(f"Epochlab {lab.__version__} (a checkout")


def test_a_shell_completes_commands_and_options(tmp_path: Path) -> None:
    def complete(line: str) -> set[str]:
        answer = tmp_path / "answer"
        environment = os.environ | {
            "_ARGCOMPLETE": "1",
            "_ARGCOMPLETE_STDOUT_FILENAME": str(answer),
            "COMP_LINE": line,
            "COMP_POINT": str(len(line)),
            "_ARGCOMPLETE_IFS": " ",
        }
        subprocess.run([sys.executable, "-m", "lab"], env=environment, check=False)
        return set(answer.read_text().split())

    assert {"train", "runs"} <= complete("epochlab ")
    assert complete("epochlab leak-free --js") == {"--json"}


def test_a_run_is_meant_by_id_start_or_name() -> None:
    first = store().create_run(RunConfig(), name="first")
    second = store().create_run(RunConfig(), name="second")
    for text in (first, first[:-1] if not second.startswith(first[:-1]) else first, "first"):
        assert find_run(text).id == first
    with pytest.raises(NotFoundError, match=r"2 runs are 'r-'.*Write one of these ids"):
        find_run("r-")
    store().rename(second, "first")
    with pytest.raises(NotFoundError, match="2 runs are 'first'"):
        find_run("first")
    with pytest.raises(NotFoundError, match="`python -m lab runs` lists them"):
        find_run("")


def test_ids_stay_whole_in_a_narrow_table(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = store().create_run(RunConfig(), name="a name that needs a lot of room in a table")
    monkeypatch.setenv("COLUMNS", "50")
    assert main(["runs"]) == 0
    assert run_id in capsys.readouterr().out


def test_ui_serves_the_pages(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, lab_home: Path
) -> None:
    served: list[list[str]] = []
    monkeypatch.setattr(os, "execv", lambda program, words: served.append(words))
    monkeypatch.setattr(ui, "prepare_built_in", lambda: iter(()))
    main(["ui", "--port", "8600", "--no-browser", "--", "--server.address", "0.0.0.0"])
    assert f"kept in {lab_home}" in capsys.readouterr().out
    (words,) = served
    assert words[1:5] == ["-m", "streamlit", "run", str(APP)]
    rest = " ".join(words[5:])
    assert rest == "--server.port 8600 --server.headless true --server.address 0.0.0.0"


@pytest.mark.parametrize(
    ("arguments", "slow"),
    [
        (["--help"], ["torch", "sqlalchemy", "numpy", "rich"]),
        (["train", "--help"], ["torch", "sqlalchemy"]),
        (["runs"], ["torch", "optuna"]),
        (["datasets", "list"], ["torch", "sqlalchemy"]),
    ],
)
def test_what_needs_no_torch_does_not_wait_for_it(
    arguments: list[str], slow: list[str], lab_home: Path
) -> None:
    script = (
        "import sys\n"
        "from lab.cli.main import main\n"
        f"try: main({arguments})\n"
        "except SystemExit: pass\n"
        f"print([name for name in {slow} if name in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stderr.strip() == "[]"


def test_names_in_tables_are_text(capsys: pytest.CaptureFixture[str]) -> None:
    run_id = store().create_run(RunConfig(), name="[/done] :smile: [red]x")
    assert main(["runs"]) == 0
    assert "[/done]" in (out := capsys.readouterr().out)
    assert ":smile:" in out
    assert "[red]x" in out.replace("\n", "")
    with store().database.write() as connection:  # as an earlier version took it
        connection.execute(schema.runs.update().values(name="\x1b[2Jgone"))
    assert main(["runs"]) == 0
    assert run_id in (out := capsys.readouterr().out)
    assert "\x1b" not in out
    Console().print("\x1b[2Jgone")
    assert "\x1b" not in capsys.readouterr().out
