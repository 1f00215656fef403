"""Bodies out of pixels: the background, soft masks by colour, and tracks across frames.

A pixel of an anti-aliased body is bg + alpha (colour - bg). Projecting its difference to the
background on each named colour gives alpha and, by the largest cosine, the name. Everything later
(centroids, areas, shapes) uses alpha as a weight instead of a threshold: at 64 rows an
intensity-weighted centroid errs by a fifteenth of what a binary mask's does.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import label as connected
from scipy.ndimage import maximum_filter
from scipy.optimize import linear_sum_assignment

from yozora.world.scene import BACKGROUNDS, COLOURS

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]

NAMES = tuple(COLOURS)
GREY = "grey"  # rods and slopes, which are no bodies
CORE = 0.45  # alpha above which a pixel belongs to a body
SOFT = 0.08  # alpha above which a pixel beside a core counts with its weight
SMALLEST = 0.006  # area in squared frame heights below which a fragment is no body


@dataclass(frozen=True)
class Layers:
    """A clip as background and colour layers.

    background [T, 3] RGB per frame; difference [T, H, W, 3] to it; axes [K, 3] from the background to
    each of `names`; label [T, H, W] index into names; alpha [T, H, W] against that name's colour.
    """

    background: Floats
    difference: Floats
    axes: Floats
    names: tuple[str, ...]
    label: Ints
    alpha: Floats

    @property
    def light(self) -> bool:
        """Whether the background is light rather than dark."""
        return bool(self.background.mean() > 127)


def unmix(frames: NDArray[np.uint8]) -> Layers:
    """Frames uint8 [T, H, W, 3] to layers."""
    background = _background(frames)
    difference = frames.astype(np.float32) - background[:, None, None]
    centre = np.median(background, axis=0)
    light = centre.mean() > 127
    names = (*(n for n in NAMES if n != "white"), GREY) if light else NAMES
    palette = np.array([COLOURS.get(n, (128, 128, 128)) for n in names], np.float32)
    axes = palette - centre
    lengths = np.linalg.norm(axes, axis=1)
    flat = difference.reshape(-1, 3)
    some = np.flatnonzero(np.einsum("nc,nc->n", flat, flat) > (SOFT * lengths.min() / 2) ** 2)
    projection = (axes / lengths[:, None]) @ flat[some].T  # [K, N], of the few pixels that differ
    label, alpha = np.zeros(len(flat), np.int64), np.zeros(len(flat), np.float32)
    label[some] = projection.argmax(0)
    alpha[some] = projection.max(0) / lengths[label[some]]
    shape = difference.shape[:3]
    return Layers(
        background,
        difference,
        axes.astype(np.float32),
        names,
        label.reshape(shape),
        alpha.reshape(shape),
    )


def _background(frames: NDArray[np.uint8]) -> Floats:
    """Each frame's background colour [T, 3]: the median of what looks like one of the world's two.

    A plain median would take a slope that fills half the frame. Clips in which neither background
    is common (other models') fall back to it.
    """
    sample = frames[:, ::3, ::3].reshape(len(frames), -1, 3).astype(np.float32)
    near = [_near(sample, rgb) for rgb in BACKGROUNDS.values()]
    chosen = max(near, key=lambda mask: float(mask.mean()))
    if chosen.mean() < 0.2:
        return np.asarray(np.median(sample, axis=1), np.float32)
    clip = np.median(sample[chosen], axis=0)
    each = [
        np.median(s[m], axis=0) if m.mean() > 0.1 else clip
        for s, m in zip(sample, chosen, strict=True)
    ]
    return np.array(each, np.float32)


def _near(sample: Floats, rgb: tuple[int, int, int]) -> NDArray[np.bool_]:
    red, green, blue = (np.abs(sample[..., i] - rgb[i]) < 45 for i in range(3))
    return np.asarray(red & green & blue)


@dataclass
class Blob:
    """One body's pixels in one frame: rows y, columns x, and their weight alpha in [0, 1]."""

    frame: int
    colour: int
    y: Ints
    x: Ints
    weight: Floats

    def __post_init__(self) -> None:
        self.area = float(self.weight.sum())
        self.centre = (
            np.array([self.weight @ (self.x + 0.5), self.weight @ (self.y + 0.5)]) / self.area
        )


def blobs(layers: Layers) -> list[list[Blob]]:
    """The bodies' pixels in each frame: connected cores, split by colour, with their soft rims."""
    count, height, width = layers.alpha.shape
    solid = layers.alpha > CORE
    if layers.names[-1] == GREY:
        solid &= layers.label != len(layers.names) - 1
    plane = np.zeros((3, 3, 3), bool)
    plane[1] = True
    # Grown by two pixels: takes the soft rim in, and keeps a ring together that blur has broken.
    marks, _ = connected(maximum_filter(solid, size=(1, 5, 5)), plane)
    near = np.flatnonzero((marks > 0) & (layers.alpha > SOFT))
    mark = marks.ravel()[near]
    order = np.argsort(mark, kind="stable")
    near, mark = near[order], mark[order]
    found: list[list[Blob]] = [[] for _ in range(count)]
    for pixels in np.split(near, np.flatnonzero(np.diff(mark)) + 1):
        if len(pixels) >= SMALLEST * height**2:
            frame = int(pixels[0] // (height * width))
            found[frame] += _split_colours(layers, frame, pixels)
    return found


def _blob(layers: Layers, frame: int, pixels: Ints, colour: int) -> Blob | None:
    """A blob of flat pixel indices, weighted by alpha against one colour; None when too small."""
    _, height, width = layers.alpha.shape
    axis = layers.axes[colour]
    weight = layers.difference.reshape(-1, 3)[pixels] @ axis / float(axis @ axis)
    weight = np.clip(weight, 0, 1)
    if weight.sum() < SMALLEST * height**2:
        return None
    y, x = np.divmod(pixels % (height * width), width)
    return Blob(frame, colour, y, x, weight)


def _split_colours(layers: Layers, frame: int, pixels: Ints) -> list[Blob]:
    """One blob of a component's main colour, or one per colour where touching bodies differ.

    Chroma subsampling and generated smears put a second colour along rims or in specks; only a second
    colour with its own centre, apart from the first's, is another body.
    """
    _, height, width = layers.alpha.shape
    labels = layers.label.ravel()[pixels]
    weight = np.clip(layers.alpha.ravel()[pixels], 0, 1)
    core = weight > CORE
    share = np.bincount(labels[core], weight[core], minlength=len(layers.names))
    if layers.names[-1] == GREY:
        share[-1] = 0
    main = int(share.argmax())
    parts = [main]
    y, x = np.divmod(pixels % (height * width), width)

    def centre(colour: int) -> NDArray[np.float64]:
        own = core & (labels == colour)
        return np.array([x[own].mean(), y[own].mean()])

    for other in np.argsort(share)[::-1]:
        big = share[other] > max(0.15 * share[main], SMALLEST * height**2)
        if other != main and big:
            apart = min(float(np.linalg.norm(centre(int(other)) - centre(p))) for p in parts)
            if apart > 0.08 * height:
                parts.append(int(other))
    if len(parts) == 1:
        blob = _blob(layers, frame, pixels, main)
        return [blob] if blob else []
    scores = (
        layers.difference.reshape(-1, 3)[pixels]
        @ (layers.axes[parts] / np.linalg.norm(layers.axes[parts], axis=1)[:, None]).T
    )
    nearest = scores.argmax(1)
    split = [_blob(layers, frame, pixels[nearest == i], c) for i, c in enumerate(parts)]
    return [b for b in split if b]


@dataclass
class Trail:
    """One body through time: its blobs by frame."""

    blobs: dict[int, Blob] = field(default_factory=dict)

    def predict(self, frame: int) -> NDArray[np.float64]:
        """Where the body is expected: straight on from its last two sightings."""
        seen = [f for f in self.blobs if f < frame]
        last = self.blobs[seen[-1]]
        if len(seen) < 2 or seen[-1] - seen[-2] > 2:
            return np.asarray(last.centre)
        before = self.blobs[seen[-2]]
        step = (last.centre - before.centre) / (last.frame - before.frame)
        return np.asarray(last.centre + step * min(frame - last.frame, 2))

    @property
    def area(self) -> float:
        """Median area in pixels."""
        return float(np.median([b.area for b in self.blobs.values()]))

    @property
    def colour(self) -> int:
        """The colour most of its area has."""
        votes: dict[int, float] = {}
        for blob in self.blobs.values():
            votes[blob.colour] = votes.get(blob.colour, 0.0) + blob.area
        return max(votes, key=lambda c: votes[c])


def track(found: list[list[Blob]], height: int) -> list[Trail]:
    """Blobs per frame to trails, by minimum-cost assignment of predicted to seen positions.

    A trail that lost its body waits for it up to eight frames. Trails of fewer than three frames or
    less than a quarter of the clip are fragments and dropped.
    """
    trails: list[Trail] = []
    for frame, seen in enumerate(found):
        waiting = [t for t in trails if frame - max(t.blobs) <= 8]
        seen = _part_merged(seen, waiting, frame)
        if waiting and seen:
            cost = np.array([[_cost(t, b, frame, height) for b in seen] for t in waiting])
            rows, columns = linear_sum_assignment(cost)
            pairs = [(r, c) for r, c in zip(rows, columns, strict=True) if cost[r, c] < 2.0]
        else:
            pairs = []
        for r, c in pairs:
            waiting[r].blobs[frame] = seen[c]
        taken = {c for _, c in pairs}
        trails += [Trail({frame: b}) for i, b in enumerate(seen) if i not in taken]
    enough = min(max(3, len(found) // 4), len(found))
    return [t for t in trails if len(t.blobs) >= enough]


def _cost(trail: Trail, blob: Blob, frame: int, height: int) -> float:
    """Unlikelihood that a blob is the trail's next sighting; 2 and more is refused."""
    distance = float(np.linalg.norm(trail.predict(frame) - blob.centre)) / height
    growth = abs(np.log(blob.area / trail.area))
    return float(distance / 0.17 + 0.9 * (blob.colour != trail.colour) + 0.3 * growth)


def _part_merged(seen: list[Blob], waiting: list[Trail], frame: int) -> list[Blob]:
    """Split a blob in which two trails of its colour are expected, each pixel to the nearer body."""
    parted: list[Blob] = []
    for blob in seen:
        inside = [
            t
            for t in waiting
            if t.colour == blob.colour
            and np.hypot(*(t.predict(frame) - blob.centre)) < 1.3 * np.sqrt(blob.area / np.pi)
            and not any(
                b is not blob
                and b.colour == t.colour
                and np.hypot(*(t.predict(frame) - b.centre)) < 0.6 * np.sqrt(t.area / np.pi)
                for b in seen
            )
        ]
        if len(inside) == 2 and blob.area > 1.3 * max(t.area for t in inside):
            parted += _part(blob, inside, frame)
        else:
            parted.append(blob)
    return parted


def _part(blob: Blob, pair: list[Trail], frame: int) -> list[Blob]:
    """Two blobs out of one, by a few rounds of nearest-centre assignment (power distance)."""
    centres = np.array([t.predict(frame) for t in pair])
    squares = np.array([t.area for t in pair]) / np.pi
    points = np.stack([blob.x + 0.5, blob.y + 0.5], 1)
    for _ in range(4):
        power = np.square(points[:, None] - centres).sum(-1) - squares
        own = power.argmin(1)
        if min(np.bincount(own, minlength=2)) < 8:
            return [blob]
        centres = np.array(
            [np.average(points[own == i], axis=0, weights=blob.weight[own == i]) for i in (0, 1)]
        )
    return [
        Blob(frame, blob.colour, blob.y[own == i], blob.x[own == i], blob.weight[own == i])
        for i in (0, 1)
    ]
