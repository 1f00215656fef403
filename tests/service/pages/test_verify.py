"""What the page says of signed files, changed ones, and whatever else is sent."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from tests.service.pages.conftest import HOSTILE, ORIGIN, Service

from yozora import Clip, write
from yozora.service.intake import Limits
from yozora.service.pages import examination
from yozora.service.provenance import Facts, Sealer


def said(service: Service, name: str, content: bytes) -> str:
    """The page after a file was sent."""
    browser = service.browser("a-viewer")
    answer = browser.post(
        "/verify",
        data={"csrf": browser.token},
        files={"file": (name, content)},
        headers={"origin": ORIGIN},
    )
    assert answer.status_code == 200
    return str(answer.text)


@pytest.fixture
def signed(service: Service, tmp_path: Path) -> bytes:
    """A clip that this service signed, whose model is called HOSTILE."""
    frames = np.random.default_rng(1).integers(0, 255, (5, 64, 112, 3), dtype=np.uint8)
    plain = write(Clip(frames, 8), tmp_path / "plain.mp4")
    facts = Facts(model=HOSTILE, prompt="p", at=1_700_000_000_000, weights="ab" * 32)
    Sealer(service.settings.credentials).seal(plain, tmp_path / "signed.mp4", facts)
    return (tmp_path / "signed.mp4").read_bytes()


def test_a_signed_file_and_one_with_a_flipped_byte(service: Service, signed: bytes) -> None:
    page = said(service, "out.mp4", signed)
    assert "not a byte was changed" in page
    assert "this service" in page
    assert HOSTILE not in page
    assert "&lt;script&gt;" in page
    changed = bytearray(signed)
    changed[len(signed) // 2] ^= 1
    assert "broken" in said(service, "out.mp4", bytes(changed))


@pytest.mark.parametrize("at", [10**20, -(10**20), 10**14, 0])
def test_a_time_that_is_none_is_not_shown(service: Service, tmp_path: Path, at: int) -> None:
    plain = write(Clip(np.zeros((5, 64, 112, 3), np.uint8), 8), tmp_path / "plain.mp4")
    facts = Facts(model="m", prompt="p", at=at, weights="ab" * 32)
    Sealer(tmp_path / "theirs").seal(plain, tmp_path / "signed.mp4", facts)
    page = said(service, "out.mp4", (tmp_path / "signed.mp4").read_bytes())
    assert "not a byte was changed" in page
    assert "which anybody can call himself" in page
    assert "<dt>When" not in page


def test_a_strangers_file_is_read_where_there_are_no_secrets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "spy.py").write_text(
        "import json, os, resource\n"
        "print(json.dumps([sorted(os.environ), resource.getrlimit(resource.RLIMIT_CORE)]))"
    )
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("YOZORA_PEPPER", "YOZORA_DB", "NORTH_KEY"):
        monkeypatch.setenv(name, "secret")
    monkeypatch.setattr(examination, "__name__", "spy")
    seen, _ = examination.examined(tmp_path / "x.mp4", tmp_path / "none.pem", tmp_path)
    assert not [name for name in seen if name.startswith("YOZORA") or name == "NORTH_KEY"]
    limits = Limits(**asdict(examination.COSTS))
    code = (
        "import json, resource, sys; from pathlib import Path\n"
        "from yozora.service.pages import examination as e; from yozora.service.intake import Limits\n"
        "e.main(Path('nothing.mp4'), Path('none.pem'), Limits(**json.loads(sys.argv[1])))\n"
        "print(resource.getrlimit(resource.RLIMIT_AS)[0])"
    )
    (tmp_path / "nothing.mp4").write_bytes(b"nothing")
    done = subprocess.run(
        [sys.executable, "-c", code, json.dumps(asdict(limits))],
        cwd=tmp_path, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.splitlines()[-1] == str(limits.memory)


def test_a_file_that_is_none(service: Service) -> None:
    assert "<dd>none" in said(service, f"{HOSTILE}.mp4", b"nothing that anybody could read")
    browser = service.browser("a-viewer")
    assert browser.submit("/verify").status_code == 422
