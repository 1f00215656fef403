"""A model ready to use: prompt (and perhaps pictures) in, clip out."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
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
from yozora.models.adapter import Tensors, fingerprint
from yozora.models.dit import DiT, DiTConfig, Text
from yozora.models.precision import autocast, best_device
from yozora.models.text import TextEncoder, pad
from yozora.models.vae import Codec, CodecConfig
from yozora.sampling.guidance import Guidance, Guided
from yozora.sampling.solvers import SOLVERS, Watch, silent
from yozora.sampling.windows import STRIDE, Continuation, Frames, Make, Window, seamless
from yozora.video import Clip, fit, read

SHIPPED = Path(__file__).parent.parent / "weights"
WAYS = ("forward", "backward", "both")


@dataclass(frozen=True)
class Settings:
    """How to sample. ``shift`` moves the schedule towards noise; ``solver`` is euler or multistep.

    Guidance pushes away from what ``negative_prompt`` says; from no prompt at all where it is empty.
    """

    steps: int = 20
    guidance: float = 4.0
    guidance_low: float = 0.65
    guidance_high: float = 1.0
    shift: float = 2.0
    solver: str = "multistep"
    negative_prompt: str = ""

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise YozoraError(f"Sampling takes at least one step, not {self.steps}.")
        if not math.isfinite(self.guidance):
            raise YozoraError(f"The guidance scale is a number such as 4, not {self.guidance}.")
        if not 0 < self.shift < math.inf:
            raise YozoraError(f"The timestep shift is a positive number, not {self.shift}.")
        if self.solver not in SOLVERS:
            raise YozoraError(f"Unknown solver '{self.solver}'; solvers are {', '.join(SOLVERS)}.")


def load(name: str | Path = "nano") -> Pipeline:
    """The shipped model of that name, or the one in a directory with codec.safetensors and dit.safetensors, and with
    text.safetensors if its text encoder was adapted.

    It runs on the accelerator that torch finds, else on the processor. Raises YozoraError when there is no such model
    or its files are damaged.
    """
    directory = Path(name) if Path(name).is_dir() else SHIPPED / str(name)
    if not directory.is_dir():
        shipped = ", ".join(sorted(p.name for p in SHIPPED.glob("*") if p.is_dir())) or "none"
        raise YozoraError(
            f"There is no model '{name}': give a directory, or one of the shipped models ({shipped})."
        )
    codec = load_codec(directory / "codec.safetensors")
    path = directory / "dit.safetensors"
    tensors, config, provenance = load_weights(path)
    try:
        encoder = str(config.pop("text_encoder"))
        adapter = load_adapter(directory / "text.safetensors", str(config.pop("adapter", "")))
        shape = max(config.pop("shapes"), key=lambda s: int(s["frames"]))
        network = DiT(DiTConfig(**config))
        load_into(network, tensors, path)
        pipeline = Pipeline(network, codec, encoder, shape, provenance, adapter)
    except (KeyError, TypeError, ValueError) as error:
        raise YozoraError(
            f"The header of {path} does not describe a model ({error}); copy or train it again."
        ) from error
    return pipeline.to(best_device())


def load_adapter(path: Path, wanted: str) -> Tensors:
    """What the text encoder learned of captions, when its fingerprint is ``wanted``; nothing where nothing is.

    Raises YozoraError when the file is missing or damaged, or holds something else.
    """
    tensors = load_weights(path)[0] if wanted else {}
    if wanted and fingerprint(tensors) != wanted:
        raise YozoraError(
            f"The transformer in {path.parent} was trained with another text encoder than {path.name} holds: copy all "
            "of the model's files again."
        )
    return tensors


def load_codec(path: Path) -> Codec:
    """A codec from its weights file. Raises YozoraError when it is missing or damaged."""
    tensors, config, _ = load_weights(path)
    fields: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in config.items()
        if name in CodecConfig.__dataclass_fields__
    }
    codec = Codec(CodecConfig(**fields))
    load_into(codec, tensors, path)
    return codec.eval()


class Pipeline:
    """Text encoder (with its ``adapter``: what it has learned of captions), transformer and codec.

    ``generate`` makes one clip, ``generate_many`` many in batches.

    Clips have ``fps`` frames per second of ``width`` x ``height`` pixels; one pass makes ``frames`` of them.
    """

    def __init__(
        self,
        network: DiT,
        codec: Codec,
        encoder: str,
        shape: Mapping[str, Any],
        provenance: Mapping[str, Any] | None = None,
        adapter: Tensors | None = None,
    ) -> None:
        if network.config.latent != codec.config.latent:
            raise YozoraError(
                f"The transformer makes latents of {network.config.latent} channels, the codec has "
                f"{codec.config.latent}: they were not trained together."
            )
        self.network, self.codec = network.eval(), codec.eval()
        self.encoder_name, self.adapter = encoder, adapter
        self._encoder: TextEncoder | None = None
        self.frames, self.fps = int(shape["frames"]), float(shape["fps"])
        self.height, self.width = int(shape["height"]), int(shape["width"])
        self.provenance = dict(provenance or {})
        self.device = torch.device("cpu")

    def to(self, device: torch.device | str) -> Pipeline:
        """This pipeline, on another device. The text encoder stays on the processor."""
        self.device = torch.device(device)
        self.network.to(self.device)
        self.codec.to(self.device)
        return self

    # --- what a user calls ---------------------------------------------------------------------

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
        known: condition.Known | None = None,
        settings: Settings | None = None,
        watch: Watch = silent,
        **overrides: Any,
    ) -> Clip:
        """A clip that shows ``prompt``, ``seconds`` long: rounded up to 1 + 4n frames, so 2 s at 8 fps are 17 frames.

        ``image``: the first frame. ``video`` with ``extend`` ("forward", "backward" or "both"): goes on from the clip
        by ``seconds`` at each side; with ``fill=(a, b)``: makes the seconds from a to b anew and leaves the length as
        it is; with ``known`` [t, h, w], a map over ``grid`` as condition.py makes them: keeps that much of the clip's
        first pass (keyframes, a region of the picture, any tokens) and makes the rest, of which the codec has let its
        neighbours see a little. What is given is kept as it is, at the model's size and frame rate. ``overrides`` are
        fields of :class:`Settings` (steps=, guidance=, ...). The same seed gives the same noise, alone or in a batch.
        ``watch`` is called after each step of each pass, with the state of its clips; what it raises ends the work.
        Raises YozoraError when arguments contradict each other or a file cannot be read.
        """
        chosen = replace(settings or Settings(), **overrides)
        check_request(seconds, image, video, extend, fill, known)

        def make(window: Window) -> Frames:
            return self._run([window], chosen, watch)[0]

        if video is not None:
            clip, go_on = self._canvas(video), Continuation(make, self.grid, prompt)
            if known is not None:
                return Clip(self._completed(make, clip, known, prompt, seed), self.fps)
            if fill is not None:
                start, end = gap(clip, fill)
                return Clip(go_on.fill(clip.frames, start, end, seed), self.fps)
            frames, more = clip.frames, max(1, round(seconds * self.fps))
            if extend in ("forward", "both"):
                frames = go_on.forward(frames, len(frames) + more, seed)
            if extend in ("backward", "both"):
                frames = go_on.backward(frames, len(frames) + more, seed + 1)
            return Clip(frames, self.fps)
        if image is None:
            return self._prolonged(make(self._blank(prompt, seed)), seconds, prompt, seed, make)
        still = np.repeat(self._still(image), self.frames, axis=0)
        made = make(Window(prompt, seed, condition.frames(self.grid, [0]), still))
        return self._prolonged(seamless(made, still, 0, +1), seconds, prompt, seed, make)

    @torch.inference_mode()
    def generate_many(
        self,
        prompts: Sequence[str],
        *,
        seconds: float = 2.0,
        seeds: Sequence[int] | None = None,
        batch: int = 16,
        settings: Settings | None = None,
        watch: Watch = silent,
        **overrides: Any,
    ) -> Iterator[Clip]:
        """One clip per prompt, in order, as :meth:`generate` makes them; ``seeds`` default to 0, 1, 2, ...

        A batch's first pass is made together; where clips are longer, each then goes on by itself.
        """
        chosen = replace(settings or Settings(), **overrides)
        check_request(seconds, None, None, None, None, None)
        numbers = list(seeds) if seeds is not None else list(range(len(prompts)))
        if len(numbers) != len(prompts):
            raise YozoraError(f"{len(prompts)} prompts need as many seeds, not {len(numbers)}.")
        if batch < 1:
            raise YozoraError(f"A batch holds at least one prompt, not {batch}.")

        def make(window: Window) -> Frames:
            return self._run([window], chosen, watch)[0]

        pairs = list(zip(prompts, numbers, strict=True))
        for start in range(0, len(pairs), batch):
            part = pairs[start : start + batch]
            made = self._run([self._blank(*pair) for pair in part], chosen, watch)
            for (prompt, seed), frames in zip(part, made, strict=True):
                yield self._prolonged(frames, seconds, prompt, seed, make)

    # --- one pass ------------------------------------------------------------------------------

    @property
    def grid(self) -> condition.Grid:
        """Latent frames, height and width of one pass."""
        return 1 + (self.frames - 1) // STRIDE, self.height // 16, self.width // 16

    def passes(self, seconds: float) -> int:
        """How many passes a clip of ``seconds`` takes that starts from nothing."""
        overlap = (self.grid[0] + 1) // 2
        fresh = self.frames - 1 - STRIDE * (overlap - 1)
        return 1 + math.ceil(max(0, length(seconds, self.fps) - self.frames) / fresh)

    @property
    def encoder(self) -> TextEncoder:
        """The text encoder, loaded when first needed."""
        if self._encoder is None:
            self._encoder = TextEncoder(self.encoder_name, self.adapter)
        return self._encoder

    @torch.inference_mode()
    def encode(self, frames: Frames) -> Tensor:
        """uint8 [1 + 4n, H, W, 3] -> normalised latents [Z, n + 1, h, w], on the pipeline's device."""
        x = torch.from_numpy(np.ascontiguousarray(frames.transpose(3, 0, 1, 2)[None]))
        with autocast(self.device):
            return self.codec.encode(x.to(self.device).float() / 127.5 - 1)[0].float()

    @torch.inference_mode()
    def decode(self, latents: Tensor) -> list[Frames]:
        """Normalised latents [B, Z, G, h, w] -> uint8 frames [1 + 4 (G - 1), H, W, 3] of each clip."""
        with autocast(self.device):
            x = self.codec.decode(latents.to(self.device))
        pixels = ((x.float() + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)
        return list(pixels.permute(0, 2, 3, 4, 1).contiguous().cpu().numpy())

    def _run(self, windows: Sequence[Window], settings: Settings, watch: Watch) -> list[Frames]:
        """Denoises and decodes windows together; each has its own noise, whatever its company."""
        n, shape = len(windows), (self.codec.config.latent, *self.grid)
        states, mask = pad(self.encoder([*(w.prompt for w in windows), settings.negative_prompt]))
        states, mask = states.to(self.device), mask.to(self.device)
        # Noise is drawn on the processor, so that a seed gives the same clip on every device.
        noise = torch.stack(
            [torch.randn(shape, generator=torch.Generator().manual_seed(w.seed)) for w in windows]
        )
        nothing = torch.zeros(shape, device=self.device)
        guided = Guided(
            self.network,
            Text(states[:n], mask[:n]),
            Text(states[n:].expand(n, -1, -1), mask[n:].expand(n, -1)),
            torch.tensor([[self.fps, self.frames / self.fps, 0.0]] * n, device=self.device),
            torch.from_numpy(np.stack([w.known for w in windows])).to(self.device),
            torch.stack([nothing if w.frames is None else self.encode(w.frames) for w in windows]),
            Guidance(settings.guidance, settings.guidance_low, settings.guidance_high),
        )
        levels = flow.schedule(settings.steps, settings.shift)
        x = SOLVERS[settings.solver](guided, noise.to(self.device), levels, watch)
        return self.decode(torch.where(guided.known.unsqueeze(1), guided.given, x))

    def _blank(self, prompt: str, seed: int) -> Window:
        return Window(prompt, seed, condition.nothing(self.grid))

    def _completed(
        self, make: Make, clip: Clip, known: condition.Known, prompt: str, seed: int
    ) -> Frames:
        """What of the clip's first pass is known, and the rest made to go with it."""
        if known.shape != self.grid:
            raise YozoraError(
                f"A map of what is known has this model's grid of latents, {self.grid}, not {known.shape}."
            )
        if len(clip) < self.frames:
            raise YozoraError(
                f"A map of what is known covers {self.frames} frames at {self.fps:g} fps; the clip has {len(clip)}."
            )
        given = clip.frames[: self.frames]
        made = make(Window(prompt, seed, known, given))
        return np.where(self._pixels(known), given, made)

    def _pixels(self, known: condition.Known) -> NDArray[np.bool_]:
        """The frames' pixels [T, H, W, 1] that a map of latents [t, h, w] covers."""
        t, h, w = self.grid
        frames = np.repeat(known, [1] + [STRIDE] * (t - 1), axis=0)
        return frames.repeat(self.height // h, 1).repeat(self.width // w, 2)[..., None]

    def _prolonged(
        self, frames: Frames, seconds: float, prompt: str, seed: int, make: Make
    ) -> Clip:
        """Goes on from a first window until ``seconds`` are reached, or cuts it."""
        wanted = length(seconds, self.fps)
        if len(frames) < wanted:
            frames = Continuation(make, self.grid, prompt).forward(frames, wanted, seed)
        return Clip(frames[:wanted], self.fps)

    # --- what comes in -------------------------------------------------------------------------

    def _canvas(self, video: str | Path | Clip) -> Clip:
        size = (self.width, self.height)
        if not isinstance(video, Clip):
            return read(video, fps=self.fps, size=size)
        return Clip(
            fit(video.frames[resampled(len(video), video.fps, self.fps)], size)[0], self.fps
        )

    def _still(self, image: str | Path | Frames) -> Frames:
        """uint8 [1, H, W, 3] of a file's first frame, an image [H, W, 3] or frames [T, H, W, 3]."""
        size = (self.width, self.height)
        if isinstance(image, str | Path):
            return read(image, size=size, max_frames=1).frames[:1]
        return fit(Clip(image[None] if image.ndim == 3 else image, self.fps).frames[:1], size)[0]


def check_request(
    seconds: float,
    image: object,
    video: object,
    extend: str | None,
    fill: object,
    known: object,
) -> None:
    """Raises YozoraError when the arguments of :meth:`Pipeline.generate` contradict each other."""
    if not 0 < seconds < math.inf:
        raise YozoraError(f"A clip lasts a positive number of seconds, not {seconds}.")
    if image is not None and video is not None:
        raise YozoraError("A clip starts from an image or from a video: give one of them.")
    ways = sum(way is not None for way in (extend, fill, known))
    if video is None and ways:
        raise YozoraError("To extend, fill or complete, give the video to start from.")
    if video is not None and ways != 1:
        raise YozoraError(
            "A video is extended, filled or completed: give one of extend, fill and known."
        )
    if extend is not None and extend not in WAYS:
        raise YozoraError(f"A clip is extended {', '.join(WAYS[:2])} or both, not '{extend}'.")


def gap(clip: Clip, seconds: tuple[float, float]) -> tuple[int, int]:
    """The frames start .. end - 1 between two instants. Raises YozoraError when they are not a part of the clip."""
    if not all(math.isfinite(s) for s in seconds):
        raise YozoraError(f"A gap lies between two instants in seconds, not {seconds}.")
    start, end = (round(s * clip.fps) for s in seconds)
    if not (0 <= start < end <= len(clip) and end - start < len(clip)):
        raise YozoraError(
            f"The gap {seconds[0]:g}:{seconds[1]:g} s is no part of the clip of {clip.seconds:.2f} s: "
            "it has to be at least a frame long and to leave some frames as they are."
        )
    return start, end


def length(seconds: float, fps: float) -> int:
    """Frames of a clip of ``seconds``: the first number 1 + 4n that lasts as long."""
    return 1 + STRIDE * math.ceil((math.ceil(seconds * fps - 1e-6) - 1) / STRIDE)


def resampled(count: int, fps: float, wanted: float) -> list[int]:
    """Which of ``count`` frames are on display at the instants k / wanted, as `yozora.video.read` would choose them."""
    interval = min(1 / fps, 1 / wanted)
    frames = math.ceil((count / fps - interval / 4) * wanted)
    return [min(count - 1, int((k / wanted + 0.45 * interval) * fps)) for k in range(frames)]
