"""A corpus as a folder of files that any tool can read, and `ingest` again."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

from yozora.artifact import building
from yozora.corpus.catalogue import Corpus
from yozora.corpus.schema import Row

STAGE = "export/1"


def export(
    corpus: Corpus,
    out: str | Path,
    *,
    split: str | None = None,
    kind: str | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> int:
    """Writes OUT/ID.mp4 for each clip, OUT/list.jsonl with what is known of them, and OUT/rights.json, the manifest of
    their rights; returns the number of clips.

    Raises YozoraError when a clip may not be used, or has lost its file, or OUT holds something.
    """
    rows = corpus.rows(split, kind)
    rights = corpus.cleared(row.id for row in rows)
    corpus.consumed("export", out, [row.id for row in rows])
    inputs = {"corpus": corpus.identity(), "rights": rights["list"]}
    with building(
        out, stage=STAGE, inputs=inputs, parameters={"split": split, "kind": kind}
    ) as folder:
        with (folder / "list.jsonl").open("w", encoding="utf-8") as listing:
            for done, row in enumerate(rows):
                progress(done, len(rows))
                shutil.copyfile(corpus.file(row), folder / f"{row.id}.mp4")
                listing.write(json.dumps(line(row), ensure_ascii=False) + "\n")
        text = json.dumps(rights, indent=1, ensure_ascii=False)
        (folder / "rights.json").write_text(text + "\n", encoding="utf-8")
    return len(rows)


def line(row: Row) -> dict[str, object]:
    """What a list of footage says of a clip (see footage/manifest.py)."""
    facts = {name: row.labels.get(name, "") for name in ("country", "language", "domain")}
    return {
        "path": f"{row.id}.mp4",
        "captions": list(row.captions),
        "licence": row.licence,
        "holder": row.holder,
        "url": row.url,
        "split": row.split,
        **{name: value for name, value in facts.items() if value},
    }
