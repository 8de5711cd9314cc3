"""Serves the browser's code: our own modules, uPlot (vendored), Plotly from the installed wheel.

All lie below /assets/<version>/, where the version changes with the content of any file: so a
browser keeps them for good, and modules import each other by plain relative names.
"""

from __future__ import annotations

import hashlib
import importlib.util
from functools import cache
from pathlib import Path

from starlette.requests import Request
from starlette.responses import FileResponse, PlainTextResponse, Response
from starlette.routing import BaseRoute, Route

FOLDER = Path(__file__).with_name("js")
PLOTLY = "plotly.min.js"
KEPT = {"Cache-Control": "public, max-age=31536000, immutable"}


def asset_url(name: str) -> str:
    """Returns the address of a file of FOLDER, or of PLOTLY, relative to the server's root."""
    return f"assets/{_version()}/{name}"


def asset_routes() -> list[BaseRoute]:
    """Returns the routes that serve the files."""
    return [Route("/assets/{version}/{name:path}", _asset)]


async def _asset(request: Request) -> Response:
    file = _files().get(request.path_params["name"])
    if file is None:
        return PlainTextResponse("There is no such file.", status_code=404)
    return FileResponse(file, headers=KEPT)


@cache
def _files() -> dict[str, Path]:
    """Returns name -> path of everything that is served; nothing else is."""
    own = {str(f.relative_to(FOLDER)): f for f in sorted(FOLDER.rglob("*")) if f.is_file()}
    package = importlib.util.find_spec("plotly")  # does not import it
    assert package is not None  # a direct dependency
    assert package.origin is not None
    return {**own, PLOTLY: Path(package.origin).parent / "package_data" / PLOTLY}


@cache
def _version() -> str:
    digest = hashlib.sha256()
    for name, file in _files().items():
        # Plotly is 5 MB: its size tells its releases apart.
        content = str(file.stat().st_size).encode() if name == PLOTLY else file.read_bytes()
        digest.update(name.encode() + b"\0" + content)
    return digest.hexdigest()[:12]
