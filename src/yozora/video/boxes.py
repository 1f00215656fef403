"""A look into MP4 boxes (ISO/IEC 14496-12) before FFmpeg reads them.

FFmpeg allocates its index of a fragment before it reads the entries: a file of a few kilobytes
whose `trun` box claims 2^26 samples takes a gigabyte.
"""

from __future__ import annotations

import struct
from typing import BinaryIO

PARENTS = (b"moov", b"moof", b"traf")  # on the way to trun
MAX_BOXES = 1_000_000  # some weeks of fragments; a file of nothing but boxes must end too


def fragment_samples(file: BinaryIO, size: int) -> int:
    """How many samples the fragments of a file of `size` bytes claim together; 0 if it has none."""
    at = samples = 0
    for _ in range(MAX_BOXES):
        file.seek(at)
        head = file.read(16)
        if at > size or len(head) < 16:
            break
        length, kind = struct.unpack_from(">I4s", head)
        if kind in PARENTS:
            at += 8  # its children follow at once, and its sibling after them
            continue
        if kind == b"trun":
            samples += struct.unpack_from(">I", head, 12)[0]
        if length == 1:
            length = struct.unpack_from(">Q", head, 8)[0]
        if length < 8:
            break  # 0 means up to the end; the rest is damage
        at += length
    return samples
