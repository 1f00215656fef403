"""Who keeps the processes of a service running, with real processes."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy.exc import OperationalError
from tests.service.models import debug_model

from yozora.errors import YozoraError
from yozora.service import ids, jobs, keys, retention, serve
from yozora.service.certificate import load_credentials
from yozora.service.database import BUSY, Database
from yozora.service.serve import Keeper, Life, Signs, check_clock, keep_house
from yozora.service.settings import Settings

AWAY = OperationalError("x", {}, Exception("away"))


@pytest.fixture
def settings(tmp_path: Path, new_sqlite: Callable[[], str]) -> Settings:
    made = Settings(tmp_path / "data", new_sqlite(), (str(debug_model(tmp_path / "debug")),))
    keys.pepper(made.data)
    load_credentials(made.credentials)
    return made


@pytest.fixture
def handlers() -> Iterator[None]:
    kept = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in kept.items():
        signal.signal(number, handler)


def test_whoever_stands_still_is_killed_before_others_lose_patience() -> None:
    assert serve.STILL + 1 + serve.TURN < BUSY < Settings(Path()).lease / 1000


@pytest.mark.usefixtures("handlers")
def test_the_keeper_outlives_its_processes_and_a_database_that_is_away_at_the_end(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One is killed, its name is given to the next; at the end all are gone, though nothing can be written."""
    keeper = Keeper(settings, ["worker", "worker"])
    database, names, found = Database(settings.database), set[str](), []

    def there(count: int) -> set[str]:
        while True:
            with database.read() as tx:
                seen = {row.name for row in jobs.present(tx, at=ids.now())}
            if len(seen) == count and not seen & names:
                return seen
            time.sleep(0.05)

    def watch() -> None:
        names.update(there(2))
        for place in keeper.places:
            found.append(place.process)
            os.kill(int(place.process.pid), signal.SIGKILL)
        found.extend(there(2))  # those that died have left: the next ones have seen to it
        found.extend(place.process for place in keeper.places)
        keeper.stop.set()

    def tidy(*_: object, **__: object) -> None:
        raise AWAY

    monkeypatch.setattr(serve, "tidy", tidy)  # in this process; the others have their own
    thread = threading.Thread(target=watch)
    thread.start()
    keeper.run()
    thread.join()
    assert len(found) == 6
    assert not any(process.is_alive() for process in (*found[:2], *found[4:]))
    database.close()


def test_keeping_house_goes_on_when_the_database_was_away(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop, calls = threading.Event(), []
    sweep = retention.sweep

    def swept(*given: object, **more: object) -> list[str]:
        calls.append(1)
        if len(calls) == 1:
            raise AWAY
        stop.set()
        return sweep(*given, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(retention, "sweep", swept)
    monkeypatch.setattr(serve, "TIDY", 0.01)
    keep_house(Life(settings, "", "", None, Signs()), stop)
    assert len(calls) == 2


def test_nobody_is_judged_by_whoever_was_stopped(settings: Settings) -> None:
    class Process:
        killed = False

        def kill(self) -> None:
            self.killed = True

    keeper = Keeper(settings, ["interface", "worker"])
    (first, second), now = keeper.places, time.monotonic()
    for place in keeper.places:
        place.process = Process()  # type: ignore[assignment]
        place.signs.runs.value = now
    first.signs.runs.value = now - serve.STILL - 1
    second.signs.works.value = now - 10_000
    keeper.looked = now - serve.STILL  # both were stopped for as long as we were
    keeper.look()
    assert not first.process.killed  # type: ignore[union-attr]
    assert not second.process.killed  # type: ignore[union-attr]
    first.signs.runs.value = now - serve.STILL - 1
    keeper.look()
    assert first.process.killed  # type: ignore[union-attr]
    assert not second.process.killed  # type: ignore[union-attr]
    second.signs.works.value = now - 10_000
    keeper.look()
    assert second.process.killed  # type: ignore[union-attr]


def test_clocks_that_differ_are_said(
    database: Database, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    check_clock(database, settings)
    monkeypatch.setattr("yozora.service.database.time.time", lambda: 1.0)
    if database.sqlite:
        check_clock(database, settings)
        return
    with pytest.raises(YozoraError, match="seconds behind the database's"):
        check_clock(database, settings)
