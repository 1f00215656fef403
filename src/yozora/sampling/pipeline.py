"""A model ready to use: prompt (and perhaps pictures) in, clip out."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from yozora import condition, flow
from yozora.checkpoint import load_into, load_weights
from yozora.errors import YozoraError
from yozora.models.dit import DiT, DiTConfig, Text
from yozora.models.text import TextEncoder, pad
from yozora.models.vae import Codec, CodecConfig
from yozora.sampling.guidance import Guidance, Guided
from yozora.sampling.solvers import SOLVERS, Progress
from yozora.video import Clip, fit, read

SHIPPED = Path(__file__).parent.parent / "weights"
Frames = NDArray[np.uint8]


@dataclass(frozen=True)
class Settings:
    """How to sample. ``shift`` moves the schedule towards noise; ``solver`` is euler or multistep."""

    steps: int = 20
    guidance: float = 3.0
    guidance_low: float = 0.15
    guidance_high: float = 1.0
    shift: float = 1.5
    solver: str = "multistep"

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise YozoraError(f"Sampling takes at least one step, not {self.steps}.")
        if self.solver not in SOLVERS:
            raise YozoraError(f"Unknown solver '{self.solver}'; solvers are {', '.join(SOLVERS)}.")


@dataclass(frozen=True)
class Window:
    """What one pass of the model is given: latents [Z, t, h, w], which of them are known, and the caption."""

    prompt: str
    seed: int
    given: Tensor
    known: condition.Known


def load(name: str | Path = "nano") -> Pipeline:
    """The shipped model of that name, or the one in a directory with codec.safetensors and dit.safetensors.

    Raises YozoraError when there is no such model or its files are damaged.
    """
    directory = Path(name) if Path(name).is_dir() else SHIPPED / str(name)
    if not directory.is_dir():
        shipped = ", ".join(sorted(p.name for p in SHIPPED.glob("*") if p.is_dir())) or "none"
        raise YozoraError(f"There is no model '{name}': give a directory, or one of the shipped models ({shipped}).")
    tensors, config, _ = load_weights(directory / "codec.safetensors")
    codec = load_codec(directory / "codec.safetensors")
    tensors, config, provenance = load_weights(directory / "dit.safetensors")
    encoder = config.pop("text_encoder")
    shapes = config.pop("shapes")
    network = DiT(DiTConfig(**config))
    load_into(network, tensors, directory / "dit.safetensors")
    return Pipeline(network.eval(), codec, encoder, shapes[0], provenance)


def load_codec(path: Path) -> Codec:
    """A codec from its weights file. Raises YozoraError when it is missing or damaged."""
    tensors, config, _ = load_weights(path)
    fields = {k: tuple(v) if isinstance(v, list) else v for k, v in config.items() if k in CodecConfig.__dataclass_fields__}
    codec = Codec(CodecConfig(**fields))
    load_into(codec, tensors, path)
    return codec.eval()


class Pipeline:
    """Text encoder, transformer and codec. ``generate`` makes one clip, ``generate_many`` many in batches."""

    def __init__(
        self, network: DiT, codec: Codec, encoder: str, shape: dict[str, Any], provenance: dict[str, Any] | None = None
    ) -> None:
        self.network, self.codec = network, codec
        self.encoder_name = encoder
        self._encoder: TextEncoder | None = None
        self.frames, self.height, self.width = int(shape["frames"]), int(shape["height"]), int(shape["width"])
        self.fps = float(shape["fps"])
        self.provenance = provenance or {}

    # --- what a user calls ---------------------------------------------------------------------------

    @torch.inference_mode()
    def generate(
        self,
        prompt: str,
        *,
        seconds: float = 2.0,
        seed: int = 0,
        image: str | Path | Frames | None = None,
        video: str | Path | Clip | None = None,
        extend: str | None = None,
        fill: tuple[float, float] | None = None,
        settings: Settings | None = None,
        progress: Progress = lambda done, total: None,
        **overrides: Any,
    ) -> Clip:
        """A clip of ``seconds`` that shows ``prompt``.

        ``image``: the first frame. ``video`` with ``extend`` ("forward", "backward" or "both"): goes on from the clip by
        ``seconds`` at each side; with ``fill=(a, b)``: makes the seconds from a to b anew. ``overrides`` are fields of
        :class:`Settings` (steps=, guidance=, ...). The same seed gives the same clip, alone or in a batch.
        Raises YozoraError when arguments contradict each other or a file cannot be read.
        """
        chosen = replace(settings or Settings(), **overrides)
        if video is not None:
            clip = self._canvas(video)
            if (extend is None) == (fill is None):
                raise YozoraError("A video is either extended or filled: give one of extend and fill.")
            if fill is not None:
                return self._fill(prompt, clip, fill, seed, chosen, progress)
            return self._extend(prompt, clip, str(extend), seconds, seed, chosen, progress)
        if extend is not None or fill is not None:
            raise YozoraError("To extend or fill, give the video to start from.")
        first = None if image is None else self._still(image)
        windows = self._first_window(prompt, seed, first)
        frames = self._run([windows], chosen, progress)[0]
        if first is not None:
            frames = keep(frames, first, slice(0, 1))
        return self._prolong(prompt, frames, seconds, seed, chosen, progress)

    @torch.inference_mode()
    def generate_many(
        self,
        prompts: Sequence[str],
        *,
        seconds: float = 2.0,
        seeds: Sequence[int] | None = None,
        batch: int = 16,
        settings: Settings | None = None,
        progress: Progress = lambda done, total: None,
        **overrides: Any,
    ) -> Iterator[Clip]:
        """One clip per prompt, in order; ``seeds`` default to 0, 1, 2, ..."""
        chosen = replace(settings or Settings(), **overrides)
        numbers = list(seeds) if seeds is not None else list(range(len(prompts)))
        if len(numbers) != len(prompts):
            raise YozoraError(f"{len(prompts)} prompts need as many seeds, not {len(numbers)}.")
        for start in range(0, len(prompts), batch):
            part = list(zip(prompts[start : start + batch], numbers[start : start + batch], strict=True))
            made = self._run([self._first_window(p, s, None) for p, s in part], chosen, lambda done, total: None)
            for k, ((prompt, seed), frames) in enumerate(zip(part, made, strict=True)):
                yield self._prolong(prompt, frames, seconds, seed, chosen, lambda done, total: None)
                progress(start + k + 1, len(prompts))

    # --- windows -------------------------------------------------------------------------------------

    @property
    def grid(self) -> condition.Grid:
        """Latent frames, height and width of one pass."""
        return 1 + (self.frames - 1) // 4, self.height // 16, self.width // 16

    def _first_window(self, prompt: str, seed: int, first: Frames | None) -> Window:
        given = torch.zeros(self.codec.config.latent, *self.grid)
        known = condition.nothing(self.grid)
        if first is not None:
            given[:, :1] = self.encode(first)
            known = condition.frames(self.grid, [0])
        return Window(prompt, seed, given, known)

    def _prolong(
        self, prompt: str, frames: Frames, seconds: float, seed: int, settings: Settings, progress: Progress
    ) -> Clip:
        """Goes on from a first window until ``seconds`` are reached, then cuts."""
        wanted = max(1, round(seconds * self.fps))
        if len(frames) < wanted:
            return Clip(self._forward(prompt, frames, wanted, seed, settings, progress), self.fps)
        return Clip(frames[:wanted] if wanted + 1 < len(frames) else frames, self.fps)

    def _forward(
        self, prompt: str, frames: Frames, wanted: int, seed: int, settings: Settings, progress: Progress
    ) -> Frames:
        """Appends windows whose known prefix is the end of what is there."""
        t = self.grid[0]
        part = 0
        while len(frames) < wanted:
            overlap = min(t - 1, 1 + (len(frames) - 1) // 4, (t + 1) // 2)
            count = 1 + 4 * (overlap - 1)
            given = torch.zeros(self.codec.config.latent, *self.grid)
            tail = frames[-count:]
            given[:, :overlap] = self.encode(tail)
            part += 1
            window = Window(prompt, seed + 7919 * part, given, condition.frames(self.grid, list(range(overlap))))
            made = self._run([window], settings, progress)[0]
            frames = np.concatenate([frames, joined(made, tail, count - 1, +1)[count:]])
        return frames[:wanted]

    def _backward(
        self, prompt: str, frames: Frames, wanted: int, seed: int, settings: Settings, progress: Progress
    ) -> Frames:
        """Prepends windows whose known suffix is the start of what is there."""
        t = self.grid[0]
        part = 0
        while len(frames) < wanted:
            overlap = min(t - 1, len(frames) // 4, t // 2)
            if overlap < 1:
                raise YozoraError("Extending backwards needs a clip of at least 4 frames; animate a still with image=.")
            count = 4 * overlap
            head = frames[:count]
            padded = np.concatenate([np.repeat(head[:1], self.frames - count, axis=0), head])
            given = self.encode(padded)
            part += 1
            known = condition.frames(self.grid, list(range(t - overlap, t)))
            made = self._run([Window(prompt, seed + 7919 * part, given, known)], settings, progress)[0]
            fresh = joined(made, padded, self.frames - count, -1)[: self.frames - count]
            frames = np.concatenate([fresh, frames])
        return frames[-wanted:]

    def _extend(
        self, prompt: str, clip: Clip, way: str, seconds: float, seed: int, settings: Settings, progress: Progress
    ) -> Clip:
        if way not in ("forward", "backward", "both"):
            raise YozoraError(f"A clip is extended forward, backward or both, not '{way}'.")
        frames, more = clip.frames, max(1, round(seconds * self.fps))
        if way in ("forward", "both"):
            frames = self._forward(prompt, frames, len(frames) + more, seed, settings, progress)
        if way in ("backward", "both"):
            frames = self._backward(prompt, frames, len(frames) + more, seed + 1, settings, progress)
        return Clip(frames, self.fps)

    def _fill(
        self, prompt: str, clip: Clip, gap: tuple[float, float], seed: int, settings: Settings, progress: Progress
    ) -> Clip:
        """Makes the frames of a gap anew from what surrounds it; gaps longer than a window go forward first."""
        total = len(clip.frames)
        a, b = round(gap[0] * self.fps), round(gap[1] * self.fps)
        if not 0 < a < b < total:
            raise YozoraError(
                f"The gap {gap[0]:g}:{gap[1]:g} s has to lie inside the clip of {clip.seconds:.2f} s with frames at both sides."
            )
        frames = clip.frames.copy()
        t = self.grid[0]
        while b - a > 4 * (t - 2) - 4:  # more than one window can bridge: narrow the gap from its left
            made = self._forward(prompt, frames[:a], a + 4, seed, settings, progress)
            frames[a : a + 4] = made[a : a + 4]
            a, seed = a + 4, seed + 1
        # A window in which whole latent frames cover the gap and at least one lies known at each side.
        gap_latents = -(-(b - a) // 4)
        before = max(1, min((t - gap_latents) // 2, t - gap_latents - 1))
        start = max(0, min(a - (1 + 4 * (before - 1)), total - self.frames))
        if total < self.frames:
            frames = np.concatenate([frames, np.repeat(frames[-1:], self.frames - total, axis=0)])
        window = frames[start : start + self.frames].copy()
        la = 0 if a - start <= 0 else 1 + (a - start - 1) // 4
        lb = 1 + (b - 1 - start - 1) // 4
        hidden = list(range(la, lb + 1))
        source = window.copy()
        steps = np.linspace(0, 1, b - a + 2)[1:-1, None, None, None]
        source[a - start : b - start] = window[a - start - 1] * (1 - steps) + window[b - start] * steps
        known = condition.frames(self.grid, [k for k in range(t) if k not in hidden])
        made = self._run([Window(prompt, seed, self.encode(source), known)], settings, progress)[0]
        left = joined(made, window, a - start - 1, +1)
        right = joined(made, window, b - start, -1)
        weight = np.linspace(0, 1, b - a + 2)[1:-1, None, None, None]
        inner = slice(a - start, b - start)
        frames[a:b] = np.clip(left[inner] * (1 - weight) + right[inner] * weight + 0.5, 0, 255).astype(np.uint8)
        return Clip(frames[:total], self.fps)

    # --- one pass ------------------------------------------------------------------------------------

    def _run(self, windows: Sequence[Window], settings: Settings, progress: Progress) -> list[Frames]:
        """Denoises and decodes windows of one shape together; each has its own noise, whatever its company."""
        states = self.encoder([w.prompt for w in windows] + [""])
        padded, mask = pad(states)
        n = len(windows)
        text = Text(padded[:n], mask[:n])
        empty = Text(padded[n:].expand(n, -1, -1), mask[n:].expand(n, -1))
        shape = (self.codec.config.latent, *self.grid)
        noise = torch.stack([torch.randn(shape, generator=torch.Generator().manual_seed(w.seed)) for w in windows])
        guided = Guided(
            self.network,
            text,
            empty,
            torch.tensor([[self.fps, self.frames / self.fps, 0.0]]).expand(n, 3),
            torch.from_numpy(np.stack([w.known for w in windows])),
            torch.stack([w.given for w in windows]),
            Guidance(settings.guidance, settings.guidance_low, settings.guidance_high),
            torch.bfloat16,
        )
        x = SOLVERS[settings.solver](guided, noise, flow.schedule(settings.steps, settings.shift), progress)
        x = torch.where(guided.known.unsqueeze(1), guided.given, x)
        return self.decode(x)

    @property
    def encoder(self) -> TextEncoder:
        """The text encoder, loaded when first needed."""
        if self._encoder is None:
            self._encoder = TextEncoder(self.encoder_name)
        return self._encoder

    @torch.inference_mode()
    def encode(self, frames: Frames) -> Tensor:
        """uint8 [1 + 4n, H, W, 3] -> normalised latents [Z, n + 1, h, w]."""
        x = torch.from_numpy(np.ascontiguousarray(frames.transpose(3, 0, 1, 2)[None])).float() / 127.5 - 1
        with torch.autocast("cpu", torch.bfloat16):
            return self.codec.encode(x)[0].float()

    @torch.inference_mode()
    def decode(self, latents: Tensor) -> list[Frames]:
        """Normalised latents [B, Z, G, h, w] -> uint8 frames per clip."""
        with torch.autocast("cpu", torch.bfloat16):
            x = self.codec.decode(latents)
        pixels = ((x.float() + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)
        return list(pixels.permute(0, 2, 3, 4, 1).contiguous().numpy())

    # --- what comes in -------------------------------------------------------------------------------

    def _canvas(self, video: str | Path | Clip) -> Clip:
        size = (self.width, self.height)
        if isinstance(video, Clip):
            return Clip(fit(video.frames, size)[0], video.fps)
        return read(video, fps=self.fps, size=size)

    def _still(self, image: str | Path | Frames) -> Frames:
        size = (self.width, self.height)
        if isinstance(image, str | Path):
            return read(image, size=size, max_frames=1).frames[:1]
        return fit(image[None] if image.ndim == 3 else image[:1], size)[0]


def keep(frames: Frames, given: Frames, where: slice) -> Frames:
    """Puts the given frames back in the place where the codec has rendered them."""
    out = frames.copy()
    out[where] = given
    return out


def joined(made: Frames, given: Frames, at: int, way: int) -> Frames:
    """``made`` with the codec's error at the seam faded out over the frames away from it.

    Frame ``at`` is the last given one (way +1) or the first (way -1). Its original differs from what the codec made of it by a
    residual; adding that residual to its neighbours, halved from frame to frame, leaves no jump and no shift of colour.
    """
    residual = given[at].astype(np.float32) - made[at]
    out = made.astype(np.float32)
    for k in range(len(made)):
        distance = (k - at) * way
        if distance >= 0:
            out[k] += residual * 0.5**distance
    return np.clip(out + 0.5, 0, 255).astype(np.uint8)
