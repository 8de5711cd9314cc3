"""The Train page's settings; the choices of data set, architecture and freezing are linked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import streamlit as st

from lab.config import GROUP_TITLES, KNOBS, RunConfig
from lab.data import catalog
from lab.data.catalog import DatasetInfo
from lab.data.version_files import stored_versions
from lab.errors import LabError
from lab.experiments.starts import PRESETS, preset_knobs, suited_to
from lab.models.architecture import ARCHITECTURES, JOINED, TIMM, ArchitectureSpec, used_knobs
from lab.runs.assignments import Assignment
from lab.runs.executors.choice import trains_on_cluster
from lab.runs.queue import queue
from lab.runs.store import RunRow, store
from lab.training.plan import as_trained, missing_here, resolve, weights_elsewhere
from lab.ui.state import (
    RUN,
    change_form,
    fill_form,
    form_run,
    knob_key,
    look_at,
    release_form,
    touched,
)
from lab.ui.train import predict
from lab.ui.train.cost import draw_cautions, draw_time
from lab.ui.train.drawing import draw_network
from lab.ui.train.start import draw_start
from lab.ui.widgets.knob_form import (
    draw_essential,
    draw_group,
    draw_knob,
    form_values,
    read_form,
)
from lab.ui.words import page_words, plain

LINKED = ("dataset", "dataset_version", "architecture", "freeze", "activation")
"""Essential knobs whose choices depend on the data set and on each other; drawn here one by one."""

SUITED = "train_suited_to"
"""The session's key of the data set, architecture and freeze strategy that were drawn last."""

_PRESET = "train_preset"

_REFUSAL = "train_refusal"
"""The session's key of the sentence why the last press of Train started nothing."""

_TIMM_NAME, _TIMM_REFUSAL = "train_timm_name", "train_timm_refusal"

MOST_NAMED = 4
"""Up to so many changed knobs are named."""


# --- whose settings these are -------------------------------------------------------------------
def of_run(run: RunRow | None) -> None:
    """Draws whose settings the form shows beside a run, after filling it with those of a newly
    opened one; what the person changed stays. Call it before `draw`."""
    if run is None:
        return
    if st.session_state.get(RUN) != run.id:  # a press of Train, drawn as a fragment
        st.rerun()
    try:
        config = as_trained(run.config, store().folder(run.id))
    except LabError:
        st.badge("New run", icon=":material/add:", color="blue")
        st.caption(f"Another version of the lab made {_quoted(run)}; the form cannot show it.")
        return
    if form_run() != run.id and not touched() and not _in_link():
        fill_form(config, run_id=run.id)
    changed = _changed_from(config)
    if not changed:
        st.caption(f"The settings of {_quoted(run)}.")
        return
    st.badge("New run", icon=":material/add:", color="blue")
    titles = [KNOBS[name].title for name in changed]
    more = f" and {len(titles) - MOST_NAMED} more" if len(titles) > MOST_NAMED else ""
    st.caption(f"Unlike {_quoted(run)} in: {', '.join(titles[:MOST_NAMED])}{more}.")
    st.button(
        "Use this run's settings",
        key="train_use_run",
        icon=":material/undo:",
        width="stretch",
        on_click=_use_run,
        args=(config, run.id),
    )


def _quoted(run: RunRow) -> str:
    return f"“{plain(run.name)}”"


def _changed_from(config: RunConfig) -> list[str]:
    """Returns the knobs whose value in the form is not the run's; a size left open is the same."""
    values = form_values()
    return [
        name
        for name, value in values.items()
        if value != getattr(config, name) and not (name == "image_size" and value is None)
    ]


def _use_run(config: RunConfig, run_id: str) -> None:
    fill_form(config, run_id=run_id)


# --- the knobs ----------------------------------------------------------------------------------
def draw() -> None:
    """Draws all knobs, the essential ones outside their groups."""
    _adopt_settings_from_url()
    info = _draw_dataset()
    spec = _draw_architecture()
    draw_essential("network", _used())
    _draw_freeze(spec)
    draw_essential("freeze", _used())
    draw_network(form_values(), info)
    _draw_activation(spec)
    used = _used()
    for group in GROUP_TITLES:
        if group not in ("network", "freeze"):
            draw_essential(group, used)
    freeze = form_values()["freeze"]
    st.session_state[SUITED] = (info.name, spec.name, freeze)
    usual = suited_to(info.name, spec.name, freeze)
    _draw_preset(usual)
    if form_values()["image_size"] == info.image_size and usual.image_size is None:
        usual = usual.changed(image_size=info.image_size)  # a run names the size that it took
    draw_start()
    for group in GROUP_TITLES:
        if group == "start":
            continue
        options = {"reduced_class": ("", *info.class_names)}
        draw_group(group, used, options=options, usual=usual)


def _used() -> list[str]:
    """Returns the knobs that have an effect beside those with a place of their own in the form;
    the others are hidden."""
    values = form_values()
    hidden = {*LINKED}
    if values["workers"] == 1 and not trains_on_cluster():
        hidden.add("workers")
    return [name for name in used_knobs(values) if name not in hidden]


def _draw_dataset() -> DatasetInfo:
    infos = {info.name: info for info in catalog.list_datasets() if info.usable}
    titles = Counter(info.title for info in infos.values())

    def label(name: str) -> str:
        title = infos[name].title if name in infos else name
        return f"{title} ({name})" if titles[title] > 1 else title

    draw_knob(
        "dataset",
        options=infos,
        label=label,
        on_change=_dataset_changed,
    )
    name = st.session_state[knob_key("dataset")]
    _draw_version(name)
    st.page_link(
        "pages/data.py", label="Look at it, or add your own", icon=":material/photo_library:"
    )
    try:
        return catalog.describe(name, st.session_state.get(knob_key("dataset_version"), ""))
    except catalog.VersionNotFoundError:
        return infos[name]  # the sentence below the form says so


def _draw_version(name: str) -> None:
    """Draws the choice of the data set's version; nothing for a set that has only one."""
    there = stored_versions(name)
    key = knob_key("dataset_version")
    wanted = st.session_state.get(key, "")
    if there and wanted == there[0].meta.content_hash:
        wanted = st.session_state[key] = ""
    titles = {
        version.meta.content_hash: f"Version {version.facts.number}: {version.facts.changes}"
        for version in reversed(there[1:])
        if version.meta.content_hash != there[0].meta.content_hash
    }
    if wanted and wanted not in titles:
        titles[wanted] = f"Version {wanted[:8]}, which is not on this machine"
    if titles:
        newest = f"Newest (version {there[0].facts.number})" if there else "Newest"
        draw_knob("dataset_version", options=("", *titles), label=lambda v: titles.get(v, newest))


def _draw_architecture() -> ArchitectureSpec:
    names = list(ARCHITECTURES.names())
    chosen = str(st.session_state.get(knob_key("architecture")))
    if chosen not in names and chosen in ARCHITECTURES:
        names.append(chosen)
    labels = _architecture_labels(tuple(names))
    draw_knob("architecture", options=names, label=labels.__getitem__, on_change=_use_suited)
    with st.popover("Another by name", icon=":material/keyboard:", type="tertiary"):
        st.text_input(
            "Name of a network",
            key=_TIMM_NAME,
            placeholder="resnet26d",
            on_change=_use_timm_name,
            help="Any of the 1,400 networks of the library timm; most have pretrained weights, "
            "which are downloaded when they are needed. Or several with a plus between them, such "
            "as efficientnet_lite0+efficientnet_lite1: one last layer on the features of all.",
        )
        if sentence := st.session_state.get(_TIMM_REFUSAL):
            st.error(plain(sentence))
    spec = ARCHITECTURES.get(st.session_state[knob_key("architecture")])
    source = ""
    if spec.weights:
        licence = f", licence {spec.weights.licence}" if spec.weights.licence else ""
        source = f" Pretrained weights from {spec.weights.origin}{licence}."
    st.caption(spec.story + source)
    return spec


def _use_timm_name() -> None:
    """Chooses the network that was typed, or says why not."""
    name = st.session_state[_TIMM_NAME].replace(" ", "")
    st.session_state[_TIMM_REFUSAL] = ""
    if not name:
        return
    if JOINED not in name and name not in ARCHITECTURES:
        name = TIMM + name.removeprefix(TIMM)
    try:
        ARCHITECTURES.get(name)
    except LabError as error:
        st.session_state[_TIMM_REFUSAL] = str(error)
        return
    change_form(architecture=name)
    _use_suited()


@st.cache_data(ttl=5.0, show_spinner=False)  # a look for each one's file at each click is slow
def _architecture_labels(names: tuple[str, ...]) -> dict[str, str]:
    labels = {}
    for name in names:
        spec = ARCHITECTURES.get(name)
        missing = missing_here(spec)
        labels[name] = f"{spec.title} · weights: {missing}" if missing else spec.title
    return labels


def _draw_freeze(spec: ArchitectureSpec) -> None:
    own = bool(st.session_state.get(knob_key("start_from")))
    missing = "" if own else missing_here(spec)
    text = KNOBS["freeze"].text

    def label(name: str) -> str:
        if name == "scratch" or not missing:
            return text(name)
        return f"{text(name)} · {missing}"

    draw_knob(
        "freeze",
        options=KNOBS["freeze"].choices if spec.weights or own else ("scratch",),
        label=label,
        on_change=_use_suited,
    )
    if own:
        st.caption("It starts with the weights of a run of yours.")
    elif not spec.weights:
        st.caption(f"{spec.title} has no pretrained weights, so it is trained from scratch.")
    elif st.session_state[knob_key("freeze")] != "scratch":
        if missing:
            st.caption(
                f"The pretrained weights of {spec.title} are not on this machine: {missing} before "
                "training starts."
            )
        elif sentence := weights_elsewhere(spec):
            st.caption(sentence)


def _draw_activation(spec: ArchitectureSpec) -> None:
    values = form_values()
    pretrained = values["freeze"] != "scratch" and not values["start_from"]
    if pretrained and st.session_state.get(knob_key("activation")) != "auto":
        st.session_state[knob_key("activation")] = "auto"
    own = f"The network's own ({spec.activation_title})"
    draw_knob(
        "activation",
        label=lambda name: own if name == "auto" else KNOBS["activation"].text(name),
        disabled=pretrained,
    )
    if pretrained:
        st.caption(
            "Locked: the pretrained weights were learned with this activation. "
            "Choose “From scratch” to change it."
        )


def _draw_preset(usual: RunConfig) -> None:
    """Draws the choice of a recipe, and what it sets. It stands at the one whose values the form
    has, at none where the person has others."""
    values = form_values()
    presets = {key: preset_knobs(key, usual) for key in PRESETS}
    st.session_state[_PRESET] = next(
        (
            key
            for key, knobs in presets.items()
            if all(values[name] == value for name, value in knobs.items())
        ),
        None,
    )
    st.segmented_control(
        "Recipe",
        list(PRESETS),
        format_func=lambda key: PRESETS[key].title,
        key=_PRESET,
        on_change=_use_preset,
        args=(presets,),
        help="Sets several settings together; each can be changed afterwards. As in the documents: "
        "one optimizer, plain pictures. Modern: what networks are mostly trained with today; it "
        "pays with more epochs than the plain one needs: within six, fine-tuning on cats and dogs "
        "lost 4.7 points by it.",
    )
    if st.session_state[_PRESET] not in (None, "documents"):
        plain_knobs, knobs = presets["documents"], presets[st.session_state[_PRESET]]
        sets = [
            f"{KNOBS[name].title} {KNOBS[name].text(value)}"
            for name, value in knobs.items()
            if value != plain_knobs[name]
        ]
        st.caption(f"Sets {', '.join(sets)}.")


def _use_preset(presets: Mapping[str, Mapping[str, Any]]) -> None:
    key = st.session_state[_PRESET]
    if key is not None:
        change_form(**presets[key])


def read(given: Assignment | None = None) -> RunConfig | LabError:
    """Returns the form's config, resolved, with the fixed knobs of the assignment `given`; or the
    error that tells what does not fit, in the page's words."""
    try:
        config = read_form()
        return resolve(given.with_open(config) if given else config)
    except LabError as error:
        return type(error)(page_words(str(error)))


def draw_train_button(config: RunConfig | LabError, given: Assignment | None = None) -> None:
    """Draws the button, the time a run will take and what is worth a thought before it.

    The button is enabled when the settings fit; a press queues the run and selects it.
    """
    invalid = isinstance(config, LabError)
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.button(
            "Train",
            key="train_start",
            type="primary",
            icon=":material/play_arrow:",
            width="stretch",
            disabled=invalid,
            on_click=_start,
            args=(given,),
            help="Something in the settings does not fit; the red sentence says what."
            if invalid
            else None,
        )
        if not isinstance(config, LabError):
            draw_time(config)
    if isinstance(config, LabError):
        st.error(plain(str(config)), icon=":material/error:")  # on a phone the form covers the page
        return
    if refusal := st.session_state.pop(_REFUSAL, None):
        st.error(plain(refusal), icon=":material/error:")
    draw_cautions(config)


def _start(given: Assignment | None) -> None:
    """Queues a run and selects it. A callback: so the script that follows draws the run at once."""
    config = read(given)
    try:
        if isinstance(config, LabError):
            raise config
        expected = predict.written()
        run_id = queue().submit(config, assignment=given.id if given else "")
        predict.keep(run_id, expected)
    except LabError as error:
        st.session_state[_REFUSAL] = page_words(str(error))
        return
    release_form()
    look_at(run_id)


def _dataset_changed() -> None:
    # They name a class and a version of the set before.
    change_form(touches=False, reduced_class="", dataset_version="")
    _use_suited()


def _use_suited() -> None:
    """Lets the knobs that stood at what suits the data set, architecture and freeze strategy before
    follow to what suits the ones now chosen; what the person, a link or a run chose stays."""
    own = touched()
    before = suited_to(*st.session_state[SUITED])
    values = form_values()
    dataset, architecture = values["dataset"], values["architecture"]
    if "architecture" not in own and architecture == before.architecture:
        architecture = None
    now = suited_to(dataset, architecture, values["freeze"] if "freeze" in own else None)
    change_form(
        touches=False,
        **{
            name: getattr(now, name)
            for name, value in values.items()
            if name not in own and value == getattr(before, name)
        },
    )


def _in_link() -> bool:
    return any(name in st.query_params for name in KNOBS)


def _adopt_settings_from_url() -> None:
    """Fills the form from a link such as ?dataset=sign-mnist&epochs=3, once, and cleans the URL."""
    texts = {name: st.query_params[name] for name in KNOBS if name in st.query_params}
    if not texts:
        if knob_key("dataset") not in st.session_state:
            fill_form(suited_to(RunConfig().dataset))
        return
    for name in texts:
        del st.query_params[name]
    try:
        fill_form(RunConfig.from_texts(texts), touched=frozenset(texts))
    except LabError as error:
        st.error(
            f"The link's settings could not be used: {plain(page_words(str(error)))}",
            icon=":material/link_off:",
        )
