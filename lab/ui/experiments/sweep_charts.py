"""The chart of a sweep: a coloured grid for two knobs, curves over one knob for any number."""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import streamlit as st

from lab.api.panels import Panel, figure, text
from lab.charts.style import CHART
from lab.charts.sweep import sweep_importances, sweep_importances_alt
from lab.config import KNOBS
from lab.experiments.sweeps.chart import chart_names, chart_title, sweep_chart
from lab.experiments.sweeps.config import Params, SweepConfig
from lab.experiments.sweeps.importance import (
    IMPORTANCE_CAPTION,
    Importance,
    importance_words,
    importances,
)
from lab.experiments.sweeps.results import Line, judged_values

KEY = "experiments_sweep"


def choose_chart(config: SweepConfig, combinations: Sequence[Line]) -> str:
    """Draws the choice between the grid and one setting, where both make sense; returns GRID or the
    knob."""
    choice = chart_names(config, combinations)
    if len(choice) == 1:
        return choice[0]
    chosen = st.segmented_control(
        "Chart",
        choice,
        default=choice[0],
        required=True,
        format_func=chart_title,
        key=f"{KEY}_picture_{'_'.join(choice)}",
    )
    return chosen or choice[0]


def chart_blocks(config: SweepConfig, combinations: Sequence[Line], chart: str) -> list[Panel]:
    """Returns the chart and its caption; also called by the event hub."""
    drawn = sweep_chart(config, combinations, chart)
    return [
        figure(drawn.name, json.loads(drawn.figure.to_json()), alt=drawn.alt),
        text(drawn.caption, tone="small"),
    ]


def draw_importances(sweep_id: str, config: SweepConfig, combinations: Sequence[Line]) -> None:
    """Draws, once it is asked for, which setting matters most; nothing for a single setting."""
    if len(config.axes) < 2:
        return
    with st.expander(
        "Which setting matters most?",
        icon=":material/sort:",
        key=f"{KEY}_importance_{sweep_id}",
        on_change="rerun",
    ) as expander:
        if expander.open:
            found = _importances(
                config.to_json(),
                [x.params for x in combinations],
                judged_values(config, combinations)[0],
            )
            done = sum(x.judged.count > 0 for x in combinations)
            st.markdown(importance_words(config, found, done))
            if found:
                names = [KNOBS[each.knob].title for each in found]
                st.plotly_chart(
                    sweep_importances(
                        names,
                        [each.value for each in found],
                        [each.interval for each in found],
                        [each.chance for each in found],
                    ),
                    key=f"{KEY}_importances",
                    config=CHART,
                    alt=sweep_importances_alt(names, [each.more_than_chance for each in found]),
                )
                st.caption(IMPORTANCE_CAPTION)


@st.cache_data(show_spinner="Weighing the settings", max_entries=20)
def _importances(
    config_json: str, params: list[Params], values: npt.NDArray[np.float64]
) -> list[Importance]:
    return importances(SweepConfig.from_json(config_json), params, values)
