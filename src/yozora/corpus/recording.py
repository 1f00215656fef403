"""Clips on their way into a corpus: encoded and hashed while their frames come, then moved to their place."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from yozora.corpus.schema import Row, check_record, clip_path, make_row
from yozora.video import Canvas, Clip, Record, Writer
from yozora.video.clip import Frames
from yozora.video.encoders import Quality, encoder_for


class ClipHash:
    """SHA-256 of a clip's frames, their shape and rate.

    Frames, not the encoded file: encoders give other bytes on another day (version, threads), and a clip that is
    there already need not be encoded to be known. How many there are is hashed last, since nobody knows it before.
    """

    def __init__(self) -> None:
        self._digest = hashlib.sha256()
        self.frames = 0
        self._shape: tuple[int, ...] = ()

    def update(self, picture: Frames) -> None:
        """Take the next frame."""
        self._digest.update(np.ascontiguousarray(picture).data)
        self._shape = picture.shape
        self.frames += 1

    def hexdigest(self, fps: float) -> str:
        """The hash in hex, of the frames so far at this rate."""
        digest = self._digest.copy()
        digest.update(repr(((self.frames, *self._shape), float(fps))).encode())
        return digest.hexdigest()


def clip_hash(clip: Clip) -> str:
    """The ClipHash of a clip, its id in a corpus."""
    return pictures_hash(clip.frames, clip.fps)


def pictures_hash(pictures: Iterable[Frames], fps: float) -> str:
    """The ClipHash of these pictures."""
    digest = ClipHash()
    for picture in pictures:
        digest.update(picture)
    return digest.hexdigest(fps)


class Recorder:
    """Puts clips into the place that they have in a corpus; what is begun and not kept is gone with ``folder``."""

    def __init__(self, corpus: Path, folder: Path) -> None:
        self._corpus, self._folder = corpus, folder
        self._numbers = itertools.count()

    def begin(self, canvas: Canvas) -> Recording:
        """A clip whose frames are to come, laid out as the canvas says."""
        return self._begin(canvas, "exact" if canvas.exact else "film")

    def store(self, pictures: Iterable[Frames], canvas: Canvas, record: Record) -> Row:
        """The row of a clip whose frames are all there, laid out as the canvas says; encoded unless its file is there.

        Raises YozoraError when the record has no licence, or the file cannot be written.
        """
        return self._store(list(pictures), canvas, record, "exact" if canvas.exact else "film")

    def store_clip(self, clip: Clip, record: Record) -> Row:
        """The same for a clip in RGB, whatever its size."""
        canvas = Canvas(clip.width, clip.height, float(clip.fps))
        return self._store(clip.frames, canvas, record, "exact")

    def _begin(self, canvas: Canvas, quality: Quality) -> Recording:
        part = self._folder / f"{next(self._numbers)}.mp4"
        return Recording(self._corpus, part, canvas, quality)

    def _store(
        self, pictures: Iterable[Frames], canvas: Canvas, record: Record, quality: Quality
    ) -> Row:
        check_record(record)
        digest = ClipHash()
        for picture in pictures:
            digest.update(picture)
        name = digest.hexdigest(canvas.fps)
        if (self._corpus / clip_path(name)).exists():
            encoder = encoder_for(".mp4", quality).name
            return make_row(canvas, digest.frames, record, name, encoder)
        recording = self._begin(canvas, quality)
        for picture in pictures:
            recording.write(picture)
        recording.close()
        return recording.keep(record)


class Recording:
    """One clip under way; memory does not grow with its length."""

    def __init__(self, corpus: Path, part: Path, canvas: Canvas, quality: Quality) -> None:
        self._corpus, self._part, self._canvas = corpus, part, canvas
        self._writer = Writer(part, fps=canvas.fps, size=canvas.size, quality=quality)
        self._hash = ClipHash()
        self._writer.__enter__()

    def write(self, picture: Frames) -> None:
        """Take the next frame. Raises YozoraError when it is of another shape, or cannot be written."""
        self._hash.update(picture)
        self._writer.write(picture)

    def close(self) -> str:
        """No more frames come; the clip's id. Raises YozoraError when there were none, or the disk is full."""
        self._writer.__exit__(None, None, None)
        return self.id

    @property
    def id(self) -> str:
        """The hash of its frames so far."""
        return self._hash.hexdigest(self._canvas.fps)

    def keep(self, record: Record) -> Row:
        """The row of the closed clip, once its file is in its place. Raises YozoraError without a licence."""
        check_record(record)
        encoder = self._writer.encoder
        row = make_row(self._canvas, self._hash.frames, record, self.id, encoder)
        place = self._corpus / row.path
        if place.exists():
            self.drop()
        else:
            place.parent.mkdir(exist_ok=True)
            self._part.replace(place)
        return row

    def drop(self) -> None:
        """Take the closed clip's file away."""
        self._part.unlink(missing_ok=True)
