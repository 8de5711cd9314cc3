"""Runs in a select box: told apart, and nothing of the code where a name is enough."""

from lab.config import RunConfig
from lab.runs.store import store
from lab.ui.widgets.checkpoints import run_labels


def test_only_runs_of_one_name_have_a_piece_of_their_ids() -> None:
    ids = [store().create_run(RunConfig(), name=name, status="paused") for name in "aba"]
    labels = run_labels([store().run(run_id) for run_id in ids])
    assert labels[ids[1]].startswith("b")
    assert ids[1][-4:] not in labels[ids[1]]
    assert len(set(labels.values())) == 3
