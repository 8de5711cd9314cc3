"""MLflow: to the server that MLFLOW_TRACKING_URI names, else to a database in LAB_HOME:

mlflow ui --backend-store-uri sqlite:///LAB_HOME/listeners/mlflow/mlflow.db
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence

from mlflow.entities import Metric, Param
from mlflow.tracking import MlflowClient

from lab.home import home_folder
from lab.runs.listeners import scalars
from lab.runs.rows import RunRow
from lab.training.events import Event, RunEnded, RunStarted

TAG = "epochlab.run"
"""Of MLflow's run: the lab's run id."""

STATUSES = {"completed": "FINISHED", "failed": "FAILED", "stopped": "KILLED", "paused": "SCHEDULED"}

MOST_METRICS, MOST_PARAMS, LONGEST_PARAM = 1000, 100, 6000
"""What MLflow takes at once."""


class MLflow:
    """A resumed run goes on in the run of its first session."""

    def __init__(self, run: RunRow) -> None:
        # By its own default a server that is gone keeps a call for four minutes.
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "3")
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")
        self._run = run
        self._client = MlflowClient(tracking_uri())
        self._id = ""

    def receive(self, events: Sequence[Event]) -> None:
        now = int(time.time() * 1000)
        metrics: list[Metric] = []
        for event in events:
            if isinstance(event, RunStarted):
                self._id = self._open()
            step, values = scalars(event)
            metrics += [Metric(name, value, now, step) for name, value in values.items()]
        if not self._id:
            return
        for first in range(0, len(metrics), MOST_METRICS):
            self._client.log_batch(self._id, metrics=metrics[first : first + MOST_METRICS])
        if isinstance(events[-1], RunEnded):
            self._client.set_tag(self._id, "epochlab.end", events[-1].message)
            self._client.set_terminated(self._id, STATUSES[events[-1].status])

    def _open(self) -> str:
        experiment = self._experiment()
        known = self._client.search_runs([experiment], f"tags.`{TAG}` = '{self._run.id}'")
        if known:
            self._client.update_run(known[0].info.run_id, status="RUNNING")
            return str(known[0].info.run_id)
        tags = {TAG: self._run.id}
        made = self._client.create_run(experiment, run_name=self._run.name, tags=tags)
        params = [
            Param(name, str(value)[:LONGEST_PARAM]) for name, value in self._run.settings.items()
        ]
        for first in range(0, len(params), MOST_PARAMS):
            self._client.log_batch(made.info.run_id, params=params[first : first + MOST_PARAMS])
        return str(made.info.run_id)

    def _experiment(self) -> str:
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME", "epochlab")
        known = self._client.get_experiment_by_name(name)
        return str(known.experiment_id if known else self._client.create_experiment(name))

    def close(self) -> None:
        """Nothing waits: each call has been answered."""


def tracking_uri() -> str:
    """Returns where MLflow keeps what it gets."""
    named = os.environ.get("MLFLOW_TRACKING_URI", "")
    return named or f"sqlite:///{home_folder('listeners', 'mlflow') / 'mlflow.db'}"
