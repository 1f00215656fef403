from __future__ import annotations

import math
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.training.toys import STEPS, ToyBucket, ToyTexts, buckets, model_recipe

from yozora.checkpoint import load_weights
from yozora.errors import YozoraError
from yozora.models.dit import DiT
from yozora.training import dit
from yozora.training.dit import COLLAPSED, Batch, Draws, Learner, ModelRecipe, Probe
from yozora.training.state import checkpoints, read_log

RARE = replace(model_recipe(), checkpoint_minutes=60.0)


def draws(**changes: Any) -> Draws:
    return Draws(replace(model_recipe(), **changes), buckets(), ToyTexts())  # type: ignore[arg-type]


def train(out: Path, recipe: ModelRecipe = RARE, **options: Any) -> Path:
    return dit.train(recipe, buckets(), ToyTexts(), out, **options)  # type: ignore[arg-type]


def same(a: Batch, b: Batch) -> bool:
    tensors = (
        [t for t in a if isinstance(t, torch.Tensor)],
        [t for t in b if isinstance(t, torch.Tensor)],
    )
    return a.tasks == b.tasks and all(map(torch.equal, *tensors))


def test_a_batch_is_a_function_of_its_step() -> None:
    ours, theirs = draws(), draws()
    backwards = {step: theirs.batch(step, STEPS) for step in reversed(range(6))}
    for step in range(6):
        assert same(ours.batch(step, STEPS), backwards[step])
    assert not same(ours.batch(1, STEPS), ours.batch(2, STEPS))


def test_a_batch_says_what_is_known() -> None:
    batch = draws(batch=64).batch(10**6, 1)
    assert batch.latents.shape == batch.noise.shape
    assert batch.sigma.shape == batch.known.shape == batch.latents[:, 0].shape
    assert batch.state.shape[:-1] == batch.known.shape
    assert len(batch.tasks) == 64
    assert not batch.known.flatten(1).all(1).any()  # something is left to make
    for clip, task in enumerate(batch.tasks):
        levels = batch.sigma[clip][~batch.known[clip]]
        assert (levels == levels[0]).all()
        assert (batch.sigma[clip][batch.known[clip]] <= levels[0]).all()
        if task == "text":
            assert not batch.known[clip].any()


def test_shares_of_tasks_footage_and_empty_captions_are_the_recipes() -> None:
    recipe = draws(batch=40, real_share=0.25, drop_text=0.3)
    batches = [recipe.batch(10**6 + step, 1) for step in range(40)]
    films = [b for b in batches if b.known.shape[1] > 1]
    real = sum((~b.has_state).sum().item() for b in films) / sum(len(b.tasks) for b in films)
    assert real == pytest.approx(0.25, abs=0.05)
    words = torch.cat([b.text.mask.sum(1) for b in batches])
    assert (words == 1).float().mean().item() == pytest.approx(0.3, abs=0.06)
    tasks = Counter(task for b in batches for task in b.tasks)
    for task, share in recipe.recipe.mix.weights.items():
        assert tasks[task] / tasks.total() == pytest.approx(share, abs=0.04)


def test_footage_is_drawn_in_its_variants_and_said_so() -> None:
    drawn = draws(batch=8, real_share=1.0)
    batches = [drawn.batch(step, 100) for step in range(30)]
    shares = sum(b.varied for b in batches) / sum(len(b.tasks) for b in batches)
    assert shares == pytest.approx(2 / 3, abs=0.12)
    world = draws(batch=8, real_share=0.0)
    assert sum(world.batch(step, 100).varied for step in range(10)) == 0


def test_training_begins_with_text_alone() -> None:
    assert set(draws(batch=64).batch(0, 10**9).tasks) == {"text"}


def test_no_clips_are_no_batches() -> None:
    empty = ToyBucket(buckets()[0].shape, ())
    for nothing in ([], [empty]):
        with pytest.raises(YozoraError, match="0 batches"):
            Draws(model_recipe(), nothing, ToyTexts())  # type: ignore[arg-type]


def test_a_clip_without_captions_is_trained_on_without_text() -> None:
    silent = [
        ToyBucket(b.shape, tuple(replace(row, captions=()) for row in b.rows)) for b in buckets()
    ]
    batch = Draws(model_recipe(), silent, ToyTexts()).batch(0, STEPS)  # type: ignore[arg-type]
    assert (batch.text.mask.sum(1) == 1).all()


def test_validation_is_the_same_at_every_call_and_speaks_of_every_task() -> None:
    recipe = model_recipe()
    held_out = buckets("validation")
    first, second = (
        dit.fixed_batches(recipe, held_out, ToyTexts())  # type: ignore[arg-type]
        for _ in range(2)
    )
    assert all(map(same, first, second))
    assert [b.tasks[0] for b in first] == list(recipe.mix.weights)
    assert all(len(set(b.tasks)) == 1 for b in first)
    learner = Learner.new(recipe, None)
    losses = [dit.validate(learner.network, learner.ema, first) for _ in range(2)]
    assert losses[0] == losses[1]
    assert set(losses[0]) == {f"validation_{task}" for task in recipe.mix.weights}
    assert dit.fixed_batches(recipe, [], ToyTexts()) == []  # type: ignore[arg-type]


def test_known_tokens_teach_nothing_and_footage_has_no_state() -> None:
    learner = Learner.new(model_recipe(), None)
    batch = draws().batch(10**6, 1)
    loss, state = dit.losses(learner.network, batch)
    other = batch._replace(noise=torch.where(batch.known.unsqueeze(1), 9.0, batch.noise))
    clean = batch._replace(sigma=torch.where(batch.known, 0.0, batch.sigma))
    assert torch.allclose(
        dit.losses(learner.network, clean)[0],
        dit.losses(learner.network, other._replace(sigma=clean.sigma))[0],
    )
    assert loss.shape == (len(batch.tasks),)
    assert (state[~batch.has_state] == 0).all()
    assert (state[batch.has_state] > 0).all()


def test_training_learns_and_writes_a_model(tmp_path: Path) -> None:
    seen: list[dict[str, Any]] = []
    recipe = replace(RARE, lr=1e-2)
    path = train(tmp_path, recipe, validation=buckets("validation"), watch=seen.append)
    assert [report["step"] for report in seen] == list(range(1, STEPS + 1))
    lines = read_log(tmp_path)
    assert [line["step"] for line in lines if "validation_text" in line] == [5, 10]
    tensors, config, provenance = load_weights(path)
    assert config["text_encoder"] == "minilm"
    assert [shape["frames"] for shape in config["shapes"]] == [9, 1]
    assert provenance["steps"] == STEPS
    trained = Learner.new(recipe, tensors)
    fixed = dit.fixed_batches(recipe, buckets(), ToyTexts())  # type: ignore[arg-type]
    before, after = (
        sum(dit.validate(learner.network, learner.ema, fixed).values())
        for learner in (Learner.new(recipe, None), trained)
    )
    assert after < 0.99 * before
    assert lines[-1]["state_loss"] < 0.5 * lines[0]["state_loss"]
    averages = load_weights(checkpoints(tmp_path)[-1] / "ema.safetensors")[0]
    assert all(torch.equal(tensors[name], averages[name].half()) for name in averages)


@pytest.mark.skipif(not shutil.which("g++"), reason="compiling takes a C++ compiler")
@pytest.mark.filterwarnings("ignore")  # the compiler's own
def test_compiled_blocks_train_as_the_others_do(tmp_path: Path) -> None:
    for compiled in (False, True):
        train(tmp_path / str(compiled), replace(RARE, compile=compiled), steps=3)
    plain, fused = (read_log(tmp_path / name) for name in ("False", "True"))
    for a, b in zip(plain, fused, strict=True):
        assert b["loss"] == pytest.approx(a["loss"], rel=0.01)
    a, b = (load_weights(tmp_path / n / "dit.safetensors")[0] for n in ("False", "True"))
    assert a.keys() == b.keys()


def test_compiling_without_a_compiler_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(YozoraError, match="compile=true needs a C"):
        train(tmp_path, replace(RARE, compile=True))


def test_a_finished_run_stays_as_it_is(tmp_path: Path) -> None:
    path = train(tmp_path, steps=2)
    log, tensors = (tmp_path / "log.jsonl").read_bytes(), load_weights(path)[0]
    with pytest.raises(YozoraError, match="--resume"):
        train(tmp_path, steps=2)
    train(tmp_path, steps=2, resume=True)
    assert [folder.name for folder in checkpoints(tmp_path)] == ["00000002"]
    assert (tmp_path / "log.jsonl").read_bytes() == log
    again, _, provenance = load_weights(path)
    assert provenance["steps"] == 2
    assert all(torch.equal(again[name], tensors[name]) for name in tensors)


def test_a_run_may_end_by_the_clock(tmp_path: Path) -> None:
    train(tmp_path, minutes=0.0)
    assert [line["step"] for line in read_log(tmp_path)] == [1]


def test_weights_to_go_on_from_have_to_fit(tmp_path: Path) -> None:
    weights = Learner.new(model_recipe(), None).network.state_dict()
    weights["out.bias"] = torch.full_like(weights["out.bias"], 0.5)
    learner = Learner.new(model_recipe(), weights)
    assert (learner.ema.weights["out.bias"] == 0.5).all()
    with pytest.raises(YozoraError, match="do not fit recipe 'debug'"):
        train(tmp_path, start_from={"out.bias": torch.zeros(3)})


@pytest.mark.parametrize(("broken", "good"), [("loss", "00000003"), ("gradient", "00000004")])
def test_what_is_not_finite_stops_the_run_and_spoils_nothing(
    broken: str, good: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A checkpoint is written when a finite loss has proven its weights, so step 4's loss proves the fourth."""
    losses = dit.losses

    def breaking(network: DiT, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        per_clip, state = losses(network, batch)
        if len(read_log(tmp_path)) == 4:  # the fifth step
            if broken == "loss":
                return per_clip * math.nan, state
            per_clip.register_hook(lambda gradient: gradient * math.inf)
        return per_clip, state

    monkeypatch.setattr(dit, "losses", breaking)
    with pytest.raises(YozoraError, match=rf"{broken} is not finite at step 4; .*{good} holds"):
        train(tmp_path, model_recipe())
    newest = checkpoints(tmp_path)[-1]
    assert newest.name == good
    for part in newest.glob("*.safetensors"):
        assert all(tensor.isfinite().all() for tensor in load_weights(part)[0].values())
    monkeypatch.undo()
    train(tmp_path, model_recipe(), resume=True)
    assert len(read_log(tmp_path)) == STEPS


def test_weights_are_proven_by_a_finite_loss_before_they_are_kept(tmp_path: Path) -> None:
    # The first loss is finite, and so is its gradient; the update that follows is not.
    with pytest.raises(YozoraError, match="loss is not finite at step 1; there is no checkpoint"):
        train(tmp_path, replace(model_recipe(), lr=1e30, warmup=1))
    assert not checkpoints(tmp_path)


def test_previews_that_stand_still_are_told(tmp_path: Path) -> None:
    energies = {2: 5.0, 4: 10.0, 6: 10 * COLLAPSED + 0.1, 8: 10 * COLLAPSED - 0.1, 10: 9.0}
    trained: list[torch.Tensor] = []

    def look(network: DiT, step: int) -> dict[str, float]:
        trained.append(network.out.bias.detach().clone())
        return {"motion_energy": energies.get(step, 9.0)}

    seen: list[dict[str, Any]] = []
    train(tmp_path, steps=5, probe=Probe(2, look), watch=seen.append)
    train(tmp_path, steps=10, probe=Probe(2, look), resume=True, watch=seen.append)
    warned = [report["step"] for report in seen if "warning" in report]
    assert warned == [8]  # the best was seen before the run was resumed
    assert [line["step"] for line in read_log(tmp_path) if "warning" in line] == warned
    assert [line["step"] for line in read_log(tmp_path) if "motion_energy" in line] == [*energies]
    assert len(trained) == 5
    assert not torch.equal(trained[0], trained[-1])
