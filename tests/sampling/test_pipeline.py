from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from yozora import condition, recipes
from yozora.checkpoint import load_weights, save_weights
from yozora.errors import YozoraError
from yozora.models.adapter import Adapter, fingerprint
from yozora.models.dit import DiT, DiTConfig
from yozora.models.precision import autocast, has_bfloat16
from yozora.models.text import TextEncoder
from yozora.models.vae import Codec
from yozora.sampling import pipeline as module
from yozora.sampling.pipeline import Pipeline, Settings, length, load, resampled
from yozora.sampling.windows import Frames
from yozora.video import Clip, write, write_image

QUICK = {"steps": 2}
PROMPTS = ["a red ball", "a blue star falls on a dark background", "", "two white rings", "a ball"]


def noise(count: int, width: int = 48, height: int = 32, fps: float = 8.0) -> Clip:
    rng = np.random.default_rng(count)
    return Clip(rng.integers(0, 256, (count, height, width, 3), dtype=np.uint8), fps)


def apart(a: Frames, b: Frames) -> int:
    return int(np.abs(a.astype(int) - b.astype(int)).max())


def test_the_same_seed_gives_the_same_clip_and_another_another(pipeline: Pipeline) -> None:
    one = pipeline.generate("a red ball", seed=1, **QUICK)
    assert (one.frames == pipeline.generate("a red ball", seed=1, **QUICK).frames).all()
    assert apart(one.frames, pipeline.generate("a red ball", seed=2, **QUICK).frames) > 20
    assert apart(one.frames, pipeline.generate("a blue star", seed=1, **QUICK).frames) > 0


def test_a_clip_is_the_same_whatever_its_company(pipeline: Pipeline) -> None:
    # The noise is the same to the bit. Matrix products of another batch size may add in another order, so that a value
    # differs in the last bit of bfloat16 (2^-8) here and there; on the way to 8-bit pixels that is a few steps of 255,
    # where clips of two seeds are a hundred apart.
    whole = list(pipeline.generate_many(PROMPTS, batch=4, **QUICK))
    for seed, (prompt, clip) in enumerate(zip(PROMPTS, whole, strict=True)):
        alone = pipeline.generate(prompt, seed=seed, **QUICK)
        assert apart(alone.frames, clip.frames) <= 8
        assert apart(whole[seed - 1].frames, clip.frames) > 20


def test_guidance_away_from_the_prompt_itself_is_none(pipeline: Pipeline) -> None:
    plain = pipeline.generate("a red ball", guidance=1.0, **QUICK).frames
    itself = pipeline.generate("a red ball", negative_prompt="a red ball", **QUICK).frames
    other = pipeline.generate("a red ball", negative_prompt="a blue star", **QUICK).frames
    assert apart(itself, plain) <= 8  # a batch of another size adds in another order
    assert apart(other, pipeline.generate("a red ball", **QUICK).frames) > 0


def test_many_clips_come_in_order_with_their_seeds(pipeline: Pipeline) -> None:
    told: list[tuple[int, int, int]] = []
    clips = list(
        pipeline.generate_many(
            ["a ball"] * 3,
            seeds=[5, 6, 5],
            batch=2,
            watch=lambda step: told.append((step.done, step.total, len(step.clean))),
            **QUICK,
        )
    )
    assert apart(clips[0].frames, clips[2].frames) <= 8
    assert apart(clips[0].frames, clips[1].frames) > 20
    assert told == [(1, 2, 2), (2, 2, 2), (1, 2, 1), (2, 2, 1)]  # a batch of two, then of one
    assert list(pipeline.generate_many([])) == []


@given(st.floats(0.01, 60), st.sampled_from([6.0, 8.0, 24.0, 29.97]))
def test_a_length_is_the_first_that_lasts(seconds: float, fps: float) -> None:
    frames = length(seconds, fps)
    assert frames % 4 == 1
    assert frames / fps >= seconds - 1e-5
    assert frames == 1 or (frames - 4) / fps < seconds


@pytest.mark.parametrize(
    ("seconds", "frames"), [(0.05, 1), (1.0, 9), (2.0, 17), (17 / 8, 17), (3.0, 25)]
)
def test_clips_are_as_long_as_asked(pipeline: Pipeline, seconds: float, frames: int) -> None:
    clip = pipeline.generate("a ball", seconds=seconds, steps=1)
    assert clip.frames.shape == (frames, 32, 48, 3)
    assert clip.fps == 8
    first = pipeline.generate("a ball", steps=1).frames  # of one window
    shared = min(frames, 17)
    assert (clip.frames[:shared] == first[:shared]).all()


def test_an_image_is_the_first_frame(pipeline: Pipeline, tmp_path: Path) -> None:
    picture = noise(1).frames[0]
    write_image(tmp_path / "still.png", picture)
    made = pipeline.generate("a ball", image=picture, seed=3, **QUICK)
    assert len(made) == 17
    assert (made.frames[0] == picture).all()
    from_file = pipeline.generate("a ball", image=tmp_path / "still.png", seed=3, **QUICK)
    assert (from_file.frames == made.frames).all()
    free = pipeline.generate("a ball", seed=3, **QUICK)
    assert apart(made.frames[8:], free.frames[8:]) > 0  # the still matters to what follows
    wide = pipeline.generate("a ball", image=noise(1, 200, 30).frames, steps=1)
    assert wide.frames.shape == (17, 32, 48, 3)
    assert (wide.frames[0, 0] == 0).all()  # bars: the picture's aspect is kept


@pytest.mark.parametrize(("way", "before", "after"), [("forward", 0, 5), ("backward", 5, 0)])
@pytest.mark.parametrize("count", [4, 7, 17, 30])
def test_extension_adds_and_keeps(
    pipeline: Pipeline, way: str, before: int, after: int, count: int
) -> None:
    clip = noise(count)
    made = pipeline.generate("a ball", video=clip, extend=way, seconds=5 / 8, steps=1)
    assert len(made) == before + count + after
    assert (made.frames[before : before + count] == clip.frames).all()


def test_extension_at_both_ends_and_beyond_a_window(pipeline: Pipeline) -> None:
    clip = noise(6)
    made = pipeline.generate("a ball", video=clip, extend="both", seconds=2.5, steps=1)
    assert len(made) == 20 + 6 + 20
    assert (made.frames[20:26] == clip.frames).all()


def test_a_still_is_a_clip_that_can_go_on(pipeline: Pipeline) -> None:
    still = noise(1)
    made = pipeline.generate("a ball", video=still, extend="forward", seconds=1, steps=1)
    assert len(made) == 9
    assert (made.frames[0] == still.frames[0]).all()
    with pytest.raises(YozoraError, match="at least 4 frames"):
        pipeline.generate("a ball", video=still, extend="backward", steps=1)


@pytest.mark.parametrize(
    ("count", "start", "end"),
    [(17, 5, 9), (17, 6, 7), (17, 0, 6), (17, 12, 17), (9, 3, 6), (40, 8, 33), (6, 5, 6)],
)
def test_a_gap_is_made_anew_and_the_rest_kept(
    pipeline: Pipeline, count: int, start: int, end: int
) -> None:
    clip = noise(count)
    gap = (start / 8, end / 8)
    made = pipeline.generate("a ball", video=clip, fill=gap, steps=1)
    assert made.frames.shape == clip.frames.shape
    kept = [k for k in range(count) if not start <= k < end]
    assert (made.frames[kept] == clip.frames[kept]).all()
    assert all(apart(made.frames[k], clip.frames[k]) > 0 for k in range(start, end))
    spoilt = Clip(clip.frames.copy(), clip.fps)
    spoilt.frames[start:end] = 77
    again = pipeline.generate("a ball", video=spoilt, fill=gap, steps=1)
    assert (again.frames == made.frames).all()  # what was in the gap does not matter


@pytest.mark.parametrize("task", ["keyframes", "patches", "region", "ends"])
def test_any_map_of_known_latents_is_kept_and_the_rest_made(pipeline: Pipeline, task: str) -> None:
    clip, rng = noise(20), np.random.default_rng(1)
    known = condition.draw(task, pipeline.grid, rng)
    made = pipeline.generate("a ball", video=clip, known=known, steps=1)
    assert len(made) == 17
    for frame in range(17):
        kept = known[(frame + 3) // 4].repeat(16, 0).repeat(16, 1)
        same = (made.frames[frame] == clip.frames[frame]).all(-1)
        assert same[kept].all()
        assert same[~kept].mean() < 0.1 if (~kept).any() else True


def test_known_latents_reach_the_picture_unchanged(pipeline: Pipeline) -> None:
    clip = noise(17)
    seen: list[Frames] = []
    run = pipeline._run

    def spy(*arguments: Any) -> list[Frames]:
        seen.extend(run(*arguments))
        return seen[-1:]

    pipeline._run = spy  # type: ignore[method-assign]
    try:
        pipeline.generate("a ball", video=clip, extend="forward", seconds=1, **QUICK)
    finally:
        del pipeline._run
    through = pipeline.decode(pipeline.encode(clip.frames[-9:])[None])[0]
    assert apart(seen[0][:9], through) <= 2  # the known part is what the codec makes of it


@pytest.mark.parametrize("fps", [4.0, 8.0, 12.5, 30.0])
def test_other_rates_and_sizes_are_brought_to_the_models(
    pipeline: Pipeline, tmp_path: Path, fps: float
) -> None:
    clip = noise(24, 160, 90, fps)
    write(clip, tmp_path / "clip.mp4", quality="exact")
    from_file = pipeline._canvas(tmp_path / "clip.mp4")
    from_memory = pipeline._canvas(clip)
    assert from_memory.frames.shape == from_file.frames.shape
    assert abs(from_memory.seconds - clip.seconds) <= 1 / 8
    assert np.abs(from_memory.frames.astype(int) - from_file.frames).mean() < 12
    made = pipeline.generate("a ball", video=clip, extend="forward", seconds=0.5, steps=1)
    assert len(made) == len(from_memory) + 4
    assert (made.fps, made.width, made.height) == (8, 48, 32)


@given(st.integers(1, 200), st.floats(1, 120), st.floats(1, 120))
def test_resampling_keeps_time(count: int, fps: float, wanted: float) -> None:
    index = resampled(count, fps, wanted)
    assert index == sorted(index)
    assert index[0] == 0
    assert index[-1] < count
    assert abs(len(index) / wanted - count / fps) <= 1 / wanted


CONTRADICTIONS: list[tuple[dict[str, Any], str]] = [
    ({"seconds": 0}, "positive number of seconds"),
    ({"seconds": float("nan")}, "positive number of seconds"),
    ({"extend": "forward"}, "give the video"),
    ({"fill": (0.1, 0.5)}, "give the video"),
    ({"known": condition.nothing((5, 2, 3))}, "give the video"),
    ({"video": noise(9)}, "give one of extend, fill and known"),
    ({"video": noise(9), "extend": "forward", "fill": (0.1, 0.5)}, "give one of extend, fill and"),
    ({"video": noise(17), "known": condition.nothing((5, 4, 7))}, r"\(5, 2, 3\), not \(5, 4, 7\)"),
    ({"video": noise(9), "known": condition.nothing((5, 2, 3))}, "the clip has 9"),
    ({"video": noise(9), "extend": "sideways"}, "not 'sideways'"),
    ({"video": noise(9), "extend": "forward", "image": noise(1).frames}, "give one of them"),
    ({"video": noise(9), "fill": (0.5, 0.5)}, "no part of the clip"),
    ({"video": noise(9), "fill": (0.5, 0.2)}, "no part of the clip"),
    ({"video": noise(9), "fill": (0.5, 3.0)}, "no part of the clip"),
    ({"video": noise(9), "fill": (-1.0, 0.5)}, "no part of the clip"),
    ({"video": noise(9), "fill": (0.0, 9 / 8)}, "leave some frames"),
    ({"video": noise(9), "fill": (0.1, float("inf"))}, "two instants"),
    ({"steps": 0}, "at least one step"),
    ({"solver": "magic"}, "solvers are euler, multistep"),
    ({"shift": 0.0}, "positive number"),
    ({"guidance": float("nan")}, "guidance scale"),
    ({"image": np.zeros((4, 4), np.uint8)}, r"\[T, H, W, 3\]"),
    ({"image": Path("missing.png")}, "missing.png"),
    ({"video": Path("missing.mp4"), "extend": "both"}, "missing.mp4"),
]


@pytest.mark.parametrize(("arguments", "sentence"), CONTRADICTIONS)
def test_what_cannot_be_done_is_a_sentence(
    pipeline: Pipeline, arguments: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(YozoraError, match=sentence):
        pipeline.generate("a ball", **arguments)


def test_many_prompts_need_as_many_seeds(pipeline: Pipeline) -> None:
    with pytest.raises(YozoraError, match="as many seeds"):
        list(pipeline.generate_many(["a ball"], seeds=[1, 2]))
    with pytest.raises(YozoraError, match="at least one prompt"):
        list(pipeline.generate_many(["a ball"], batch=0))


@pytest.fixture
def model(tmp_path: Path, pipeline: Pipeline) -> Path:
    """A directory as training writes it."""
    config = {
        **asdict(pipeline.network.config),
        "text_encoder": "none",
        "shapes": [asdict(shape) for shape in recipes.debug().shapes],
    }
    save_weights(
        tmp_path / "dit.safetensors",
        pipeline.network.state_dict(),
        config=config,
        provenance={"a": 1},
    )
    save_weights(
        tmp_path / "codec.safetensors",
        pipeline.codec.state_dict(),
        config=asdict(pipeline.codec.config),
    )
    return tmp_path


def test_a_model_comes_back_from_its_directory(model: Path, pipeline: Pipeline) -> None:
    loaded = load(model)
    assert (loaded.frames, loaded.height, loaded.width, loaded.fps) == (9, 32, 32, 8)
    assert loaded.provenance == {"a": 1}
    ours, theirs = loaded.network.state_dict(), pipeline.network.state_dict()
    assert all(torch.equal(ours[name].cpu(), theirs[name]) for name in theirs)
    frames = noise(9).frames
    assert torch.allclose(loaded.encode(frames).cpu(), pipeline.encode(frames), atol=0.05)


def truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def garbage(path: Path) -> None:
    path.write_bytes(b"\xff" * 500)


def without_config(path: Path) -> None:
    save_weights(path, {"a": torch.zeros(1)})


def other_sizes(path: Path) -> None:
    network = DiT(DiTConfig(latent=16, width=64, depth=1, heads=2))
    config = {**asdict(recipes.debug().config), "text_encoder": "none", "shapes": [module_shape()]}
    save_weights(path, network.state_dict(), config=config)


def unknown_setting(path: Path) -> None:
    save_weights(
        path,
        {},
        config={"magic": 3, "text_encoder": "none", "shapes": [module_shape()]},
    )


def module_shape() -> dict[str, Any]:
    return asdict(recipes.debug().shapes[0])


@pytest.mark.parametrize("damage", [Path.unlink, truncated, garbage, without_config, other_sizes])
def test_damaged_transformers_are_a_sentence(model: Path, damage: Callable[[Path], None]) -> None:
    damage(model / "dit.safetensors")
    with pytest.raises(YozoraError, match=r"dit\.safetensors"):
        load(model)


def test_a_setting_from_another_time_is_a_sentence(model: Path) -> None:
    unknown_setting(model / "dit.safetensors")
    with pytest.raises(YozoraError, match="does not describe a model"):
        load(model)


@pytest.mark.parametrize("damage", [Path.unlink, truncated, garbage, without_config])
def test_damaged_codecs_are_a_sentence(model: Path, damage: Callable[[Path], None]) -> None:
    damage(model / "codec.safetensors")
    with pytest.raises(YozoraError, match=r"codec\.safetensors"):
        load(model)


def test_a_transformer_goes_with_the_text_encoder_that_it_learned_from(
    model: Path, pipeline: Pipeline
) -> None:
    torch.manual_seed(0)
    adapter = Adapter(TextEncoder().model, 1)
    for parameter in adapter.parameters():
        torch.nn.init.normal_(parameter)
    path = model / "text.safetensors"
    _, config, _ = load_weights(model / "dit.safetensors")
    config |= {"text_encoder": "minilm", "adapter": fingerprint(adapter.state_dict())}
    save_weights(model / "dit.safetensors", pipeline.network.state_dict(), config=config)
    with pytest.raises(YozoraError, match=r"text\.safetensors"):
        load(model)
    save_weights(path, adapter.state_dict(), dtype=torch.float16)
    (ours,), (theirs,) = load(model).encoder(["a red ball"]), TextEncoder()(["a red ball"])
    assert not torch.allclose(ours, theirs, atol=0.1)
    save_weights(path, {name: t + 1 for name, t in adapter.state_dict().items()})
    with pytest.raises(YozoraError, match="another text encoder"):
        load(model)


def test_parts_that_were_not_trained_together(model: Path) -> None:
    codec = Codec(recipes.codec_recipe("debug", {"config.latent": "8"}).config)
    save_weights(model / "codec.safetensors", codec.state_dict(), config=asdict(codec.config))
    with pytest.raises(YozoraError, match="not trained together"):
        load(model)


def test_a_model_that_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "tiny").mkdir()
    monkeypatch.setattr(module, "SHIPPED", tmp_path)
    with pytest.raises(YozoraError, match=r"no model 'huge'.*\(tiny\)"):
        load("huge")


def test_bfloat16_only_where_the_processor_has_it() -> None:
    flags = Path("/proc/cpuinfo")
    if flags.exists() and "flags" in flags.read_text():
        has = {"avx512_bf16", "amx_tile"} & set(flags.read_text().split())
        assert has_bfloat16("cpu") == bool(has)
    with autocast(torch.device("cpu")):
        product = torch.ones(2, 2) @ torch.ones(2, 2)
    assert product.dtype == (torch.bfloat16 if has_bfloat16("cpu") else torch.float32)


def test_settings_are_replaced_by_name(pipeline: Pipeline) -> None:
    by_settings = pipeline.generate("a ball", settings=Settings(steps=1, guidance=5.0))
    by_name = pipeline.generate("a ball", steps=1, guidance=5.0)
    assert (by_settings.frames == by_name.frames).all()
    euler = pipeline.generate("a ball", steps=3, solver="euler")
    assert apart(euler.frames, pipeline.generate("a ball", steps=3).frames) > 0
