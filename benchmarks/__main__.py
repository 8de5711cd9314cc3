"""`python -m benchmarks [NAME ...] [--quick]`: run the named benchmarks, or all that end within
minutes."""

from __future__ import annotations

import argparse
import importlib

BENCHMARKS = {
    "training": "benchmarks.training",
    "live-page": "benchmarks.live_page",
    "page-switches": "benchmarks.page_switches",
    "grad-cam": "benchmarks.grad_cam",
    "keras": "benchmarks.beside_keras",
    "compare": "benchmarks.compare",
    "health": "benchmarks.health",
    "familiarity": "benchmarks.familiarity",
    "imports": "benchmarks.imports",
    "bulk": "benchmarks.bulk",
    "storing": "benchmarks.storing",
    "watching": "benchmarks.watching",
    "listeners": "benchmarks.listeners",
    "compiling": "benchmarks.compiling",
    "ablation": "benchmarks.ablation",
    "faults": "benchmarks.faults",
    "load": "benchmarks.load",
    "gpu": "benchmarks.gpu",
    "busy": "benchmarks.busy",
    "stopping": "benchmarks.stopping",
    "scale": "benchmarks.scale",
    "shared-queue": "benchmarks.shared_queue",
    "pictures": "benchmarks.pictures",
}
"""Each a module with `main(*, quick: bool)`; imported only when it is run."""

BY_NAME_ONLY = ("ablation", "faults", "load", "pictures")
"""Those that take hours, and those that measure nothing."""

OPTIONS = {"faults": ("times",), "load": ("only", "minutes"), "pictures": ("out", "pages")}
"""What a benchmark takes besides `quick`."""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of: {', '.join(BENCHMARKS)}")
    parser.add_argument("--quick", action="store_true", help="less work, rougher figures")
    parser.add_argument("--times", type=int, help="of faults: how many kills (100)")
    parser.add_argument("--only", metavar="PART", help="of load: this part")
    parser.add_argument("--minutes", type=float, help="of load: how long the robot clicks (120)")
    parser.add_argument("--out", metavar="FOLDER", help="of pictures: where they go")
    parser.add_argument("--pages", metavar="NAMES", help="of pictures: only these (home,runs)")
    options = parser.parse_args()
    for name in options.names or [name for name in BENCHMARKS if name not in BY_NAME_ONLY]:
        if name not in BENCHMARKS:
            parser.error(f"unknown benchmark {name!r}; there are: {', '.join(BENCHMARKS)}")
        more = {option: getattr(options, option) for option in OPTIONS.get(name, ())}
        importlib.import_module(BENCHMARKS[name]).main(quick=options.quick, **more)


if __name__ == "__main__":
    main()
