"""`ui`: serve the pages."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys

from lab.cli.datasets import prepare_built_in
from lab.home import lab_home
from lab.installation import APP


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--port", type=int, default=8501, help="default 8501")
    parser.add_argument("--no-browser", action="store_true", help="do not open a browser")
    parser.add_argument(
        "streamlit",
        nargs="*",
        metavar="OPTION",
        help="options of `streamlit run`, after --, such as -- --server.address 0.0.0.0",
    )
    parser.set_defaults(perform=serve)


def serve(options: argparse.Namespace) -> int:
    """Makes the built-in data sets, once, and serves until Ctrl-C."""
    print(f"Runs and data are kept in {lab_home()} (LAB_HOME names another folder).", flush=True)
    for name in prepare_built_in():
        print(f"Made {name}.", flush=True)
    command = [sys.executable, "-m", "streamlit", "run", str(APP)]
    command += ["--server.port", str(options.port)]
    if options.no_browser:
        command += ["--server.headless", "true"]
    command += options.streamlit
    if sys.platform == "win32":  # its exec returns to the shell at once
        return subprocess.call(command)
    os.execv(sys.executable, command)
