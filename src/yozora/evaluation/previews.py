"""Clips made while a model trains: to be looked at, and to notice when they stand still."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from yozora.evaluation.motion import energy
from yozora.sampling.pipeline import Pipeline
from yozora.video import contact_sheet, write_image

PROMPTS = (
    "a red ball falls and bounces on a dark background",
    "a white star moves to the right on a light background",
    "a large green ring swings like a pendulum on a dark background",
    "a blue square moves up while a yellow triangle stays still on a dark background",
)


class Previews:
    """Draws the same few prompts with the same noise at every call, into ``folder`` as <step>.png.

    ``codec``, ``encoder``, ``shape`` and ``adapter`` are those of :class:`yozora.sampling.pipeline.Pipeline`. Calling
    it with a network and a step returns the clips' mean change from frame to frame in 8-bit levels, as
    ``motion_energy``.
    """

    def __init__(
        self,
        codec: Any,
        encoder: str,
        shape: Mapping[str, Any],
        folder: Path,
        adapter: Mapping[str, Any] | None = None,
    ) -> None:
        self.codec, self.encoder, self.adapter = codec, encoder, adapter
        self.shape, self.folder = shape, folder
        self._pipeline: Pipeline | None = None

    def pipeline(self, network: Any) -> Pipeline:
        """The network as something that makes clips; kept from call to call for its text encoder."""
        if self._pipeline is None:
            self._pipeline = Pipeline(
                network, self.codec, self.encoder, self.shape, adapter=self.adapter
            )
            self._pipeline.to(next(network.parameters()).device)
        return self._pipeline

    def __call__(self, network: Any, step: int) -> dict[str, float]:
        """Makes the clips and writes their picture."""
        pipeline = self.pipeline(network)
        seconds = pipeline.frames / pipeline.fps
        clips = list(pipeline.generate_many(PROMPTS, seconds=seconds))
        self.folder.mkdir(parents=True, exist_ok=True)
        write_image(self.folder / f"{step:08d}.png", contact_sheet(clips, PROMPTS, columns=1))
        return {"motion_energy": sum(map(energy, clips)) / len(clips)}
