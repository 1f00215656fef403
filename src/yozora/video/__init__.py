"""Clips in and out of files: the only room that talks to a codec (FFmpeg, through PyAV)."""

from __future__ import annotations

from yozora.video.canvas import Canvas
from yozora.video.clip import SPLITS, Clip, Info, Record
from yozora.video.geometry import fit
from yozora.video.reading import MAX_CLIP_BYTES, MAX_PIXELS, probe, read, read_image, stream
from yozora.video.sheet import contact_sheet
from yozora.video.sound import SOUND_RATE, Soundtrack, soundtrack
from yozora.video.watching import Picture, Sample, View, watch
from yozora.video.writing import Writer, write, write_image

__all__ = [
    "MAX_CLIP_BYTES",
    "MAX_PIXELS",
    "SOUND_RATE",
    "SPLITS",
    "Canvas",
    "Clip",
    "Info",
    "Picture",
    "Record",
    "Sample",
    "Soundtrack",
    "View",
    "Writer",
    "contact_sheet",
    "fit",
    "probe",
    "read",
    "read_image",
    "soundtrack",
    "stream",
    "watch",
    "write",
    "write_image",
]
