"""A lab card of a sweep: its combinations and their places, charts, and which setting matters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from html import escape
from typing import Any

import plotly.graph_objects as go

from lab import __version__
from lab.charts.sweep import sweep_importances
from lab.config import KNOBS
from lab.experiments.sweeps.chart import chart_names, chart_title, sweep_chart
from lab.experiments.sweeps.config import JUDGED_BY, SweepConfig
from lab.experiments.sweeps.importance import IMPORTANCE_CAPTION, importance_words, importances
from lab.experiments.sweeps.places import effect, effect_words
from lab.experiments.sweeps.results import (
    Line,
    interval_text,
    judged_values,
    line_values,
    lines,
    place_text,
    places_words,
    ranked,
)
from lab.experiments.sweeps.table import SweepRow
from lab.export.page_parts import Sheet, chart, head, paragraphs, section, table
from lab.metrics import METRICS
from lab.runs.naming import value_text
from lab.runs.store import store
from lab.words import duration

IMPORTANCE = "Which setting matters most?"


def sweep_card(row: SweepRow) -> Sheet:
    """Returns the card of a sweep as it is now."""
    config = SweepConfig.from_json(row.config_json)
    combinations = lines(config, store().runs(origin=row.origin), row.notes)
    best_first = ranked(config, combinations)
    judged = judged_values(config, combinations)
    found = importances(config, [x.params for x in combinations], judged[0])
    done = sum(x.judged.count > 0 for x in combinations)
    answer = effect(config, *judged)
    charts = [
        (chart_title(name), sweep_chart(config, combinations, name))
        for name in chart_names(config, combinations)
    ]
    figures: dict[str, go.Figure] = {title: drawn.figure for title, drawn in charts}
    if found:
        figures[IMPORTANCE] = sweep_importances(
            [KNOBS[each.knob].title for each in found],
            [each.value for each in found],
            [each.interval for each in found],
            [each.chance for each in found],
        )
    values: dict[str, Any] = {
        "format": 1,
        "kind": "sweep",
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "lab_version": __version__,
        "sweep": row.id,
        "name": row.name,
        "status": row.status,
        "metric": config.metric,
        "combinations": [line_values(x) for x in best_first],
        "places": places_words(config, best_first),
        "answer": "" if answer is None else effect_words(config, answer),
        "importance": [
            {**asdict(each), "more_than_chance": each.more_than_chance} for each in found
        ],
        "importance_words": importance_words(config, found, done) if len(config.axes) > 1 else "",
        "config_yaml": config.to_yaml(),
    }
    captions = {title: drawn.caption for title, drawn in charts}
    return Sheet(
        "Sweep",
        row.name,
        values,
        figures,
        _sections(values, config, best_first, captions, has_importance=bool(found)),
    )


def _sections(
    values: Mapping[str, Any],
    config: SweepConfig,
    combinations: Sequence[Line],
    captions: Mapping[str, str],
    *,
    has_importance: bool,
) -> list[str]:
    done = sum(x.judged.count > 0 for x in combinations)
    state = (
        f"{values['status'].capitalize()}: {done} of {len(combinations)} combinations have a "
        f"result, after {duration(sum(x.seconds for x in combinations))} of training."
    )
    found = [head("Lab card of a sweep", values["name"], [config.story, values["answer"], state])]
    found += [chart(title, caption) for title, caption in captions.items()]
    knobs = [KNOBS[knob].title for knob in config.axes]
    top = ["Place", *knobs, JUDGED_BY[config.metric], "95%", "Test accuracy", "Seeds", "State"]
    rows = [
        [
            place_text(x, combinations),
            *(str(value_text(knob, value)) for knob, value in x.params.items()),
            x.judged.text(config.measured),
            interval_text(x, config.measured),
            x.test.text(METRICS["accuracy"]),
            f"{x.judged.count} of {len(config.seeds)}",
            x.state,
        ]
        for x in combinations
    ]
    found.append(section("Combinations", paragraphs([values["places"]]) + table(top, rows)))
    if has_importance:
        caption = f"{values['importance_words']} {IMPORTANCE_CAPTION}"
        found.append(chart(IMPORTANCE, caption))
    elif values["importance_words"]:
        found.append(section(IMPORTANCE, paragraphs([values["importance_words"]])))
    made = f"Sweep {values['sweep']}. Made {values['created']} with Epochlab {__version__}."
    yaml = f"<details><summary>The sweep (YAML)</summary><pre>{escape(values['config_yaml'])}</pre>"
    return [*found, section("Where it comes from", paragraphs([made]) + yaml + "</details>")]
