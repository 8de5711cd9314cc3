"""The wheel carries all that a checkout has beside lab/, and works from any folder."""

import os
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from lab import installation

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built wheel, unpacked."""
    pytest.importorskip("hatchling")
    target = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(target)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = target.glob("epochlab-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(target / "site")
    return target / "site"


def _run(installed: Path, code: str, tmp_path: Path) -> str:
    """What the code prints where the installed copy is the only `lab`."""
    environment = {**os.environ, "PYTHONPATH": str(installed), "XDG_DATA_HOME": str(tmp_path)}
    environment.pop("LAB_HOME", None)
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_checkout_keeps_its_folder_beside_it() -> None:
    assert installation.IS_CHECKOUT
    assert ROOT / "streamlit_app.py" == installation.APP
    assert installation.COMMAND == "python -m lab"
    assert installation.default_home() == ".lab"


@pytest.mark.parametrize(
    ("holds", "command", "anew"),
    [
        ("pipx_metadata.json", "pipx inject epochlab", "pipx inject --force epochlab"),
        (
            "uv-receipt.toml",
            'uv pip install --python "$(uv tool dir)/epochlab"',
            'uv pip install --reinstall --python "$(uv tool dir)/epochlab"',
        ),
        ("pyvenv.cfg", "pip install", "pip install --force-reinstall"),
    ],
)
def test_a_library_is_added_to_the_environment_that_runs_the_lab(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, holds: str, command: str, anew: str
) -> None:
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    (tmp_path / holds).touch()
    assert installation.how_to_install("onnx", "ray>=2") == f"{command} onnx 'ray>=2'"
    assert installation.how_to_install("onnx", anew=True) == f"{anew} onnx"
    assert str(tmp_path) not in installation.how_to_install("onnx")


def test_a_library_is_added_to_the_environment_of_a_checkout(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "prefix", str(ROOT / ".venv"))
    monkeypatch.setattr(sys, "executable", str(ROOT / ".venv/bin/python"))
    assert installation.how_to_install("onnx") == ".venv/bin/python -m pip install onnx"
    monkeypatch.setattr(installation, "_has_pip", lambda: False)  # uv leaves pip out
    assert installation.how_to_install("onnx") == "uv pip install onnx"


def test_saying_how_to_install_leaves_setuptools_as_it_is() -> None:
    """torch.compile imports it; on Python 3.11 it failed once it was asked whether pip is there."""
    code = "from lab import installation; installation.how_to_install('onnx'); import setuptools"
    subprocess.run([sys.executable, "-W", "error", "-c", code], cwd=ROOT, check=True)


def test_an_extra_is_a_file_of_a_checkout_and_requirements_of_an_installed_copy(
    installed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    assert installation.how_to_install_extra("ray") == "pip install -r requirements-ray.txt"
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    extras = extras["tool"]["hatch"]["metadata"]["hooks"]["requirements_txt"]
    assert extras["optional-dependencies"] == {
        name: [f"requirements-{name}.txt"] for name in extras["optional-dependencies"]
    }
    code = "import sys; sys.prefix = '.'; from lab import installation;"
    said = _run(installed, f"{code}print(installation.how_to_install_extra('onnx'))", tmp_path)
    assert said.strip() == "pip install 'onnx>=1.18' 'onnxruntime>=1.22'"


def test_the_versions_that_passed_are_within_the_bounds() -> None:
    lines = [
        line for file in ROOT.glob("requirements*.txt") for line in file.read_text().splitlines()
    ]
    bounds = [Requirement(line.split("#")[0]) for line in lines if re.match("[a-z]", line)]
    passed = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    versions = {
        canonicalize_name(name): version
        for name, _, version in (line.partition("==") for line in passed if line[0] != "#")
    }
    known = [each for each in bounds if canonicalize_name(each.name) in versions]
    assert len(known) > 30
    for each in known:
        assert each.specifier.contains(versions[canonicalize_name(each.name)]), str(each)


def test_the_wheel_has_every_file(installed: Path) -> None:
    def files(folder: Path) -> set[str]:
        return {
            path.relative_to(folder).as_posix()
            for path in folder.rglob("*")
            if path.is_file() and "__pycache__" not in path.parts
        }

    assert files(ROOT / "lab") <= files(installed / "lab")
    assert files(ROOT / "pages") == files(installed / "lab" / "app" / "pages")
    assert (installed / "lab" / "app" / ".streamlit" / "config.toml").is_file()


def test_an_installed_copy_serves_its_pages_and_keeps_its_data_with_the_person(
    installed: Path, tmp_path: Path
) -> None:
    code = """
from streamlit.testing.v1 import AppTest
from lab import installation
from lab.home import lab_home
from lab.ui import startup
startup._warm_up = lambda: None
print(installation.IS_CHECKOUT, installation.COMMAND, lab_home())
app = AppTest.from_file(str(installation.APP), default_timeout=60).run()
print(app.title[0].value, len(app.exception))
"""
    first, second = _run(installed, code, tmp_path).splitlines()
    assert first == f"False epochlab {tmp_path / 'epochlab'}"
    assert second == "Epochlab 0"
