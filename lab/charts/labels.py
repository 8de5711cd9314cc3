"""How the classes are spread over the splits."""

from __future__ import annotations

import numpy as np
import plotly.graph_objects as go

from lab.charts.series import LabelCounts
from lab.charts.style import PALETTE, chart_text, styled

# Hatching beside colour, so that the bars stay apart in print and for colour-blind eyes.
PATTERNS = ("", "/", ".")


def label_distribution(labels: LabelCounts) -> go.Figure:
    """One group of bars a class, one bar a split."""
    figure = go.Figure()
    for number, (split, counts) in enumerate(labels.counts.items()):
        figure.add_bar(
            x=list(map(chart_text, labels.class_names)),
            y=counts,
            name=split,
            marker={
                "color": PALETTE[number % len(PALETTE)],
                "pattern": {
                    "shape": PATTERNS[number % len(PATTERNS)],
                    "fillmode": "overlay",  # thin bars keep their colour where no hatch fits
                    "fgcolor": "white",
                    "fgopacity": 0.6,
                    "size": 6,
                },
            },
        )
    figure.update_layout(barmode="group", bargap=0.25)
    figure.update_xaxes(type="category")
    figure.update_yaxes(tickformat=",d")
    return styled(figure, x_title="class", y_title="images", empty="No images")


def label_distribution_alt(labels: LabelCounts) -> str:
    """One true sentence in place of `label_distribution`."""
    totals = {split: int(np.sum(counts)) for split, counts in labels.counts.items()}
    if not labels.class_names or not sum(totals.values()):
        return "Images per class: there are none."
    each = np.sum([np.asarray(counts) for counts in labels.counts.values()], axis=0)
    least, most = int(np.argmin(each)), int(np.argmax(each))
    return (
        f"Images per class for {len(labels.class_names)} classes "
        f"({', '.join(f'{total:,} {split}' for split, total in totals.items())}): "
        f"fewest {labels.class_names[least]} with {each[least]:,}, "
        f"most {labels.class_names[most]} with {each[most]:,}."
    )
