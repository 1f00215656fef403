"""The command that says what is known of a video: who signed it, whether it was changed, and which model made it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from yozora.terminal import FILE, as_json, print_json

if TYPE_CHECKING:
    from yozora.service.provenance import Findings

WEIGHTS = Path(__file__).parent / "weights"
ABSENT = 3  # exit status


@click.command()
@click.argument("file", type=FILE)
@click.option(
    "--trust", type=FILE, help="Certificates (PEM) of authorities whose signers you trust."
)
@as_json
def verify(file: Path, trust: Path | None, as_json: bool) -> None:
    """Say what is known of a video: who signed it, whether a byte was changed since, and which model made it.

    Anybody can sign a file in any name. With --trust only the signers of these authorities count; a service that
    signs with a throwaway certificate has its own in credentials/authority.pem of its data folder.

    The exit status is 0 when the file is signed and unchanged, 1 when it was changed or its signer is not trusted, and
    3 when it bears no signature. The mark in its frames is told, but proves nothing.
    """
    from yozora.service.provenance import examine

    found = examine(file, trust.read_bytes() if trust else b"")
    report = told(found)
    if as_json:
        print_json({"file": str(file), **report})
    else:
        for name, text in in_words(found, report):
            click.echo(f"{name:<11}{text}")
    if found.signature == "absent":
        raise SystemExit(ABSENT)
    if found.signature == "tampered" or (trust and not found.trusted):
        raise SystemExit(1)


def told(found: Findings) -> dict[str, Any]:
    """What was found, for machines."""
    mark = found.mark
    read = None
    if mark is not None:
        payload = f"{mark.payload:08x}"
        read = {"payload": payload, "model": known(mark.payload), "chance": mark.chance}
        read["as_signed"] = found.facts.get("mark") == payload if found.facts else None
    return {
        "signature": found.signature,
        "why": found.why,
        "signer": dict(found.signer),
        "trusted": found.trusted,
        "whole": found.whole,
        "generated": found.generated,
        "composite": found.composite,
        "facts": {name: value for name, value in found.facts.items() if name != "seal"},
        "training": dict(found.training),
        "mark": read,
    }


def known(payload: int) -> str | None:
    """The model that comes with yozora and has this mark, if there is one."""
    from yozora.artifact import content_hash
    from yozora.service.mark import identity

    weights = (path / "dit.safetensors" for path in WEIGHTS.iterdir())
    found = (path for path in weights if path.exists() and identity(content_hash(path)) == payload)
    return next((path.parent.name for path in found), None)


def in_words(found: Findings, report: dict[str, Any]) -> list[tuple[str, str]]:
    """What was found, for people."""
    unchanged = "not a byte" if found.whole else "nothing that the signature covers"
    states = {
        "valid": f"valid: {unchanged} was changed since it was signed",
        "tampered": f"BROKEN: {found.why}",
        "absent": "none" + (f": {found.why}" if found.why else ""),
    }
    lines = [("signature", states[found.signature])]
    if found.signer:
        name, organisation = (found.signer.get(key, "?") for key in ("common_name", "issuer"))
        trust = "trusted" if found.trusted else "which anybody can call himself"
        lines.append(("signer", f"{name} ({organisation}), {trust}"))
    if found.generated:
        facts = {"model": "?", "seed": None, **found.facts}
        seed = f", seed {facts['seed']}" if facts["seed"] is not None else ""
        part = ", from frames that it was given" if found.composite else ""
        lines.append(("made by", f"a generative model: {facts['model']}{seed}{part}"))
    if found.training:
        lines += [("training", ", ".join(f"{k} {v}" for k, v in found.training.items()))]
    lines.append(("mark", mark_in_words(report["mark"])))
    return lines


def mark_in_words(mark: dict[str, Any] | None) -> str:
    """What the frames say."""
    if mark is None:
        return "none found"
    whose = f"{mark['payload']}, {mark['model'] or 'a model that is not known here'}"
    agrees = {True: ", as is signed", False: ", which is not what is signed", None: ""}
    return f"{whose}{agrees[mark['as_signed']]}"
