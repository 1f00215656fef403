"""Draws a scene: anti-aliased frames at any size, and exact optical flow."""

from __future__ import annotations

import math

import numpy as np
import skia
from numpy.typing import NDArray

from yozora.errors import YozoraError
from yozora.video import Clip
from yozora.world import physics
from yozora.world.physics import Truth
from yozora.world.scene import Body, Scene
from yozora.world.shapes import POLYGONS, REACH, RING_HOLE, inside

ROD_WIDTH = 0.016  # heights
GRID_SPACING = 0.25
GRID_DOT = 0.022  # radius
_SLOPE_GREY = {"dark": (74, 77, 86), "light": (168, 171, 178)}
_ROD_GREY = (132, 134, 140)
_GRID_CONTRAST = 42  # sRGB levels between the dots and a background


def render(
    scene: Scene, *, size: tuple[int, int] = (112, 64), frames: int = 17, fps: float = 8.0
) -> tuple[Clip, Truth]:
    """`frames` frames of size (W, H) at times k / fps, and what is true in each.

    The picture is `size[1]` pixels per height; a size of another aspect than the scene's shows
    the scene's left part or leaves background to its right. Raises YozoraError for sizes below
    8 pixels, no frames, or a rate that is not positive.
    """
    _check(size, frames, fps)
    times = np.arange(frames) / fps
    truth = physics.simulate(scene, times)
    width, height = size
    pixels = np.empty((frames, height, width, 4), dtype=np.uint8)
    painter = _Painter(scene, height)
    centre, zoom = physics.view(scene.camera, scene.aspect, times)
    for k in range(frames):
        surface = skia.Surface(pixels[k], colorType=skia.kRGBA_8888_ColorType)
        with surface as canvas:
            painter.frame(
                canvas, centre[k], float(zoom[k]), truth.position[:, k], truth.angle[:, k]
            )
    rgb = np.empty((frames, height, width, 3), dtype=np.uint8)
    for channel in range(3):  # several times as fast as one strided copy
        rgb[..., channel] = pixels[..., channel]
    return Clip(rgb, fps), truth


def _check(size: tuple[int, int], frames: int, fps: float) -> None:
    if min(size) < 8 or max(size) > 8192:
        raise YozoraError(f"The world draws frames of 8 to 8192 pixels a side, not {size}.")
    if frames < 1:
        raise YozoraError(f"A clip has at least one frame, not {frames}.")
    if not (math.isfinite(fps) and fps > 0):
        raise YozoraError(f"The frame rate must be positive, not {fps}.")


class _Painter:
    """The scene's paths and paints, made once and used for every frame."""

    def __init__(self, scene: Scene, height: int) -> None:
        self.scene = scene
        self.height = height
        self.background = skia.Color(*scene.background_rgb)
        self.bodies = [(body, _PATHS[body.shape], _paint(body.rgb)) for body in scene.bodies]
        self.slope = _paint(_SLOPE_GREY[scene.background])
        self.rod = _paint(_ROD_GREY)
        self.rod.setStrokeWidth(ROD_WIDTH)
        self.rod.setStrokeCap(skia.Paint.kRound_Cap)
        self.grid = _grid(scene) if scene.camera.motion != "still" else None

    def frame(
        self,
        canvas: skia.Canvas,
        centre: NDArray[np.float64],
        zoom: float,
        position: NDArray[np.float64],
        angle: NDArray[np.float64],
    ) -> None:
        scene, scale = self.scene, self.height * zoom
        canvas.clear(self.background)
        canvas.translate(scene.aspect / 2 * self.height, 0.5 * self.height)
        canvas.scale(scale, scale)
        canvas.translate(-float(centre[0]), -float(centre[1]))
        if self.grid is not None:
            canvas.drawPicture(self.grid)
        for (body, _, _), (x, y) in zip(self.bodies, position.tolist(), strict=True):
            if body.law == "roll":
                canvas.drawPath(_polygon(slope_outline(body, scene.aspect)), self.slope)
            elif body.law == "pendulum":
                px, py = physics.pivot(body)
                # A ring hangs by its rim: a rod to its centre would cross the hole.
                share = (
                    1 - (RING_HOLE + 0.2) * body.radius / body.length if body.shape == "ring" else 1
                )
                canvas.drawLine(px, py, px + share * (x - px), py + share * (y - py), self.rod)
        for (body, path, paint), (x, y), turn in zip(
            self.bodies, position.tolist(), angle.tolist(), strict=True
        ):
            canvas.save()
            canvas.translate(x, y)
            canvas.scale(body.radius, body.radius)
            if turn:
                canvas.rotate(math.degrees(turn))
            canvas.drawPath(path, paint)
            canvas.restore()


def _paint(rgb: tuple[int, int, int]) -> skia.Paint:
    return skia.Paint(Color=skia.Color(*rgb), AntiAlias=True)


def _polygon(vertices: NDArray[np.float64]) -> skia.Path:
    path = skia.Path()
    path.addPoly([skia.Point(float(x), float(y)) for x, y in vertices], True)
    return path


def _unit_paths() -> dict[str, skia.Path]:
    ball, ring = skia.Path(), skia.Path()
    ball.addCircle(0, 0, 1)
    ring.addCircle(0, 0, 1)
    ring.addCircle(0, 0, RING_HOLE)
    ring.setFillType(skia.PathFillType.kEvenOdd)
    return {"ball": ball, "ring": ring, **{shape: _polygon(v) for shape, v in POLYGONS.items()}}


_PATHS = _unit_paths()


def slope_outline(body: Body, aspect: float) -> NDArray[np.float64]:
    """The incline under a rolling body: a polygon [4, 2] that reaches beyond the frame."""
    sign = 1.0 if body.direction == "right" else -1.0
    reach, tangent = REACH[body.shape] * body.radius, math.tan(body.slope)
    foot_x = body.x0 - sign * reach * math.sin(body.slope)
    foot_y = body.y0 + reach * math.cos(body.slope)

    def level(x: float) -> float:
        return foot_y + sign * (x - foot_x) * tangent

    left, right = -1.0, aspect + 1.0
    return np.array([[left, level(left)], [right, level(right)], [right, 9.0], [left, 9.0]])


def _grid(scene: Scene) -> skia.Picture:
    """Faint dots fixed in the world, which make a moving camera visible."""
    sign = 1 if scene.background == "dark" else -1
    r, g, b = (value + sign * _GRID_CONTRAST for value in scene.background_rgb)
    paint = _paint((r, g, b))
    paint.setStrokeWidth(2 * GRID_DOT)
    paint.setStrokeCap(skia.Paint.kRound_Cap)
    columns = np.arange(-4, scene.aspect / GRID_SPACING + 5) + 0.5
    rows = np.arange(-4, 9) + 0.5
    points = [skia.Point(i * GRID_SPACING, j * GRID_SPACING) for i in columns for j in rows]
    recorder = skia.PictureRecorder()
    canvas = recorder.beginRecording(skia.Rect.MakeLTRB(-9, -9, scene.aspect + 9, 9))
    canvas.drawPoints(skia.Canvas.kPoints_PointMode, points, paint)
    return recorder.finishRecordingAsPicture()


# --- optical flow -----------------------------------------------------------------------------


def flow(
    scene: Scene, *, size: tuple[int, int] = (112, 64), frames: int = 17, fps: float = 8.0
) -> NDArray[np.float32]:
    """Exact forward optical flow [T-1, H, W, 2] in pixels (dx, dy).

    At each pixel's centre: how far the surface seen there moves until the next frame (bodies
    translate and roll, rods swing, the rest follows the camera), whether or not it stays visible.
    """
    _check(size, frames, fps)
    times = np.arange(frames) / fps
    truth = physics.simulate(scene, times)
    width, height = size
    x, y = np.meshgrid((np.arange(width) + 0.5) / height, (np.arange(height) + 0.5) / height)
    screen = np.stack([x, y], axis=-1)
    middle = np.array([scene.aspect / 2, 0.5])
    centre, zoom = physics.view(scene.camera, scene.aspect, times)
    result = np.empty((max(frames - 1, 0), height, width, 2), dtype=np.float32)
    for k in range(frames - 1):
        now = (screen - middle) / zoom[k] + centre[k]
        then = _moved(scene, truth, k, now)
        result[k] = ((then - centre[k + 1]) * zoom[k + 1] + middle - screen) * height
    return result


def _moved(scene: Scene, truth: Truth, k: int, points: NDArray[np.float64]) -> NDArray[np.float64]:
    """World points [H, W, 2] of frame k, each carried by its surface to frame k + 1."""
    moved = points.copy()
    for i, body in enumerate(scene.bodies):
        if body.law == "pendulum":
            pivot = np.array(physics.pivot(body))
            a, b = truth.position[i, k] - pivot, truth.position[i, k + 1] - pivot
            on = _on_rod(points - pivot, a)
            turn = math.atan2(b[1], b[0]) - math.atan2(a[1], a[0])
            moved[on] = physics.rotated(points[on] - pivot, turn) + pivot
    for i, body in enumerate(scene.bodies):
        local = points - truth.position[i, k]
        on = inside(body.shape, physics.rotated(local, -float(truth.angle[i, k])) / body.radius)
        turn = float(truth.angle[i, k + 1] - truth.angle[i, k])
        moved[on] = physics.rotated(local[on], turn) + truth.position[i, k + 1]
    return moved


def _on_rod(points: NDArray[np.float64], end: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which points (from the pivot) lie on a rod from the pivot to `end`."""
    along = np.clip((points @ end) / (end @ end), 0.0, 1.0)
    near: NDArray[np.bool_] = np.hypot(*np.moveaxis(points - along[..., None] * end, -1, 0)) <= (
        ROD_WIDTH / 2
    )
    return near
