"""The lab from Python, for notebooks and scripts.

    from lab import notebook as lab

    run = lab.train(dataset="drawn-signs", architecture="sign-cnn", epochs=3)
    run.epochs()                      # a pandas DataFrame
    run.classify("photo.jpg").top(3)
    run.explain("photo.jpg").picture

It is called `notebook` because `lab.api` is the HTTP API, and a client of a server would be
another thing: everything here happens in this process, on the LAB_HOME that the pages use too, so
a run that is trained here is on the Runs page, and one that was trained there can be opened here.
Nothing is calculated here: each call goes to what the pages and the command line call.

What `__all__` names is stable: a change of it is a line in the changelog. Everything that can go
wrong and can be mended by the caller is a `lab.errors.LabError` whose text is one sentence.
"""

from lab.config import RunConfig
from lab.errors import LabError
from lab.notebook.comparison import Comparison, compare
from lab.notebook.data import Dataset, add_dataset, dataset, datasets
from lab.notebook.explanation import Explanation
from lab.notebook.results import Run, run, runs
from lab.notebook.sweeping import Sweep, sweep
from lab.notebook.training import train

__all__ = [
    "Comparison",
    "Dataset",
    "Explanation",
    "LabError",
    "Run",
    "RunConfig",
    "Sweep",
    "add_dataset",
    "compare",
    "dataset",
    "datasets",
    "run",
    "runs",
    "sweep",
    "train",
]
