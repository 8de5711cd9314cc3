"""Camera frames are answered as uploads are, quickly, by one network that is opened once."""

import threading
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from lab.data.decode import UnreadableFile
from lab.errors import DataError, NotFoundError
from lab.evaluate.familiarity import measure_familiarity
from lab.evaluate.live import answer_frame
from lab.training.checkpoint import load_network, publish
from tests.evaluate.test_classify import as_png, ask, train


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return train(tmp_path / "r-1")


@pytest.mark.parametrize("architecture", ["sign-cnn", "single-layer-perceptron"])
def test_a_frame_is_answered_as_an_upload_is(tmp_path: Path, architecture: str) -> None:
    folder = train(tmp_path / "r-1", architecture=architecture)
    [expected] = ask(folder, "best", [("a.png", as_png(3))])
    frame = answer_frame(folder, "best", as_png(3))
    assert [name for name, _ in frame.classes] == [name for name, _ in expected.top(3)]
    np.testing.assert_allclose(
        [share for _, share in frame.classes], [share for _, share in expected.top(3)], atol=1e-6
    )
    assert (frame.checkpoint, frame.epoch, frame.unlike) == ("best", expected.epoch, None)
    known = measure_familiarity(folder, "best")
    assert answer_frame(folder, "best", as_png(3)).unlike is known.judge(expected.features).unlike


def test_newer_weights_answer_as_soon_as_they_are_there(run: Path) -> None:
    measure_familiarity(run, "last")
    assert answer_frame(run, "last", as_png(0)).unlike is not None
    network, _ = load_network(run, "last")
    publish(network, run, epoch=9, best=False, kept=False)
    newer = answer_frame(run, "last", as_png(0))
    assert (newer.epoch, newer.unlike) == (9, None)


def test_many_threads_get_the_same_answer_in_milliseconds(run: Path) -> None:
    expected = answer_frame(run, "best", as_png(0))
    seconds, answers = [], []

    def many() -> None:
        for _ in range(10):
            started = time.perf_counter()
            answers.append(answer_frame(run, "best", as_png(0)))
            seconds.append(time.perf_counter() - started)

    threads = [threading.Thread(target=many) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [expected] * 30
    assert np.median(seconds) < 0.25  # 5 ms alone on a quiet machine


def test_what_is_no_picture_no_checkpoint_or_no_number_is_told(run: Path) -> None:
    with pytest.raises(UnreadableFile, match="is an SVG"):
        answer_frame(run, "best", b"<svg></svg>")
    with pytest.raises(NotFoundError, match="there are: best, last"):
        answer_frame(run, "epoch-0009", as_png(0))
    network, _ = load_network(run, "last")
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.fill_(float("nan"))
    publish(network, run, epoch=3, best=False, kept=False)
    with pytest.raises(DataError, match="the training diverged"):
        answer_frame(run, "last", as_png(0))
