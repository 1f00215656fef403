"""Signed videos: who made a video, with which model, and whether a byte of it was changed since.

A manifest of Content Credentials (C2PA 2.2) says that a model made the clip, which one, by which seed, and what may be
done with it. C2PA leaves some bytes of an MP4 unsigned: its brands, the padding of the manifest and the lengths in it.
So a last box, of the kind that every reader skips and C2PA does not hash, holds a signature of all bytes before it. Its
key is made for this one file, stands in the manifest, and is thrown away.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, Literal

import numpy as np

from yozora import __version__
from yozora.artifact import write_atomic
from yozora.errors import YozoraError
from yozora.service import mark as marks
from yozora.service.certificate import load_credentials
from yozora.video import Clip, Info, probe, stream

try:
    import c2pa
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import (
        Ed25519PrivateKey,
        Ed25519PublicKey,
    )
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
    from cryptography.x509 import load_pem_x509_certificates
except ImportError as error:
    raise YozoraError(
        f"Signing and verifying need the package {error.name}: pip install 'yozora[service]'."
    ) from error

GENERATION = "yozora.generation"
SOURCES = "http://cv.iptc.org/newscodes/digitalsourcetype/"
MADE_BY_MODEL = SOURCES + "trainedAlgorithmicMedia"
MADE_IN_PART = SOURCES + "compositeWithTrainedAlgorithmicMedia"
USES = ("allowed", "notAllowed", "constrained")  # CAWG Training and Data Mining Assertion 1.1
ENTRIES = ("ai_generative_training", "ai_training", "ai_inference", "data_mining")
SIGNING = {"builder": {"thumbnail": {"enabled": False}}, "verify": {"verify_after_sign": False}}
OFFLINE = {"remote_manifest_fetch": False, "ocsp_fetch": False}
LENGTH, KIND, MAGIC, SIGNATURE = 4, 4, b"yozoraS1", 64
SEAL = LENGTH + KIND + len(MAGIC) + SIGNATURE
SEAL_HEAD = SEAL.to_bytes(LENGTH, "big") + b"free" + MAGIC
CHUNK = 2**20
LOOK = 960  # pixels on the longer side, at which a mark is looked for

State = Literal["valid", "tampered", "absent"]


@dataclass(frozen=True)
class Facts:
    """What is said of a generated video. The prompt goes in as its SHA-256 alone.

    weights: SHA-256 of the model's weights, in hex. given: whether some of the frames were given to it. training: one
    of USES, for what others may do with the video. at: ms.
    """

    model: str
    prompt: str
    at: int
    weights: str
    seed: int | None = None
    given: bool = False
    training: str = "notAllowed"

    @property
    def payload(self) -> int:
        """What the mark in the frames says: the weights."""
        return marks.identity(self.weights)


class Sealer:
    """Signs videos with the credentials in a folder; see `load_credentials`. Raises YozoraError."""

    def __init__(self, folder: Path) -> None:
        credentials = load_credentials(folder)
        info = c2pa.C2paSignerInfo(
            credentials.algorithm.encode(), credentials.chain, credentials.key, None
        )
        try:
            self._signer = c2pa.Signer.from_info(info)
        except c2pa.C2paError as error:
            raise YozoraError(f"The credentials in {folder} cannot sign: {error}.") from error
        self._context = c2pa.Context(c2pa.Settings.from_dict(SIGNING))

    def mark(self, clip: Clip, facts: Facts) -> Clip:
        """The clip with the mark of its model in every frame."""
        return marks.embed(clip, facts.payload)

    def seal(self, source: Path, out: Path, facts: Facts) -> None:
        """Write a signed copy of an MP4, which may take the place of its source. Raises YozoraError."""
        key, signed = Ed25519PrivateKey.generate(), io.BytesIO()
        public = key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        try:
            with (
                c2pa.Builder(manifest(facts, public), context=self._context) as builder,
                source.open("rb") as file,
            ):
                builder.sign(self._signer, "video/mp4", file, signed)
        except (c2pa.C2paError, OSError) as error:
            raise YozoraError(f"{source} cannot be signed: {error}.") from error
        body = signed.getvalue() + SEAL_HEAD
        write_atomic(out, body + key.sign(hashlib.sha256(body).digest()))


def manifest(facts: Facts, public: bytes) -> str:
    """The manifest of a generated video, whose last box's key is `public`."""
    if facts.training not in USES:
        raise YozoraError(f"training is one of {', '.join(USES)}, not '{facts.training}'.")
    agent = {"name": facts.model, "version": facts.weights}
    source = MADE_IN_PART if facts.given else MADE_BY_MODEL
    actions = [{"action": "c2pa.created", "digitalSourceType": source, "softwareAgent": agent}]
    if facts.given:  # an edit cannot stand first, and what is edited is not in the file as it came
        actions.append(
            {"action": "c2pa.edited", "digitalSourceType": MADE_IN_PART, "softwareAgent": agent}
        )
    generation = {
        "model": facts.model,
        "weights_sha256": facts.weights,
        "prompt_sha256": hashlib.sha256(facts.prompt.encode()).hexdigest(),
        "seed": facts.seed,
        "frames_given": facts.given,
        "created_ms": facts.at,
        "mark": f"{facts.payload:08x}",
        "seal": base64.b64encode(public).decode(),
    }
    mining = {"entries": {f"cawg.{name}": {"use": facts.training} for name in ENTRIES}}
    return json.dumps(
        {
            "claim_generator_info": [{"name": "yozora", "version": __version__}],
            "assertions": [
                {"label": "c2pa.actions.v2", "data": {"actions": actions}},
                {"label": "cawg.training-mining", "data": mining},
                {"label": GENERATION, "data": generation},
            ],
        }
    )


# --- what is known of a file ------------------------------------------------------------------------


@dataclass(frozen=True)
class Findings:
    """What is known of a file.

    signature: valid when nothing that is signed was changed, tampered when something was, absent when there is none.
    why: what is wrong. signer: whom the certificate names. trusted: whether it comes from an authority that was given.
    whole: whether every byte of the file is signed; C2PA alone leaves some out. generated: whether it is said to be
    made by a model. composite: whether with frames that the model was given. facts: what its maker says of it, and may
    be wrong. mark: what is in the frames; None when there is nothing or they cannot be read.
    """

    signature: State
    why: str = ""
    signer: Mapping[str, str] = field(default_factory=dict)
    trusted: bool = False
    whole: bool = False
    generated: bool = False
    composite: bool = False
    facts: Mapping[str, Any] = field(default_factory=dict)
    training: Mapping[str, str] = field(default_factory=dict)
    mark: marks.Mark | None = None


def examine(path: Path, authorities: bytes = b"") -> Findings:
    """All that is known of a file. authorities: certificates, in PEM, of those whose signers are trusted.

    Raises YozoraError when the file cannot be read at all; what it holds never does.
    """
    try:
        with path.open("rb") as file:
            found = signature_of(file, path.suffix, authorities)
    except OSError as error:
        raise YozoraError(f"{path} cannot be read: {error.strerror}.") from error
    return replace(found, mark=mark_of(path))


def signature_of(file: BinaryIO, suffix: str, authorities: bytes) -> Findings:
    """What a file's manifest says, and whether it is to be believed."""
    context = reading_context(authorities)
    kind = "mp4" if file.read(8)[4:] == b"ftyp" else suffix.lower().lstrip(".") or "mp4"
    file.seek(0)
    try:
        reader = c2pa.Reader(kind, file, context=context)
        report = json.loads(reader.json())
        state = reader.get_validation_state()
    except c2pa.C2paError.NotSupported:
        return Findings("absent", "no manifest can be read in a file of this kind")
    except Exception as error:  # the library's errors share no base class with a promise
        if isinstance(error, c2pa.C2paError.ManifestNotFound) and not sealed(file):
            return Findings("absent")
        return Findings("tampered", f"its manifest cannot be read ({error})")
    found = of_report(report)
    wrong = "" if state in ("Valid", "Trusted") else failures(report)
    wrong = wrong or broken_seal(file, found.facts)
    if wrong:
        return replace(found, signature="tampered", why=wrong)
    return replace(found, trusted=state == "Trusted", whole="seal" in found.facts)


def reading_context(authorities: bytes) -> c2pa.Context:
    """How manifests are read: nothing is fetched, and nobody is trusted but the authorities. Raises YozoraError."""
    settings: dict[str, Any] = {"verify": {**OFFLINE, "verify_trust": bool(authorities)}}
    if authorities:
        try:
            load_pem_x509_certificates(authorities)
        except ValueError as error:
            raise YozoraError(f"These are no certificates in PEM: {error}.") from error
        settings["trust"] = {"trust_anchors": authorities.decode()}
    return c2pa.Context(c2pa.Settings.from_dict(settings))


def of_report(report: Mapping[str, Any]) -> Findings:
    """What the active manifest says, not yet whether it is to be believed."""
    active = report.get("manifests", {}).get(report.get("active_manifest"), {})
    said = {
        str(one.get("label", "")).partition("__")[0]: one.get("data")
        for one in active.get("assertions", [])
    }
    signer = active.get("signature_info", {})
    facts = said.get(GENERATION)
    entries = mapping(mapping(said.get("cawg.training-mining")).get("entries"))
    actions = json.dumps([said.get("c2pa.actions"), said.get("c2pa.actions.v2")])
    return Findings(
        "valid",
        signer={name: str(signer[name]) for name in ("common_name", "issuer") if name in signer},
        generated=MADE_BY_MODEL in actions or MADE_IN_PART in actions,
        composite=MADE_IN_PART in actions,
        facts=mapping(facts),
        training={
            str(name).rpartition(".")[2]: str(mapping(one).get("use"))
            for name, one in entries.items()
        },
    )


def mapping(value: Any) -> Mapping[str, Any]:
    """The value when it is an object of JSON; an empty one else."""
    return value if isinstance(value, dict) else {}


def failures(report: Mapping[str, Any]) -> str:
    """Why a manifest does not validate."""
    codes = {str(one.get("code")) for one in report.get("validation_status", [])}
    return ", ".join(sorted(codes - {"signingCredential.untrusted"})) or "it does not validate"


def broken_seal(file: BinaryIO, facts: Mapping[str, Any]) -> str:
    """What is wrong with the last box of a file that should have one; empty when nothing is."""
    if "seal" not in facts:
        return ""
    if not sealed(file):
        return "the seal at its end is missing"
    end = file.seek(-SIGNATURE, os.SEEK_END)
    signature = file.read()
    file.seek(0)
    digest = hashlib.sha256()
    for start in range(0, end, CHUNK):
        digest.update(file.read(min(CHUNK, end - start)))
    try:
        public = Ed25519PublicKey.from_public_bytes(base64.b64decode(str(facts["seal"])))
        public.verify(signature, digest.digest())
    except (InvalidSignature, ValueError):
        return "its bytes are not those that were sealed"
    return ""


def sealed(file: BinaryIO) -> bool:
    """Whether a file ends in a box with a signature of all bytes before it."""
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - SEAL))
    return file.read(len(SEAL_HEAD)) == SEAL_HEAD


def mark_of(path: Path) -> marks.Mark | None:
    """The mark in a file's frames; None where there is none, or nothing that can be read as frames."""
    try:
        info = probe(path)
        every = max(1, info.frames // marks.LOOKED_AT)
        shown = islice(stream(path, size=seen_at(info)), 0, every * marks.LOOKED_AT, every)
        return marks.find(Clip(np.stack(list(shown)), fps=1.0))
    except YozoraError:
        return None


def seen_at(info: Info) -> tuple[int, int]:
    """The size at which a file's frames are looked at."""
    scale = min(1.0, LOOK / max(info.width, info.height))
    return max(1, round(info.width * scale)), max(1, round(info.height * scale))
