"""The command line: help, exit statuses, reports, and the commands that need no trained model."""

from __future__ import annotations

import dataclasses
import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st

from yozora import artifact, cli, read, terminal
from yozora.checkpoint import load_weights, save_weights
from yozora.models.adapter import fingerprint
from yozora.sampling.pipeline import Settings
from yozora.sampling.solvers import SOLVERS
from yozora.world.scene import KINDS


def run(*arguments: object) -> Result:
    """Run a command in this process; an exception that is no exit is a failure of the test."""
    result = CliRunner().invoke(cli.main, [str(argument) for argument in arguments])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def leaves(command: click.Command, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The full names of all commands that do something."""
    if isinstance(command, click.Group):
        for name, child in command.commands.items():
            yield from leaves(child, (*path, name))
    else:
        yield path


COMMANDS = sorted(leaves(cli.main))


def test_the_promised_commands_are_there() -> None:
    promised = {
        ("world", "render"),
        ("ingest",),
        ("corpus", "check"),
        ("corpus", "show"),
        ("train", "codec"),
        ("train", "model"),
        ("generate",),
        ("evaluate",),
        ("doctor",),
    }
    assert promised <= set(COMMANDS)


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_explains_itself_and_reports_as_json(command: tuple[str, ...]) -> None:
    shown = run(*command, "--help")
    assert shown.exit_code == 0
    assert "--json" in shown.stdout


WRONG_CALLS = [
    "nonsense",
    "world render --clips 1",
    "world render --out o --clips 0",
    "world render --out o --clips 1 --size 112",
    "world render --out o --clips 1 --size 0x64",
    "ingest --corpus c --licence MIT",
    "ingest . --corpus c --rendition big",
    "ingest missing.mp4 --corpus c --licence MIT",
    "train model nano --out o",
    "train model nano --corpus c --out o --set nonsense",
    "generate -o out.mp4",
    "generate prompt --prompts missing.txt -o out",
    "generate prompt -o out.doc",
    "generate prompt -o out.mp4 --extend forward",
    "generate prompt -o out.mp4 --fill 1.4:0.8",
    "generate prompt -o out.mp4 --seconds nan",
    "generate prompt -o out.mp4 --seconds=-1",
    "generate prompt -o out.mp4 --seed=-1",
    "generate prompt -o out.mp4 --solver heun",
    "generate prompt -o out.mp4 --shift 0",
    f"generate prompt -o out.mp4 --extend forward --image {__file__} --video {__file__}",
]


@pytest.mark.parametrize("line", WRONG_CALLS)
def test_a_wrong_call_is_status_2(line: str) -> None:
    result = run(*line.split())
    assert result.exit_code == 2
    assert "Error" in result.stderr
    assert result.stdout == ""


def test_help_says_what_the_rooms_know() -> None:
    shown = " ".join(run("world", "render", "--help").stdout.split())
    assert terminal.KINDS == KINDS
    assert ", ".join(KINDS) in shown
    options = {option.name: option for option in cli.generate.params}
    usual = dataclasses.asdict(Settings())
    for name in ("steps", "guidance", "shift", "solver"):
        assert options[name].default == usual[name]
        assert f"[default: {usual[name]}" in run("generate", "--help").stdout
    assert set(terminal.SOLVERS) == set(SOLVERS)


def one_line_error(result: Result) -> str:
    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr.startswith("error: ")
    assert result.stderr.count("\n") == 1
    return result.stderr


def test_what_cannot_be_done_is_one_line_and_status_1(tmp_path: Path) -> None:
    assert "no corpus" in one_line_error(run("corpus", "check", tmp_path))
    render = run("world", "render", "--out", tmp_path / "o", "--clips", 1, "--kinds", "flying")
    assert "flying" in one_line_error(render)


def test_a_file_in_the_way_is_one_line_too(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("not a directory")
    result = run("world", "render", "--out", tmp_path / "taken" / "inside", "--clips", 1)
    assert "taken" in one_line_error(result)


def test_world_render_writes_clips_and_what_is_true_of_them(tmp_path: Path) -> None:
    folder = tmp_path / "clips"
    options = ("--clips", 2, "--seed", 4, "--size", "224x128", "--frames", 9, "--fps", 4)
    report = json.loads(run("world", "render", "--out", folder, *options, "--json").stdout)
    assert report["clips"] == 2
    assert sorted(path.name for path in folder.iterdir()) == [
        "000000.json",
        "000000.mp4",
        "000001.json",
        "000001.mp4",
    ]
    clip = read(folder / "000001.mp4")
    assert (clip.frames.shape, clip.fps) == ((9, 128, 224, 3), 4)
    facts = json.loads((folder / "000001.json").read_text(encoding="utf-8"))
    assert facts["captions"]
    assert facts["labels"]["scene"]["bodies"]
    assert len(facts["labels"]["truth"]["times"]) == 9


def test_world_render_depends_on_the_seed_alone(tmp_path: Path) -> None:
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        run("world", "render", "--out", tmp_path / name, "--clips", 1, "--seed", seed)
    a, b, c = ((tmp_path / name / "000000.json").read_bytes() for name in "abc")
    assert a == b
    assert a != c


def test_world_render_kinds_and_bodies(tmp_path: Path) -> None:
    options = ("--clips", 3, "--kinds", "fall,pendulum", "--bodies", 1)
    run("world", "render", "--out", tmp_path, *options)
    for path in tmp_path.glob("*.json"):
        (body,) = json.loads(path.read_text(encoding="utf-8"))["labels"]["scene"]["bodies"]
        assert body["law"] in {"fall", "pendulum"}


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    directory = tmp_path / "corpus"
    assert run("world", "render", "--corpus", directory, "--clips", 3).exit_code == 0
    return directory


def test_rendering_the_same_clips_again_adds_nothing(corpus: Path) -> None:
    again = run("world", "render", "--corpus", corpus, "--clips", 4, "--json")
    report = json.loads(again.stdout)
    assert (report["added"], report["duplicates"]) == (1, 3)


def test_corpus_check_counts(corpus: Path) -> None:
    report = json.loads(run("corpus", "check", corpus, "--json").stdout)
    assert report["clips"] == 3
    (bucket,) = report["buckets"]
    assert (bucket["frames"], bucket["width"], bucket["height"]) == (17, 112, 64)
    assert "112" in run("corpus", "check", corpus).stdout


def test_corpus_check_says_what_a_recipe_takes(corpus: Path) -> None:
    used = json.loads(run("corpus", "check", corpus, "--json").stdout)["recipe"]
    assert [(s["frames"], s["train"]) for s in used["shapes"]] == [(17, 3), (1, 0)]
    assert (used["recipe"], used["left_out"], used["seconds_behind"]) == ("nano", [], 0)
    shown = run("corpus", "check", corpus, "--recipe", "debug").stdout
    assert "aspect 1.75 is far from every bucket's" in shown
    assert "fits recipe 'debug', so it has 0 batches" in shown
    assert "giant" in one_line_error(run("corpus", "check", corpus, "--recipe", "giant"))


def test_corpus_show_lists_captions_and_draws_a_sheet(corpus: Path, tmp_path: Path) -> None:
    sheet = tmp_path / "sheet.png"
    shown = json.loads(
        run("corpus", "show", corpus, "--limit", 2, "--sheet", sheet, "--json").stdout
    )
    assert len(shown["clips"]) == 2
    assert all(clip["captions"] and (corpus / clip["path"]).exists() for clip in shown["clips"])
    for clip in shown["clips"]:
        shape = {"kind": "world", "frames": 17, "width": 112, "height": 64, "fps": 8}
        assert clip.items() >= {**shape, "seconds": 17 / 8, "split": "train"}.items()
        assert clip["path"].endswith(f"{clip['id']}.mp4")
        assert "scene" in clip["labels"]
    assert read(sheet).frames.shape[0] == 1
    assert "no such clips" in one_line_error(
        run("corpus", "show", corpus, "--split", "heldout", "--sheet", sheet)
    )


def test_a_reader_that_has_seen_enough_ends_a_command_quietly(corpus: Path) -> None:
    command = [sys.executable, "-c", "from yozora.cli import main; main()", "corpus", "show"]
    with subprocess.Popen(
        [*command, corpus], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()  # before the first line is written
        assert process.stderr.read() == ""
    assert process.returncode == 1


class Killed(BaseException):
    """In place of a signal: nothing catches it."""


@pytest.fixture
def killed_while_writing(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Ends the process when a file whose name is in the list has its content but not yet its place."""
    names: list[str] = []
    sync = artifact.sync

    def dying(path: Path) -> None:
        if path.name in names:
            raise Killed
        sync(path)

    monkeypatch.setattr(artifact, "sync", dying)
    return names


def test_killed_while_rendering_no_half_record_is_there(
    killed_while_writing: list[str], tmp_path: Path
) -> None:
    killed_while_writing.append("000001.json")
    with pytest.raises(Killed):
        run("world", "render", "--out", tmp_path / "out", "--clips", 3)
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names == ["000000.json", "000000.mp4", "000001.mp4"]


def test_doctor_says_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cli, "WEIGHTS", tmp_path)
    result = run("doctor", "--json")
    checks = {check["name"]: check for check in json.loads(result.stdout)["checks"]}
    assert result.exit_code == 1
    assert checks["shipped weights"]["status"] == "missing"
    assert checks["torch"]["status"] == checks["mp4 encoder"]["status"] == "ok"
    (tmp_path / "nano").mkdir()
    (tmp_path / "nano" / "model.safetensors").write_bytes(bytes(2_000_000))
    assert "nano (2 MB)" in run("doctor").stdout


def test_doctor_looks_at_all_that_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    from yozora import doctor

    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text("utf-8"))
    needed = {re.split("[<>=]", need)[0] for need in project["project"]["dependencies"]}
    assert {*doctor.REQUIRED, doctor.TEXT_ENCODER} == needed
    version = doctor._version
    monkeypatch.setattr(doctor, "_version", lambda name: None if name == "scipy" else version(name))
    shown = run("doctor")
    assert shown.exit_code == 1
    (line,) = (
        line for line in shown.stdout.splitlines() if "not installed" in line and "scipy" in line
    )
    assert line.split() == ["missing", "scipy", "not", "installed"]


def test_doctor_reads_processor_flags() -> None:
    from yozora.doctor import cpu_flags

    text = "processor\t: 0\nflags\t\t: fpu avx2 avx512f\n\nprocessor\t: 1\nflags\t\t: other\n"
    assert cpu_flags(text) == {"fpu", "avx2", "avx512f"}
    assert cpu_flags("") == frozenset()


@given(st.integers(1, 10**5), st.integers(1, 10**5))
def test_sizes_are_read_as_written(width: int, height: int) -> None:
    assert terminal.parse_size(f"{width}x{height}") == (width, height)


@given(st.floats(0, 1e4), st.floats(1e-3, 1e4))
def test_spans_are_read_as_written(start: float, length: float) -> None:
    assert terminal.parse_span(f"{start!r}:{start + length!r}") == (start, start + length)


@given(st.text())
def test_no_text_makes_the_parsers_crash(text: str) -> None:
    for parse in (terminal.parse_size, terminal.parse_span):
        try:
            parse(text)
        except ValueError:
            continue


@pytest.fixture
def footage(tmp_path: Path) -> Path:
    folder = tmp_path / "footage"
    run("world", "render", "--out", folder, "--clips", 2, "--size", "160x90")
    for sidecar in folder.glob("*.json"):
        sidecar.unlink()
    (folder / "000000.txt").write_text("Something moves.\n", encoding="utf-8")
    (folder / "broken.mp4").write_bytes(b"no video at all")
    return folder


def test_ingest_takes_what_it_can_and_says_what_it_cannot(footage: Path, tmp_path: Path) -> None:
    corpus = tmp_path / "corpus"
    rights = ("--licence", "CC-BY-4.0", "--holder", "Ann", "--source", "https://example.org")
    result = run("ingest", footage, "--corpus", corpus, *rights, "--split", "train", "--json")
    assert result.exit_code == 1
    assert "1 of 3 files were refused" in result.stderr
    report = json.loads(result.stdout)
    assert report["added"] == 2
    assert [Path(refused["path"]).name for refused in report["refused"]] == ["broken.mp4"]
    clips = json.loads(run("corpus", "show", corpus, "--json").stdout)["clips"]
    assert {(c["licence"], c["holder"], c["url"]) for c in clips} == {
        ("CC-BY-4.0", "Ann", "https://example.org")
    }
    assert "Something moves." in [caption for clip in clips for caption in clip["captions"]]


def test_footage_taken_in_again_can_change_its_split(footage: Path, tmp_path: Path) -> None:
    command = ("ingest", footage / "000001.mp4", "--corpus", tmp_path / "c", "--licence", "MIT")
    run(*command, "--split", "train")
    result = run(*command, "--split", "validation")
    assert "took 0 clips of 1 files" in result.stderr
    assert "1 were there and are changed" in result.stderr
    report = json.loads(run(*command, "--split", "validation", "--json").stdout)
    assert (report["updated"], report["duplicates"]) == (0, 1)
    splits = json.loads(run("corpus", "check", tmp_path / "c", "--json").stdout)["splits"]
    assert splits == {"train": 0, "validation": 1, "heldout": 0}


def test_ingest_without_a_licence_takes_nothing(footage: Path, tmp_path: Path) -> None:
    result = run("ingest", footage, "--corpus", tmp_path / "corpus")
    assert result.exit_code == 1
    assert "No licence is given" in result.stderr
    assert "nothing was taken" in result.stderr


@pytest.mark.parametrize("setting", ["speed=1", "config.width=wide", "lr=fast"])
def test_a_setting_that_does_not_fit_is_one_line(
    setting: str, corpus: Path, tmp_path: Path
) -> None:
    run_dir = tmp_path / "run"
    options = ("--corpus", corpus, "--out", run_dir, "--set", setting)
    assert "--set" in one_line_error(run("train", "model", "debug", *options))
    assert not run_dir.exists()


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ((), "latents of 64 channels, recipe 'debug' takes 16"),
        (("config.latent=64", "config.text=128"), "states of width 384, recipe 'debug' takes 128"),
    ],
)
def test_what_does_not_fit_the_recipe_is_said_before_anything_is_encoded(
    settings: tuple[str, ...], said: str, corpus: Path, tmp_path: Path
) -> None:
    options = [option for setting in settings for option in ("--set", setting)]
    result = run("train", "model", "debug", "--corpus", corpus, "--out", tmp_path / "o", *options)
    assert said in one_line_error(result)
    assert not (corpus / "latents").exists()
    assert not list(corpus.glob("text/*/*"))


def test_an_unknown_recipe_is_one_line(corpus: Path, tmp_path: Path) -> None:
    options = ("--corpus", corpus, "--out", tmp_path / "run")
    assert "debug" in one_line_error(run("train", "codec", "giant", *options))


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a corpus, and the runs of a codec and a model that learned next to nothing."""
    folder = tmp_path_factory.mktemp("trained")
    for split, clips in (("train", 8), ("validation", 3)):
        render = ("world", "render", "--corpus", folder / "corpus", "--size", "32x32")
        assert run(*render, "--clips", clips, "--split", split).exit_code == 0
    for what, more in (("codec", ()), ("model", ("--codec", folder / "codec"))):
        options = ("--corpus", folder / "corpus", "--out", folder / what, "--steps", 2, "--json")
        report = json.loads(run("train", what, "debug", *options, *more).stdout)
        assert report["step"] == 2
    return folder


def test_training_goes_on_only_when_told_to(trained: Path) -> None:
    options = ("--corpus", trained / "corpus", "--out", trained / "model", "--steps", 3)
    assert "--resume" in one_line_error(run("train", "model", "debug", *options))
    report = json.loads(run("train", "model", "debug", *options, "--resume", "--json").stdout)
    assert report["step"] == 3


def test_training_goes_on_from_a_model(trained: Path, tmp_path: Path) -> None:
    options = ("--corpus", trained / "corpus", "--out", tmp_path / "more", "--steps", 1)
    more = ("--from", trained / "model", "--set", "preview_every=1", "--json")
    assert json.loads(run("train", "model", "debug", *options, *more).stdout)["step"] == 1
    assert (tmp_path / "more" / "previews" / "00000001.png").is_file()
    facts = load_weights(tmp_path / "more" / "dit.safetensors")[2]
    assert facts["from"] == artifact.content_hash(trained / "model" / "dit.safetensors")
    seen = load_weights(trained / "model" / "dit.safetensors")[2]["rights"]["list"]
    assert facts["rights"]["inherited"] == [seen]


def test_a_model_keeps_the_text_encoder_it_was_trained_with(trained: Path, tmp_path: Path) -> None:
    text, out, more = (tmp_path / name for name in ("text", "model", "more"))
    options = ("--corpus", trained / "corpus", "--steps", 1, "--json")
    report = json.loads(run("train", "text", "debug", *options, "--out", text).stdout)
    assert report["weights"] == str(text / "text.safetensors")
    ours, codec = ("--text", text, "--out", out), ("--codec", trained / "codec")
    assert run("train", "model", "debug", *options, *codec, *ours).exit_code == 0
    _, config, facts = load_weights(out / "dit.safetensors")
    learned = (text / "text.safetensors").read_bytes()
    assert config["adapter"] == fingerprint(load_weights(text / "text.safetensors")[0])
    assert facts["text"] == artifact.content_hash(text / "text.safetensors")
    assert (out / "text.safetensors").read_bytes() == learned

    assert (
        run("train", "model", "debug", *options, "--from", out, "--out", more).exit_code == 0
    )  # takes it along
    assert load_weights(more / "dit.safetensors")[1]["adapter"] == config["adapter"]
    assert (more / "text.safetensors").read_bytes() == learned
    assert run("generate", "a ball", "--model", more, "-o", tmp_path / "a.mp4").exit_code == 0


def test_a_run_keeps_its_text_encoder(trained: Path, tmp_path: Path) -> None:
    options = ("--corpus", trained / "corpus", "--steps", 1, "--set")
    for seed in (1, 2):
        made = run(
            "train", "text", "debug", *options, f"seed={seed}", "--out", tmp_path / f"{seed}"
        )
        assert made.exit_code == 0
    model = ("train", "model", "debug", "--corpus", trained / "corpus", "--out", tmp_path / "model")
    codec = ("--codec", trained / "codec", "--steps", 1)
    assert run(*model, *codec, "--text", tmp_path / "1").exit_code == 0
    resumed = run(*model, *codec, "--text", tmp_path / "2", "--resume")
    assert "another text encoder" in one_line_error(resumed)
    assert run(*model, "--steps", 2, "--resume").exit_code == 0
    nowhere = ("--text", trained / "codec", "--out", tmp_path / "other")
    assert "train text" in one_line_error(run(*model[:-2], *codec, *nowhere))


def test_a_validation_clip_that_is_gone_is_said(trained: Path, tmp_path: Path) -> None:
    corpus = tmp_path / "corpus"
    render = ("world", "render", "--corpus", corpus, "--size", "32x32", "--clips", 1)
    for split in ("train", "validation"):
        run(*render, "--split", split)
    shown = run("corpus", "show", corpus, "--split", "validation", "--json")
    (clip,) = json.loads(shown.stdout)["clips"]
    (corpus / clip["path"]).unlink()
    options = ("--corpus", corpus, "--codec", trained / "codec", "--out", tmp_path / "out")
    assert "is missing" in one_line_error(run("train", "model", "debug", *options))


def test_without_validation_clips_a_run_is_trained(trained: Path, tmp_path: Path) -> None:
    corpus = tmp_path / "corpus"
    run("world", "render", "--corpus", corpus, "--size", "32x32", "--clips", 2)
    options = ("--corpus", corpus, "--codec", trained / "codec", "--out", tmp_path / "out")
    assert run("train", "model", "debug", *options, "--steps", 1).exit_code == 0


def test_a_models_codec_may_differ_in_its_decoder_alone(trained: Path, tmp_path: Path) -> None:
    tensors, config, _ = load_weights(trained / "codec" / "codec.safetensors")
    options = ("--corpus", trained / "corpus", "--from", trained / "model", "--steps", 1)
    for name, fits in (("mean", False), ("linear_in.bias", False), ("decoder", True)):
        changed = {k: v + 0.25 if k.startswith(name) else v for k, v in tensors.items()}
        assert any(not changed[k].equal(tensors[k]) for k in tensors)
        codec = tmp_path / f"{name}.safetensors"
        save_weights(codec, changed, config=config)
        result = run(
            "train", "model", "debug", *options, "--codec", codec, "--out", tmp_path / name
        )
        if fits:
            assert result.exit_code == 0
        else:
            assert "makes others" in one_line_error(result)
            assert not (tmp_path / name).exists()


def test_a_run_keeps_its_codec(trained: Path, tmp_path: Path) -> None:
    other = tmp_path / "codec.safetensors"
    other.write_bytes(b"another codec")
    options = ("--corpus", trained / "corpus", "--out", trained / "model", "--resume")
    assert "another codec" in one_line_error(
        run("train", "model", "debug", *options, "--codec", other)
    )


def test_killed_while_the_codec_is_copied_a_run_is_gone_on_with(
    killed_while_writing: list[str], trained: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    options = ("--corpus", trained / "corpus", "--codec", trained / "codec", "--out", out)
    killed_while_writing.append("codec.safetensors")
    with pytest.raises(Killed):
        run("train", "model", "debug", *options, "--steps", 1)
    assert not list(out.iterdir())
    killed_while_writing.clear()
    assert run("train", "model", "debug", *options, "--steps", 1, "--resume").exit_code == 0


def test_generate_writes_what_it_is_asked_for(trained: Path, tmp_path: Path) -> None:
    model = ("--model", trained / "model", "--steps", 1)
    out = tmp_path / "new" / "out.mp4"
    report = json.loads(
        run("generate", "a red ball", "-o", out, "--seconds", 1, *model, "--json").stdout
    )
    assert report["files"] == [str(out)]
    clip = read(out)
    facts = {"frames": len(clip), "fps": clip.fps, "width": 32, "height": 32}
    defaults = {"guidance": Settings().guidance, "shift": Settings().shift, "solver": "multistep"}
    sampled = {"steps": 1, **defaults, "seed": 0}
    assert report.items() >= {**facts, **sampled, "seconds": clip.seconds}.items()
    assert clip.frames.shape[1:] == (32, 32, 3)
    assert abs(clip.seconds - 1) < 0.2
    longer = tmp_path / "longer.webm"
    both = ("--video", out, "--extend", "both", "--seconds", 0.5, "-o", longer)
    assert run("generate", "a red ball", *both, *model).exit_code == 0
    assert read(longer).seconds > clip.seconds + 0.8
    filled = tmp_path / "filled.gif"
    fill = ("--video", out, "--fill", "0.4:0.7", "-o", filled)
    assert run("generate", "a red ball", *fill, *model).exit_code == 0
    assert filled.exists()


def test_generate_many_keeps_the_files_order(trained: Path, tmp_path: Path) -> None:
    prompts = tmp_path / "prompts.txt"
    prompts.write_text("a red ball\n\na blue star\na white ring\n", encoding="utf-8")
    out = tmp_path / "many"
    options = ("--model", trained / "model", "--steps", 1, "--seed", 5)
    assert run("generate", "--prompts", prompts, "-o", out, *options).exit_code == 0
    assert json.loads((out / "prompts.json").read_text(encoding="utf-8")) == {
        "0000.mp4": "a red ball",
        "0001.mp4": "a blue star",
        "0002.mp4": "a white ring",
    }
    alone = tmp_path / "alone.mp4"
    one = ("--model", trained / "model", "--steps", 1, "--seed", 6)
    assert run("generate", "a blue star", "-o", alone, *one).exit_code == 0
    made = read(alone).frames.astype(int)
    same, other = (abs(made - read(out / f"{n:04d}.mp4").frames).mean() for n in (1, 2))
    assert same < 2 < other


def test_clips_of_two_runs_never_share_a_folder(
    killed_while_writing: list[str],
    trained: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    prompts, out = tmp_path / "prompts.txt", tmp_path / "out"
    prompts.write_text("a red ball\n", encoding="utf-8")
    many = ("generate", "--prompts", prompts, "-o", out, "--model", trained / "model", "--steps", 1)
    killed_while_writing.append("prompts.json")
    with pytest.raises(Killed):
        run(*many)
    assert not list(out.iterdir())  # no clip before its prompt
    killed_while_writing.clear()
    report = json.loads(run(*many, "--json").stdout)
    assert (report["files"], report["frames"]) == ([str(out / "0000.mp4")], 17)
    monkeypatch.setattr("yozora.sampling.pipeline.load", lambda name: pytest.fail("too late"))
    assert "holds clips already, 0000.mp4 first" in one_line_error(run(*many))


@pytest.mark.parametrize("content", [b"", b"\n \n", b"\xff\xfe\x00a"])
def test_a_file_without_prompts_is_one_line(content: bytes, tmp_path: Path) -> None:
    prompts = tmp_path / "prompts.txt"
    prompts.write_bytes(content)
    result = run("generate", "--prompts", prompts, "-o", tmp_path / "out")
    assert "prompts.txt" in one_line_error(result)


def test_an_unknown_model_is_one_line(tmp_path: Path) -> None:
    result = run("generate", "a red ball", "-o", tmp_path / "o.mp4", "--model", tmp_path / "no")
    assert "no model" in one_line_error(result)


def test_evaluate_a_folder(trained: Path, tmp_path: Path) -> None:
    clips, out = tmp_path / "clips", tmp_path / "report"
    run("world", "render", "--out", clips, "--clips", 2)
    result = run("evaluate", clips, "--suite", "align", "--out", out, "--json")
    assert json.loads(result.stdout) == json.loads(
        (out / "scores.json").read_text(encoding="utf-8")
    )
    assert (out / "report.html").exists()


def test_clips_are_searched_by_words_and_likeness(footage: Path, tmp_path: Path) -> None:
    corpus = tmp_path / "corpus"
    run("ingest", footage, "--corpus", corpus, "--licence", "MIT", "--split", "train")
    found = json.loads(run("corpus", "search", corpus, "something", "moves", "--json").stdout)
    (only,) = found["clips"]
    assert (only["fit"], Path(only["source"]).name) == (1.0, "000000.mp4")
    result = run(
        "corpus", "search", corpus, "--like", only["id"][:12], "--sheet", tmp_path / "s.png"
    )
    assert "000000.mp4" in result.stdout.splitlines()[0]
    assert (tmp_path / "s.png").exists()
    like_file = run("corpus", "search", corpus, "--like", footage / "000001.mp4", "--json")
    assert Path(json.loads(like_file.stdout)["clips"][0]["source"]).name == "000001.mp4"
    assert run("corpus", "search", corpus).exit_code == 1
    assert run("corpus", "search", corpus, "moves", "--like", only["id"]).exit_code == 1
