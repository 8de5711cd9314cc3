"""One proof: the verdict, what it rests on, and its runs, which move by themselves."""

from __future__ import annotations

from functools import partial

import streamlit as st

from lab.api.panels import Panel, bar
from lab.errors import LabError
from lab.experiments import proof
from lab.experiments.proof import Proof, ProofResult
from lab.progress import Cancel, Report
from lab.runs.class_rules import results_hidden
from lab.runs.store import store
from lab.ui.live.panel import live_panel
from lab.ui.widgets.background import computed
from lab.ui.widgets.links import compare_query
from lab.ui.words import page_words, plain, status_word
from lab.words import percent, whole_percent

PROOF = "proof"
"""The parameter of the page's URL."""
RESULT = "proof-result"


def draw_page() -> None:
    """Draws the proof that the URL names."""
    wanted = st.query_params.get(PROOF) or st.session_state.get(PROOF, "")
    if not wanted:
        st.info("No proof is named. Start one on the Data page, in the tab Versions.")
        st.page_link("pages/data.py", label="Data", icon=":material/photo_library:")
        return
    st.query_params[PROOF] = st.session_state[PROOF] = wanted
    try:
        shown = proof.read(wanted)
    except LabError as error:
        st.error(plain(str(error)), icon=":material/link_off:")
        st.page_link("pages/data.py", label="Data", icon=":material/photo_library:")
        return
    _draw_versions(shown)
    found = _result(shown)
    if found is not None:
        _draw_result(shown, found)
    _draw_runs(shown)


def _draw_versions(shown: Proof) -> None:
    from lab.data.catalog import describe

    try:
        title = describe(shown.dataset).title
    except LabError:
        title = shown.dataset
    words = []
    for side in proof.SIDES:
        version = proof.version_of(shown, side)
        if version is None:
            hash_ = shown.before if side == "before" else shown.after
            words.append(f"a version that is no longer here ({hash_[:8]})")
        else:
            words.append(f"**version {version.number}** ({plain(version.changes)})")
    seeds = len(shown.seeds)
    st.markdown(
        f"{plain(title)}: {words[0]} against {words[1]}. The same settings, "
        f"{seeds} seed{'s' * (seeds != 1)} each."
    )


def _result(shown: Proof) -> ProofResult | None:
    if results_hidden(store().database):
        st.info("Test results are not shown yet.", icon=":material/visibility_off:")
        return None
    done = shown.completed_seeds
    if not done:
        if not shown.is_live:
            st.warning(
                "No seed was trained on both versions to the end, so nothing can be told. Resume "
                "its runs on the Runs page, or start another proof.",
                icon=":material/warning:",
            )
        return None

    def work(progress: Report, cancel: Cancel) -> ProofResult:
        # Runs in a job's thread: must not call st.*.
        return proof.result(shown, progress=progress, cancel=cancel)

    key = f"{RESULT}:{shown.id}:{','.join(map(str, done))}"
    return computed(key, "Testing both on the same pictures", work, kind=RESULT)


def _draw_result(shown: Proof, found: ProofResult) -> None:
    test = found.test
    left = len(shown.seeds) - len(found.seeds)
    sentence = plain(proof.sentence(found))
    if left and shown.is_live:
        sentence += f" So far: {left} of {len(shown.seeds)} seeds are still to come."
    elif left:
        sentence += f" {left} of {len(shown.seeds)} seeds did not end and are left out."
    if not test.more_than_chance:
        st.info(f"**{sentence}**", icon=":material/balance:")
    elif test.difference > 0:
        st.success(f"**{sentence}**", icon=":material/check_circle:")
    else:
        st.warning(f"**{sentence}**", icon=":material/warning:")
    with st.grid("auto", min_column_width=150, gap="small"):
        st.metric("Right before", percent(found.before), border=True)
        st.metric("Right after", percent(found.after), border=True)
        st.metric("Difference", f"{100 * test.difference:+.1f} points", border=True)
        st.metric("Test pictures", f"{test.n:,}", border=True)
    st.markdown("\n".join(f"- {plain(line)}" for line in proof.explanation(found)))
    st.dataframe(
        {
            "Seed": [str(s.seed) for s in found.seeds],
            "Right before": [percent(s.before) for s in found.seeds],
            "Right after": [percent(s.after) for s in found.seeds],
            "Difference (points)": [f"{100 * (s.after - s.before):+.1f}" for s in found.seeds],
        },
        hide_index=True,
        alt="Accuracy of each seed's two networks on the common test pictures.",
    )


def _draw_runs(shown: Proof) -> None:
    st.header("Its runs", anchor=False)
    live_panel(partial(_panel, shown.id), key=f"proof_runs_{shown.id}", live=shown.is_live)
    with st.container(horizontal=True):
        st.page_link(
            "pages/compare.py",
            label="Compare their curves",
            icon=":material/compare_arrows:",
            query_params=compare_query([r.row.id for r in shown.runs]),
        )
        st.page_link(
            "pages/data.py",
            label="The data set",
            icon=":material/photo_library:",
            query_params={"dataset": shown.dataset},
        )
    with st.expander("A link to this page", icon=":material/share:"):
        st.code(_link(), language=None, wrap_lines=True)


def _link() -> str:
    address = (st.context.url or "").split("?")[0]
    return f"{address}?{PROOF}={st.session_state[PROOF]}"


def _panel(proof_id: str) -> Panel:
    """Returns the runs as they are now; also called by the event hub."""
    try:
        shown = proof.read(proof_id, store())
    except LabError as error:
        return {"state": "gone", "blocks": [bar(page_words(str(error)), None)]}
    blocks = []
    for run in shown.runs:
        words = status_word(run.row.status)
        if run.row.status == "running":
            words += f" {whole_percent(run.row.progress)}"
        share = 1.0 if run.row.status == "completed" else run.row.progress
        if run.row.status == "queued":
            share = 0.0
        text = f"{'Before' if run.side == 'before' else 'After'}, seed {run.seed} · {words}"
        blocks.append(bar(text, share, link=("open", f"train?run={run.row.id}")))
    return {"state": " ".join(r.row.status for r in shown.runs), "blocks": blocks}
