"""Signing: a sealed file says what made it, and not one byte of it can be changed unseen."""

from __future__ import annotations

import io
import json
import stat
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import c2pa
import pytest
from click.testing import CliRunner, Result
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from tests.media import moving
from tests.rights.files import credentials, signed, uses

from yozora import Clip, read, write
from yozora.cli import main
from yozora.errors import YozoraError
from yozora.rights.signals.read import read_signals
from yozora.rights.signals.signal import Says
from yozora.service import certificate
from yozora.service.provenance import SEAL, Facts, Sealer, examine, signature_of

FACTS = Facts("nano", "a red ball falls", at=1_790_000_000_000, weights="5eed0a57" * 8, seed=7)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("provenance")


@pytest.fixture(scope="module")
def sealer(folder: Path) -> Sealer:
    return Sealer(folder / "signing")


@pytest.fixture(scope="module")
def video(folder: Path, sealer: Sealer) -> Path:
    plain = write(sealer.mark(Clip(moving(), 8), FACTS), folder / "plain.mp4")
    sealer.seal(plain, folder / "video.mp4", FACTS)
    return folder / "video.mp4"


def verify(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["verify", *map(str, arguments)])


def test_a_sealed_file_says_what_made_it_and_plays_as_before(video: Path) -> None:
    found = examine(video)
    assert (found.signature, found.why, found.whole) == ("valid", "", True)
    assert (found.generated, found.composite, found.facts["frames_given"]) == (True, False, False)
    assert found.facts["model"] == "nano"
    assert found.facts["seed"] == 7
    assert set(found.training.values()) == {"notAllowed"}
    assert found.mark is not None
    assert f"{found.mark.payload:08x}" == found.facts["mark"] == "5eed0a57"
    assert (read(video).frames == read(video.with_name("plain.mp4")).frames).all()


def test_a_file_with_frames_that_were_given_does_not_say_that_a_model_made_it_all(
    video: Path, folder: Path, sealer: Sealer
) -> None:
    sealer.seal(folder / "plain.mp4", folder / "part.mp4", replace(FACTS, given=True))
    found = examine(folder / "part.mp4")
    assert (found.signature, found.why, found.composite) == ("valid", "", True)
    assert found.facts["frames_given"] is True
    for path, agrees in ((folder / "part.mp4", False), (video, True)):
        said = json.dumps(c2pa_report(path))
        assert ("/trainedAlgorithmicMedia" in said) == agrees
        assert ('"c2pa.edited"' in said) != agrees
    assert "from frames that it was given" in verify(folder / "part.mp4").stdout


def c2pa_report(path: Path) -> Any:
    """What another reader of manifests sees."""
    with c2pa.Reader(str(path)) as reader:
        return json.loads(reader.json())


def test_the_prompt_itself_is_not_in_the_file(video: Path) -> None:
    assert b"red ball" not in video.read_bytes()


def test_every_flipped_byte_is_noticed(video: Path) -> None:
    data = video.read_bytes()
    for at in {*range(0, len(data), 13), *range(64), *range(len(data) - 2 * SEAL, len(data))}:
        changed = bytearray(data)
        changed[at] ^= 1 << at % 8
        assert signature_of(io.BytesIO(bytes(changed)), ".mp4", b"").signature == "tampered", at


@pytest.mark.parametrize("left", [-1, -SEAL, -SEAL - 1, 5000, 40])
def test_a_file_that_was_cut_off_is_not_valid(video: Path, left: int) -> None:
    found = signature_of(io.BytesIO(video.read_bytes()[:left]), ".mp4", b"")
    assert found.signature == "tampered"


def test_bytes_behind_the_end_are_noticed(video: Path) -> None:
    for more in (b"\0", b"\0\0\0\x08free", video.read_bytes()):
        found = signature_of(io.BytesIO(video.read_bytes() + more), ".mp4", b"")
        assert found.signature == "tampered"


def test_a_file_may_be_sealed_in_its_place(folder: Path, sealer: Sealer) -> None:
    path = write(Clip(moving(), 8), folder / "same.mp4")
    sealer.seal(path, path, replace(FACTS, training="allowed", seed=None))
    found = examine(path)
    assert found.signature == "valid"
    assert set(found.training.values()) == {"allowed"}
    assert found.mark is None


def test_terms_that_the_standard_does_not_know_are_refused(folder: Path, sealer: Sealer) -> None:
    with pytest.raises(YozoraError, match="training is one of"):
        sealer.seal(folder / "plain.mp4", folder / "no.mp4", replace(FACTS, training="perhaps"))
    assert not (folder / "no.mp4").exists()


def test_what_is_no_mp4_cannot_be_sealed(folder: Path, sealer: Sealer) -> None:
    (folder / "text.mp4").write_text("not a film")
    with pytest.raises(YozoraError, match="cannot be signed"):
        sealer.seal(folder / "text.mp4", folder / "no.mp4", FACTS)
    with pytest.raises(YozoraError, match="cannot be signed"):
        sealer.seal(folder / "gone.mp4", folder / "no.mp4", FACTS)


def test_manifests_of_others_are_read_too(tmp_path: Path) -> None:
    from tests.rights.files import jpeg

    data = signed(
        jpeg(), "image/jpeg", uses(data_mining="notAllowed"), source="trainedAlgorithmicMedia"
    )
    found = signature_of(io.BytesIO(data), ".jpg", b"")
    assert (found.signature, found.generated, dict(found.facts)) == ("valid", True, {})
    assert not found.whole
    (tmp_path / "theirs.jpg").write_bytes(data)
    assert "nothing that the signature covers was changed" in verify(tmp_path / "theirs.jpg").stdout
    data = data[:-9] + bytes([data[-9] ^ 1]) + data[-8:]
    assert signature_of(io.BytesIO(data), ".jpg", b"").signature == "tampered"
    assert signature_of(io.BytesIO(jpeg()), ".jpg", b"").signature == "absent"


# --- credentials -----------------------------------------------------------------------------------


def test_throwaway_credentials_are_made_once_and_kept_to_oneself(tmp_path: Path) -> None:
    code = (
        "import sys, pathlib, yozora.service.certificate as c;"
        "c.load_credentials(pathlib.Path(sys.argv[1]))"
    )
    first = [
        subprocess.Popen([sys.executable, "-c", code, tmp_path / "s"], stderr=subprocess.PIPE)
        for _ in range(3)
    ]
    assert [process.communicate()[1] for process in first] == [b""] * 3
    made = certificate.load_credentials(tmp_path / "s")
    assert certificate.load_credentials(tmp_path / "s") == made
    assert stat.S_IMODE((tmp_path / "s" / "key.pem").stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["s"]


@pytest.mark.parametrize("kind", ["es256", "ed25519", "ps256"])
def test_own_credentials_sign_in_their_own_name(
    kind: str, tmp_path: Path, folder: Path, sealer: Sealer
) -> None:
    own = tmp_path / "signing"
    own.mkdir()
    if kind == "es256":
        chain, key = credentials()
        (own / "chain.pem").write_bytes(chain)
        (own / "key.pem").write_bytes(key)
    else:
        bring(own, kind)
    Sealer(own).seal(folder / "plain.mp4", tmp_path / "video.mp4", FACTS)
    found = examine(tmp_path / "video.mp4")
    assert found.signature == "valid"
    assert found.signer["issuer"] == ("Tests" if kind == "es256" else "throwaway certificate")


def bring(own: Path, kind: str) -> None:
    """A chain for another kind of key, by the same issuer as our own."""
    from cryptography.hazmat.primitives.asymmetric import ec

    issuer = ec.generate_private_key(ec.SECP256R1())
    key: ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey = (
        ed25519.Ed25519PrivateKey.generate()
        if kind == "ed25519"
        else rsa.generate_private_key(65537, 2048)
    )
    made: x509.Certificate = certificate.certificate("own", key, issuer)  # type: ignore[arg-type]
    assert made.signature_hash_algorithm is None or isinstance(
        made.signature_hash_algorithm, hashes.SHA256
    )
    (own / "chain.pem").write_bytes(made.public_bytes(Encoding.PEM))
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (own / "key.pem").write_bytes(private)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("key.pem", b"nonsense", "holds no credentials"),
        ("chain.pem", b"", "holds no credentials"),
        ("chain.pem", None, "not that of the first certificate"),
    ],
)
def test_credentials_that_cannot_be_used_are_told(
    name: str, content: bytes | None, said: str, tmp_path: Path
) -> None:
    certificate.make_throwaway(tmp_path / "signing")
    other = credentials()[0] if content is None else content
    (tmp_path / "signing" / name).write_bytes(other)
    with pytest.raises(YozoraError, match=said):
        Sealer(tmp_path / "signing")


# --- the command, and footage ----------------------------------------------------------------------


def test_verify_says_what_is_known(video: Path, folder: Path, tmp_path: Path) -> None:
    done = verify(video)
    assert done.exit_code == 0
    assert "not a byte was changed" in done.stdout
    report = json.loads(verify(video, "--json").stdout)
    assert (report["signature"], report["trusted"]) == ("valid", False)
    assert report["mark"]["as_signed"] is True

    mine, others = folder / "signing" / "authority.pem", tmp_path / "others.pem"
    certificate.make_throwaway(tmp_path / "others")
    others.write_bytes((tmp_path / "others" / "authority.pem").read_bytes())
    assert verify(video, "--trust", mine).exit_code == 0
    assert verify(video, "--trust", others).exit_code == 1
    assert verify(video, "--trust", video).exit_code == 1


def test_verify_notices_a_flipped_byte_and_a_file_without_a_signature(
    video: Path, tmp_path: Path
) -> None:
    data = bytearray(video.read_bytes())
    data[len(data) // 2] ^= 4
    (tmp_path / "changed.mp4").write_bytes(data)
    done = verify(tmp_path / "changed.mp4")
    assert done.exit_code == 1
    assert "BROKEN" in done.stdout

    plain = verify(video.with_name("plain.mp4"), "--json")
    assert plain.exit_code == 3
    report = json.loads(plain.stdout)
    assert (report["signature"], report["mark"]["payload"]) == ("absent", "5eed0a57")

    (tmp_path / "notes.txt").write_text("no film")
    assert verify(tmp_path / "notes.txt").exit_code == 3


def test_footage_that_a_model_made_is_recognised(
    video: Path, folder: Path, sealer: Sealer, tmp_path: Path
) -> None:
    sealer.seal(folder / "plain.mp4", tmp_path / "free.mp4", replace(FACTS, training="allowed"))
    signals = {one.kind: one for one in read_signals(tmp_path / "free.mp4", licence="CC0-1.0")}
    assert signals["c2pa.source-type"].says is Says.CONSTRAINED
    assert signals["c2pa.source-type"].note == "AI-generated, by nano"
    assert signals["c2pa.training-mining"].says is Says.ALLOWED

    for path, reason in ((tmp_path / "free.mp4", "AI-generated, by nano"), (video, "prohibited")):
        done = CliRunner().invoke(
            main, ["ingest", str(path), "--corpus", str(tmp_path / "c"), "--licence", "CC0-1.0"]
        )
        assert done.exit_code == 1
        assert reason in done.output
