"""Every signal in every state that its standard can express, each in files on disk, each read right."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.rights import files
from tests.rights.files import alt, jpeg, mining, packet, put, signed, uses

from yozora.rights.signals import credentials
from yozora.rights.signals.read import KINDS, read_signals
from yozora.rights.signals.signal import RAW_BYTES, Says, Signal

STATES = tuple(Says)
BY, BY_NC = (
    "https://creativecommons.org/licenses/by/4.0/",
    "https://creativecommons.org/licenses/by-nc/4.0/",
)
IN_COPYRIGHT = "http://rightsstatements.org/vocab/InC/1.0/"
URL = "https://example.org/films/clip.jpg"

Files = dict[str, bytes | str]
Case = Callable[[], Files]


def c2pa(**entries: str) -> Files:
    return {"clip.jpg": signed(jpeg(), "image/jpeg", uses(**entries))}


def tampered() -> Files:
    data = bytearray(signed(jpeg(), "image/jpeg", uses(ai_generative_training="allowed")))
    data[-9] ^= 1
    return {"clip.jpg": bytes(data)}


def xmp(body: str) -> Files:
    return {"clip.jpg": jpeg(packet(body))}


def around(name: str, content: str) -> Files:
    return {"clip.jpg": jpeg(), name: content}


def header(field: str) -> Files:
    return around("clip.jpg.headers", f"HTTP/2 200\r\ncontent-type: image/jpeg\r\n{field}\r\n\r\n")


def page(meta: str) -> Files:
    return around(
        "clip.html", f"<!doctype html><title>A clip</title>{meta}<p>no <b>AI</b> here</p>"
    )


def item(address: str) -> Files:
    return around(
        "metadata.xml",
        f"<?xml version='1.0'?><metadata><title>A</title><licenseurl>{address}</licenseurl></metadata>",
    )


def tdm(value: str, policy: str = "") -> str:
    also = f', "tdm-policy": "{policy}"' if policy else ""
    return f'[{{"location": "/films/", "tdm-reservation": {value}{also}}}]'


def meta(value: str, policy: str = "") -> str:
    also = f'<META content="{policy}" name="TDM-Policy">' if policy else ""
    return f'<meta name="tdm-reservation" content="{value}">{also}'


POLICY = "https://example.org/tdm.json"
MARKED = "<xmpRights:Marked>True</xmpRights:Marked>"
ALL = "User-agent: *\n"
ABSENT: Case = lambda: {"clip.jpg": jpeg()}  # noqa: E731
A, P, C, U = Says.ALLOWED, Says.PROHIBITED, Says.CONSTRAINED, Says.UNREADABLE

CASES: dict[str, dict[Says, Case]] = {
    "c2pa.training-mining": {
        A: lambda: c2pa(ai_generative_training="allowed", data_mining="allowed"),
        P: lambda: c2pa(ai_generative_training="notAllowed", ai_inference="allowed"),
        C: lambda: c2pa(ai_generative_training="constrained"),
        U: tampered,
    },
    "c2pa.source-type": {
        C: lambda: {"clip.jpg": signed(jpeg(), "image/jpeg", None, source="trainedAlgorithmicMedia")},
        U: tampered,
    },
    "plus.data-mining": {
        A: lambda: {"clip.jpg": jpeg(mining("DMI-ALLOWED"))},
        P: lambda: {"clip.jpg": jpeg(mining("DMI-PROHIBITED-GENAIMLTRAINING"))},
        C: lambda: {"clip.jpg": jpeg(mining("DMI-PROHIBITED-SEECONSTRAINT"))},
        U: lambda: {"clip.jpg": jpeg(mining("DMI-PERHAPS"))},
    },
    "cc.licence": {
        A: lambda: xmp(f'<cc:license rdf:resource="{BY}"/>'),
        P: lambda: xmp(f'<cc:license rdf:resource="{IN_COPYRIGHT}"/>'),
        C: lambda: xmp(f'<cc:license rdf:resource="{BY_NC}"/>'),
        U: lambda: {"clip.jpg": jpeg(b"<x:xmpmeta")},
    },
    "xmp.rights": {
        A: lambda: xmp(MARKED + f"<xmpRights:WebStatement>{BY}</xmpRights:WebStatement>"),
        P: lambda: xmp(alt("xmpRights:UsageTerms", "All rights reserved.")),
        C: lambda: xmp(alt("xmpRights:UsageTerms", "Ask the estate before you use this.")),
        U: lambda: xmp("<xmpRights:Marked>perhaps</xmpRights:Marked>"),
    },
    "dc.rights": {
        A: lambda: xmp(alt("dc:rights", "This work is licensed under CC BY-SA 4.0")),
        P: lambda: xmp(alt("dc:rights", "CC BY 4.0. Not to be used for training AI.")),
        C: lambda: xmp(alt("dc:rights", "For editorial use; see the contract")),
        U: lambda: {"clip.jpg": jpeg(packet(alt("dc:rights", "a")).replace(b"</rdf:RDF>", b""))},
    },
    "tdmrep.header": {
        A: lambda: header("TDM-Reservation: 0"),
        P: lambda: header("tdm-reservation: 1"),
        C: lambda: header(f"tdm-reservation: 1\r\ntdm-policy: {POLICY}"),
        U: lambda: header("tdm-reservation: yes"),
    },
    "tdmrep.meta": {
        A: lambda: page(meta("0")),
        P: lambda: page(meta("1")),
        C: lambda: page(meta("1", POLICY)),
        U: lambda: page(meta("true")),
    },
    "tdmrep.file": {
        A: lambda: around(".well-known/tdmrep.json", tdm("0")),
        P: lambda: around(".well-known/tdmrep.json", tdm("1")),
        C: lambda: around("tdmrep.json", tdm("1", POLICY)),
        U: lambda: around("tdmrep.json", '{"location": "/"}'),
    },
    "robots.txt": {
        A: lambda: around("robots.txt", "User-agent: *\nDisallow: /films\nAllow: /films/clip\n"),
        P: lambda: around("robots.txt", ALL + "Allow: /\n\nUser-agent: GPTBot\nUser-agent: CCBot\nDisallow: /films/\n"),
        C: lambda: around("robots.txt", "User-agent: GPTBot\nDisallow: /\n\nUser-agent: ClaudeBot\nDisallow:\n"),
        U: lambda: {"clip.jpg": jpeg(), "robots.txt": b"\xff\xfe\x00binary"},
    },
    "x-robots-tag": {
        P: lambda: header("X-Robots-Tag: noindex, NoAI"),
        C: lambda: header("X-Robots-Tag: somebot: noimageai"),
        U: lambda: {"clip.jpg": jpeg(), "clip.headers": b"X-Robots-Tag: \xff\xff"},
    },
    "robots.meta": {
        P: lambda: page('<meta name="robots" content="noimageai"/>'),
        C: lambda: page('<meta name="robots" content="somebot: noai">'),
        U: lambda: {"clip.jpg": jpeg(), "clip.html": b"<html>\0\0"},
    },
    "aipref.header": {
        A: lambda: header("Content-Usage: search=n, train-ai=y"),
        P: lambda: header("content-usage: train-ai=n"),
        C: lambda: header('Content-Usage: train-ai=y;only="research"'),
        U: lambda: header("Content-Usage: train-ai==n"),
    },
    "aipref.robots": {
        A: lambda: around("robots.txt", ALL + "Content-Usage: train-ai=n\nContent-Usage: /films/ train-ai=y\n"),
        P: lambda: around("robots.txt", ALL + "Content-Usage: train-ai=y\nContent-Usage: /films/ train-ai=n\n"),
        C: lambda: around("robots.txt", "User-agent: *\nContent-Usage: train-ai=y;a=b\n"),
        U: lambda: around("robots.txt", "User-agent: *\nContent-Usage: train-ai=maybe\n"),
    },
    "content-signal": {
        A: lambda: around("robots.txt", "User-agent: *\nContent-Signal: search=yes, ai-train=yes\n"),
        P: lambda: around("robots.txt", "User-Agent: *\nContent-Signal: search=yes,ai-train=no\n"),
        C: lambda: around("robots.txt", "User-agent: *\nContent-Signal: ai-train=yes;fee=1\n"),
        U: lambda: around("robots.txt", "User-agent: *\nContent-Signal: (\n"),
    },
    "archive.org": {
        A: lambda: item(BY),
        P: lambda: item(IN_COPYRIGHT),
        C: lambda: item(BY_NC),
        U: lambda: around("metadata.json", '{"metadata": {"licenseurl": 7}}'),
    },
    "spdx": {
        A: lambda: around("clip.jpg.license", "# by Ann\nSPDX-License-Identifier: MIT OR CC-BY-NC-4.0\n"),
        P: lambda: around("clip.jpg.license", "SPDX-License-Identifier: NONE\n"),
        C: lambda: around("clip.jpg.license", "SPDX-License-Identifier: MIT AND LicenseRef-ours\n"),
        U: lambda: around("clip.jpg.license", "SPDX-License-Identifier: Creative Commons\n"),
    },
}  # fmt: skip
# noai has no counterpart that allows; that a model made a file is neither a permission nor a prohibition.
EXPRESSIBLE = [(kind, says) for kind, cases in CASES.items() for says in (*cases, Says.ABSENT)]


def read(folder: Path, made: Files, **options: Any) -> dict[str, Signal]:
    return {
        signal.kind: signal for signal in read_signals(put(folder, made), **{"url": URL, **options})
    }


def test_every_signal_is_tried_in_every_state() -> None:
    assert set(CASES) == set(KINDS)
    assert len(KINDS) * len(STATES) - len(EXPRESSIBLE) == 4


@pytest.mark.parametrize(("kind", "says"), EXPRESSIBLE)
def test_each_signal_is_read_right(kind: str, says: Says, tmp_path: Path) -> None:
    found = read(tmp_path, CASES[kind].get(says, ABSENT)())
    assert list(found) == list(KINDS)
    signal = found[kind]
    assert signal.says is says, signal
    assert signal.reader
    assert bool(signal.where) == (says is not Says.ABSENT)
    if says is Says.UNREADABLE:
        assert signal.note
    else:
        others = {name: str(other.says) for name, other in found.items() if name != kind}
        assert {name for name, other in others.items() if other != "absent"} <= {"robots.txt"} & {
            kind
        }
        assert bool(signal.raw) == (says is not Says.ABSENT)


def test_a_file_that_is_not_there_is_unreadable(tmp_path: Path) -> None:
    found = {signal.kind: signal for signal in read_signals(tmp_path / "gone.mp4")}
    assert found["c2pa.training-mining"].says is Says.UNREADABLE
    assert found["dc.rights"].says is Says.UNREADABLE
    assert found["spdx"].says is Says.ABSENT


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    clip = put(tmp_path, {"clip.jpg": jpeg()})
    for name in ("robots.txt", "clip.jpg.headers", "clip.xmp", "metadata.xml", "film.mp4"):
        os.mkfifo(tmp_path / name)
    found = {signal.kind: signal.says for signal in read_signals(clip)}
    assert {found[kind] for kind in ("robots.txt", "x-robots-tag", "dc.rights", "archive.org")} == {
        U
    }
    assert next(signal.says for signal in read_signals(tmp_path / "film.mp4")) is U


# --- Content Credentials ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("entries", "says"),
    [
        ({"ai_generative_training": "allowed", "data_mining": "constrained"}, C),
        ({"ai_training": "notAllowed"}, P),
        ({"ai_training": "notAllowed", "ai_generative_training": "allowed"}, A),
        ({"ai_inference": "notAllowed"}, Says.ABSENT),
        ({"ai_generative_training": "sure"}, U),
    ],
)
def test_which_entries_of_an_assertion_count(entries: dict[str, str], says: Says) -> None:
    assert credentials.of_assertion(uses(**entries), "").says is says


def test_the_older_label_and_a_png_are_read(tmp_path: Path) -> None:
    data = {"entries": {"c2pa.ai_generative_training": {"use": "notAllowed"}}}
    made = signed(files.picture("PNG"), "image/png", data, label="c2pa.training-mining")
    assert read(tmp_path, {"clip.png": made})["c2pa.training-mining"].says is P


def test_a_manifest_without_an_assertion_says_nothing(tmp_path: Path) -> None:
    found = read(tmp_path, {"clip.jpg": signed(jpeg(), "image/jpeg", None)})
    assert found["c2pa.training-mining"].says is Says.ABSENT


def test_without_the_library_a_manifest_is_unreadable_and_none_is_absent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(credentials.importlib.util, "find_spec", lambda name: None)
    signal = read(tmp_path, c2pa(ai_generative_training="allowed"))["c2pa.training-mining"]
    assert signal.says is U
    assert "yozora[rights]" in signal.note
    assert read(tmp_path, {"clip.jpg": jpeg()})["c2pa.training-mining"].says is Says.ABSENT


def test_a_manifest_elsewhere_is_unreadable_since_nothing_is_fetched(tmp_path: Path) -> None:
    body = "<dcterms:provenance>https://example.org/clip.c2pa</dcterms:provenance>"
    signal = read(tmp_path, xmp(body))["c2pa.training-mining"]
    assert signal.says is U
    assert "https://example.org/clip.c2pa" in signal.note


def test_a_store_beside_the_file_is_read(tmp_path: Path) -> None:
    store = signed(jpeg(), "image/jpeg", uses(ai_generative_training="notAllowed"), beside=True)
    assert (
        read(tmp_path, {"clip.jpg": jpeg(), "clip.c2pa": store})["c2pa.training-mining"].says is P
    )
    assert (
        read(tmp_path, {"clip.jpg": jpeg() + b"more", "clip.c2pa": store})[
            "c2pa.training-mining"
        ].says
        is U
    )
    assert (
        read(tmp_path, {"clip.jpg": jpeg(), "clip.c2pa": b"no store"})["c2pa.training-mining"].says
        is U
    )


# --- sites -----------------------------------------------------------------------------------------

ROBOTS = "User-agent: *\nAllow: /\nDisallow: /never/\nContent-Usage: train-ai=n\nContent-Usage: /ai-ok/ train-ai=y\n"


@pytest.mark.parametrize(
    ("path", "fetch", "usage"),
    [("/test", A, P), ("/ai-ok/test", A, A), ("/never/test", P, P)],
)
def test_the_example_of_the_draft(path: str, fetch: Says, usage: Says, tmp_path: Path) -> None:
    found = read(tmp_path, around("robots.txt", ROBOTS), url=f"https://example.org{path}")
    assert (found["robots.txt"].says, found["aipref.robots"].says) == (fetch, usage)


def test_without_an_address_the_strictest_rule_counts(tmp_path: Path) -> None:
    rules = '[{"location": "/a", "tdm-reservation": 0}, {"location": "/b", "tdm-reservation": 1}]'
    made = {**around("robots.txt", ROBOTS), "tdmrep.json": rules}
    found = read(tmp_path, made, url="")
    assert {found[kind].says for kind in ("robots.txt", "aipref.robots", "tdmrep.file")} == {P}
    assert read(tmp_path, made, url="https://example.org/a/b")["tdmrep.file"].says is A
    assert read(tmp_path, made, url="https://example.org/c")["tdmrep.file"].says is Says.ABSENT


def test_a_sites_files_are_found_above_the_file_up_to_the_root(tmp_path: Path) -> None:
    made: Files = {"site/films/clip.jpg": jpeg(), "site/robots.txt": "User-agent: *\nDisallow: /\n"}
    assert read(tmp_path, made)["robots.txt"].says is Says.ABSENT
    assert read(tmp_path, made, root=tmp_path / "site")["robots.txt"].says is P
    assert read(tmp_path, made, root=tmp_path / "other")["robots.txt"].says is Says.ABSENT


def test_only_the_last_response_of_a_record_counts(tmp_path: Path) -> None:
    record = "HTTP/1.1 301 Moved\nX-Robots-Tag: noai\n\nHTTP/1.1 200 OK\nServer: a\n"
    assert read(tmp_path, around("clip.headers", record))["x-robots-tag"].says is Says.ABSENT


@pytest.mark.parametrize("name", ["films_meta.xml", "clip_meta.xml"])
def test_archive_org_names_its_metadata_after_the_item(name: str, tmp_path: Path) -> None:
    made: Files = {"films/clip.jpg": jpeg(), f"films/{name}": item(BY)["metadata.xml"]}
    found = read(tmp_path, made)["archive.org"]
    assert (found.says, found.licence) == (A, "CC-BY-4.0")


def test_a_declared_licence_and_a_stricter_one_beside_the_file(tmp_path: Path) -> None:
    found = read(tmp_path, CASES["spdx"][C](), licence="MIT")["spdx"]
    assert (found.says, found.licence) == (C, "MIT AND LicenseRef-ours")


def test_a_long_raw_signal_is_cut_and_hashed_whole(tmp_path: Path) -> None:
    text = "User-agent: *\nDisallow: /\n" + "# x\n" * 50_000
    signal = read(tmp_path, around("robots.txt", text))["robots.txt"]
    assert len(signal.raw) == RAW_BYTES
    assert len(signal.digest) == 64


# --- anything --------------------------------------------------------------------------------------

NAMES = ("clip.jpg", "clip.jpg.xmp", "clip.headers", "clip.html", "robots.txt", "tdmrep.json", "metadata.xml",
         "metadata.json", "clip.jpg.license", "clip.c2pa")  # fmt: skip
STARTS = [b"", b"\xff\xd8\xff\xe1", b"\x89PNG\r\n\x1a\n", b"RIFF\0\0\0\0WEBP", b"GIF89a", b"\0\0\0\x10ftypisom",
          b"<?xml ", b"<!DOCTYPE a [<!ENTITY b 'c'>]><x/>", b"HTTP/1.1 200\n", b"User-agent: *\n", b"[{"]  # fmt: skip


@settings(
    max_examples=50,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(st.data())
def test_no_bytes_break_a_reader(tmp_path: Path, data: st.DataObject) -> None:
    blob = st.builds(bytes.__add__, st.sampled_from(STARTS), st.binary(max_size=300))
    made = {name: data.draw(blob) for name in NAMES}
    found = read(
        tmp_path, made, licence=data.draw(st.text(max_size=20)), url=data.draw(st.text(max_size=20))
    )
    assert list(found) == list(KINDS)
    assert all(isinstance(signal.to_json()["raw"], str) for signal in found.values())


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(sorted(files.CONTAINERS)), st.data())
def test_a_damaged_prohibition_is_never_taken_for_permission(
    tmp_path: Path, name: str, data: st.DataObject
) -> None:
    whole = bytearray(files.CONTAINERS[name](mining("DMI-PROHIBITED")))
    cut = data.draw(st.integers(1, len(whole)))
    for place in data.draw(st.lists(st.integers(0, len(whole) - 1), max_size=3)):
        whole[place] = data.draw(st.integers(0, 255))
    found = read(tmp_path, {name: bytes(whole[:cut])})["plus.data-mining"]
    assert found.says is not A
