"""The commands and their exit status.

Exit status: 0 done, 1 the run (or one of several files) failed, 2 something asked for is not
possible (the sentence on standard error says why), 130 stopped by Ctrl-C, 141 nobody reads the
output any more.
"""

from __future__ import annotations

import argparse
import difflib
import importlib
import logging
import os
import re
import sys
from collections.abc import Iterator, Sequence
from typing import Any, NoReturn

from lab import __version__
from lab.errors import LabError
from lab.installation import COMMAND, IS_CHECKOUT

COMMANDS = {
    "ui": "serve the pages",
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

EXAMPLES = {
    "ui": ("ui --port 8600", "ui --no-browser -- --server.address 0.0.0.0"),
    "train": (
        "train --dataset drawn-signs --architecture sign-cnn --epochs 3",
        "train --dataset sign-mnist --architecture sign-cnn --set batch_size=256 --json",
        "train --config run.yaml --start-from r-20261122-031911-e827 --epochs 20",
    ),
    "find-rate": ("find-rate --dataset sign-mnist --architecture sign-cnn",),
    "resume": ("resume r-20261122-031911-e827",),
    "runs": ("runs", "runs --json | jq -r .run", "runs --csv > runs.csv"),
    "sweep": (
        "sweep grid.yaml --json",
        "sweep s-20261122-031911-e827   # go on with a stopped one",
    ),
    "classify": (
        "classify cat.jpg dog.png --run r-20261122-031911-e827",
        "classify ~/scans --run r-20261122-031911-e827 --csv --out answers.csv",
        "find . -name '*.png' | {command} classify --list - --run 'my run' --json",
    ),
    "explain": (
        "explain cat.jpg --run r-20261122-031911-e827 --layer last_conv --out why.png",
        "explain --audit --run r-20261122-031911-e827",
    ),
    "export": ("export r-20261122-031911-e827 --as onnx",),
    "datasets": (
        "datasets add cats-dogs ~/Downloads/cats_and_dogs.zip",
        "datasets add 'My Pets' ~/pets --dry-run",
        "datasets check cats-dogs --json",
    ),
    "leak-free": ("leak-free r-20261122-031911-e827",),
    "storage": ("storage", "storage --clean features"),
    "recipes": ("recipes list", "recipes run sl-cnn --quick"),
    "api-token": ("TOKEN=$({command} api-token)",),
}
"""How each command is called, in a shell."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Perform one command; returns the exit status."""
    if "_ARGCOMPLETE" in os.environ:  # the shell asks how a line may go on (docs/INSTALL.md)
        import argcomplete

        argcomplete.autocomplete(build_parser(os.environ["COMP_LINE"].split()[1:]))
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
    parser = _Parser(
        prog=COMMAND,
        description="Epochlab without a browser.",
        epilog=_examples([each for examples in EXAMPLES.values() for each in examples[:2]]),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    where = "a checkout" if IS_CHECKOUT else "installed"
    version = f"Epochlab {__version__} ({where}, Python {sys.version.partition(' ')[0]})"
    parser.add_argument("--version", action="version", version=version)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    requested = next((word for word in arguments if word in COMMANDS), None)
    for name, summary in COMMANDS.items():
        command = commands.add_parser(name, help=summary)
        if name == requested:
            importlib.import_module(f"lab.cli.{name.replace('-', '_')}").add_arguments(command)
            command.formatter_class = argparse.RawDescriptionHelpFormatter
            command.epilog = "\n\n".join(filter(None, [command.epilog, _examples(EXAMPLES[name])]))
    return parser


def _examples(examples: Sequence[str]) -> str:
    lines = [
        each.format(command=COMMAND) if "{command}" in each else f"{COMMAND} {each}"
        for each in examples
    ]
    return "\n  ".join(["examples:", *lines])


class _Parser(argparse.ArgumentParser):
    """Names the word that a mistyped one comes near."""

    def error(self, message: str) -> NoReturn:
        mistyped = re.search(r"(?:unrecognized arguments: |invalid choice: ')([^\s'=]+)", message)
        if mistyped and (near := difflib.get_close_matches(mistyped[1], [*self._words()], 1)):
            message = f"{message}. Did you mean {near[0]}?"
        super().error(message)

    def _words(self) -> Iterator[str]:
        """Yields the options and commands of this parser and of those below it."""
        for action in self._actions:
            yield from action.option_strings
            if isinstance(action, argparse._SubParsersAction):
                below: dict[str, Any] = action.choices
                yield from below
                for parser in below.values():
                    yield from parser._words()
