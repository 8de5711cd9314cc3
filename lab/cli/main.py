"""The commands and their exit status.

Exit status: 0 done, 1 the run (or one of several files) failed, 2 something asked for is not
possible (the sentence on standard error says why), 130 stopped by Ctrl-C, 141 nobody reads the
output any more.
"""

from __future__ import annotations

import argparse
import importlib
import logging
import os
import sys
from collections.abc import Sequence

from lab.errors import LabError

COMMANDS = {
    "train": "train a network and test it",
    "find-rate": "which learning rates move a network",
    "resume": "go on with a stopped or interrupted run",
    "runs": "list the runs",
    "sweep": "train a grid, a random draw or a halving",
    "classify": "ask a trained network about pictures",
    "explain": "show where a trained network looks",
    "export": "a run as ONNX, a page that classifies, a card, ...",
    "datasets": "list, show, add, download, remove data sets",
    "leak-free": "a run's test accuracy without near-copies of its training images",
    "storage": "what the lab's folder holds, and clean it",
    "recipes": "the documents' experiments: list, run",
    "api-token": "print the token for programs (see /api/docs)",
}
"""Each command with its help; a command is a file of this folder."""

EXAMPLES = """examples:
  python -m lab train --dataset drawn-signs --architecture sign-cnn --epochs 3
  python -m lab train --dataset sign-mnist --architecture sign-cnn --set batch_size=256 --json
  python -m lab train --config run.yaml
  python -m lab train --config run.yaml --start-from r-20261122-031911-e827 --epochs 20
  python -m lab find-rate --dataset sign-mnist --architecture sign-cnn --set batch_size=256
  python -m lab sweep grid.yaml --json
  python -m lab classify cat.jpg dog.png --run r-20261122-031911-e827
  python -m lab explain cat.jpg --run r-20261122-031911-e827 --layer last_conv --out why.png
  python -m lab export r-20261122-031911-e827 --as onnx
  python -m lab datasets add cats-dogs ~/Downloads/cats_and_dogs.zip
  python -m lab datasets check cats-dogs --json
  python -m lab recipes run sl-cnn --quick
  TOKEN=$(python -m lab api-token)
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Perform one command; returns the exit status."""
    arguments = sys.argv[1:] if arguments is None else arguments
    options = build_parser(arguments).parse_args(arguments)
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    try:
        status: int = options.perform(options)
        sys.stdout.flush()  # raises BrokenPipeError here, not at the exit
        return status
    except LabError as error:
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("Stopped.", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader has seen enough, as `| head` does
        os.dup2(
            os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno()
        )  # no second error at the exit
        return 141  # as a shell says of a program that SIGPIPE ended


def build_parser(arguments: Sequence[str]) -> argparse.ArgumentParser:
    """Returns the parser of `arguments`: all commands by name, only the requested one in full.

    So nobody waits for the imports of the others.
    """
    parser = argparse.ArgumentParser(
        prog="python -m lab",
        description="Trainscope without a browser.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    requested = next((word for word in arguments if word in COMMANDS), None)
    for name, summary in COMMANDS.items():
        command = commands.add_parser(name, help=summary)
        if name == requested:
            importlib.import_module(f"lab.cli.{name.replace('-', '_')}").add_arguments(command)
    return parser
