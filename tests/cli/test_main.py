"""What every command has in common."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from lab.cli.console import Console
from lab.cli.main import COMMANDS, main
from lab.config import RunConfig
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
        assert capsys.readouterr().out.startswith(f"usage: python -m lab {name} ")


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
    assert "invalid choice: 'trian'" in capsys.readouterr().err


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
