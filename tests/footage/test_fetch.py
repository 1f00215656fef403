"""The example that fetches footage leaves whole files or none."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

from yozora import artifact

SCRIPT = Path(__file__).parents[2] / "examples" / "fetch_footage.py"


def test_killed_while_saving_no_half_clip_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(path: Path) -> None:
        raise KeyboardInterrupt

    example = runpy.run_path(str(SCRIPT))
    package = example["PIP_CLIPS"][0]
    monkeypatch.setattr(artifact, "sync", killed)
    with pytest.raises(KeyboardInterrupt):
        example["save"](package.items[0], package, "1.0", b"a film", tmp_path)
    assert not list(tmp_path.iterdir())
