"""The corpus's page as people see it: taken in from real films, opened in a real browser."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.browser import CONTRAST, browser
from tests.footage.test_survey import film

from yozora.corpus.catalogue import Corpus
from yozora.corpus.page import page
from yozora.footage.ingest import ingest_into
from yozora.rights.intake import admit_named
from yozora.world.dataset import LICENCE, SOURCE, make

__all__ = ["browser"]  # a fixture
HOSTILE = "<img src=x onerror=alert(1)>"


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("page")
    corpus = Corpus.create(folder / "corpus")
    admit_named(corpus.ledger, corpus.policy, SOURCE, LICENCE)
    corpus.add(make(index) for index in range(3))
    path = film(folder / f"{HOSTILE.replace('/', '')}.mp4")
    path.with_suffix(".txt").write_text(f"A film {HOSTILE}\n")
    broken = folder / "broken.mp4"
    broken.write_bytes(b"no film at all")
    found = ingest_into(corpus, [path, broken], licence="CC-BY-4.0", seconds=1.125)
    assert found.added
    (folder / "corpus.html").write_text(page(corpus), encoding="utf-8")
    return folder / "corpus.html"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
def test_everything_on_the_page_can_be_seen(  # type: ignore[no-untyped-def]
    browser, report: Path, scheme: str, width: int
) -> None:
    context = browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme)
    page = context.new_page()
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("dialog", lambda dialog: said.append(dialog.message))
    page.on("requestfailed", lambda request: said.append(request.url))
    page.goto(report.as_uri())
    pictures = page.evaluate("[...document.images].map(i => i.complete && i.naturalWidth)")
    assert len(pictures) >= 1
    assert all(pictures)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate(CONTRAST) >= 4.5
    text = page.inner_text("body")
    for words in ("allowed", "CC-BY-4.0", "broken.mp4", "17", HOSTILE):
        assert words in text
    assert said == []
    context.close()
