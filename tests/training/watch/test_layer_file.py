"""What is kept of the layers: written, read again, thinned, cut back, damaged."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from lab.errors import ResourceError
from lab.training.watch import layer_file
from lab.training.watch.layer_file import BINS, LayerWriter, cut_back, layer_history, newest_sample

LAYERS = ("first", "second.conv", "head")
CURVES = ("relu", "tanh", "")


def write(folder: Path, steps: range, layers: tuple[str, ...] = LAYERS) -> None:
    """Samples whose every figure tells the step, the layer and which figure it is."""
    folder.mkdir(exist_ok=True)
    writer = LayerWriter(folder, layers, CURVES[: len(layers)])
    places = np.arange(len(layers))
    for step in steps:
        figures = np.stack([step + 100_000 * kind + places / 10 for kind in range(5)])
        figures[3, 0] = np.nan
        counts = np.full((len(layers), BINS), step % 1000)
        writer.append(step, figures, np.stack([places - 1.0, places + 3.0]), counts)
    writer.close()


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    write(tmp_path, range(5, 50, 5))
    history = layer_history(tmp_path)
    assert history is not None
    assert history.layers == LAYERS
    assert history.activations == CURVES
    assert history.steps.tolist() == list(range(5, 50, 5))
    assert history.samples == 9
    assert history.gradient_norm.shape == (9, 3)
    assert history.gradient_norm[2] == pytest.approx([15, 15.1, 15.2])
    assert history.weight_norm[2, 1] == pytest.approx(100_015.1)
    assert history.update_ratio[2, 1] == pytest.approx(200_015.1)
    assert np.isnan(history.dead[:, 0]).all()
    assert history.saturated[2, 2] == pytest.approx(400_015.2)
    assert (history.histograms[2] == 15).all()
    assert history.histograms.shape == (9, 3, BINS)
    assert history.edges.shape == (9, 3, BINS + 1)
    assert history.edges[4, 1] == pytest.approx(np.linspace(0, 4, BINS + 1))
    assert newest_sample(tmp_path) == (9, 45)


def test_a_long_history_is_thinned_and_the_newest_kept(tmp_path: Path) -> None:
    write(tmp_path, range(1, 1001))
    history = layer_history(tmp_path, points=100)
    assert history is not None
    assert history.samples == 1000
    assert len(history.steps) == 100
    assert (history.steps[0], history.steps[-1]) == (1, 1000)
    assert set(np.diff(history.steps)) <= {10, 11}
    window = layer_history(tmp_path, points=100, last=30)
    assert window is not None
    assert window.steps.tolist() == list(range(971, 1001))
    assert layer_history(tmp_path, points=1).steps.tolist() == [1000]  # type: ignore[union-attr]
    assert len(layer_history(tmp_path, last=5000).steps) == 400  # type: ignore[union-attr]


def test_reading_costs_what_it_returns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten times the history, the same number of bytes read."""
    counted: list[int] = []
    opened = Path.open

    class Spied:
        """A file that notes how much is read of it."""

        def __init__(self, file: object) -> None:
            self.file = file

        def __getattr__(self, name: str) -> object:
            return getattr(self.file, name)

        def __enter__(self) -> "Spied":
            return self

        def __exit__(self, *_: object) -> None:
            self.file.close()  # type: ignore[attr-defined]

        def read(self, n: int) -> bytes:
            counted.append(n)
            return self.file.read(n)  # type: ignore[attr-defined, no-any-return]

    def spied(self: Path, *args: object, **kwargs: object) -> object:
        file = opened(self, *args, **kwargs)  # type: ignore[call-overload]
        return Spied(file) if self.name == "samples.bin" and args == ("rb",) else file

    sums = []
    for name, steps in (("short", 200), ("long", 2000)):
        write(tmp_path / name, range(1, steps + 1))
        counted.clear()
        monkeypatch.setattr(Path, "open", spied)
        layer_history(tmp_path / name, points=50)
        monkeypatch.setattr(Path, "open", opened)
        sums.append(sum(counted))
    assert sums[0] == sums[1] > 0


def test_a_resumed_run_cuts_back_and_goes_on(tmp_path: Path) -> None:
    write(tmp_path, range(10, 100, 10))
    before = layer_history(tmp_path)
    cut_back(tmp_path, 45)
    assert newest_sample(tmp_path) == (4, 40)
    write(tmp_path, range(50, 70, 10))
    after = layer_history(tmp_path)
    assert before is not None
    assert after is not None
    assert after.steps.tolist() == [10, 20, 30, 40, 50, 60]
    assert (after.gradient_norm == before.gradient_norm[:6]).all()
    cut_back(tmp_path, 1000)
    assert newest_sample(tmp_path) == (6, 60)


def test_the_same_steps_with_other_figures_are_seen_as_new(tmp_path: Path) -> None:
    """After a resume there may be as many samples as before, up to the same step."""
    write(tmp_path, range(1, 5))
    assert layer_history(tmp_path) is not None
    cut_back(tmp_path, 3)
    writer = LayerWriter(tmp_path, LAYERS, CURVES)
    writer.append(4, np.zeros((5, 3)), np.zeros((2, 3)), np.zeros((3, BINS)))
    writer.close()
    history = layer_history(tmp_path)
    assert history is not None
    assert history.gradient_norm[-1].tolist() == [0, 0, 0]


def test_a_run_that_begins_anew_forgets(tmp_path: Path) -> None:
    write(tmp_path, range(1, 5))
    cut_back(tmp_path, 0)
    assert newest_sample(tmp_path) is None
    assert layer_history(tmp_path) is None
    write(tmp_path, range(1, 3), layers=("other",))
    history = layer_history(tmp_path)
    assert history is not None
    assert history.layers == ("other",)


def test_samples_of_other_layers_are_not_gone_on_with(tmp_path: Path) -> None:
    write(tmp_path, range(1, 5))
    write(tmp_path, range(5, 7), layers=("other",))
    history = layer_history(tmp_path)
    assert history is not None
    assert history.steps.tolist() == [5, 6]


def test_nothing_there(tmp_path: Path) -> None:
    assert layer_history(tmp_path) is None
    assert newest_sample(tmp_path) is None
    cut_back(tmp_path, 3)
    assert not list(tmp_path.iterdir())
    LayerWriter(tmp_path, LAYERS, CURVES).close()
    assert newest_sample(tmp_path) is None
    assert layer_history(tmp_path) is None


def test_a_half_written_record_is_not_there_and_is_taken_back(tmp_path: Path) -> None:
    write(tmp_path, range(1, 4))
    file = tmp_path / "layers" / "samples.bin"
    file.write_bytes(file.read_bytes() + b"half of a record")
    history = layer_history(tmp_path)
    assert history is not None
    assert history.steps.tolist() == [1, 2, 3]
    cut_back(tmp_path, 3)
    write(tmp_path, range(4, 6))
    assert layer_history(tmp_path).steps.tolist() == [1, 2, 3, 4, 5]  # type: ignore[union-attr]


@pytest.mark.parametrize("content", ["nonsense", "[]", '{"version": 1}', '{"version": 99}'])
def test_a_damaged_header_is_no_history(
    tmp_path: Path, content: str, caplog: pytest.LogCaptureFixture
) -> None:
    write(tmp_path, range(1, 4))
    (tmp_path / "layers" / "layers.json").write_text(content)
    assert layer_history(tmp_path) is None
    assert newest_sample(tmp_path) is None
    assert ("is left out" in caplog.text) == ("99" not in content)
    cut_back(tmp_path, 2)
    assert not list((tmp_path / "layers").iterdir()), "what nobody can read is removed"


def test_a_full_disk_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, range(1, 2))

    class Full:
        def write(self, data: bytes) -> None:
            raise OSError(28, "No space left on device")

    writer = LayerWriter(tmp_path, LAYERS, CURVES)
    writer.close()
    monkeypatch.setattr(writer, "_open", Full())
    with pytest.raises(ResourceError, match="disk is full"):
        writer.append(2, np.zeros((5, 3)), np.zeros((2, 3)), np.zeros((3, BINS)))


def test_reading_needs_no_torch() -> None:
    script = f"import sys, {layer_file.__name__}; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout.strip() == "False", done.stderr
