"""Prompts that are refused, as a client sees it, by whatever route they come."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import func, select
from tests.service.api.conftest import PNG, Site
from tests.service.api.test_batches import begin, ended, line, read, until

from yozora.service.api.app import ROUTES
from yozora.service.moderation import Blocked, Unjudged
from yozora.service.schema import videos

BAD = "hard porn"
CREATING = {  # how each route asks for a video of words, given the id of a finished one
    "/v1/videos": {"model": "nano"},
    "/v1/videos/{video_id}/remix": {},
    "/v1/videos/edits": {"video": {"id": "VIDEO"}},
    "/v1/videos/extensions": {"video": {"id": "VIDEO"}, "seconds": "1"},
}


@pytest.mark.parametrize("path", CREATING)
def test_a_prompt_that_is_refused_is_an_error_with_a_code_and_costs_nothing(
    sqlite_site: Site, path: str
) -> None:
    site = sqlite_site
    source = site.http().post("/v1/videos", json={"prompt": "x"}).json()["id"]
    site.work()
    before = count(site)
    given: dict[str, Any] = dict(CREATING[path])
    if "video" in given:
        given["video"] = {"id": source}
    for words in ({"prompt": BAD}, {"prompt": "a ball", "style": BAD}):
        answer = site.http().post(path.replace("{video_id}", source), json={**given, **words})
        error = answer.json()["error"]
        refused = (400, "moderation_blocked", "prompt")
        assert (answer.status_code, error["code"], error["param"]) == refused
    assert count(site) == before
    fine = site.http().post(path.replace("{video_id}", source), json={**given, "prompt": "a ball"})
    assert fine.status_code == 200, fine.text


def count(site: Site) -> int:
    with site.database.read() as tx:
        return int(tx.scalar(select(func.count()).select_from(videos)) or 0)


def test_every_route_that_makes_videos_is_tried_here() -> None:
    others = {"/v1/videos/{video_id}/cancel", "/v1/videos/characters"}
    made = {one.path for one in ROUTES if one.method == "POST" and "videos" in one.path}
    assert made - others == set(CREATING)


def test_a_file_that_came_with_a_refused_prompt_is_not_kept(sqlite_site: Site) -> None:
    before = list(sqlite_site.settings.uploads.glob("??/*"))
    given = {"data": {"prompt": BAD}, "files": {"input_reference": ("a.png", PNG, "image/png")}}
    assert sqlite_site.http().post("/v1/videos", **given).status_code == 400
    assert list(sqlite_site.settings.uploads.glob("??/*")) == before


def test_refused_lines_of_a_batch_are_told_and_the_others_made(site: Site) -> None:
    made = begin(
        site, line("good", prompt="a ball"), line("bad", prompt=BAD), line("odd", prompt=3)
    )
    done = until(site, made.id, ended)
    assert read(site, done.output_file_id).keys() == {"good"}
    errors = read(site, done.error_file_id)
    assert errors["bad"]["error"]["code"] == "moderation_blocked"
    assert errors["bad"]["response"]["status_code"] == 400
    assert errors["odd"]["error"]["param"] == "prompt"
    assert count(site) == 1


def test_a_batch_waits_for_a_judge_who_is_away(sqlite_site: Site, monkeypatch: Any) -> None:
    asked: list[str] = []

    def judge(prompt: str) -> None:
        asked.append(prompt)
        if len(asked) < 3:
            raise Unjudged
        if prompt == "two":
            raise Blocked("test")

    monkeypatch.setattr(sqlite_site.service, "moderate", judge)
    made = begin(sqlite_site, line("1", prompt="one"), line("2", prompt="two"))
    done = until(sqlite_site, made.id, ended)
    assert asked == ["one", "one", "one", "two"]
    assert read(sqlite_site, done.output_file_id).keys() == {"1"}
    assert read(sqlite_site, done.error_file_id).keys() == {"2"}
