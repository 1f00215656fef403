from __future__ import annotations

import tracemalloc
from pathlib import Path

import av
import numpy as np
import pytest
from tests.media import moving

from yozora.errors import YozoraError
from yozora.video import SOUND_RATE, Clip, soundtrack, write

RATE = 44100


def film(path: Path, sound: np.ndarray, late: float = 0.0) -> Path:
    """Four seconds of pictures with a stereo track that begins `late` seconds after them."""
    frames = np.concatenate([moving()] * 8)[:32]
    with av.open(str(path), "w") as out:
        video = out.add_stream("libx264", 8)
        video.height, video.width = frames.shape[1:3]
        video.pix_fmt = "yuv420p"
        audio = out.add_stream("aac", RATE, layout="stereo")
        for number, picture in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(picture, "rgb24")
            frame.pts = number
            out.mux(video.encode(frame))
        out.mux(video.encode(None))
        for start in range(0, len(sound), 1024):
            part = np.stack([sound[start : start + 1024]] * 2).astype(np.float32)
            heard = av.AudioFrame.from_ndarray(part, "fltp", "stereo")
            heard.sample_rate, heard.pts = RATE, start + round(late * RATE)
            out.mux(audio.encode(heard))
        out.mux(audio.encode(None))
    return path


def beep(seconds: float, start: float, end: float) -> np.ndarray:
    time = np.arange(int(seconds * RATE)) / RATE
    return np.where((time >= start) & (time < end), 0.5 * np.sin(2 * np.pi * 440 * time), 0)


def loud(samples: np.ndarray) -> tuple[float, float]:
    """When it begins and ends to be heard, in seconds."""
    at = np.flatnonzero(np.abs(samples) > 0.1)
    return at[0] / SOUND_RATE, at[-1] / SOUND_RATE


@pytest.mark.parametrize("late", [0.0, 0.5])
def test_a_stretch_is_heard_when_it_is_seen(tmp_path: Path, late: float) -> None:
    path = film(tmp_path / "film.mp4", beep(3, 1, 1.5), late)
    with soundtrack(path) as track:
        whole = track.between(0, 4)
        assert (whole.dtype, whole.shape) == (np.float32, (4 * SOUND_RATE,))
        assert loud(whole) == pytest.approx((1 + late, 1.5 + late), abs=0.06)
        part = track.between(0.75 + late, 2 + late)
        assert loud(part) == pytest.approx((0.25, 0.75), abs=0.06)
        assert (
            part == whole[round((0.75 + late) * SOUND_RATE) : round((2 + late) * SOUND_RATE)]
        ).all()


def test_what_is_forgotten_and_what_comes_after_the_end_is_silent(tmp_path: Path) -> None:
    with soundtrack(film(tmp_path / "film.mp4", beep(3, 0, 3))) as track:
        assert np.abs(track.between(0, 2)).max() > 0.4
        track.forget(1.0)
        assert np.abs(track.between(0, 0.8)).max() == 0
        assert np.abs(track.between(1.1, 2)).max() > 0.4
        assert np.abs(track.between(3.2, 5)).max() == 0


def test_a_film_without_sound_is_silent_and_no_film_is_an_error(tmp_path: Path) -> None:
    path = write(Clip(moving(), 8), tmp_path / "mute.mp4")
    with soundtrack(path) as track:
        assert not track.between(0, 1).any()
    (tmp_path / "none.mp4").write_bytes(b"no film")
    with pytest.raises(YozoraError), soundtrack(tmp_path / "none.mp4"):
        pass


def test_a_damaged_track_ends_and_harms_nothing(tmp_path: Path) -> None:
    data = film(tmp_path / "film.mkv", beep(3, 0, 3)).read_bytes()
    (tmp_path / "cut.mkv").write_bytes(data[: len(data) // 2])
    with soundtrack(tmp_path / "cut.mkv") as track:
        assert track.between(0, 4).shape == (4 * SOUND_RATE,)


def test_what_was_forgotten_before_it_came_is_not_kept(tmp_path: Path) -> None:
    path = film(tmp_path / "film.mp4", beep(60, 58, 59))
    with soundtrack(path) as track:
        whole = track.between(57, 60)
    with soundtrack(path) as track:
        track.forget(57)
        tracemalloc.start()
        assert (track.between(57, 60) == whole).all()
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert np.abs(whole).max() > 0.4
    assert peak < 30 * SOUND_RATE * 4
