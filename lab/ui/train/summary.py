"""The summary of what a press of Train will do."""

from __future__ import annotations

from html import escape
from urllib.parse import urlencode, urlsplit, urlunsplit

import streamlit as st

from lab.config import RunConfig
from lab.data import catalog
from lab.errors import LabError
from lab.home import home_id
from lab.runs.executors.choice import executor, places_of
from lab.runs.store import store
from lab.training.devices import resolve_device, trains_elsewhere
from lab.ui.train.assignment import draw_hand_out
from lab.ui.train.preview import Preview, augmented, layers, preview
from lab.ui.widgets.links import sharing_title
from lab.ui.words import page_words, plain
from lab.words import plural


def draw_summary(config: RunConfig) -> None:
    """Draws the summary of a resolved config: images, steps, parameters, layers."""
    info = catalog.describe(config.dataset, config.dataset_version)
    if info.state != catalog.READY:
        st.info(f"{info.title} will be made first; that takes a few seconds, once.")
        return
    try:
        with st.skeleton(height=160):
            facts = preview(config)
    except LabError as error:
        st.error(plain(page_words(str(error))), icon=":material/error:")
        return
    st.html(_examples_html(facts))
    if config.augments:
        _draw_augmented(config)
    st.markdown("\n".join(f"- {line}" for line in _lines(config, facts)))
    device = resolve_device(config)
    live = store().runs(status=("queued", "preparing", "running"))
    waiting = [r for r in live if r.home in ("", home_id()) and r.device in ("", device)]
    if len(waiting) >= places_of(executor(), device):
        st.caption(
            f"Waits in the queue behind {plural(len(waiting), 'run')}: "
            "one run at a time on each place keeps each fast."
        )
    with st.expander("Layer by layer", icon=":material/layers:", on_change="rerun") as table:
        if table.open:
            _layer_table(config, info.channels, facts.classes)


def _draw_augmented(config: RunConfig) -> None:
    figures = "".join(
        f'<img src="{url}" width="72" height="72" style="border-radius:6px;'
        f'image-rendering:{"pixelated" if "png" in url[:16] else "auto"}" '
        f'alt="Augmented training picture {place}">'
        for place, url in enumerate(augmented(config), start=1)
    )
    mixed = " Each is mixed with its neighbour, and so are their labels." * config.mixes
    st.caption(f"A batch as the network will see it; every epoch changes it anew.{mixed}")
    st.html(f'<div style="display:flex;flex-wrap:wrap;gap:8px">{figures}</div>')


def draw_sharing(config: RunConfig) -> None:
    """Draws the settings as YAML, as a link and, for a teacher, as an assignment to hand out, once
    they are asked for."""
    with st.expander(
        sharing_title(), icon=":material/share:", key="train_sharing", on_change="rerun"
    ) as sharing:
        if sharing.open:
            st.code(config.to_yaml(), language="yaml")
            st.caption("A link that opens the Train page with these settings:")
            st.code(settings_link(config, st.context.url), language=None, wrap_lines=True)
            draw_hand_out(config)


def _examples_html(facts: Preview) -> str:
    """Returns training images of the first classes, with their names."""
    figures = "".join(
        f'<figure style="margin:0;width:96px"><img src="{url}" width="96" height="96" '
        f'style="object-fit:cover;border-radius:6px;display:block;'
        f'image-rendering:{"pixelated" if "png" in url[:16] else "auto"}" '
        f'alt="A training image of {escape(name)}"><figcaption style="font-size:0.85rem;'
        f'overflow-wrap:anywhere">{escape(name)}</figcaption></figure>'
        for name, url in facts.examples
    )
    more = facts.classes - len({name for name, _ in facts.examples})
    rest = f'<span style="align-self:center">and {more} more</span>' if more > 0 else ""
    return f'<div style="display:flex;flex-wrap:wrap;gap:12px">{figures}{rest}</div>'


def settings_link(config: RunConfig, page_url: str | None) -> str:
    """Returns the address of the Train page with these settings; `page_url` is the address of a
    page of this server, without which the link is a relative one."""
    query = urlencode(config.to_query())
    parts = urlsplit(page_url or "")
    folder = parts.path.rstrip("/").removesuffix("/train")
    return urlunsplit((parts.scheme, parts.netloc, f"{folder}/train", query, ""))


def _run_name(run_id: str) -> str:
    try:
        return f"“{plain(store().run(run_id).name)}”"
    except LabError:  # deleted since
        return f"run {run_id}"


def _lines(config: RunConfig, facts: Preview) -> list[str]:
    steps = facts.steps_per_epoch
    per_epoch = (
        f"**{plural(steps, 'step')} per epoch** = "
        f"⌈{plural(facts.train_samples, 'image')} ÷ {config.batch_size}⌉"
        if steps == facts.drawn_steps
        else f"**{plural(steps, 'step')} per epoch** of {plural(config.batch_size, 'image')}"
    )
    frozen = facts.total_parameters - facts.trainable_parameters
    start = "starting from random weights"
    if config.start_from:
        start = f"starting from {_run_name(config.start_from)} after epoch {config.start_epoch}"
    elif config.pretrained:
        start = "starting from ImageNet weights"
    trained = (
        "all of them trained"
        if not frozen
        else f"**{facts.trainable_parameters:,} trained**, {frozen:,} frozen"
    )
    if facts.trainable_later > facts.trainable_parameters:
        trained += f", from epoch {config.head_epochs + 1} on {facts.trainable_later:,} trained"
    test = (
        f"test it once, at the end, on {plural(facts.test_samples, 'image')} set apart"
        if facts.test_samples
        else "there are no test images, so no test at the end"
    )
    lines = [
        f"Learn **{facts.classes} classes** from **{plural(facts.train_samples, 'image')}**; "
        f"choose the best epoch on {plural(facts.val_samples, 'validation image')}; {test}.",
        f"{per_epoch}, {steps * config.epochs:,} in all.",
        f"{facts.total_parameters:,} parameters, {trained}, {start}.",
    ]
    return lines + ([_frozen_line(config)] if frozen else [])


def _frozen_line(config: RunConfig) -> str:
    if config.frozen_features == "off":
        return "Frozen stages run at every step, as asked."
    if not config.keeps_features:
        if config.mixes:
            return (
                "Frozen stages run at every step, because mixup and CutMix make new pictures every "
                "epoch. Without them, later epochs cost only the trained part."
            )
        return (
            "Frozen stages run at every step, because augmentation makes new pictures every epoch. "
            "Without it, or with some “Augmented views kept”, later epochs cost only the trained "
            "part."
        )
    if config.augments:
        return (
            f"{plural(config.kept_views, 'augmented view')} of each image "
            f"{'is' if config.kept_views == 1 else 'are'} kept and used again: after "
            f"{plural(config.kept_views, 'epoch')} a step costs only the trained part."
        )
    there = " on the same machine" * trains_elsewhere()
    return (
        "Frozen stages run **once an image**: from the second epoch on a step costs only the "
        f"trained part, and another run with the same data{there} starts with what is kept."
    )


def _layer_table(config: RunConfig, channels: int, classes: int) -> None:
    table = layers(config.to_json(), channels, classes)
    st.caption(table.note)
    st.dataframe(
        list(table.rows),
        hide_index=True,
        column_config={"Parameters": st.column_config.NumberColumn(format="localized")},
        alt=f"Layers of the network: {table.note}",
    )
