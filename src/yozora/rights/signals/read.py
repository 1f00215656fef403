"""All signals of a file: what it holds, and what lies around it. Nothing is fetched.

For clip.mp4, beside it:

    clip.mp4.xmp       or clip.xmp        an XMP sidecar
    clip.mp4.c2pa      or clip.c2pa       a C2PA manifest store
    clip.mp4.headers   or clip.headers    the HTTP response that it came with
    clip.mp4.html      or clip.html       the page that it was found on
    clip.mp4.license                      a REUSE licence file

In its folder, or the nearest one above it up to `root`: robots.txt, .well-known/tdmrep.json (or tdmrep.json), and an
archive.org item's metadata.xml, metadata.json or NAME_meta.xml, where NAME is the file's or the folder's.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from yozora.rights.signals import (
    aipref,
    archive_org,
    credentials,
    declared,
    headers,
    robots,
    tdmrep,
    xmp,
)
from yozora.rights.signals.containers import pieces
from yozora.rights.signals.headers import Fields
from yozora.rights.signals.paths import path_of
from yozora.rights.signals.signal import Says, Signal, UnreadableError, signal

KINDS = (
    *credentials.KINDS,
    *xmp.KINDS,
    "tdmrep.header",
    "tdmrep.meta",
    "tdmrep.file",
    "robots.txt",
    "x-robots-tag",
    "robots.meta",
    "aipref.header",
    "aipref.robots",
    "content-signal",
    archive_org.KIND,
    declared.KIND,
)


def read_signals(
    path: str | Path, *, licence: str = "", url: str = "", root: str | Path | None = None
) -> tuple[Signal, ...]:
    """One signal of each of KINDS, in that order, for a file on disk.

    licence: the SPDX expression that is declared for it. url: where it came from, by which the rules of a site are
    chosen; without it the strictest rule counts. root: how far up the site's files are looked for (default: the
    file's own folder). Never raises for what the files hold: what cannot be understood is UNREADABLE.
    """
    file = Path(path)
    try:
        found, damage = pieces(file), ""
    except UnreadableError as error:
        found, damage = [], str(error)
    signals = [
        *credentials.read_credentials(file, found, beside(file, ".c2pa"), damage),
        *xmp.read_xmp(found, sidecars(file), damage),
        *of_header(beside(file, ".headers")),
        *of_page(beside(file, ".html")),
        *of_site(file, path_of(url), Path(root) if root is not None else file.parent),
        declared.read_declared(licence, existing(file.with_name(file.name + ".license"))),
    ]
    known = {one.kind: one for one in signals}
    return tuple(known[kind] for kind in KINDS)


def of_header(record: Path | None) -> list[Signal]:
    """The signals in a record of the HTTP response."""
    kinds = ("tdmrep.header", "x-robots-tag", "aipref.header")
    fields, broken = fields_of(record, kinds, "header-record/1")
    if broken:
        return broken
    where = record.name if record else ""
    return [
        tdmrep.read_fields(kinds[0], fields, where),
        robots.read_tags(kinds[1], fields, "x-robots-tag", where),
        aipref.read_header(fields, where),
    ]


def of_page(page: Path | None) -> list[Signal]:
    """The signals in the page that the file was found on."""
    kinds = ("tdmrep.meta", "robots.meta")
    fields, broken = fields_of(page, kinds, "page/1")
    if broken:
        return broken
    where = page.name if page else ""
    return [
        tdmrep.read_fields(kinds[0], fields, where),
        robots.read_tags(kinds[1], fields, "robots", where),
    ]


def fields_of(
    path: Path | None, kinds: tuple[str, ...], reader: str
) -> tuple[Fields, list[Signal]]:
    """A record's or a page's fields; or a signal of each kind when it is unreadable."""
    if path is None:
        return {}, []
    try:
        text = headers.text_of(path)
        return (headers.parse_meta if path.suffix == ".html" else headers.parse_fields)(text), []
    except UnreadableError as error:
        return {}, [
            signal(kind, Says.UNREADABLE, reader, where=path, note=str(error)) for kind in kinds
        ]


def of_site(file: Path, url_path: str | None, root: Path) -> list[Signal]:
    """The signals in what was kept of the site."""
    folders = list(up(file.parent, root))
    rules = nearest(folders, "robots.txt")
    mining = nearest(folders, ".well-known/tdmrep.json", "tdmrep.json")
    names = ("metadata.xml", "metadata.json", f"{file.stem}_meta.xml", f"{file.stem}_meta.json")
    item = [
        path
        for folder in folders
        for name in (
            *names,
            f"{folder.absolute().name}_meta.xml",
            f"{folder.absolute().name}_meta.json",
        )
        if (path := existing(folder / name))
    ]
    if rules:
        of_robots = [
            robots.read_robots(rules, url_path),
            *aipref.read_robots_usage(rules, url_path),
        ]
    else:
        kinds = ("robots.txt", "aipref.robots", "content-signal")
        of_robots = [signal(kind, Says.ABSENT, robots.READER) for kind in kinds]
    of_mining = (
        tdmrep.read_file(mining, url_path)
        if mining
        else signal("tdmrep.file", Says.ABSENT, tdmrep.READER)
    )
    return [*of_robots, of_mining, archive_org.read_item(dict.fromkeys(item))]


def up(folder: Path, root: Path) -> Iterator[Path]:
    """The folder and those above it, up to the root; the folder alone when it is not below the root."""
    here, top = folder.absolute(), root.absolute()
    yield folder
    if here.is_relative_to(top):
        while here != top:
            here = here.parent
            yield here


def nearest(folders: list[Path], *names: str) -> Path | None:
    """The first of these files that exists, in the nearest folder."""
    return next(
        (path for folder in folders for name in names if (path := existing(folder / name))), None
    )


def existing(path: Path) -> Path | None:
    """The path when something is there: also a link that leads nowhere, which is then unreadable."""
    try:
        path.lstat()
    except (OSError, ValueError):
        return None
    return path


def beside(file: Path, suffix: str) -> Path | None:
    """The sidecar with this suffix, the one with the file's full name first; never the file itself."""
    names = (file.with_name(file.name + suffix), file.with_suffix(suffix))
    return next((path for name in names if name != file and (path := existing(name))), None)


def sidecars(file: Path) -> list[Path]:
    """Both .xmp sidecars that a file may have."""
    names = dict.fromkeys((file.with_name(file.name + ".xmp"), file.with_suffix(".xmp")))
    return [name for name in names if name != file and existing(name)]
