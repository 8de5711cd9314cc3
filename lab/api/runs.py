"""Endpoints of runs: read, start, steer."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from starlette.responses import JSONResponse

from lab.api.endpoint import Answer, Body, Call, Endpoint, Example, Parameter
from lab.api.history import recorded_metrics
from lab.api.judging import verdict_values
from lab.api.run_values import exact_numbers, log_values, run_values
from lab.api.schemas import NEW_RUN, NUMBER, TEXT, component, structure
from lab.config import KNOBS, RunConfig
from lab.errors import ConfigError, cut
from lab.metrics import epoch_columns, step_columns
from lab.runs.class_rules import results_hidden
from lab.runs.history import FEWEST_POINTS, POINTS, thinned_steps
from lab.runs.judging import judge
from lab.runs.queue import Queue, queue
from lab.runs.rows import EpochColumns, StepColumns
from lab.runs.status import STATUSES
from lab.runs.store import store

MOST_RUNS = 1000
"""Runs of one answer."""

MOST_STEPS = 100_000
"""Steps of one answer."""

RUN = Parameter("run", "The run's id.", where="path")
_SOME_RUN = "r-20261129-120000-ab12"


# --- reading --------------------------------------------------------------------------------------
def list_runs(call: Call) -> Any:
    rows = store().runs(status=call["status"] or None, search=call["search"])
    return {"runs": [run_values(row) for row in rows[: call["limit"]]], "total": len(rows)}


def read_run(call: Call) -> Any:
    return run_values(store().run(call["run"]))


def read_history(call: Call) -> Any:
    runs, after = store(), call["after"]
    run = runs.run(call["run"])
    if call["all"]:
        steps = runs.steps(run.id, after=after, limit=MOST_STEPS)
        more, thinned = len(steps) == MOST_STEPS, False
    else:
        steps = thinned_steps(runs, run.id, after=after, points=call["points"])
        more = False
        # Recorded steps have no gaps.
        thinned = len(steps) > 0 and int(steps.step[-1]) - after > len(steps)
    epochs = runs.epochs(run.id, after=call["after_epoch"])
    metrics = recorded_metrics(run, epochs)
    return {
        "run": run.id,
        "revision": run.revision,
        "last_step": int(steps.step[-1]) if len(steps) else after,
        "last_epoch": int(epochs.epoch[-1]) if len(epochs) else call["after_epoch"],
        "thinned": thinned,
        "more": more,
        "steps": _step_values(steps, step_columns(metrics)),
        "epochs": _epoch_values(epochs, epoch_columns(metrics)),
    }


def _step_values(steps: StepColumns, columns: Any) -> dict[str, Any]:
    return {
        "step": steps.step.tolist(),
        "epoch": steps.epoch.tolist(),
        "learning_rate": exact_numbers(steps.learning_rate),
        "seconds": exact_numbers(steps.seconds),
        **{name: exact_numbers(steps[name]) for name in columns},
    }


def _epoch_values(epochs: EpochColumns, columns: Any) -> dict[str, Any]:
    return {
        "epoch": epochs.epoch.tolist(),
        "step": epochs.step.tolist(),
        "phase": list(epochs.phase),
        "is_best": np.asarray(epochs.is_best).tolist(),
        "learning_rate": exact_numbers(epochs.learning_rate),
        "seconds": exact_numbers(epochs.seconds),
        "elapsed": exact_numbers(epochs.elapsed),
        "images_per_second": exact_numbers(epochs.images_per_second),
        **{name: exact_numbers(epochs[name]) for name in columns},
    }


def read_log(call: Call) -> Any:
    run = store().run(call["run"])
    return {"lines": log_values(store().log(run.id, after=call["after"]))}


def read_verdicts(call: Call) -> Any:
    run = store().run(call["run"])
    return verdict_values(store(), run, judge(store(), run, may_predict=False))


def read_leak_free(call: Call) -> Any:
    from lab.evaluate.leak_free import (  # brings torch
        NOT_CHECKED,
        leak_free_values,
        saved_leak_free,
    )

    run = store().run(call["run"])
    if results_hidden(store().database):
        return {"test": None, "problem": "Test results are not shown yet."}
    honest = saved_leak_free(store().folder(run.id))
    if honest is None:
        return {"test": None, "problem": NOT_CHECKED}
    return {"test": leak_free_values(honest), "problem": ""}


# --- starting and steering ------------------------------------------------------------------------
def start_run(call: Call) -> Any:
    from lab.training.plan import resolve  # brings torch

    values, name = call.body.get("config"), call.body.get("name")
    if not isinstance(values, dict):
        raise ConfigError(
            'The body has no "config", an object of knobs such as {"dataset": "drawn-signs"}.'
        )
    if name is not None and not isinstance(name, str):
        raise ConfigError(f"name is {cut(name)}; allowed is a text of 1 to 80 characters.")
    run_id = queue().submit(resolve(RunConfig.from_mapping(values)), name=name)
    values = run_values(store().run(run_id))
    return JSONResponse(values, status_code=201, headers={"Location": f"/api/runs/{run_id}"})


def _steering(act: Callable[[Queue, str], None]) -> Callable[[Call], Any]:
    def work(call: Call) -> Any:
        run = store().run(call["run"])
        act(queue(), run.id)
        return run_values(store().run(run.id))

    return work


def set_learning_rate(call: Call) -> Any:
    rate = call.body.get("learning_rate")
    if isinstance(rate, bool) or not isinstance(rate, int | float):
        allowed = KNOBS["learning_rate"].allowed
        raise ConfigError(f"learning_rate is {cut(rate)}; allowed is {allowed}.")
    try:
        value = float(rate)
    except OverflowError:  # JSON's whole numbers may have thousands of digits
        value = math.inf
    store().request_rate(call["run"], value)
    return run_values(store().run(call["run"]))


def _steering_endpoint(
    verb: str, summary: str, description: str, act: Callable[[Queue, str], None]
) -> Endpoint:
    return Endpoint(
        "POST",
        f"/runs/{{run}}/{verb}",
        summary,
        description,
        _steering(act),
        Answer(
            "The run as it is now; a request that waits for an answer is in `requested`.",
            component("Run"),
        ),
        parameters=(RUN,),
        example=Example({"run": _SOME_RUN}),
        errors=(404, 409),
    )


ENDPOINTS = (
    Endpoint(
        "GET",
        "/runs",
        "List runs",
        "The newest first.",
        list_runs,
        Answer("The runs.", component("RunList")),
        parameters=(
            Parameter("status", "Only runs in one of these states.", choices=STATUSES, many=True),
            Parameter(
                "search",
                "Words that must all be in the id, name, data set, architecture or status.",
                default="",
            ),
            Parameter(
                "limit", "Runs at most.", "integer", default=100, minimum=1, maximum=MOST_RUNS
            ),
        ),
        example=Example({"status": ["completed"], "search": "signs", "limit": 5}),
    ),
    Endpoint(
        "POST",
        "/runs",
        "Start a run",
        "Puts a run at the end of the queue, after the same checks as the Train page and the "
        "command line. Knobs that are left out have their defaults.",
        start_run,
        Answer("The queued run.", component("Run"), status=201),
        body=Body("The settings, and a name if you like.", NEW_RUN),
        example=Example(
            body={
                "name": "from a notebook",
                "config": {"dataset": "drawn-signs", "architecture": "sign-cnn", "epochs": 3},
            }
        ),
        errors=(404, 413),
    ),
    Endpoint(
        "GET",
        "/runs/{run}",
        "One run",
        "Its settings, state, progress and results as they are now.",
        read_run,
        Answer("The run.", component("Run")),
        parameters=(RUN,),
        example=Example({"run": _SOME_RUN}),
        errors=(404,),
    ),
    Endpoint(
        "GET",
        "/runs/{run}/history",
        "Curves of a run",
        "Its steps and epochs as columns. Steps are thinned to `points` rows, with all extremes, "
        f"unless `all` is true; then come up to {MOST_STEPS:,} at a time.",
        read_history,
        Answer("The columns.", component("History")),
        parameters=(
            RUN,
            Parameter("after", "Only steps after this one.", "integer", default=0),
            Parameter("after_epoch", "Only epochs after this one.", "integer", default=0),
            Parameter("all", "Whether to send every step.", "boolean", default=False),
            Parameter(
                "points",
                "Steps at most, without `all`.",
                "integer",
                default=POINTS,
                minimum=FEWEST_POINTS,
                maximum=20_000,
            ),
        ),
        example=Example({"run": _SOME_RUN, "after": 0, "all": True}),
        errors=(404,),
    ),
    Endpoint(
        "GET",
        "/runs/{run}/log",
        "Log of a run",
        "Decisions, changes of phase, warnings, errors.",
        read_log,
        Answer("The lines.", component("Log")),
        parameters=(
            RUN,
            Parameter("after", "Only lines after this `seq`.", "integer", default=0),
        ),
        example=Example({"run": _SOME_RUN}),
        errors=(404,),
    ),
    Endpoint(
        "GET",
        "/runs/{run}/verdicts",
        "What stands out in a run",
        "Judged from its curves, its layers and, where its page or Results has already predicted "
        "the validation images, the answers to them.",
        read_verdicts,
        Answer("The verdicts.", component("Judgement")),
        parameters=(RUN,),
        example=Example({"run": _SOME_RUN}),
        errors=(404,),
    ),
    Endpoint(
        "GET",
        "/runs/{run}/leak-free",
        "Accuracy without near-copies",
        "The test accuracy on all images and on those of which the run has seen no near-copy, with "
        "intervals in which copies of one picture count once. `test` is null while the copies are "
        "not known or the test images were not looked at one by one.",
        read_leak_free,
        Answer(
            "Both accuracies.",
            structure({"test": {"type": ["object", "null"]}, "problem": TEXT}),
        ),
        parameters=(RUN,),
        example=Example({"run": _SOME_RUN}),
        errors=(404,),
    ),
    _steering_endpoint(
        "stop",
        "Stop a run",
        "It ends within one step and can be resumed; a queued one leaves the queue.",
        Queue.stop,
    ),
    _steering_endpoint(
        "pause",
        "Pause a run",
        "It ends within one step, leaves the device to the next run and can be resumed.",
        Queue.pause,
    ),
    _steering_endpoint(
        "resume",
        "Resume a run",
        "Puts a paused, stopped, interrupted or failed run at the front of the queue.",
        Queue.resume,
    ),
    _steering_endpoint(
        "finish",
        "Finish a run",
        "Ends the training now and goes on to the test images.",
        Queue.finish,
    ),
    Endpoint(
        "POST",
        "/runs/{run}/learning-rate",
        "Change the learning rate",
        "Of a running run, from its next step on; later rates of its schedule change by the same "
        "factor. Its log and `rate_changes` say at which step.",
        set_learning_rate,
        Answer("The run as it is now.", component("Run")),
        parameters=(RUN,),
        body=Body("The learning rate.", structure({"learning_rate": NUMBER})),
        example=Example({"run": _SOME_RUN}, body={"learning_rate": 0.0001}),
        errors=(404, 409),
    ),
)
