"""JSON Schemas of what the API answers with: the components of the OpenAPI document."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lab.api.endpoint import Schema
from lab.config import RunConfig
from lab.runs.status import STATUSES

TEXT: Schema = {"type": "string"}
INTEGER: Schema = {"type": "integer"}
NUMBER: Schema = {"type": "number"}
BOOLEAN: Schema = {"type": "boolean"}


def about(schema: Schema, text: str) -> Schema:
    """Returns the schema with a description."""
    return {**schema, "description": text}


def or_null(schema: Schema) -> Schema:
    """Returns a schema that allows null too: "not known (yet)"."""
    return {**schema, "type": [schema["type"], "null"]}


def array(items: Schema) -> Schema:
    """Returns the schema of a list."""
    return {"type": "array", "items": items}


def mapping(values: Schema) -> Schema:
    """Returns the schema of an object with any names."""
    return {"type": "object", "additionalProperties": values}


def structure(properties: Mapping[str, Schema], *, optional: tuple[str, ...] = ()) -> Schema:
    """Returns the schema of an object that has all `properties` but the optional ones."""
    return {
        "type": "object",
        "properties": dict(properties),
        "required": [name for name in properties if name not in optional],
    }


def component(name: str) -> Schema:
    """Returns a reference to one of `components`."""
    return {"$ref": f"#/components/schemas/{name}"}


_TIME: Schema = {"type": ["string", "null"], "format": "date-time"}
_COUNT: Schema = {"type": ["integer", "null"]}

RUN = structure(
    {
        "id": about(TEXT, "Such as r-20261129-120000-ab12; ids sort by age."),
        "name": TEXT,
        "origin": about(TEXT, "What started it, such as recipe:sl-cnn; empty: a person."),
        "person": about(TEXT, "The id of who started it; empty: who runs the lab."),
        "person_name": TEXT,
        "tag": TEXT,
        "notes": TEXT,
        "starred": BOOLEAN,
        "is_baseline": about(BOOLEAN, "Whether others are compared with it; one run at most."),
        "parent": about(TEXT, "The run that it starts from; empty: none."),
        "parent_epoch": about(_COUNT, "The epoch of it."),
        "status": {"type": "string", "enum": list(STATUSES)},
        "dataset": TEXT,
        "architecture": TEXT,
        "queue_position": about(_COUNT, "1 is the next one; null unless queued."),
        "requested": about(
            {"type": ["string", "null"]}, "A stop, pause or finish that is not answered yet."
        ),
        "message": about(TEXT, "How it ended, in one sentence."),
        "device": TEXT,
        "activity": about(
            TEXT, "What it does beside training steps, such as Validating epoch 3; else empty."
        ),
        "activity_done": INTEGER,
        "activity_total": about(INTEGER, "0 when unknown."),
        "activity_unit": TEXT,
        "activity_seconds_left": or_null(NUMBER),
        "progress": about(NUMBER, "Share done, from 0 to 1."),
        "revision": about(
            INTEGER, "Grows when a resume deletes recorded steps: read them all again then."
        ),
        "epoch": about(INTEGER, "The running epoch, from 1; 0 before the first step."),
        "step": INTEGER,
        "steps_per_epoch": _COUNT,
        "total_steps": _COUNT,
        "total_parameters": _COUNT,
        "trainable_parameters": _COUNT,
        "train_samples": _COUNT,
        "val_samples": _COUNT,
        "test_samples": _COUNT,
        "best_epoch": _COUNT,
        "test_looks": about(
            INTEGER, "How often the test images were looked at, by runs that it goes on from, too."
        ),
        "seconds": about(NUMBER, "Of the training steps alone."),
        "elapsed": about(or_null(NUMBER), "Of everything since the first step, without pauses."),
        "seconds_left": about(or_null(NUMBER), "An estimate, while it is running."),
        "images_per_second": or_null(NUMBER),
        "class_names": array(TEXT),
        "rate_changes": about(
            array(structure({"step": INTEGER, "learning_rate": NUMBER})),
            "Changes of the learning rate by hand: from which step on, and to what.",
        ),
        "best_val": about(mapping(or_null(NUMBER)), "Validation metrics of the best epoch."),
        "test": about(mapping(or_null(NUMBER)), "Test metrics of the best epoch's weights."),
        "created_at": _TIME,
        "started_at": _TIME,
        "ended_at": _TIME,
        "config": about(
            {"type": "object"},
            "All settings as they were written: a RunConfig, or an earlier version's.",
        ),
    }
)

RUN_LIST = structure(
    {
        "runs": array(component("Run")),
        "total": about(INTEGER, "How many there are without the limit."),
    }
)

_COLUMN = array(or_null(NUMBER))
HISTORY = structure(
    {
        "run": TEXT,
        "revision": about(INTEGER, "Of the run; see Run."),
        "last_step": about(INTEGER, "`after` of the next call."),
        "last_epoch": about(INTEGER, "`after_epoch` of the next call."),
        "thinned": about(BOOLEAN, "Whether steps were left out; extremes and shape stay."),
        "more": about(BOOLEAN, "Whether the limit left out newer steps."),
        "steps": about(
            {
                **structure(
                    {
                        "step": array(INTEGER),
                        "epoch": array(INTEGER),
                        "learning_rate": _COLUMN,
                        "seconds": _COLUMN,
                    }
                ),
                "additionalProperties": _COLUMN,
            },
            "One list a column, all of one length. Besides those named: each metric of training "
            "batches (loss, accuracy) and its moving average (loss_smoothed).",
        ),
        "epochs": about(
            {
                **structure(
                    {
                        "epoch": array(INTEGER),
                        "step": array(INTEGER),
                        "phase": array(TEXT),
                        "is_best": array(BOOLEAN),
                        "learning_rate": _COLUMN,
                        "seconds": _COLUMN,
                        "elapsed": _COLUMN,
                        "images_per_second": _COLUMN,
                    }
                ),
                "additionalProperties": _COLUMN,
            },
            "One list a column. Besides those named: each metric on the training batches "
            "(train_loss) and on the validation images (val_loss, val_accuracy).",
        ),
    }
)

LOG = structure(
    {
        "lines": array(
            structure(
                {
                    "seq": about(INTEGER, "Grows along the log: `after` of the next call."),
                    "at": _TIME,
                    "level": TEXT,
                    "text": TEXT,
                }
            )
        )
    }
)

JUDGEMENT = structure(
    {
        "verdicts": array(
            structure(
                {
                    "kind": TEXT,
                    "title": TEXT,
                    "sentence": about(TEXT, "What stands out."),
                    "evidence": TEXT,
                    "suggestion": TEXT,
                    "change": about(TEXT, "The knobs to change; empty where none is proposed."),
                    "button": about(TEXT, "The words of a button that starts such a run."),
                    "fixed_by": about(
                        {"type": ["object", "null"]}, "The run that was started with that change."
                    ),
                }
            )
        ),
        "judged_by": about(TEXT, "What was looked at: silence is no more than that."),
        "problem": about(TEXT, "Why something could not be judged."),
    }
)

DATASET = structure(
    {
        "name": TEXT,
        "title": TEXT,
        "story": TEXT,
        "state": about(TEXT, "ready, built-in, not added, or damaged."),
        "usable": about(BOOLEAN, "Whether a run can train on it now."),
        "how_to_get": TEXT,
        "class_names": array(TEXT),
        "image_size": INTEGER,
        "channels": about(INTEGER, "1 (grey) or 3 (colour)."),
        "drawn": about(BOOLEAN, "Whether these are drawings of the lab rather than photographs."),
        "source": TEXT,
        "licence": TEXT,
        "images": about(mapping(INTEGER), "Images in each split that has any."),
    }
)

ARCHITECTURE = structure(
    {
        "name": TEXT,
        "title": TEXT,
        "family": TEXT,
        "year": INTEGER,
        "story": TEXT,
        "native_activation": TEXT,
        "min_image_size": INTEGER,
        "pretrained": about(BOOLEAN, "Whether there are ImageNet weights for it."),
        "knobs": about(array(TEXT), "The knobs that only some architectures have, and this has."),
    }
)

NEW_RUN = structure(
    {
        "config": component("RunConfig"),
        "name": about({"type": ["string", "null"]}, "1 to 80 characters; else one is made."),
    },
    optional=("name",),
)

LAYER_CHART = structure(
    {
        "figure": about({"type": ["object", "null"]}, "A Plotly figure."),
        "alt": TEXT,
        "about": TEXT,
        "caption": TEXT,
        "layers": array(TEXT),
        "titles": about(array(TEXT), "Of these layers, as on the pages."),
        "layer": TEXT,
    }
)

MAPS = structure(
    {
        "shape": about(array(INTEGER), "Pictures, height, width."),
        "data": about(TEXT, "Base64 of a byte a place; 255 is the largest value of that map."),
    }
)

ERROR = structure({"error": about(TEXT, "One sentence: what is wrong and what to do.")})


def components() -> dict[str, Any]:
    """Returns the schemas that others refer to, by name."""
    return {
        "RunConfig": run_config_schema(),
        "Run": RUN,
        "RunList": RUN_LIST,
        "History": HISTORY,
        "Log": LOG,
        "Judgement": JUDGEMENT,
        "Dataset": DATASET,
        "Architecture": ARCHITECTURE,
        "LayerChart": LAYER_CHART,
        "Maps": MAPS,
        "Error": ERROR,
    }


_STANDARD = (
    "type", "title", "description", "default", "enum", "const", "anyOf", "items", "minimum",
    "maximum", "exclusiveMinimum", "exclusiveMaximum",
)  # fmt: skip


def run_config_schema() -> dict[str, Any]:
    """Returns the schema of RunConfig, all knobs optional; of a knob's facts its unit only."""
    schema = RunConfig.model_json_schema()
    properties = {
        name: {
            **{key: value for key, value in knob.items() if key in _STANDARD},
            **({"x-unit": knob["unit"]} if knob.get("unit") else {}),
        }
        for name, knob in schema["properties"].items()
    }
    return {
        "type": "object",
        "title": "RunConfig",
        "description": "The settings of a run; a knob that is left out has its default.",
        "properties": properties,
        "additionalProperties": False,
    }
