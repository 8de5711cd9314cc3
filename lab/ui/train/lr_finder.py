"""The Train page's learning-rate finder: a ramp in a background job, its curve, one button."""

from __future__ import annotations

import json

import streamlit as st

from lab import jobs
from lab.charts.lr_finder import loss_against_rate, loss_against_rate_alt
from lab.charts.style import CHART
from lab.config import KNOBS, RunConfig
from lab.data import catalog
from lab.data.version_files import stored_versions
from lab.errors import LabError
from lab.progress import Cancel, Report
from lab.training.devices import trains_elsewhere
from lab.training.lr_finder.ramp import RateFinding, find_rates
from lab.ui.state import change_form
from lab.ui.widgets import background
from lab.ui.widgets.background import computed
from lab.ui.widgets.queue_actions import ask
from lab.ui.words import page_words, plain


def draw_lr_finder(config: RunConfig | LabError) -> None:
    """Draws an expander with the finder for the form's present settings."""
    with st.expander(
        "Find a learning rate", key="train_rates", icon=":material/speed:", on_change="rerun"
    ) as finder:
        if not finder.open:
            return
        if isinstance(config, LabError):
            st.caption("Something in the settings does not fit; the red sentence says what.")
            return
        try:
            _draw(config)
        except LabError as error:
            st.error(plain(page_words(str(error))), icon=":material/error:")


def _draw(config: RunConfig) -> None:
    key = rates_key(config)
    job = jobs.latest(key)
    if job is None or job.state == "cancelled":
        st.caption(
            "Takes 100 training steps with these settings, each at a slightly larger rate than "
            "the one before, and finds where the loss begins to fall and where it diverges. "
            "On a network of its own, which is thrown away: no run is touched."
            + " It is tried on the server, not in the cluster."
            * trains_elsewhere()
        )
        if st.button("Try the rates", key="train_rates_start", icon=":material/play_arrow:"):
            _start(config, key)
            st.rerun()
        return
    if job.active:
        st.button(
            "Cancel", key="train_rates_cancel", icon=":material/close:", on_click=ask,
            args=(jobs.cancel, job.id),
        )  # fmt: skip
    finding = computed(key, "Trying learning rates", _work(config), kind="rates")
    if finding is not None:
        _draw_finding(finding, config)


def rates_key(config: RunConfig) -> str:
    """Returns the key of the background job: everything that the ramp depends on."""
    info = catalog.describe(config.dataset, config.dataset_version)
    # Drawings are always the same; others may be replaced, and all edited.
    same = info.drawn and len(stored_versions(info.name)) < 2
    images = "" if same else info.content_hash
    values = config.model_dump(mode="json")
    used = {name: value for name, value in values.items() if KNOBS[name].rate_finder}
    return f"rates:{images}:{json.dumps(used, sort_keys=True)}"


def _work(config: RunConfig) -> jobs.Work:
    def work(report: Report, cancel: Cancel) -> RateFinding:
        return find_rates(config, progress=report, cancel=cancel)

    return work


def _start(config: RunConfig, key: str) -> None:
    job = jobs.start("rates", "Trying learning rates", _work(config), key=key)
    jobs.wait(job.id, timeout=background.PATIENCE)


def _draw_finding(finding: RateFinding, config: RunConfig) -> None:
    st.plotly_chart(
        loss_against_rate(
            finding.rates,
            finding.losses,
            finding.smoothed,
            low=finding.low,
            high=finding.high,
            suggested=finding.suggested,
            current=config.learning_rate,
        ),
        key="train_rates_chart",
        config=CHART,
        alt=loss_against_rate_alt(
            finding.rates,
            finding.smoothed,
            low=finding.low,
            high=finding.high,
            suggested=finding.suggested,
        ),
    )
    if finding.suggested is None or finding.low is None or finding.high is None:
        st.warning(plain(finding.reason), icon=":material/help:")
    else:
        st.markdown(f"**{finding.low:.1e} to {finding.high:.1e}**, shaded: here the loss falls.")
        st.button(
            f"Use {rounded(finding.suggested):g}",
            key="train_rates_use",
            type="primary",
            icon=":material/check:",
            help="Puts this rate into the form.",
            on_click=_use,
            args=(rounded(finding.suggested),),
            disabled=config.learning_rate == rounded(finding.suggested),
        )
        st.caption(plain(finding.reason))
    st.caption(_made_from(finding, config))


def _made_from(finding: RateFinding, config: RunConfig) -> str:
    passes = "one pass" if finding.passes == 1 else f"{finding.passes} passes"
    end = "; it ended where the loss diverged" if finding.ended_early else ""
    return (
        f"From {len(finding.rates)} steps of {config.batch_size} images, in {passes} over the "
        f"training images, seed {config.seed}{end}. A place to start, not the best rate: that "
        "may lie a few times beside it, and longer runs often want a smaller one."
    )


def rounded(rate: float) -> float:
    """Rounds to two digits; more are not known."""
    return float(f"{rate:.1e}")


def _use(rate: float) -> None:
    """A button's callback: puts the rate into the form before its widgets are drawn."""
    change_form(learning_rate=rate)
