"""Endpoints of what a run can be made of: data sets and architectures."""

from __future__ import annotations

from typing import Any

from lab.api.endpoint import Answer, Call, Endpoint
from lab.api.schemas import array, component, structure
from lab.data import catalog
from lab.data.catalog import DatasetInfo


def list_datasets(call: Call) -> Any:
    return {"datasets": [dataset_values(info) for info in catalog.list_datasets()]}


def dataset_values(info: DatasetInfo) -> dict[str, Any]:
    """Returns the facts of a data set that matter to who trains on it."""
    return {
        "name": info.name,
        "title": info.title,
        "story": info.story,
        "state": info.state,
        "usable": info.usable,
        "how_to_get": info.how_to_get,
        "class_names": list(info.class_names),
        "image_size": info.image_size,
        "channels": info.channels,
        "drawn": info.drawn,
        "source": info.source,
        "licence": info.licence,
        "images": info.split_totals,
    }


def list_architectures(call: Call) -> Any:
    from lab.models.architecture import ARCHITECTURES  # brings torch

    return {
        "architectures": [
            {
                "name": spec.name,
                "title": spec.title,
                "family": spec.family,
                "year": spec.year,
                "story": spec.story,
                "native_activation": spec.native_activation,
                "min_image_size": spec.min_image_size,
                "pretrained": spec.weights is not None,
                "knobs": list(spec.knobs),
            }
            for spec in ARCHITECTURES
        ]
    }


ENDPOINTS = (
    Endpoint(
        "GET",
        "/datasets",
        "List data sets",
        "The built-in ones, those that can be added, and your own.",
        list_datasets,
        Answer("The data sets.", structure({"datasets": array(component("Dataset"))})),
        group="Data sets and architectures",
    ),
    Endpoint(
        "GET",
        "/architectures",
        "List architectures",
        "From simple to deep.",
        list_architectures,
        Answer("The networks.", structure({"architectures": array(component("Architecture"))})),
        group="Data sets and architectures",
    ),
)
