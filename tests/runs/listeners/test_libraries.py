"""What each library is sent. TensorBoard is the real one; the others, which are heavy, are stood in
for by modules that keep what they are called with."""

import importlib
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from lab.home import home_folder
from lab.runs.listeners import Listener
from lab.runs.listeners.kinds import KINDS
from lab.runs.rows import RunRow
from lab.runs.store import Store
from tests.runs.fakes import ended, epoch, started, step

FIRST = [started(), *map(step, range(1, 6)), epoch(1)]
LAST = [*map(step, range(6, 11)), epoch(2), ended()]


def follow(listener: Listener) -> None:
    for events in (FIRST, LAST):
        listener.receive(events)
    listener.close()


@pytest.fixture
def run(runs: Store, run_id: str) -> RunRow:
    return runs.run(run_id)


class Calls:
    """Any object of a library: keeps the calls of its methods, and answers with itself."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = []
        self.summary: dict[str, Any] = {}

    def __getattr__(self, name: str) -> Any:
        def call(*args: Any, **options: Any) -> Any:
            self.calls.append((name, args, options))
            return self

        return call

    def of(self, name: str) -> list[tuple[tuple[Any, ...], dict[str, Any]]]:
        return [(args, options) for called, args, options in self.calls if called == name]


def stand_in(monkeypatch: pytest.MonkeyPatch, listener: str, **modules: dict[str, Any]) -> None:
    """Lets the listener's module import these in place of the library."""
    for name, values in modules.items():
        module = ModuleType(name.replace("_", "."))
        vars(module).update(values)
        monkeypatch.setitem(sys.modules, name.replace("_", "."), module)
    monkeypatch.delitem(sys.modules, f"lab.runs.listeners.{listener}", raising=False)


def test_tensorboard_has_the_curves(run: RunRow) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    follow(KINDS.get("tensorboard").make(run))
    again = KINDS.get("tensorboard").make(run)  # resumed after step 8
    again.receive([started(8), step(9, loss=0.25)])
    again.close()
    read = EventAccumulator(str(home_folder("listeners", "tensorboard") / run.id))
    read.Reload()
    curve = {point.step: point.value for point in read.Scalars("batch/loss")}
    assert curve == pytest.approx({n: 1 / n for n in range(1, 9)} | {9: 0.25})
    assert [p.step for p in read.Scalars("val/accuracy")] == [5], "epoch 2 was taken back"
    assert "settings/text_summary" in read.Tags()["tensors"]


def test_mlflow_has_the_run(run: RunRow, monkeypatch: pytest.MonkeyPatch) -> None:
    client = Calls()
    client.info = SimpleNamespace(run_id="m-1")
    client.experiment_id = "7"
    known: list[Any] = []
    client.search_runs = lambda *given: known
    entities = {
        "Metric": lambda name, value, at, step: (name, step, value),
        "Param": lambda name, value: (name, value),
    }
    stand_in(
        monkeypatch,
        "mlflow",
        mlflow={},
        mlflow_entities=entities,
        mlflow_tracking={"MlflowClient": lambda uri: client},
    )
    follow(KINDS.get("mlflow").make(run))
    metrics = [m for _, options in client.of("log_batch") for m in options.get("metrics", [])]
    assert [m for m in metrics if m[0] == "batch/loss"] == [
        ("batch/loss", n, 1 / n) for n in range(1, 11)
    ]
    assert ("val/loss", 10, 1.0) in metrics
    assert ("test/accuracy", 10, 0.7) in metrics
    params = [p for _, options in client.of("log_batch") for p in options.get("params", [])]
    assert ("epochs", "2") in params
    assert client.of("create_run") == [
        (("7",), {"run_name": run.name, "tags": {"epochlab.run": run.id}})
    ]
    assert client.of("set_terminated") == [(("m-1", "FINISHED"), {})]

    known.append(client)
    KINDS.get("mlflow").make(run).receive([started(8)])
    assert len(client.of("create_run")) == 1, "a resumed run goes on in its own"
    assert client.of("update_run") == [(("m-1",), {"status": "RUNNING"})]


def test_wandb_has_the_run_and_stays_offline(run: RunRow, monkeypatch: pytest.MonkeyPatch) -> None:
    library = Calls()
    monkeypatch.delenv("WANDB_MODE", raising=False)
    stand_in(monkeypatch, "wandb", wandb={"init": library.init, "Settings": dict})
    follow(KINDS.get("wandb").make(run))
    ((_, options),) = library.of("init")
    assert (options["mode"], options["id"], options["config"]) == ("offline", run.id, run.settings)
    logged = [(args[0], options["step"]) for args, options in library.of("log")]
    assert [step for values, step in logged if "batch/loss" in values] == [*range(1, 11)]
    assert [values["val/loss"] for values, _ in logged if "val/loss" in values] == [2.0, 1.0]
    assert library.summary["status"] == "completed"
    assert library.of("finish") == [((), {"exit_code": 0})]


def test_trackio_has_the_run_and_prints_nothing(
    run: RunRow, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], lab_home: Path
) -> None:
    library = Calls()
    code = (
        "def init(*a, **b):\n    print('* Trackio project initialized')\n    return made(*a, **b)"
    )
    monkeypatch.delenv("TRACKIO_DIR", raising=False)
    monkeypatch.setenv("TRACKIO_DIR", "")  # so that what the module sets is taken back
    monkeypatch.delenv("TRACKIO_DIR")
    stand_in(
        monkeypatch, "trackio", trackio={"made": library.init}, trackio_run={}, trackio_utils={}
    )
    exec(code, vars(sys.modules["trackio"]))
    for name in ("run", "utils"):
        setattr(sys.modules["trackio"], name, sys.modules[f"trackio.{name}"])
    follow(KINDS.get("trackio").make(run))
    module = importlib.import_module("lab.runs.listeners.trackio")
    assert module.os.environ["TRACKIO_DIR"] == str(lab_home / "listeners" / "trackio")
    ((args, options),) = library.of("init")
    assert (args, options["name"], options["resume"]) == (("epochlab",), run.id, "allow")
    assert len(library.of("log")) == 10 + 2 + 1
    assert library.of("finish") == [((), {})]
    assert capsys.readouterr().out == ""
