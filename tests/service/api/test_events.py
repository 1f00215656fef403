"""What happens to a video, as a stream that can be taken up again."""

from __future__ import annotations

import base64
import json
import threading
import time
from typing import Any

from tests.service.api.conftest import Site


def stream(site: Site, video: str, after: int | None = None) -> list[dict[str, Any]]:
    """All events of a stream until it ends."""
    headers = {} if after is None else {"last-event-id": str(after)}
    answer = site.http().get(f"/v1/videos/{video}/events", headers=headers)
    assert answer.status_code in (200, 204)
    found = []
    for part in answer.text.split("\n\n"):
        lines = dict(line.split(": ", 1) for line in part.splitlines() if ": " in line)
        if "id" in lines:
            data = json.loads(lines["data"])
            assert data["id"] == video
            found.append({"number": int(lines["id"]), "kind": lines["event"], **data})
    return found


def test_a_stream_goes_on_until_the_video_is_finished(site: Site) -> None:
    http = site.http()
    video = http.post("/v1/videos", json={"prompt": "x"}).json()["id"]
    other = http.post("/v1/videos", json={"prompt": "not mine"}).json()["id"]
    worker = threading.Thread(target=lambda: time.sleep(0.5) or site.work())
    worker.start()
    events = stream(site, video)
    worker.join()
    assert [e["kind"] for e in events] == ["queued", "started", "progress", "preview", "completed"]
    assert base64.b64decode(events[3]["image"]) == b"RIFF"
    numbers = [e["number"] for e in events]
    assert numbers == sorted(numbers)
    for i, number in enumerate(numbers):
        assert stream(site, video, number) == events[i + 1 :]
    assert (
        http.get(
            f"/v1/videos/{video}/events", headers={"last-event-id": str(numbers[-1])}
        ).status_code
        == 204
    )
    assert [e["kind"] for e in stream(site, other)][-1] == "completed"


def test_a_cancelled_video_ends_its_stream(site: Site) -> None:
    video = site.http().post("/v1/videos", json={"prompt": "x"}).json()["id"]
    site.http().post(f"/v1/videos/{video}/cancel")
    assert stream(site, video)[-1]["error"]["code"] == "cancelled"


def test_nonsense_is_refused(site: Site) -> None:
    video = site.http().post("/v1/videos", json={"prompt": "x"}).json()["id"]
    for wrong in ("x", "-1", "1e3", "9" * 40, "٣"):
        answer = site.http().get(
            f"/v1/videos/{video}/events", headers={"last-event-id": wrong.encode()}
        )
        assert answer.status_code == 400


def test_many_streams_of_one_process(site: Site) -> None:
    http = site.http()
    made = [http.post("/v1/videos", json={"prompt": str(i)}).json()["id"] for i in range(20)]
    last: dict[str, str] = {}
    threads = [
        threading.Thread(target=lambda v=v: last.update({v: stream(site, v)[-1]["kind"]}))
        for v in made
    ]
    for thread in threads:
        thread.start()
    site.work(most=4)
    for thread in threads:
        thread.join()
    assert last == dict.fromkeys(made, "completed")
