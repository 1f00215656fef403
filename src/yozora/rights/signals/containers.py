"""Where rights metadata lies in a media file: XMP packets and C2PA stores, found without reading the pictures.

Each walker steps over a container's parts by their lengths and reads only the metadata, so that a film of any size
costs a few reads. Standards: ISO 16684-3 (XMP storage in files) and C2PA 2.1, annex A (embedding of manifests).
"""

from __future__ import annotations

import os
import re
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from yozora.rights.signals.signal import UnreadableError, regular

MAX_PACKET = 2**22  # bytes of one packet; real ones have a few thousand
MAX_PARTS = 100_000  # boxes, chunks or segments of one file
SCAN = 2**22  # bytes at each end of a file whose container has no walker here

XMP = "xmp"
C2PA = "c2pa"

JPEG_XMP = b"http://ns.adobe.com/xap/1.0/\0"
JPEG_XMP_MORE = b"http://ns.adobe.com/xmp/extension/\0"
BMFF_XMP = bytes.fromhex("be7acfcb97a942e89c71999491e3afac")
BMFF_C2PA = bytes.fromhex("d8fec3d61b0e483c92975828877ec481")
BMFF_FIRST = {b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot", b"uuid", b"styp"}
OPENING = re.compile(rb"<[?]xpacket begin=|<x:xmpmeta\b")
END = {
    b"<?xpacket begin=": re.compile(rb"<[?]xpacket end="),
    b"<x:xmpmeta": re.compile(rb"</x:xmpmeta\s*>"),
}
PNG_XMP = b"XML:com.adobe.xmp\0"


@dataclass(frozen=True)
class Piece:
    """kind: XMP or C2PA. where: the place in the container. data: the packet; empty for C2PA, which is only noticed."""

    kind: str
    where: str
    data: bytes = b""


def pieces(path: Path) -> list[Piece]:
    """The XMP packets and C2PA stores of a file. Raises UnreadableError where the file cannot be walked to its end.

    JPEG, PNG, WebP, AVI, GIF and ISO media (MP4, MOV) are walked; of any other file the first and the last 4 MiB are
    searched for packets.
    """
    try:
        with regular(path).open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(0)
            walk = walker(file.read(16))
            file.seek(0)
            return list(walk(file, size))
    except OSError as error:
        raise UnreadableError(f"the file cannot be read: {error.strerror}") from error


Walker = Callable[[BinaryIO, int], Iterator[Piece]]


def walker(start: bytes) -> Walker:
    """Which walker a file with these first bytes wants."""
    if start.startswith(b"\xff\xd8\xff"):
        return jpeg
    if start.startswith(b"\x89PNG\r\n\x1a\n"):
        return png
    if start[:4] == b"RIFF":
        return riff
    if start[:6] in (b"GIF87a", b"GIF89a"):
        return gif
    return bmff if start[4:8] in BMFF_FIRST else scan


def take(file: BinaryIO, count: int) -> bytes:
    """Exactly so many bytes. Raises UnreadableError when there are fewer, or too many to be a packet."""
    if not 0 <= count <= MAX_PACKET:
        raise UnreadableError(f"a part claims {count} bytes")
    data = file.read(count)
    if len(data) < count:
        raise UnreadableError("the file ends within a part")
    return data


def skip(file: BinaryIO, count: int, size: int) -> None:
    """Step over so many bytes. Raises UnreadableError when they are not there."""
    if count < 0 or file.tell() + count > size:
        raise UnreadableError("the file ends within a part")
    file.seek(count, os.SEEK_CUR)


def number(file: BinaryIO, count: int) -> int:
    """An unsigned big-endian integer of so many bytes."""
    return int.from_bytes(take(file, count), "big")


def parts() -> Iterator[int]:
    """Counts a file's parts. Raises UnreadableError when there is no end of them."""
    yield from range(MAX_PARTS)
    raise UnreadableError(f"the file has more than {MAX_PARTS} parts")


def jpeg(file: BinaryIO, size: int) -> Iterator[Piece]:
    """The segments before the picture: APP1 holds XMP, its continuation further ones; APP11 holds C2PA."""
    more: dict[bytes, dict[int, bytes]] = {}
    skip(file, 2, size)
    for _ in parts():
        marker = jpeg_marker(file)
        if marker in (0xDA, 0xD9):  # the picture begins; the file ends
            break
        if marker == 0x01 or 0xD0 <= marker <= 0xD7:  # markers without a body
            continue
        body = take(file, number(file, 2) - 2)
        if marker == 0xE1 and body.startswith(JPEG_XMP):
            yield Piece(XMP, "APP1", body[len(JPEG_XMP) :])
        elif marker == 0xE1 and body.startswith(JPEG_XMP_MORE):
            body = body[len(JPEG_XMP_MORE) :]
            guid, offset = body[:32], int.from_bytes(body[36:40], "big")
            more.setdefault(guid, {})[offset] = body[40:]
        elif marker == 0xEB and is_c2pa(body):
            yield Piece(C2PA, "APP11")
    for chunks in more.values():
        yield Piece(XMP, "APP1 (extended)", b"".join(chunks[key] for key in sorted(chunks)))


def jpeg_marker(file: BinaryIO) -> int:
    """The next marker's second byte; any number of 0xFF may stand before it."""
    if number(file, 1) != 0xFF:
        raise UnreadableError("a JPEG segment does not begin with a marker")
    for _ in parts():
        marker = number(file, 1)
        if marker != 0xFF:
            break
    return marker


def is_c2pa(data: bytes) -> bool:
    """Whether this is the beginning of a C2PA store: a JUMBF box whose description is labelled c2pa."""
    return b"jumb" in data[:64] and b"c2pa" in data[:128]


def png(file: BinaryIO, size: int) -> Iterator[Piece]:
    """The chunks: iTXt under Adobe's keyword holds XMP, caBX holds C2PA."""
    skip(file, 8, size)
    for _ in parts():
        length, kind = number(file, 4), take(file, 4)
        if kind == b"IEND":
            break
        if kind == b"iTXt" and length >= len(PNG_XMP):
            if take(file, len(PNG_XMP)) == PNG_XMP:
                yield Piece(XMP, "iTXt", international_text(take(file, length - len(PNG_XMP))))
            else:
                skip(file, length - len(PNG_XMP), size)
        else:
            if kind == b"caBX":
                yield Piece(C2PA, "caBX")
            skip(file, length, size)
        skip(file, 4, size)  # the checksum


def international_text(rest: bytes) -> bytes:
    """The text of an iTXt chunk after its keyword (PNG 3, section 11.3.3.4)."""
    compressed, text = rest[:1] == b"\1", rest[2:].split(b"\0", 2)[-1]
    if not compressed:
        return text
    try:
        inflate = zlib.decompressobj()
        data = inflate.decompress(text, MAX_PACKET)
    except zlib.error as error:
        raise UnreadableError(f"the packet cannot be decompressed: {error}") from error
    if inflate.unconsumed_tail:
        raise UnreadableError(f"the packet has more than {MAX_PACKET >> 20} MiB")
    return data


def riff(file: BinaryIO, size: int) -> Iterator[Piece]:
    """The chunks of WebP and AVI: "XMP " and "_PMX" hold XMP, C2PA holds C2PA."""
    for _ in parts():
        head = file.read(8)
        if not head.strip(b"\0"):  # the end, or padding after it
            break
        if len(head) < 8:
            raise UnreadableError("the file ends within a part")
        kind, length = head[:4], int.from_bytes(head[4:], "little")
        if kind == b"RIFF":  # large AVI files have several, one after the other
            skip(file, 4, size)
        elif kind in (b"XMP ", b"_PMX"):
            yield Piece(XMP, kind.decode(), take(file, length))
            file.seek(length % 2, os.SEEK_CUR)
        else:
            if kind == b"C2PA":
                yield Piece(C2PA, "C2PA")
            skip(file, length, size)
            file.seek(length % 2, os.SEEK_CUR)


def gif(file: BinaryIO, size: int) -> Iterator[Piece]:
    """The blocks: the application extension "XMP Data" holds XMP, "C2PA_GIF" holds C2PA."""
    skip(file, 10, size)
    skip_colours(file, size, 2)
    for _ in parts():
        block = number(file, 1)
        if block == 0x3B:
            break
        if block == 0x2C:  # a picture: place and size, colours, pixels
            skip(file, 8, size)
            skip_colours(file, size, 1)
            blocks(file, size)
        elif block == 0x21 and number(file, 1) == 0xFF:
            name = take(file, number(file, 1))
            if name == b"XMP DataXMP":
                yield Piece(XMP, "XMP DataXMP", gif_packet(file, size))
            elif name.startswith(b"C2PA_GIF"):
                yield Piece(C2PA, "C2PA_GIF")
                blocks(file, size)
            else:
                blocks(file, size)
        elif block == 0x21:
            blocks(file, size)
        else:
            raise UnreadableError("a GIF block is of no known kind")


def skip_colours(file: BinaryIO, size: int, between: int) -> None:
    """Step over flags, `between` bytes and, where the flags announce one, a table of 3 × 2^(n + 1) bytes."""
    flags = number(file, 1)
    skip(file, between + (3 << (flags & 7) + 1 if flags & 0x80 else 0), size)


def blocks(file: BinaryIO, size: int) -> int:
    """Step over a chain of sub-blocks; the number of bytes stepped over."""
    start = file.tell()
    for _ in parts():
        length = number(file, 1)
        if length == 0:
            break
        skip(file, length, size)
    return file.tell() - start


def gif_packet(file: BinaryIO, size: int) -> bytes:
    """An XMP packet in a GIF, where it lies as it is and not in sub-blocks.

    A trailer of 258 descending bytes catches every reader that takes the packet's letters for lengths.
    """
    count = blocks(file, size)
    file.seek(-count, os.SEEK_CUR)
    return take(file, count)[:-258]


def bmff(file: BinaryIO, size: int) -> Iterator[Piece]:
    """The boxes of MP4 and MOV: uuid boxes hold XMP or C2PA, moov/udta/XMP_ holds XMP (ISO/IEC 14496-12)."""
    count = parts()
    yield from boxes(file, size, "", count)


def boxes(file: BinaryIO, end: int, inside: str, count: Iterator[int]) -> Iterator[Piece]:
    """The pieces in the boxes up to the offset `end`."""
    while end - file.tell() >= 8:
        next(count)
        start = file.tell()
        length, kind = number(file, 4), take(file, 4)
        if length == 0 and (inside == "udta" or not kind.strip(b"\0")):
            break  # QuickTime ends a list with zeros; others pad with them
        if length == 1:
            length = number(file, 8)
        stop = start + length if length else end  # 0: to the end of the file
        if stop > end or stop < file.tell():
            raise UnreadableError(f"the box {kind!r} at byte {start} claims {length} bytes")
        if kind == b"uuid" and stop - file.tell() >= 16:
            name = take(file, 16)
            if name == BMFF_XMP:
                yield Piece(XMP, "uuid", take(file, stop - file.tell()))
            elif name == BMFF_C2PA:
                yield Piece(C2PA, "uuid")
        elif kind == b"XMP_" and inside == "udta":
            yield Piece(XMP, "moov/udta/XMP_", take(file, stop - file.tell()))
        elif (kind == b"moov" and not inside) or (kind == b"udta" and inside == "moov"):
            yield from boxes(file, stop, kind.decode(), count)
        file.seek(stop)


def scan(file: BinaryIO, size: int) -> Iterator[Piece]:
    """Packets and stores in the first and the last 4 MiB, wherever they lie."""
    for start in sorted({0, max(0, size - SCAN)}):
        file.seek(start)
        data = file.read(SCAN)
        for place, packet in packets(data):
            yield Piece(XMP, f"byte {start + place}", packet)
        for store in re.finditer(rb"jumb", data):
            if is_c2pa(data[store.start() : store.start() + 128]):
                yield Piece(C2PA, f"byte {start + store.start()}")
        if start + SCAN >= size:
            break


def packets(data: bytes) -> Iterator[tuple[int, bytes]]:
    """The XMP packets in some bytes, each with its place. Raises UnreadableError at the first that has no end, so that
    each byte is looked at once, however many seem to begin."""
    after = 0
    for opening in OPENING.finditer(data):
        if opening.start() < after:
            continue  # within a packet
        end = END[opening[0]].search(data, opening.end())
        if end is None:
            raise UnreadableError("a packet has no end")
        after = end.end()
        wrapped = opening[0].startswith(b"<?")
        yield opening.start(), data[opening.start() : end.start() if wrapped else after]
