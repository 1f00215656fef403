from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.training.toys import STEPS, Toys, codec_recipe, components, row

from yozora.checkpoint import load_weights
from yozora.errors import YozoraError
from yozora.models.vae import Codec, CodecConfig
from yozora.training import vae
from yozora.training.state import checkpoints, read_log
from yozora.training.vae import CodecRecipe, FrameSource, Learner

RARE = replace(codec_recipe(), checkpoint_minutes=60.0)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """The components of 3072 values take seconds; only their own test computes them."""
    monkeypatch.setattr(vae, "fit_pca", components)


def source(recipe: CodecRecipe = RARE, corpus: Toys | None = None) -> FrameSource:
    return FrameSource(corpus or Toys(Path("corpus")), recipe, "train")  # type: ignore[arg-type]


def train(out: Path, recipe: CodecRecipe = RARE, **options: Any) -> Path:
    return vae.train(recipe, Toys(out), out, **options)  # type: ignore[arg-type]


def test_batches_are_functions_of_stream_and_step() -> None:
    one, two = source(), source()
    later = two.crops(1, 5)
    assert torch.equal(one.crops(1, 4), two.crops(1, 4))
    assert torch.equal(one.crops(1, 5), later)
    assert not torch.equal(one.crops(1, 4), later)
    assert one.batch(0, 3, 6).shape == (6, 3, 9, 32, 32)
    assert not torch.equal(one.batch(0, 3, 6), one.batch(2, 3, 6))
    assert one.crops(1, 0).shape[:3] == (RARE.batch, 3, 9)


def test_a_clip_that_rounding_left_short_holds_its_last_frame() -> None:
    class Short(Toys):
        def read(self, row: Any, *, fps: float) -> Any:
            clip = super().read(row, fps=fps)
            return replace(clip, frames=clip.frames[:-1])

    x = source(corpus=Short(Path())).batch(0, 0, 4)
    assert x.shape == (4, 3, 9, 32, 32)
    world = [clip for clip in x if torch.equal(clip[:, -1], clip[:, -2])]
    assert world


def test_a_clip_of_another_aspect_is_padded_and_not_squashed() -> None:
    class Tall(Toys):
        def read(self, row: Any, *, fps: float) -> Any:
            clip = super().read(row, fps=fps)
            return replace(clip, frames=np.full((9, 32, 16, 3), 255, np.uint8))

    shown = source(corpus=Tall(Path())).clip(replace(row("tall"), width=16))
    assert (shown[..., 8:24] > 0.9).all()
    assert (shown[..., :7] < -0.9).all()
    assert (shown[..., 25:] < -0.9).all()


def test_a_corpus_of_short_clips_gives_no_batches() -> None:
    short = Toys(Path("corpus"), (row("brief", frames=5), row("still", frames=1)))
    with pytest.raises(YozoraError, match=r"9 frames long at 8 fps.* 0 batches.*corpus check"):
        source(corpus=short)


def test_the_linear_path_starts_at_the_principal_components(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.undo()
    told: list[dict[str, Any]] = []
    frames = source()
    patches = np.random.default_rng(0).normal(size=(4096, 12)) * np.arange(1, 13) + 3
    monkeypatch.setattr(vae, "PATCH_VALUES", 12)
    monkeypatch.setattr(vae, "to_patches", lambda x: torch.from_numpy(patches).float())
    monkeypatch.setattr(frames, "batch", lambda stream, step, size: torch.zeros(1))
    mean, found, std = vae.fit_pca(frames, CodecConfig(latent=4), told.append)
    values, vectors = np.linalg.eigh(np.cov(patches.T, bias=True))
    assert np.allclose(mean, patches.mean(0), atol=1e-2)
    assert np.allclose(std, np.sqrt(values[::-1][:4]), rtol=1e-2)
    assert torch.allclose(found @ found.T, torch.eye(4), atol=1e-4)
    overlap = np.abs((found.numpy() * vectors.T[::-1][:4]).sum(1))
    assert (overlap > 0.99).all()
    assert told[-1] == {"phase": "pca", "patches": 4096}


def test_training_learns_and_writes_a_codec(tmp_path: Path) -> None:
    seen: list[dict[str, Any]] = []
    recipe = replace(RARE, lr=3e-3, linear_lr=3e-3)
    path = train(tmp_path, recipe, watch=seen.append)
    assert [r["step"] for r in seen if r.get("phase") == "train"] == list(range(1, STEPS + 1))
    lines = read_log(tmp_path)
    assert [r["step"] for r in lines if "validation_psnr" in r] == [5, 10]
    tensors, config, provenance = load_weights(path)
    assert (config["frames"], config["size"], provenance["corpus"]) == (9, [32, 32], "toys")
    codec = Codec(RARE.config)
    codec.load_state_dict(tensors)
    x = source().batch(9, 0, 32)
    begun = Learner.new(recipe, source(), seen.append).codec.cpu()
    with torch.no_grad():
        z = codec.encode(x)
        errors = [(c.decode_raw(c.encode_raw(x)) - x).square().mean() for c in (begun, codec)]
    assert errors[1] < 0.9 * errors[0], errors
    assert z.mean().abs() < 0.2  # the stored statistics bring latents to mean 0 and power 1
    assert z.square().mean().item() == pytest.approx(1, abs=0.3)


def test_a_finished_run_stays_as_it_is(tmp_path: Path) -> None:
    path = train(tmp_path, steps=2)
    log, tensors = (tmp_path / "log.jsonl").read_bytes(), load_weights(path)[0]
    with pytest.raises(YozoraError, match="--resume"):
        train(tmp_path, steps=2)
    train(tmp_path, steps=2, resume=True)
    assert [folder.name for folder in checkpoints(tmp_path)] == ["00000002"]
    assert (tmp_path / "log.jsonl").read_bytes() == log
    again = load_weights(path)[0]
    assert all(torch.equal(again[name], tensors[name]) for name in tensors)


def test_a_decoder_trained_alone_leaves_latents_as_they_are(tmp_path: Path) -> None:
    first = load_weights(train(tmp_path / "first", steps=2))[0]
    alone = replace(RARE, decoder_only=True)
    with pytest.raises(YozoraError, match="--from"):
        train(tmp_path / "second", alone)
    path = train(tmp_path / "second", alone, start_from=first, steps=2)
    train(tmp_path / "second", alone, steps=3, resume=True)
    second = load_weights(path)[0]
    moved = {name for name in first if not torch.equal(first[name], second[name])}
    assert moved
    assert all(name.startswith("decoder.") for name in moved)


def test_a_decoder_alone_may_have_other_blocks_than_before() -> None:
    """Those that are added do nothing yet; those that are taken out are gone."""
    torch.manual_seed(0)
    config = CodecConfig(latent=16, channels=(8, 16, 16), decoder_blocks=(1, 1, 2))
    before = Codec(config)
    for parameter in before.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    z = torch.randn(1, 16, 2, 2, 2)

    longer = replace(RARE, config=replace(config, decoder_blocks=(3, 2, 2)), decoder_only=True)
    codec = Learner.continued(longer, before.state_dict()).codec.cpu()
    assert torch.allclose(codec.decode_raw(z), before.decode_raw(z), atol=1e-4)
    shorter = replace(RARE, config=replace(config, decoder_blocks=(1, 1, 1)), decoder_only=True)
    codec = Learner.continued(shorter, before.state_dict()).codec.cpu()
    assert not torch.allclose(codec.decode_raw(z), before.decode_raw(z), atol=1e-2)
    for recipe in (replace(longer, decoder_only=False), replace(shorter, decoder_only=False)):
        with pytest.raises(YozoraError, match="go on from"):
            Learner.continued(recipe, before.state_dict())


def test_what_is_not_finite_stops_the_run_and_spoils_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loss = vae.reconstruction_loss

    def breaking(y: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        return loss(y, x) * (float("nan") if len(read_log(tmp_path)) == 3 else 1.0)

    monkeypatch.setattr(vae, "reconstruction_loss", breaking)
    with pytest.raises(YozoraError, match=r"loss is not finite at step 3; .*00000002 holds"):
        train(tmp_path, codec_recipe())


def test_psnr_is_twenty_times_the_logarithm_of_range_over_error() -> None:
    x = torch.zeros(2, 3, 1, 4, 4)
    y = x + torch.tensor([0.2, 0.02]).view(2, 1, 1, 1, 1)  # of a range of 2
    assert vae.psnr(y, x).tolist() == pytest.approx([20.0, 40.0], abs=1e-3)
