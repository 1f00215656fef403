"""What a clip looks like, as vectors by which copies of it are found: cropped, mirrored, coded again, with other
colours or with subtitles.

A clip's locally normalised luma (no colour, no brightness, no contrast) is averaged over 8 stretches of time; its
lowest frequencies in space and time, each to the power 1/2 (as Fisher vectors are, Perronnin et al. 2010), are a
vector of length 1. It is taken of the whole picture and of 27 parts of it, since a crop of a clip looks like one of
its parts. A mirrored picture has the same vector with the signs of its odd frequencies across turned round.
"""

from __future__ import annotations

from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.fft import dct

from yozora.video.clip import Frames

NAME = "look-2"  # to be changed when the same frames give other vectors
SIDE, SCENE = 32, 46  # pixels a side of a part, and of the whole picture that parts are taken of
TIMES = 8  # stretches
LOW_TIME, LOW = 4, 8  # frequencies kept, in time and each way in space
MOVING = 3.0  # weight of what changes in time: two clips of one place differ in that alone
WIDTH = LOW_TIME * LOW * LOW

IN_TIME = dct(np.eye(TIMES), axis=0, norm="ortho")[:LOW_TIME].astype(np.float32)
IN_SPACE = dct(np.eye(SIDE), axis=0, norm="ortho")[:LOW].astype(np.float32)
MIRROR = np.tile(np.where(np.arange(LOW) % 2, -1, 1), LOW_TIME * LOW).astype(np.float32)

SOME, MANY = 32, 4096  # clips that are compared with so many at once

Vectors = NDArray[np.float32]
Kept = NDArray[np.float16]  # as they are stored, and held where there are very many


def parts() -> list[tuple[slice, slice]]:
    """The whole of SCENE x SCENE pixels, then squares of 0.9, 0.8 and 0.7 of its side at nine places each."""
    found = [(slice(0, SCENE), slice(0, SCENE))]
    for share in (0.9, 0.8, 0.7):
        side = round(SCENE * share)
        starts = [round(place * (SCENE - side)) for place in (0, 0.5, 1)]
        found += [
            (slice(top, top + side), slice(left, left + side)) for top in starts for left in starts
        ]
    return found


PARTS = parts()


def look(frames: Frames) -> Vectors:
    """[PARTS, WIDTH] of frames [T, H, W, 3] without bars, the whole picture first; each of length 1, or 0 where there
    is nothing to be seen."""
    scene = normalised(frames)
    vectors = np.stack([low(scene[:, rows, columns]) for rows, columns in PARTS])
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    found: Vectors = vectors / np.maximum(length, 0.1)
    return found


def normalised(frames: Frames) -> Vectors:
    """[TIMES, SCENE, SCENE]: the logarithm of luma, less its mean around each place, over its deviation there."""
    luma = np.stack([cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in frames])
    ends = np.linspace(0, len(luma), TIMES + 1).astype(int)
    stretches = [luma[a : max(b, a + 1)].mean(0) for a, b in pairwise(ends)]
    sized = [cv2.resize(one, (SCENE, SCENE), interpolation=cv2.INTER_AREA) for one in stretches]
    light = np.log(np.stack(sized) + 16).astype(np.float32)
    scene = light - np.stack([around(one) for one in light])
    deviation = np.sqrt(around((scene**2).mean(0)))
    found: Vectors = scene / (deviation + 0.05)
    return found


def around(picture: Vectors) -> Vectors:
    """Each place's mean over its surroundings."""
    return np.asarray(cv2.GaussianBlur(picture, (0, 0), SCENE / 6.4), np.float32)


def low(part: Vectors) -> Vectors:
    """[WIDTH]: the lowest frequencies of a part, without its mean."""
    sized = np.stack([cv2.resize(one, (SIDE, SIDE), interpolation=cv2.INTER_AREA) for one in part])
    found = np.einsum("at,bh,cw,thw->abc", IN_TIME, IN_SPACE, IN_SPACE, sized, optimize=True)
    found[0, 0, 0] = 0
    found[1:] *= MOVING
    roots: Vectors = (np.sign(found) * np.sqrt(np.abs(found))).ravel()
    return roots


def alike(some: Vectors | Kept, others: Vectors | Kept) -> Vectors:
    """How alike clips [M, PARTS, WIDTH] are to others [N, PARTS, WIDTH]: [M, N] from -1 to 1 (the same).

    The best of: the whole of either with any part of the other, as it is or mirrored. `others` may be very many.
    """
    found = np.empty((len(some), len(others)), np.float32)
    for start in range(0, len(others), MANY):
        block = np.asarray(others[start : start + MANY], np.float32)
        found[:, start : start + MANY] = fits(np.asarray(some, np.float32), block)
    return found


def fits(some: Vectors, others: Vectors) -> Vectors:
    """As `alike`, of all at once."""
    parts_of_others = others.reshape(-1, WIDTH)
    found = np.full((len(some), len(others)), -1, np.float32)
    for side in (some, some * MIRROR):
        whole = (side[:, 0] @ parts_of_others.T).reshape(len(some), len(others), -1).max(2)
        part = (side.reshape(-1, WIDTH) @ others[:, 0].T).reshape(len(some), -1, len(others)).max(1)
        found = np.maximum(found, np.maximum(whole, part))
    return found
