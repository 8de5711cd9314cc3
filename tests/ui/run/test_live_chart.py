"""The Python side of the live chart; its JavaScript is tested in tests/browser."""

from __future__ import annotations

import errno
import importlib.metadata
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from lab.errors import ResourceError
from lab.ui.run.live_chart import ensure_plotly_js

DEMO = Path(__file__).parents[2] / "browser" / "live_chart_demo.py"


def test_plotly_comes_from_the_installed_wheel(tmp_path: Path) -> None:
    static = tmp_path / "static"
    url = ensure_plotly_js(static)
    name = f"plotly-{importlib.metadata.version('plotly')}.min.js"
    assert url == f"app/static/{name}"
    copied = static / name
    assert b"plotly.js" in copied.read_bytes()[:200]
    assert stat.S_IMODE(copied.stat().st_mode) & 0o444

    before = copied.stat()
    assert ensure_plotly_js(static) == url
    assert copied.stat() == before  # not copied again

    copied.write_bytes(b"half a fi")  # as a killed copy without atomic replacement would leave it
    ensure_plotly_js(static)
    assert copied.stat().st_size == before.st_size


def test_many_threads_at_once_leave_one_whole_file(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(ensure_plotly_js, [tmp_path] * 8))) == 1
    assert len(list(tmp_path.iterdir())) == 1


def test_a_folder_that_cannot_be_written_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*args: object, **kwargs: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "mkdir", refused)  # real permissions do not stop root
    with pytest.raises(ResourceError, match="cannot be written"):
        ensure_plotly_js(tmp_path / "static")


@pytest.mark.parametrize("at", [0, 5, 3000])
def test_the_page_draws_with_and_without_points(at: int) -> None:
    # AppTest makes a new runtime each time: the component must be found in every one.
    app = AppTest.from_file(str(DEMO))
    app.query_params["at"] = str(at)
    app.query_params["rate"] = "0"
    app.run(timeout=30)
    assert not app.exception
    assert app.session_state["live_chart_demo"].step == at
