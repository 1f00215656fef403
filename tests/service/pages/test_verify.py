"""What the page says of signed files, changed ones, and whatever else is sent."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tests.service.pages.conftest import HOSTILE, ORIGIN, Service

from yozora import Clip, write
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
    facts = Facts(model=HOSTILE, prompt="p", at=1_700_000_000_000)
    Sealer(service.settings.data / "signing").seal(plain, tmp_path / "signed.mp4", facts)
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


def test_a_file_that_is_none(service: Service) -> None:
    assert "<dd>none" in said(service, f"{HOSTILE}.mp4", b"nothing that anybody could read")
    browser = service.browser("a-viewer")
    assert browser.submit("/verify").status_code == 422
