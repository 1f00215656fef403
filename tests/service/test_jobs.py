from __future__ import annotations

import threading
from collections import Counter

import pytest
from sqlalchemy import select
from tests.service.queues import LEASE, PRICE, Queue

from yozora.service import jobs, limits
from yozora.service.database import Database
from yozora.service.limits import LimitReached
from yozora.service.schema import events, videos


@pytest.fixture
def queue(database: Database) -> Queue:
    return Queue(database)


def test_a_job_from_beginning_to_end(queue: Queue) -> None:
    video = queue.ask(seed=7)
    assert (queue.row(video).status, queue.hold(video)) == ("queued", "open")
    (job,) = queue.claim()
    assert (job.id, job.attempt, job.params["seed"]) == (video, 1, 7)
    assert queue.claim() == []
    with queue.database.write() as tx:
        shown = {video: b"picture"}
        states = jobs.beat_all(tx, [job], at=queue.at, lease=LEASE, progress=40, previews=shown)
    assert (states, queue.row(video).progress) == ({video: "on"}, 40)
    assert queue.finish(job)
    row = queue.row(video)
    assert (row.status, row.progress, row.file) == ("completed", 100, f"{video}-1")
    assert (queue.hold(video), queue.settlements(video)) == ("settled", 1)
    assert queue.kinds(video) == ["queued", "started", "progress", "preview", "completed"]
    assert queue.finish(job)  # as whoever heard nothing of it asks again: done, and charged once
    assert (queue.kinds(video)[-1], queue.settlements(video)) == ("completed", 1)
    assert queue.audit() == []


def test_what_is_no_news_is_not_told(queue: Queue) -> None:
    video = queue.ask()
    (job,) = queue.claim()
    queue.at += LEASE // 2
    with queue.database.write() as tx:
        assert jobs.beat_all(tx, [job], at=queue.at, lease=LEASE) == {video: "on"}
    assert (queue.row(video).lease_until, queue.row(video).progress) == (queue.at + LEASE, 0)
    assert queue.kinds(video) == ["queued", "started"]
    with queue.database.read() as tx:
        assert jobs.look(tx, [job], at=queue.at + LEASE - 1) == {video: "on"}
        assert jobs.look(tx, [job], at=queue.at + LEASE) == {video: "lost"}
    with queue.database.write() as tx:
        jobs.cancel(tx, video, at=queue.at)
    with queue.database.read() as tx:
        assert jobs.look(tx, [job], at=queue.at) == {video: "cancelled"}


def test_what_a_budget_does_not_allow_leaves_nothing(queue: Queue) -> None:
    who = queue.owner()
    with queue.database.write() as tx:
        limits.set_limit(
            tx, org_id=who.org_id, scope=who.org_id, measure="spend", period="lifetime",
            amount=PRICE, by="test", at=queue.at,
        )  # fmt: skip
    queue.ask()
    with pytest.raises(LimitReached):
        queue.ask()
    with queue.database.read() as tx:
        assert len(tx.execute(select(videos)).all()) == len(tx.execute(select(events)).all()) == 1


def test_priority_then_fewest_in_progress_then_age(queue: Queue) -> None:
    first, second, third = (queue.ask("a", seed=0, steps=k + 1) for k in range(3))
    other = queue.ask("b", steps=9)
    urgent = queue.ask("a", priority=1)
    taken = [queue.claim()[0].id for _ in range(5)]
    assert taken == [urgent, other, first, second, third]


def test_no_organisation_has_more_in_progress_than_it_may(queue: Queue) -> None:
    queue.owner("a", concurrency=2)
    mine = [queue.ask("a") for _ in range(5)]
    assert [job.id for job in queue.claim(most=16)] == mine[:2]
    assert queue.claim() == []
    theirs = queue.ask("b")
    assert [job.id for job in queue.claim(most=16)] == [theirs]


def test_a_batch_is_what_can_be_denoised_together(queue: Queue) -> None:
    alike = [queue.ask(seed=k) for k in range(3)]
    queue.ask(steps=5)
    theirs = queue.ask("b", seed=9, style="film noir")
    given = queue.ask(image="file_1")
    batch = queue.claim(most=16)
    assert {job.id for job in batch} == {*alike, theirs}
    told = {job.id: job.words for job in batch}
    assert told == {
        **dict.fromkeys(alike, "a red ball"),
        theirs: "a red ball\nStyle: film noir",
    }
    assert [len(queue.claim(most=16)) for _ in range(3)] == [1, 1, 0]
    assert queue.row(given).batch is None


def test_a_batch_is_shared_fairly(queue: Queue) -> None:
    for _ in range(6):
        queue.ask("a")
    for _ in range(2):
        queue.ask("b")
    owners = Counter(job.org_id for job in queue.claim(most=4))
    assert sorted(owners.values()) == [2, 2]


def test_whoever_lost_the_lease_changes_nothing(queue: Queue) -> None:
    video = queue.ask()
    (old,) = queue.claim("one")
    queue.at += LEASE + 1
    with queue.database.write() as tx:
        assert jobs.beat_all(tx, [old], at=queue.at, lease=LEASE) == {video: "lost"}
        assert not jobs.fail(tx, old, code="x", message="x", at=queue.at)
        assert not jobs.hand_back(tx, old, at=queue.at)
    assert not queue.finish(old)  # too late, even if nobody else has it yet
    with queue.database.write() as tx:
        assert jobs.reap(tx, at=queue.at) == [old.artifact]
    assert not queue.finish(old)
    (new,) = queue.claim("two")
    assert (new.id, new.attempt) == (video, 2)
    assert not queue.finish(old)
    assert queue.finish(new)
    assert (queue.settlements(video), queue.row(video).file) == (1, new.artifact)
    assert queue.audit() == []


def test_the_jobs_of_a_dead_worker_come_back_at_once_and_alone(queue: Queue) -> None:
    mine = [queue.ask() for _ in range(2)]
    (others,) = (queue.claim("alive"),)
    batch = queue.claim("dead", most=16)
    with queue.database.write() as tx:
        assert jobs.reap(tx, at=queue.at, worker="dead") == [job.artifact for job in batch]
    assert {queue.row(job.id).status for job in others} == {"in_progress"}
    assert [job.id for job in queue.claim("next", most=16)] == [mine[1]]
    assert queue.row(mine[1]).batch is None


def test_a_job_that_workers_die_of_is_given_up(queue: Queue) -> None:
    video = queue.ask()
    for _ in range(3):
        assert queue.row(video).status == "queued"
        queue.claim()
        queue.at += LEASE + 1
        with queue.database.write() as tx:
            jobs.reap(tx, at=queue.at, losses=3)
    row = queue.row(video)
    assert (row.status, row.error_code, row.attempt) == ("failed", "worker_lost", 3)
    assert (queue.hold(video), queue.audit()) == ("released", [])


def test_one_hold_is_closed_in_a_transaction(queue: Queue) -> None:
    """Else two that close several, in different orders, wait for each other for ever."""
    for seed in range(3):
        queue.ask(seed=seed)
    batch = queue.claim(most=16)
    for job in batch:
        with queue.database.write() as tx:
            jobs.cancel(tx, job.id, at=queue.at)
    again = queue.ask(priority=-1, steps=9)
    queue.claim()
    ends = []
    for _ in range(4):
        with queue.database.write() as tx:
            left = jobs.reap(tx, at=queue.at + LEASE)
        ends.append(sorted(queue.hold(job.id) for job in batch).count("released"))
        assert left or ends[-1] == 3
    assert ends == [1, 2, 3, 3]
    assert (queue.row(again).status, queue.row(again).lost) == ("queued", 1)
    assert queue.audit() == []


def test_handing_back_is_no_loss(queue: Queue) -> None:
    video = queue.ask()
    for attempt in range(1, 6):
        (job,) = queue.claim()
        assert job.attempt == attempt
        with queue.database.write() as tx:
            assert jobs.hand_back(tx, job, at=queue.at)
            jobs.reap(tx, at=queue.at + 2 * LEASE)
    assert (queue.row(video).status, queue.row(video).lost) == ("queued", 0)


def test_cancelling(queue: Queue) -> None:
    waiting, running, late = queue.ask(), queue.ask(priority=2), queue.ask(priority=1)
    batch = queue.claim(most=2)
    assert [job.id for job in batch] == [running, late]
    with queue.database.write() as tx:
        assert all(jobs.cancel(tx, video, at=queue.at) for video in (waiting, running, late))
        assert jobs.beat_all(tx, batch[:1], at=queue.at, lease=LEASE) == {running: "cancelled"}
        assert jobs.fail(tx, batch[0], code="cancelled", message="…", at=queue.at)
    assert not queue.finish(batch[1])  # cancelled before it was done: nothing is charged
    for video in (waiting, running, late):
        row = queue.row(video)
        assert (row.status, row.error_code, queue.hold(video)) == (
            "failed",
            "cancelled",
            "released",
        )
    with queue.database.write() as tx:
        assert not jobs.cancel(tx, waiting, at=queue.at)
        assert not jobs.cancel(tx, "video_0", at=queue.at)
    assert queue.audit() == []


def test_a_cancelled_job_whose_worker_died_is_not_made_again(queue: Queue) -> None:
    video = queue.ask()
    queue.claim()
    with queue.database.write() as tx:
        jobs.cancel(tx, video, at=queue.at)
        jobs.reap(tx, at=queue.at + LEASE)
    assert (queue.row(video).error_code, queue.hold(video)) == ("cancelled", "released")


def test_what_has_expired_is_returned_until_its_files_are_gone(queue: Queue) -> None:
    kept, over, gone, waiting = (queue.ask() for _ in range(4))
    for job in queue.claim(most=3):
        assert queue.finish(job)
    with queue.database.write() as tx:
        assert not jobs.delete(tx, waiting, at=queue.at)
        assert jobs.delete(tx, gone, at=queue.at)
        assert not jobs.delete(tx, gone, at=queue.at)
        tx.execute(
            videos.update().where(videos.c.id.in_([over, waiting])).values(expires_at=queue.at)
        )
    for _ in range(2):  # as if the process had been killed before the files were gone
        with queue.database.write() as tx:
            assert set(jobs.expire(tx, at=queue.at)) == {(gone, f"{gone}-1"), (over, f"{over}-1")}
    with queue.database.write() as tx:
        jobs.forget(tx, [gone, over])
        assert jobs.expire(tx, at=queue.at) == []
    assert queue.row(kept).deleted_at is queue.row(waiting).deleted_at is None
    assert [queue.row(v).prompt for v in (gone, over)] == ["", ""]
    assert queue.row(kept).prompt


def test_workers_that_claim_at_once_never_share_a_job_nor_pass_a_limit(queue: Queue) -> None:
    queue.owner("a", concurrency=5)
    for _ in range(12):
        queue.ask("a")
        queue.ask("b")
    taken: list[str] = []

    def work(name: str) -> None:
        own = Queue(Database(queue.database.url.render_as_string(hide_password=False)), queue.at)
        for most in (1, 3):
            taken.extend(job.id for job in own.claim(name, most=most))
        own.database.close()

    threads = [threading.Thread(target=work, args=(f"w{k}",)) for k in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(taken) == len(set(taken)) == 17  # 5 of a, 12 of b, of 32 that were wanted
    running = Counter(queue.row(video).org_id for video in taken)
    assert sorted(running.values()) == [5, 12]


def test_workers_that_are_there(queue: Queue) -> None:
    with queue.database.write() as tx:
        jobs.sign(tx, worker="one", models=["nano"], at=queue.at - jobs.SILENT)
        jobs.sign(tx, worker="two", models=["nano"], at=queue.at)
        jobs.sign(tx, worker="two", models=["nano", "x"], at=queue.at + 1)
        assert [row.name for row in jobs.present(tx, at=queue.at)] == ["two"]
        jobs.leave(tx, worker="two")
        assert jobs.present(tx, at=queue.at) == []
