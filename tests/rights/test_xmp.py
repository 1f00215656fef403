"""XMP in every container that is read, beside what exiftool finds in the same files."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.rights import files
from tests.rights.files import CONTAINERS, PLUS, SPACES, alt, mining, packet

from yozora.rights.signals import containers, xmp
from yozora.rights.signals.containers import SCAN, pieces
from yozora.rights.signals.read import read_signals
from yozora.rights.signals.signal import Says, UnreadableError
from yozora.rights.signals.terms import read_terms

BY = "https://creativecommons.org/licenses/by/4.0/"
EVERYTHING = (
    f"<plus:DataMining>{PLUS}DMI-PROHIBITED-AIMLTRAINING</plus:DataMining>"
    f'<cc:license rdf:resource="{BY}"/>'
    "<xmpRights:Marked>True</xmpRights:Marked>"
    f"<xmpRights:WebStatement>{BY}</xmpRights:WebStatement>"
    + alt("xmpRights:UsageTerms", "Ask “Ann” first &amp; last")
    + alt("dc:rights", "© 2026 Ann Exämple 夜空")
)
# What each property is called here and by exiftool.
NAMES = {
    xmp.PLUS + "DataMining": "XMP-plus:DataMining",
    xmp.CC + "license": "XMP-cc:License",
    xmp.RIGHTS + "Marked": "XMP-xmpRights:Marked",
    xmp.RIGHTS + "WebStatement": "XMP-xmpRights:WebStatement",
    xmp.RIGHTS + "UsageTerms": "XMP-xmpRights:UsageTerms",
    xmp.DC + "rights": "XMP-dc:Rights",
}


def properties_in(path: Path) -> dict[str, list[str]]:
    """What the reader finds in a file or sidecar, over all its packets."""
    found: dict[str, list[str]] = {}
    packets = (
        [path.read_bytes()] if path.suffix == ".xmp" else [piece.data for piece in pieces(path)]
    )
    for one in packets:
        for name, values in xmp.properties(one).items():
            found.setdefault(name, []).extend(values)
    return found


def data_mining(path: Path) -> Says:
    return next(signal.says for signal in read_signals(path) if signal.kind == "plus.data-mining")


@pytest.mark.parametrize("name", CONTAINERS)
def test_every_container_gives_up_its_packet(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(CONTAINERS[name](packet(EVERYTHING)))
    found = properties_in(path)
    assert found[xmp.PLUS + "DataMining"] == [PLUS + "DMI-PROHIBITED-AIMLTRAINING"]
    assert found[xmp.CC + "license"] == [BY]
    assert found[xmp.DC + "rights"] == ["© 2026 Ann Exämple 夜空"]
    subject = tmp_path / "sidecar.mp4" if name == "sidecar.xmp" else path
    subject.touch()
    assert data_mining(subject) is Says.PROHIBITED


@pytest.mark.skipif(shutil.which("exiftool") is None, reason="Debian: libimage-exiftool-perl")
def test_exiftool_finds_the_same(tmp_path: Path) -> None:
    """In every container and every PLUS state: the same properties, with the same values."""
    paths = []
    for name in CONTAINERS:
        for value in ("AIMLTRAINING", "SEECONSTRAINT"):
            path = tmp_path / f"{value}.{name}"
            path.write_bytes(CONTAINERS[name](packet(EVERYTHING.replace("AIMLTRAINING", value))))
            paths.append(path)
    arguments = ["exiftool", "-json", "-n", "-G1", "-XMP:all", "-charset", "filename=utf8"]
    done = subprocess.run(
        [*arguments, *map(str, paths)], capture_output=True, text=True, check=True
    )
    theirs = {entry["SourceFile"]: entry for entry in json.loads(done.stdout)}
    assert len(theirs) == len(paths) == 2 * len(CONTAINERS)
    for path in paths:
        ours = properties_in(path)
        for name, called in NAMES.items():
            assert ours[name] == [str(theirs[str(path)][called])], (path.name, name)


@pytest.mark.parametrize("name", sorted(set(CONTAINERS) - {"sidecar.xmp"}))
def test_a_container_that_is_cut_within_the_packet_is_unreadable(name: str, tmp_path: Path) -> None:
    whole = CONTAINERS[name](mining("DMI-PROHIBITED"))
    path = tmp_path / name
    inside = whole.find(b"DMI-PROHIBITED")
    path.write_bytes(whole[: inside if inside > 0 else whole.find(b"iTXt") + 40])
    assert data_mining(path) is Says.UNREADABLE


def test_a_film_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two gigabytes of pixels (a hole in the file) are stepped over."""
    path = tmp_path / "long.mp4"
    end = files.mp4(mining("DMI-ALLOWED"))
    start = end.index(b"mdat") - 4
    gap = 2**31
    with path.open("wb") as file:
        file.write(end[:start] + (gap + 8).to_bytes(4, "big") + b"mdat")
        file.seek(gap, 1)
        file.write(end[start + 8 + 5000 :])
    taken: list[int] = []
    take = containers.take

    def counting(file: object, count: int) -> bytes:
        taken.append(count)
        return take(file, count)  # type: ignore[arg-type]

    monkeypatch.setattr(containers, "take", counting)
    assert data_mining(path) is Says.ALLOWED
    assert sum(taken) < 10_000


def test_of_other_containers_both_ends_are_searched(tmp_path: Path) -> None:
    path = tmp_path / "a.mkv"
    path.write_bytes(b"\x1aE\xdf\xa3" + bytes(2 * SCAN) + mining("DMI-PROHIBITED") + bytes(100))
    assert data_mining(path) is Says.PROHIBITED
    path.write_bytes(b"\x1aE\xdf\xa3" + bytes(2 * SCAN))
    assert data_mining(path) is Says.ABSENT


def test_the_strictest_of_several_packets_holds(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(files.jpeg(mining("DMI-ALLOWED")))
    assert data_mining(path) is Says.ALLOWED
    path.with_suffix(".xmp").write_bytes(mining("DMI-PROHIBITED"))
    assert data_mining(path) is Says.PROHIBITED
    path.with_suffix(".xmp").write_bytes(b"<broken")
    assert data_mining(path) is Says.UNREADABLE


@pytest.mark.parametrize(
    "value",
    ["UNSPECIFIED", "ALLOWED", "PROHIBITED", "PROHIBITED-AIMLTRAINING", "PROHIBITED-GENAIMLTRAINING",
     "PROHIBITED-EXCEPTSEARCHENGINEINDEXING", "PROHIBITED-SEECONSTRAINT", "PROHIBITED-SEEEMBEDDEDRIGHTSEXPR",
     "PROHIBITED-SEELINKEDRIGHTSEXPR"],
)  # fmt: skip
def test_the_plus_vocabulary(value: str) -> None:
    expected = {"UNSPECIFIED": Says.ABSENT, "ALLOWED": Says.ALLOWED}
    if "SEE" in value:
        expected[value] = Says.CONSTRAINED
    assert xmp.data_mining(f"{PLUS}DMI-{value}") is expected.get(value, Says.PROHIBITED)
    assert xmp.data_mining(f"DMI-{value}") is expected.get(value, Says.PROHIBITED)
    assert xmp.data_mining(f"DMI-{value}S") is Says.UNREADABLE


# --- RDF and XML -----------------------------------------------------------------------------------

FORMS = [
    "<rdf:Description rdf:about=''><dc:rights>{}</dc:rights></rdf:Description>",
    "<rdf:Description rdf:about='' dc:rights='{}'/>",
    "<rdf:Description rdf:about=''><dc:rights rdf:resource='{}'/></rdf:Description>",
    "<rdf:Description><dc:rights><rdf:Bag><rdf:li>{}</rdf:li></rdf:Bag></dc:rights></rdf:Description>",
    "<rdf:Description><dc:rights rdf:parseType='Resource'><rdf:value>{}</rdf:value></dc:rights></rdf:Description>",
    "<rdf:Description><dc:rights><rdf:Description rdf:value='{}' dc:x='n'/></dc:rights></rdf:Description>",
]


@pytest.mark.parametrize("form", FORMS)
def test_the_forms_that_rdf_allows(form: str) -> None:
    text = f"<rdf:RDF {SPACES}>{form.format('yes')}</rdf:RDF>"
    assert xmp.properties(text.encode())[xmp.DC + "rights"] == ["yes"]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"])
def test_the_encodings_of_xmp(encoding: str) -> None:
    text = f"<rdf:RDF {SPACES}><rdf:Description dc:rights='夜空'/></rdf:RDF>  "
    assert xmp.properties(text.encode(encoding))[xmp.DC + "rights"] == ["夜空"]


BOMB = (
    "<!DOCTYPE a ["
    + "".join(f"<!ENTITY e{i + 1} '&e{i};&e{i};'>" for i in range(40))
    + "]><a>&e40;</a>"
)


@pytest.mark.parametrize(
    "text",
    [BOMB, "<!DOCTYPE a SYSTEM 'file:///etc/passwd'><a/>", "<a>" * 100, "<a>" + "<b/>" * 60_000 + "</a>", "<a>&e;</a>",
     "", "\0", "plain text"],
    ids=["bomb", "file", "deep", "many", "entity", "empty", "nul", "text"],
)  # fmt: skip
def test_hostile_xml_is_unreadable(text: str) -> None:
    with pytest.raises(UnreadableError):
        xmp.parse(text.encode())


@given(
    st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1).map(str.strip).filter(bool)
)
def test_any_text_survives(text: str) -> None:
    escaped = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    try:
        found = xmp.properties(packet(f"<dc:rights>{escaped}</dc:rights>"))
    except UnreadableError:  # U+FFFE and U+FFFF are no XML characters
        assert {"\ufffe", "\uffff"} & set(text)
    else:
        assert found[xmp.DC + "rights"] == [text]


# --- plain words -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "says", "licence"),
    [
        ("", "absent", ""),
        ("© 2026 Ann Example", "absent", ""),
        ("Copyright (c) Ann Example 2020-2024", "absent", ""),
        ("© Ann. Ask before use.", "constrained", ""),
        ("All Rights Reserved", "prohibited", ""),
        ("NoAI", "prohibited", ""),
        ("Use for machine learning is prohibited.", "prohibited", ""),
        ("No text and data mining", "prohibited", ""),
        ("Licensed under CC BY-NC-ND 3.0", "constrained", "CC-BY-NC-ND-3.0"),
        ("Creative Commons Attribution-ShareAlike 4.0 International", "allowed", "CC-BY-SA-4.0"),
        ("CC0 1.0 Universal", "allowed", "CC0-1.0"),
        (f"See {BY}.", "allowed", "CC-BY-4.0"),
        (f"{BY} or https://creativecommons.org/licenses/by-sa/4.0/", "constrained", ""),
        ("Public domain", "allowed", "LicenseRef-public-domain"),
        ("MIT", "allowed", "MIT"),
        ("Ihr Vertrag gilt", "constrained", ""),
    ],
)
def test_terms_in_plain_words(text: str, says: str, licence: str) -> None:
    assert read_terms(text)[:2] == (Says(says), licence)


def test_a_packet_of_a_picture_that_is_too_large_is_not_taken_for_none(tmp_path: Path) -> None:
    path = tmp_path / "large.png"
    path.write_bytes(files.png(mining("DMI-PROHIBITED") + b" " * containers.MAX_PACKET))
    assert data_mining(path) is Says.UNREADABLE
    other = files.chunk(b"iTXt", b"Comment\0\0\0\0\0" + b" " * containers.MAX_PACKET)
    allowed = files.png(mining("DMI-ALLOWED"))
    path.write_bytes(allowed[:33] + other + allowed[33:])
    assert data_mining(path) is Says.ALLOWED


def test_packets_are_found_one_by_one_and_one_without_an_end_is_unreadable() -> None:
    one, two = mining("DMI-ALLOWED"), b"<x:xmpmeta>?</x:xmpmeta >"
    found = list(containers.packets(b"..." + one + two + b"."))
    assert [data[:12] for _, data in found] == [b"<?xpacket be", b"<x:xmpmeta>?"]
    assert [place for place, _ in found] == [3, 3 + len(one)]
    flood = b"<?xpacket begin=" * 2**18  # a search for each one's end would take hours
    for data in (flood, one + flood, b"<x:xmpmeta " * 2**18):
        with pytest.raises(UnreadableError, match="no end"):
            list(containers.packets(data))
