"""Keys, from being made to being revoked."""

from __future__ import annotations

import re

from tests.service.pages.conftest import ORIGIN, Browser, Service

from yozora.service import accounts


def made(service: Service, browser: Browser, **given: object) -> str:
    """The key that a page shows after one was made."""
    with service.database.read() as tx:
        project = accounts.find_project(tx, service.orgs["a"]).id
    usual = {
        "name": "farm",
        "project": project,
        "scopes": ["videos:read", "models:read"],
        "days": "7",
    }
    return shown(browser.submit("/keys", **usual | given).text)


def shown(page: str) -> str:
    found = re.search(r"<code>(yz_\w+)</code>", page)
    assert found, page
    return found[1]


def status(browser: Browser, key: str, path: str = "/v1/videos") -> int:
    return browser.get(path, headers={"authorization": f"Bearer {key}"}).status_code


def test_a_key_is_shown_once_works_and_is_revoked(service: Service) -> None:
    browser = service.browser("a-owner")
    key = made(service, browser)
    secret = key.rpartition("_")[2]
    for path in ("/keys", "/audit", "/dashboard", f"/keys/key_{key.split('_')[1]}"):
        assert secret not in browser.get(path).text
    assert status(browser, key) == 200
    assert "farm" in browser.get("/keys").text
    assert browser.submit(f"/keys/key_{key.split('_')[1]}/revoke").status_code == 303
    assert status(browser, key) == 401
    assert "1 revoked or expired" in browser.get("/keys").text


def test_a_rotated_key_has_two_secrets_for_a_while(service: Service) -> None:
    browser = service.browser("a-owner")
    key = made(service, browser)
    path = f"/keys/key_{key.split('_')[1]}"
    second = shown(browser.submit(f"{path}/rotate", grace="24").text)
    assert (status(browser, key), status(browser, second)) == (200, 200)
    assert "taken until" in browser.get(path).text
    third = shown(browser.submit(f"{path}/rotate", grace="0").text)
    assert [status(browser, one) for one in (key, second, third)] == [401, 401, 200]
    assert browser.submit(f"{path}/rotate", grace="999").status_code == 422


def test_a_key_does_what_was_ticked(service: Service) -> None:
    browser = service.browser("a-owner")
    key = made(service, browser, scopes=["models:read"], models=["nano"])
    assert status(browser, key, "/v1/models") == 200
    assert status(browser, key) == 403
    for wrong in (
        {"scopes": []},
        {"scopes": ["everything"]},
        {"days": "5"},
        {"name": " "},
        {"name": "x" * 81},
    ):
        answer = browser.submit(
            "/keys", **{"name": "k", "scopes": ["videos:read"], "days": "7", **wrong}
        )
        assert answer.status_code == 422, wrong


def test_a_browser_makes_itself_a_key_that_ends(service: Service) -> None:
    browser = service.browser("a-member")
    body = {"csrf": browser.token}
    answer = browser.post("/playground/key", data=body, headers={"origin": ORIGIN}).json()
    assert status(browser, answer["key"]) == 200
    page = browser.get(f"/keys/key_{answer['key'].split('_')[1]}").text
    assert "playground" in page
    assert "Expires</dt><dd><time" in page


def test_limits_of_a_key_are_set_and_taken_away(service: Service) -> None:
    browser = service.browser("a-admin")
    key, _ = service.key("a")
    done = browser.submit("/limits", scope=key, what="spend/month", amount="12.50")
    assert done.headers["location"].startswith(f"/keys/{key}")
    assert "12.50" in browser.get(f"/keys/{key}").text
    assert browser.submit("/limits", scope=key, what="videos/day", amount="1.5").status_code == 422
    browser.submit("/limits", scope=key, what="spend/month", amount="")
    assert "No limit is set." in browser.get(f"/keys/{key}").text
