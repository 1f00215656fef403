"""One worker on a model of the debug size, in this process."""

from __future__ import annotations

import base64
import io
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from sqlalchemy import Connection, select
from sqlalchemy.exc import OperationalError
from tests.service.models import debug_model
from tests.service.queues import PRICE, Queue

from yozora.errors import YozoraError
from yozora.service import ids, jobs, worker
from yozora.service.artifacts import CONTENT, SPRITESHEET, THUMBNAIL, Artifacts
from yozora.service.database import Database
from yozora.service.provenance import examine
from yozora.service.schema import events
from yozora.service.settings import Settings
from yozora.service.worker import Shift, Worker
from yozora.video import Clip, read, read_image, write

AWAY_ERROR = OperationalError("x", {}, Exception("away"))


class Bench:
    """A queue and the worker that empties it."""

    def __init__(self, folder: Path, address: str) -> None:
        model = debug_model(folder / "debug")
        self.settings = Settings(folder / "data", address, (str(model),), losses=99)
        self.worker = Worker(self.settings)
        self.queue = Queue(Database(address), ids.now() - 10_000)

    def ask(self, **given: Any) -> str:
        return self.queue.ask(model="debug", **{"seconds": "1", "steps": 4, **given})

    def status(self, video: str) -> tuple[str, str | None]:
        row = self.queue.row(video)
        return row.status, row.error_code

    def clip(self, video: str) -> Clip:
        return read(self.worker.artifacts.path(self.queue.row(video).file))

    def upload(self, clip: Clip) -> str:
        """A file as a client would have sent it."""
        name = ids.new("file")
        with Artifacts(self.settings.uploads).adding(name) as folder:
            write(clip, folder / "clip.mp4", quality="exact").rename(folder / CONTENT)
        return name


@pytest.fixture
def bench(tmp_path: Path, new_sqlite: Callable[[], str]) -> Bench:
    return Bench(tmp_path, new_sqlite())


def film(count: int) -> Clip:
    """A picture that grows brighter."""
    ramp = np.linspace(0, 200, 32)[None, :, None, None] + np.arange(count)[:, None, None, None] * 4
    return Clip(np.broadcast_to(ramp, (count, 32, 32, 3)).astype(np.uint8), 8)


def test_a_batch_is_made_at_once_each_as_it_would_be_alone(bench: Bench) -> None:
    batch = [bench.ask(seed=seed) for seed in (1, 2, 3)]
    assert bench.worker.step()
    assert not bench.worker.step()
    assert {bench.status(video) for video in batch} == {("completed", None)}
    alone = bench.ask(seed=2, guidance=4.0)  # the same said otherwise: not of that batch
    bench.worker.step()
    difference = np.abs(bench.clip(alone).frames.astype(int) - bench.clip(batch[1]).frames)
    assert difference.mean() < 2
    row = bench.queue.row(batch[0])
    path = bench.worker.artifacts.path(row.file)
    assert row.bytes == path.stat().st_size
    assert read_image(path.with_name(THUMBNAIL)).shape == (32, 32, 3)
    assert read_image(path.with_name(SPRITESHEET)).shape[1] > 9 * 32
    found = examine(path)
    assert (found.signature, found.generated) == ("valid", True)
    assert (found.facts["model"], found.facts["seed"]) == ("debug", 1)
    assert bench.queue.audit() == []


def test_previews_come_on_the_way(bench: Bench) -> None:
    batch = [bench.ask(seed=seed) for seed in (1, 2)]
    bench.worker.step()
    for video in batch:
        kinds = bench.queue.kinds(video)
        assert kinds.count("preview") == 2
        assert (kinds[0], kinds[-1]) == ("queued", "completed")
        with bench.queue.database.read() as tx:
            found = select(events.c.data).where(
                events.c.video_id == video, events.c.kind == "preview"
            )
            seen = list(tx.scalars(found))
        progress = [one["progress"] for one in seen]
        assert progress == sorted(progress)
        picture = Image.open(io.BytesIO(base64.b64decode(seen[0]["image"])))
        assert (picture.format, picture.size) == ("WEBP", (32, 32))


def test_one_of_a_batch_is_cancelled_and_the_others_go_on(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "BEAT", 0.0)
    batch = [bench.ask(seed=seed) for seed in (1, 2)]
    told: list[int] = []

    def watch(self: Shift, progress: int, previews: Sequence[bytes]) -> None:
        told.append(progress)
        if len(told) == 2:
            with bench.queue.database.write() as tx:
                assert jobs.cancel(tx, batch[0], at=ids.now())
        watched(self, progress, previews)
        if len(told) == 2:  # at once, not when the batch is done
            assert bench.status(batch[0]) == ("failed", "cancelled")

    watched = Shift.watch
    monkeypatch.setattr(Shift, "watch", watch)
    bench.worker.step()
    assert len(told) == 4
    assert [bench.status(video)[0] for video in batch] == ["failed", "completed"]
    assert [bench.queue.hold(video) for video in batch] == ["released", "settled"]
    assert list(bench.worker.artifacts.names()) == [f"{batch[1]}-1"]


def test_when_all_of_a_batch_are_cancelled_it_ends_between_two_steps(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "BEAT", 0.0)
    video = bench.ask()
    told: list[int] = []

    def watch(self: Shift, progress: int, previews: Sequence[bytes]) -> None:
        told.append(progress)
        with bench.queue.database.write() as tx:
            jobs.cancel(tx, video, at=ids.now())
        watched(self, progress, previews)

    watched = Shift.watch
    monkeypatch.setattr(Shift, "watch", watch)
    bench.worker.step()
    assert told == [25]
    assert bench.status(video) == ("failed", "cancelled")
    assert list(bench.worker.artifacts.names()) == []


def test_what_a_worker_was_told_to_put_down_is_queued_again(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "BEAT", 0.0)
    bench.worker.settings = Settings(
        bench.settings.data, bench.settings.db, bench.settings.models, grace=0
    )
    video = bench.ask()
    bench.worker.stop.set()
    bench.worker.step()
    assert bench.status(video) == ("queued", None)
    assert bench.queue.hold(video) == "open"


def test_a_worker_that_is_told_to_stop_finishes_what_it_has(bench: Bench) -> None:
    video = bench.ask()
    bench.worker.stop.set()
    bench.worker.step()
    assert bench.status(video) == ("completed", None)
    bench.ask()
    bench.worker.run()  # claims nothing any more
    assert bench.queue.settlements(video) == 1
    with bench.queue.database.read() as tx:
        assert jobs.present(tx, at=ids.now()) == []


def test_the_one_that_goes_wrong_fails_alone(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    from yozora.service import making

    good, bad = bench.ask(seed=1), bench.ask(seed=13)
    make = making.make

    def trips(pipeline: Any, batch: Any, *rest: Any) -> Any:
        if any(job.params["seed"] == 13 for job in batch):
            raise RuntimeError("cannot do thirteen; the secret is /etc/x")
        return make(pipeline, batch, *rest)

    monkeypatch.setattr(making, "make", trips)
    while bench.worker.step():
        pass
    assert bench.status(good) == ("completed", None)
    assert bench.status(bad) == ("failed", "internal_error")
    assert "secret" not in bench.queue.row(bad).error_message
    assert [bench.queue.hold(video) for video in (good, bad)] == ["settled", "released"]


def test_what_a_video_starts_from_is_kept(bench: Bench) -> None:
    still, clip = film(1), film(9)
    file = bench.upload(clip)
    asked = {
        "image": bench.ask(image=bench.upload(still)),
        "edit": bench.ask(task="edit", video={"file": file}),
        "extend": bench.ask(task="extend", video={"file": file}, extend="forward", added=1.0),
        "fill": bench.ask(task="edit", video={"file": file}, fill=[0.5, 0.75]),
    }
    while bench.worker.step():
        pass
    made = {name: bench.clip(video).frames.astype(int) for name, video in asked.items()}
    assert {name: len(frames) for name, frames in made.items()} == {
        "image": 9, "edit": 9, "extend": 17, "fill": 9,
    }  # fmt: skip
    for name, given in (("image", still), ("edit", clip), ("extend", clip), ("fill", clip)):
        assert np.abs(made[name][0] - given.frames[0]).mean() < 4, name
    rows = {name: bench.queue.row(video) for name, video in asked.items()}
    assert {name: row.seconds for name, row in rows.items()} == {
        "image": "1", "edit": "1", "extend": "2.125", "fill": "1.125",
    }  # fmt: skip
    for row in rows.values():
        assert examine(bench.worker.artifacts.path(row.file)).composite
    words = bench.ask()
    bench.worker.step()
    assert not examine(bench.worker.artifacts.path(bench.queue.row(words).file)).composite
    again = bench.ask(task="extend", video={"video": asked["extend"]}, extend="both", added=0.5)
    bench.worker.step()
    assert len(bench.clip(again)) == 4 + 17 + 4


@pytest.mark.parametrize("span", [[1.0, 1.5], [0.0, 1.125], [5.0, 6.0]])
def test_a_span_that_an_upload_does_not_have_fails_and_says_why(
    bench: Bench, span: list[float]
) -> None:
    video = bench.ask(task="edit", video={"file": bench.upload(film(9))}, fill=span)
    bench.worker.step()
    assert bench.status(video) == ("failed", "invalid_file")
    assert "lasts 1.12 seconds" in bench.queue.row(video).error_message
    assert bench.queue.hold(video) == "released"


def test_a_source_that_is_gone_fails_the_video_and_returns_its_price(bench: Bench) -> None:
    video = bench.ask(image=ids.new("file"))
    bench.worker.step()
    assert bench.status(video) == ("failed", "generation_failed")
    assert str(bench.settings.data) not in bench.queue.row(video).error_message
    assert bench.queue.hold(video) == "released"


def test_an_upload_that_is_no_film_fails_the_video_and_says_why(bench: Bench) -> None:
    name = ids.new("file")
    with Artifacts(bench.settings.uploads).adding(name) as folder:
        (folder / CONTENT).write_bytes(b"#!/bin/sh\nnot a picture")
    video = bench.ask(image=name)
    bench.worker.step()
    assert bench.status(video) == ("failed", "invalid_file")
    message = bench.queue.row(video).error_message
    assert str(bench.settings.data) not in message
    assert "/tmp" not in message
    assert bench.queue.hold(video) == "released"


def test_what_has_expired_is_deleted_from_the_disk(bench: Bench) -> None:
    video = bench.ask()
    bench.worker.step()
    path = bench.worker.artifacts.path(bench.queue.row(video).file)
    assert path.exists()
    with bench.queue.database.write() as tx:
        jobs.delete(tx, video, at=ids.now())
    worker.tidy(bench.worker.database, bench.worker.artifacts, bench.settings)
    assert not path.parent.exists()
    assert bench.queue.row(video).file is None
    assert "preview" not in bench.queue.kinds(video)


def test_a_worker_waits_for_a_database_that_is_away(bench: Bench, monkeypatch: Any) -> None:
    monkeypatch.setattr(worker, "RETRY", 0.0)
    answers = [AWAY_ERROR, True, False]

    def step() -> bool:
        answer = answers.pop(0)
        if not answers:
            bench.worker.stop.set()
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(bench.worker, "step", step)
    thread = threading.Thread(target=bench.worker.run)
    thread.start()
    thread.join(60)
    assert answers == []


def away(database: Database, monkeypatch: pytest.MonkeyPatch, when: Sequence[bool]) -> list[bool]:
    """Has the next transactions that write raise, each as ``when`` says; what is left of it."""
    write, rest = database.write, list(when)

    @contextmanager
    def sometimes() -> Iterator[Connection]:
        if rest and rest.pop(0):
            raise OperationalError("x", {}, Exception("away"))
        with write() as tx:
            yield tx

    monkeypatch.setattr(database, "write", sometimes)
    return rest


def test_a_moment_without_the_database_costs_nobody_the_batch(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "BEAT", 0.0)
    monkeypatch.setattr(worker, "RETRY", 0.0)
    batch = [bench.ask(seed=seed) for seed in (1, 2)]
    work = Shift.work

    def shift(self: Shift) -> None:  # beats, and the first attempt to finish
        rest = away(bench.worker.database, monkeypatch, [True, False] * 3)
        work(self)
        assert not rest

    monkeypatch.setattr(Shift, "work", shift)
    bench.worker.step()
    assert {bench.status(video) for video in batch} == {("completed", None)}
    assert [bench.queue.settlements(video) for video in batch] == [1, 1]
    assert {bench.queue.row(video).attempt for video in batch} == {1}


def test_a_database_that_is_away_for_longer_than_the_lease_ends_the_work(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.worker.settings = replace(bench.settings, lease=1)
    video = bench.ask()
    monkeypatch.setattr(Shift, "stand", lambda *_: (_ for _ in ()).throw(AWAY_ERROR))
    with pytest.raises(OperationalError):
        bench.worker.step()
    assert bench.status(video) == ("in_progress", None)


def test_what_was_kept_though_nobody_heard_of_it_stays(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "RETRY", 0.0)
    video, finish, heard = bench.ask(), jobs.finish, [0]

    @contextmanager
    def unheard() -> Iterator[Connection]:
        before = heard[0]
        with write() as tx:
            yield tx
        if heard[0] == before + 1 == 1:
            raise AWAY_ERROR  # the connection went as the answer was on its way

    def counted(*given: Any, **more: Any) -> bool:
        heard[0] += 1
        return finish(*given, **more)

    write = bench.worker.database.write
    monkeypatch.setattr(bench.worker.database, "write", unheard)
    monkeypatch.setattr(jobs, "finish", counted)
    bench.worker.step()
    assert heard == [2]
    assert bench.status(video) == ("completed", None)
    assert len(bench.clip(video)) == 9  # the file is there
    assert bench.queue.settlements(video) == 1


def test_prices_are_those_of_the_creation(bench: Bench) -> None:
    bench.ask()
    bench.worker.step()
    with bench.queue.database.read() as tx:
        from yozora.service import ledger

        assert ledger.balance(tx, bench.queue.owner().org_id) == -PRICE


def test_longer_clips_go_on_window_by_window_with_progress_that_never_falls(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[int] = []
    watched = Shift.watch
    monkeypatch.setattr(
        Shift, "watch", lambda self, progress, seen: (told.append(progress), watched(self, progress, seen))[1]
    )  # fmt: skip
    batch = [bench.ask(seed=seed, seconds="2.5") for seed in (1, 2)]
    bench.worker.step()
    assert {len(bench.clip(video)) for video in batch} == {21}
    assert told == sorted(told)
    assert 90 <= told[-1] <= 99
    with pytest.raises(YozoraError):
        bench.worker.models.get("other")
