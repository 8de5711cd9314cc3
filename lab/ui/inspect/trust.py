"""What the trust test found, as a verdict, its charts and the numbers behind them."""

from __future__ import annotations

import numpy as np
import streamlit as st

from lab.charts.style import CHART
from lab.charts.trust import copies, copies_alt, hiding, hiding_alt, likeness, likeness_alt
from lab.explain.placement import PAIRS, Placement
from lab.explain.road import Road
from lab.explain.trust import ALIKE, Trust
from lab.words import percent


def draw_trust(trust: Trust) -> None:
    """The verdict and what it rests on."""
    if trust.verdict == "depends":
        st.success(trust.sentence, icon=":material/verified:")
    elif trust.verdict == "not_meaningful":
        st.info(trust.sentence, icon=":material/do_not_disturb_on:")
    elif trust.verdict == "cannot_tell":
        st.info(trust.sentence, icon=":material/help:")
    else:
        st.warning(trust.sentence, icon=":material/gpp_bad:")
    if trust.correlations:
        _draw_likeness(trust)
    if trust.placement is not None:
        _draw_copies(trust.placement)
    if trust.correlations:
        with st.expander("More numbers, and two more tests"):
            _draw_hiding(trust)
            _draw_details(trust)


def _draw_likeness(trust: Trust) -> None:
    what = [step.what for step in trust.correlations]
    means = np.array([step.mean for step in trust.correlations])
    draws = [np.clip(np.nan_to_num(np.array(step.draws)), 0, 1) for step in trust.correlations]
    st.markdown("**The same map with random weights**")
    st.plotly_chart(
        likeness(what, means, draws, unchanged=ALIKE),
        key="trust_likeness",
        config=CHART,
        alt=likeness_alt(what, means),
    )
    st.caption(
        "From left to right more of the network is random. A map of what was learned must become "
        "another one: 1 is the same order of places; 0 is an unlike, empty or reversed map."
    )


def _draw_copies(placement: Placement) -> None:
    st.markdown("**The map beside shifted copies of itself**")
    st.plotly_chart(
        copies(placement.gains), key="trust_copies", config=CHART, alt=copies_alt(placement.gains)
    )
    st.caption(
        "The middle is the map where it lies. Each number: by how much more the network believes "
        "in the class when it sees the half of the picture with more of the map, not the other "
        "half. A map that marks the right place beats its copies.",
        help=f"{PAIRS} pairs of halves, cut at random; what is hidden takes the picture's mean "
        "colour. Copies go round the picture's edge.",
    )


def _draw_hiding(trust: Trust) -> None:
    deletion, insertion = trust.deletion, trust.insertion
    if deletion is None or insertion is None:
        return
    st.markdown("**Hiding and showing the places that it marks**")
    st.plotly_chart(
        hiding(
            deletion.fractions,
            deletion.of_map,
            deletion.of_random,
            insertion.fractions,
            insertion.of_map,
            insertion.of_random,
        ),
        key="trust_hiding",
        config=CHART,
        alt=hiding_alt(deletion.area, insertion.area, float(deletion.random_areas.mean())),
    )
    st.caption(
        "Places marked most go first. If they matter, hiding them takes the class away sooner than "
        "random places do (left: below the band), and showing them brings it sooner (right: above)."
    )
    if trust.road is not None:
        st.caption(_road_words(trust.road))


def _road_words(road: Road) -> str:
    """What the third test found, in words."""
    outcome = (
        "agrees that the marked places matter"
        if road.beats_chance
        else "finds no more in the marked places than luck would"
    )
    return (
        f"ROAD, which fills hidden places from what surrounds them, {outcome}: its score is "
        f"{road.score:+.2f} on a scale from −0.50 to +0.50, random orders come to "
        f"±{road.spread:.2f}."
    )


def _draw_details(trust: Trust) -> None:
    deletion, insertion = trust.deletion, trust.insertion
    st.dataframe(
        [
            {
                "Random weights in": step.what,
                "Rank correlation": step.mean,
                "Spread": step.spread,
                "Each random network": ", ".join(
                    "empty map" if np.isnan(value) else f"{value:.2f}" for value in step.draws
                ),
            }
            for step in trust.correlations
        ],
        hide_index=True,
        column_config={
            "Rank correlation": st.column_config.NumberColumn(format="%.2f"),
            "Spread": st.column_config.NumberColumn(
                format="%.2f", help="Standard deviation over the random networks."
            ),
        },
        alt="Rank correlation of the map for each step of random weights.",
    )
    if deletion is not None and insertion is not None:
        areas = deletion.random_areas
        st.dataframe(
            [
                {
                    "Average probability": what,
                    "The map's order": percent(own),
                    "Random orders": percent(mean),
                }
                for what, own, mean in (
                    ("while hiding (less is better)", deletion.area, areas.mean()),
                    ("while showing (more is better)", insertion.area, areas.mean()),
                )
            ],
            hide_index=True,
            alt="Areas under the curves of hiding and showing.",
        )
        st.caption(
            f"{len(areas)} random orders of the same places, spread {areas.std(ddof=1):.1%}: "
            "scattered places are an easy rival, so the verdict does not rest on them. A hidden "
            "place takes the picture's mean colour, which a network may find odd in itself."
        )
    st.caption(
        "Random weights: Adebayo et al. 2018, arXiv 1810.03292. Halves: after Bhatt et al. 2020, "
        "arXiv 2005.00631. Hiding: Petsiuk et al. 2018 (RISE), arXiv 1806.07421. ROAD: Rong et "
        "al. 2022, arXiv 2202.00449. A passed test says "
        "that the map is about this network, not that the network is right."
    )
