"""C2PA manifests (Content Credentials): what they say of training and data mining, and whether a model made the file.

Standards: CAWG Training and Data Mining Assertion 1.1, and its predecessor in C2PA 1.x, whose labels begin with
"c2pa." instead of "cawg."; C2PA 2.2, 18.15 (actions); IPTC Digital Source Type.
"""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from yozora.rights.signals.containers import C2PA, XMP, Piece
from yozora.rights.signals.signal import (
    Says,
    Signal,
    UnreadableError,
    regular,
    signal,
    strictest,
    strictest_answer,
)
from yozora.rights.signals.xmp import PROVENANCE, properties

READER = "credentials/2"
MINING, SOURCE = KINDS = ("c2pa.training-mining", "c2pa.source-type")

MINING_LABELS = ("cawg.training-mining", "c2pa.training-mining")
MAX_STORE = 2**26  # bytes of a manifest store beside a file; thumbnails make them large
USES = {"allowed": Says.ALLOWED, "notAllowed": Says.PROHIBITED, "constrained": Says.CONSTRAINED}
MADE_BY_MODEL = ("trainedAlgorithmicMedia", "compositeWithTrainedAlgorithmicMedia")
OFFLINE = {"verify": {"remote_manifest_fetch": False, "ocsp_fetch": False}}


def read_credentials(
    path: Path, found: Sequence[Piece], sidecar: Path | None, damage: str = ""
) -> list[Signal]:
    """A signal of each of KINDS, from all of a file's manifests, ingredients' included.

    Of training-mining assertions the strictest. A file that a model made, in whole or in part, is constrained: the
    manifest cannot say whether that model had the rights, or whether training on it is wanted.

    Unreadable when a manifest is there but c2pa-python is not, when it does not validate, or when it lies at an
    address, since nothing is fetched. A signer need not be trusted: whoever signed it, a "no" is heeded, and a "yes"
    alone permits nothing.
    """
    if damage:
        return unreadable(path, damage)
    places = [piece.where for piece in found if piece.kind == C2PA]
    if sidecar is not None:
        places.append(sidecar.name)
    if not places:
        remote = remote_manifest(found)
        note = f"the manifest lies at {remote}, and nothing is fetched"
        if remote:
            return unreadable("", note, remote)
        return [signal(kind, Says.ABSENT, READER) for kind in KINDS]
    try:
        store = manifests(path, sidecar)
    except UnreadableError as error:
        return unreadable(places[0], str(error))
    mining = (of_assertion(data, places[0]) for data in assertions(store, MINING_LABELS))
    source = (
        of_actions(data, places[0])
        for data in assertions(store, ("c2pa.actions", "c2pa.actions.v2"))
    )
    return [strictest(MINING, READER, mining), strictest(SOURCE, READER, source)]


def unreadable(where: object, note: str, raw: str = "") -> list[Signal]:
    """What is said of a manifest that cannot be read."""
    return [
        signal(kind, Says.UNREADABLE, READER, where=where, note=note, raw=raw) for kind in KINDS
    ]


def remote_manifest(found: Sequence[Piece]) -> str:
    """The address of a manifest that is not in the file (C2PA 2.1, 11.3: dcterms:provenance in XMP)."""
    for piece in found:
        if piece.kind == XMP:
            try:
                addresses = properties(piece.data).get(PROVENANCE, [])
            except UnreadableError:
                continue  # read_xmp reports it
            if addresses:
                return addresses[0]
    return ""


def manifests(path: Path, sidecar: Path | None) -> Mapping[str, Any]:
    """The validated manifest store as c2pa-python reports it. Raises UnreadableError when there is no such thing."""
    if importlib.util.find_spec("c2pa") is None:
        raise UnreadableError(
            "a manifest is there, and reading it takes c2pa-python: pip install 'yozora[rights]'"
        )
    import c2pa

    try:
        context = c2pa.Context(c2pa.Settings.from_dict(OFFLINE))
        store = store_of(sidecar) if sidecar is not None else None
        with path.open("rb") as stream:
            reader = c2pa.Reader(mime(path) if store else None, stream, store, context=context)
            report: Mapping[str, Any] = json.loads(reader.json())
            state = reader.get_validation_state()
    except Exception as error:  # the library's errors share no base class with a promise
        raise UnreadableError(f"the manifest cannot be read: {error}") from error
    if state not in ("Valid", "Trusted"):
        codes = sorted({failure.get("code", "") for failure in report.get("validation_status", [])})
        raise UnreadableError(f"the manifest does not validate: {', '.join(codes)}")
    return report


def store_of(sidecar: Path) -> bytes:
    """A manifest store's bytes. Raises UnreadableError when it is no file, or too large."""
    with regular(sidecar).open("rb") as file:
        data = file.read(MAX_STORE + 1)
    if len(data) > MAX_STORE:
        raise UnreadableError(f"{sidecar.name} has more than {MAX_STORE >> 20} MiB")
    return data


def mime(path: Path) -> str:
    """The name under which c2pa-python knows a file's format."""
    return path.suffix.lower().lstrip(".") or "mp4"


def assertions(store: Mapping[str, Any], labels: Sequence[str]) -> Iterable[Any]:
    """The assertions with these labels in every manifest of the store: an edited copy keeps its source's terms."""
    for manifest in store.get("manifests", {}).values():
        for assertion in manifest.get("assertions", []):
            if str(assertion.get("label", "")).partition("__")[0] in labels:
                yield assertion.get("data")


def of_actions(data: Any, where: str) -> Signal:
    """Whether one of the actions that led to a file is that of a generative model, and which one's."""
    actions = data.get("actions") if isinstance(data, dict) else None
    for action in actions if isinstance(actions, list) else ():
        kind = str(action.get("digitalSourceType", "")) if isinstance(action, dict) else ""
        if kind.rpartition("/")[2] in MADE_BY_MODEL:
            agent = action.get("softwareAgent")
            name = agent.get("name") if isinstance(agent, dict) else agent
            note = f"AI-generated, by {name}" if name else "AI-generated"
            raw = json.dumps(action, sort_keys=True)
            return signal(SOURCE, Says.CONSTRAINED, READER, where=where, raw=raw, note=note)
    return signal(SOURCE, Says.ABSENT, READER)


def of_assertion(data: Any, where: str) -> Signal:
    """What an assertion says of training a generative model, for which footage is also mined.

    Entries that name neither generative training nor data mining leave the question to ai_training, the training of
    other models; ai_inference is another question. An entry or a use that is not in the standard is unreadable.
    """
    raw = json.dumps(data, sort_keys=True)
    entries = data.get("entries") if isinstance(data, dict) else None
    if not isinstance(entries, dict):
        return signal(
            MINING,
            Says.UNREADABLE,
            READER,
            where=where,
            raw=raw,
            note="the assertion has no entries",
        )
    uses = {str(name).rpartition(".")[2]: use_of(entry) for name, entry in entries.items()}
    asked = [uses[name] for name in ("ai_generative_training", "data_mining") if name in uses]
    if "ai_generative_training" not in uses and "ai_training" in uses:
        asked.append(uses["ai_training"])
    said = {name: str(use) for name, use in uses.items()}
    return signal(
        MINING, strictest_answer(asked), READER, where=where, raw=raw, note=json.dumps(said)
    )


def use_of(entry: Any) -> Says:
    """One entry's use."""
    use = entry.get("use") if isinstance(entry, dict) else None
    return USES.get(use, Says.UNREADABLE) if isinstance(use, str) else Says.UNREADABLE
