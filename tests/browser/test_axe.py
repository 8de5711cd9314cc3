"""Every page in both themes under axe-core: no serious violation that is ours."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lab.ui.entrance import PAGES

ROOT = Path(__file__).parents[2]
SOON = 120_000
SERIOUS = ("serious", "critical")

OF_STREAMLIT: dict[str, str] = {}
"""Rule -> why it is Streamlit's own: a selector of the elements that it concerns is in `_is_ours`."""


@pytest.fixture(scope="session")
def axe() -> Any:
    sync_playwright = pytest.importorskip("axe_playwright_python.sync_playwright")
    return sync_playwright.Axe()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", [page.name for page in PAGES])
def test_no_serious_violation(
    serve: Callable[[Path], str], open_page: Callable[..., Any], axe: Any, name: str, scheme: str
) -> None:
    path = "" if name == PAGES[0].name else name
    # As high as it gets: axe sees only what is on the screen.
    page = open_page(f"{serve(ROOT / 'streamlit_app.py')}/{path}", height=5000, scheme=scheme)
    page.get_by_role("heading", level=1).wait_for(timeout=SOON)
    page.wait_for_timeout(3000)
    answer = axe.run(page).response
    found = [
        f"{violation['id']} ({violation['impact']}): {node['html'][:200]}\n    {node['failureSummary']}"
        for violation in answer["violations"]
        for node in violation["nodes"]
        if violation["impact"] in SERIOUS
    ]
    print([(v["id"], v["impact"], len(v["nodes"])) for v in answer["violations"]])
    assert not found, "\n".join(found)
