"""Pictures that are named by an address: fetched only where that is switched on, and only from the public internet."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import select
from tests.service.api.conftest import PNG, Site
from tests.service.test_fetch import reply, server

from yozora.service.artifacts import CONTENT
from yozora.service.fetch import Rules
from yozora.service.schema import videos


def ask(site: Site, url: str) -> Any:
    given = {"prompt": "x", "input_reference": {"image_url": url}}
    return site.http().post("/v1/videos", json=given)


def code(answer: Any) -> str:
    error = answer.json()["error"]
    assert error["param"] == "input_reference.image_url"
    return str(error["code"])


def test_nothing_is_fetched_unless_it_is_switched_on(sqlite_site: Site) -> None:
    with server(reply(PNG)) as (address, asked):
        assert code(ask(sqlite_site, f"{address}/still.png")) == "url_not_allowed"
        assert not asked


def test_a_picture_is_fetched_once_and_becomes_a_file(
    sqlite_site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = sqlite_site
    rules = replace(site.service.fetching, on=True, also=("127.0.0.1",))
    monkeypatch.setattr(site.service, "fetching", rules)
    moved = reply(b"", "Location: /still.png", status="302 Found")
    with server(moved, reply(PNG)) as (address, asked):
        answer = ask(site, f"{address}/old.png")
        assert answer.status_code == 200, answer.text
        assert len(asked) == 2
    with site.database.read() as tx:
        mine = select(videos.c.params).where(videos.c.id == answer.json()["id"])
        image = tx.scalar(mine)["image"]
    assert site.service.uploads.path(image, CONTENT).read_bytes() == PNG
    for body, status in ((b"", "200 OK"), (PNG, "404 Not Found")):
        with server(reply(body, status=status)) as (address, _):
            assert code(ask(site, address)) == "invalid_url"
    monkeypatch.setattr(site.service, "fetching", replace(rules, bytes=8))
    with server(reply(PNG)) as (address, _):
        assert code(ask(site, address)) == "invalid_url"


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1/", "http://169.254.169.254/latest", "http://[::1]/", "ftp://x/", "x"]
)
def test_switched_on_it_is_for_public_addresses_alone(
    sqlite_site: Site, monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    monkeypatch.setattr(sqlite_site.service, "fetching", Rules(on=True, seconds=2))
    assert code(ask(sqlite_site, url)) == "invalid_url"
