"""What is measured of a clip: motion and light as the taps of footage measure them, the camera's way, colours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from yozora.captioning import colours
from yozora.corpus.schema import Row
from yozora.footage.taps.light import Light, LightTap
from yozora.footage.taps.motion import RIM, Comparison, Floats, Motion, MotionTap, Step
from yozora.video import Clip

Luma = NDArray[np.uint8]

LUMA = 64  # pixels on the longer side that motion is measured at, as in a film's views
STANDS = 0.008  # longer sides a second, below which a camera stands still
TEXTURE = 0.7  # levels by which a camera changes a corner from frame to frame, if anything is to be seen in it
UNEXPLAINED = 0.7  # share of the change in a corner that its motion may leave
CORNERS = 3  # that have to move with the camera
ONE_WAY = (
    0.6  # share of the camera's mean speed that its mean velocity has at least, if it goes anywhere
)
MAINLY = 0.8  # share of that velocity that one direction has at least


@dataclass(frozen=True)
class Look:
    """What was measured of a clip. motion is None for a still, light where nobody could measure it.

    camera: "still" or "moves", empty where that cannot be told. way: where it turns or goes ("left", "right", "up",
    "down", "in", "out"), empty for no one way. named: shares of the pixels by colour. could_be: shares of those that
    could be called so (see colours.py). colourless: whether it is in black and white.
    """

    seconds: float
    motion: Motion | None
    light: Light | None
    camera: str
    way: str
    named: Mapping[str, float]
    could_be: Mapping[str, float]
    colourless: bool


def look(row: Row, clip: Clip) -> Look:
    """What is measured of a row's clip: what its labels say already, else its own frames (as `content` cuts them)."""
    said = row.labels.get("measures")
    measures: Mapping[str, Any] = said if isinstance(said, Mapping) else {}
    named, could_be = colours.shares(clip)
    motion, camera, way = None, "", ""
    if len(clip) > 1:
        lumas = reduced(clip)
        motion = motion_of(measures) or measured_motion(lumas, clip.fps)
        camera, way = camera_of(lumas, motion)
    light = light_of(measures) or measured_light(clip)
    grey_only = colours.colourless(clip)
    return Look(clip.seconds, motion, light, camera, way, named, could_be, grey_only)


def content(row: Row, clip: Clip) -> Clip:
    """The clip without the bars of its canvas, where the row says that it has some."""
    rectangle = row.labels.get("content")
    if not (isinstance(rectangle, list) and [type(n) for n in rectangle] == [int] * 4):
        return clip
    x, y, width, height = (max(0, n) for n in rectangle)
    frames = clip.frames[:, y : y + height, x : x + width]
    return replace(clip, frames=frames) if frames.size else clip


def motion_of(measures: Mapping[str, Any]) -> Motion | None:
    """The motion in a row's measures; None where there is none that can be read."""
    found = numbers(measures.get("motion"), ("camera", "local", "shake"))
    return Motion(*found) if found else None


def light_of(measures: Mapping[str, Any]) -> Light | None:
    """The light in a row's measures; None where there is none that can be read."""
    names = ("brightness", "contrast", "dark", "bright", "sharpness")
    found = numbers(measures.get("light"), names)
    return Light(*found) if found else None


def numbers(value: Any, names: Sequence[str]) -> list[float]:
    """The numbers under these names; none where one is missing."""
    found = [value.get(name) for name in names] if isinstance(value, Mapping) else []
    known = [float(n) for n in found if isinstance(n, int | float)]
    return known if len(known) == len(found) else []


def reduced(clip: Clip) -> list[Luma]:
    """The frames' luma, 64 pixels on the longer side."""
    scale = LUMA / max(clip.width, clip.height)
    size = max(8, round(clip.width * scale)), max(8, round(clip.height * scale))
    small = (cv2.resize(grey(frame), size, interpolation=cv2.INTER_AREA) for frame in clip.frames)
    return [np.asarray(luma, np.uint8) for luma in small]


def grey(frame: Luma) -> Luma:
    """The luma [H, W] of a frame [H, W, 3]."""
    return np.asarray(cv2.cvtColor(np.ascontiguousarray(frame), cv2.COLOR_RGB2GRAY), np.uint8)


def measured_motion(lumas: Sequence[Luma], fps: float) -> Motion:
    """The motion of a clip's frames."""
    tap = MotionTap()
    for number, luma in enumerate(lumas):
        tap.see(luma, number / fps)
    return tap.result()


def measured_light(clip: Clip) -> Light | None:
    """The light of some of a clip's frames."""
    tap = LightTap()
    for number in colours.sampled(len(clip)):
        tap.see(grey(clip.frames[number]), number / clip.fps)
    return tap.result()


def camera_of(lumas: Sequence[Luma], motion: Motion) -> tuple[str, str]:
    """What the camera does ("still", "moves", or empty where it cannot be told) and which way, if throughout one.

    A large body before a plain wall moves the whole picture as far as the tap can tell, and so does a cut. Only a
    camera also moves the corners all the time, so what is in them has to be found where the motion would bring it.
    """
    if motion.camera < STANDS:
        return "still", ""
    compare = Comparison(lumas[0].shape[1], lumas[0].shape[0])
    small = [compare.reduced(luma) for luma in lumas]
    steps = [compare(a, b) for a, b in pairwise(small)]
    where = corners(small[0])
    found = np.array(
        [
            [
                levels(b - a, where),
                levels(b - moved(a, step), where),
                levels(moved(a, step) - a, where),
            ]
            for a, b, step in zip(small[:-1], small[1:], steps, strict=True)
        ]
    )  # [steps, 3, corners]
    change, left, expected = found.sum(0)
    textured = np.median(found[:, 2], 0) >= TEXTURE
    explained = (left <= UNEXPLAINED * change) & (change >= expected / 2)
    if textured.sum() < CORNERS or not explained[textured].all():
        return "", ""
    return "moves", direction(steps)


def direction(steps: Sequence[Step]) -> str:
    """Where a camera turns or goes, if that is one way throughout: what is seen moves the other way."""
    velocities = np.array([(step.x, step.y, step.zoom) for step in steps])
    mean = velocities.mean(0)
    main, length = int(np.abs(mean).argmax()), float(np.linalg.norm(mean))
    speed = float(np.linalg.norm(velocities, axis=1).mean())
    if not length or length < ONE_WAY * speed or abs(mean[main]) < MAINLY * length:
        return ""
    return (("left", "right"), ("up", "down"), ("in", "out"))[main][0 if mean[main] > 0 else 1]


def moved(picture: Floats, step: Step) -> Floats:
    """A picture [h, w] as a step of the camera leaves it."""
    height, width = picture.shape
    zoom = 1 + step.zoom * np.sqrt(12) / np.hypot(width, height)
    x, y = ((1 - zoom) * (side - 1) / 2 for side in (width, height))
    move = np.array([[zoom, 0, x + step.x], [0, zoom, y + step.y]], np.float32)
    there = cv2.warpAffine(picture, move, (width, height), borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(there, np.float32)


def corners(picture: Floats) -> list[tuple[slice, slice]]:
    """The four corners of a picture [h, w], without its rim, which comes from nowhere."""
    height, width = picture.shape
    sides = [
        (slice(RIM, round(0.3 * n)), slice(n - round(0.3 * n), n - RIM)) for n in (height, width)
    ]
    return [(rows, columns) for rows in sides[0] for columns in sides[1]]


def levels(difference: Floats, where: Sequence[tuple[slice, slice]]) -> list[float]:
    """The mean size of a difference in each of these parts of a picture."""
    return [float(np.abs(difference[part]).mean()) for part in where]
