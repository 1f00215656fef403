"""Signing in, who may do what, and what no page ever shows."""

from __future__ import annotations

import re
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urljoin, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.routing import Route
from tests.service.pages.conftest import HOSTILE, ORIGIN, PASSWORD, Browser, Service

from yozora.service import accounts, audit, ids
from yozora.service.pages.site import routes
from yozora.service.pages.web import inside
from yozora.service.schema import ROLES, keys, members, videos

OPEN = {"/", "/sign-in", "/static/{name}"}
NAMED = {
    "{key}": "key_0", "{user}": "user_0", "{name}": "nano", "{webhook}": "wh_0", "{delivery}": "msg_0",
}  # fmt: skip


def paths(method: str) -> list[str]:
    """The addresses of the pages, with something in place of ids."""
    found = [
        route.path
        for route in routes()
        if isinstance(route, Route) and method in (route.methods or ())
    ]
    for place, name in NAMED.items():
        found = [path.replace(place, name) if path not in OPEN else path for path in found]
    return [path for path in found if path not in OPEN]


# --- signing in --------------------------------------------------------------------------------------


def test_a_session_is_a_cookie_that_scripts_and_other_sites_do_not_get(service: Service) -> None:
    browser = service.browser()
    given = {"name": "a-owner", "password": PASSWORD, "next": "/keys"}
    answer = browser.post(
        "/sign-in", data=given, headers={"origin": ORIGIN}, follow_redirects=False
    )
    assert (answer.status_code, answer.headers["location"]) == (303, "/keys")
    cookie = answer.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=lax" in cookie
    assert browser.get("/account").status_code == 200
    browser.submit("/sign-out")
    assert (
        browser.get("/account", follow_redirects=False).headers["location"]
        == "/sign-in?next=%2Faccount"
    )


def test_over_tls_the_cookie_is_for_this_host_and_tls_alone(service: Service) -> None:
    browser = service.browser()
    given = {"name": "a-owner", "password": PASSWORD}
    answer = browser.post(
        "https://testserver/sign-in",
        data=given,
        headers={"origin": "https://testserver"},
        follow_redirects=False,
    )
    assert answer.headers["set-cookie"].startswith("__Host-")
    assert "secure" in answer.headers["set-cookie"].lower()


@pytest.mark.parametrize(
    "given", [{"name": "a-owner", "password": "wrong"}, {"name": "nobody"}, {}]
)
def test_a_wrong_password_and_a_name_that_nobody_has_look_the_same(
    service: Service, given: dict[str, str]
) -> None:
    answer = service.browser().post(
        "/sign-in", data=given or {"x": "y"}, headers={"origin": ORIGIN}
    )
    assert answer.status_code == 422
    assert "This name and this password do not belong together." in answer.text
    assert "set-cookie" not in answer.headers


def test_nobody_sends_much_before_signing_in(service: Service) -> None:
    headers = {"origin": ORIGIN}
    browser = service.browser()
    large = {"name": "a-owner", "password": PASSWORD, "next": "/" * 2**17}
    assert browser.post("/sign-in", data=large, headers=headers).status_code == 413
    files = {"password": ("p", b"x" * 2**17)}
    assert browser.post("/sign-in", files=files, headers=headers).status_code == 413
    form = {name: (None, value) for name, value in (("name", "a-owner"), ("password", PASSWORD))}
    refused = browser.post("/sign-in", files=form, headers=headers, follow_redirects=False)
    assert refused.status_code in (400, 422)  # no form with parts is read


def test_few_passwords_are_compared_at_once(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, most, gate = 0, 0, threading.Lock()

    def sign_in(*_: object, **__: object) -> None:
        nonlocal now, most
        with gate:
            now += 1
            most = max(most, now)
        time.sleep(0.05)
        with gate:
            now -= 1

    monkeypatch.setattr(accounts, "sign_in", sign_in)
    with service.browser() as browser, ThreadPoolExecutor(8) as pool:
        given = {"data": {"name": "a", "password": "b"}, "headers": {"origin": ORIGIN}}
        answers = list(pool.map(lambda _: browser.post("/sign-in", **given), range(8)))
    assert {one.status_code for one in answers} == {422}
    assert most == 2


def test_guessing_is_stopped(service: Service) -> None:
    browser = service.browser()
    for _ in range(accounts.ATTEMPTS["name"]):
        browser.post(
            "/sign-in", data={"name": "a-owner", "password": "guess"}, headers={"origin": ORIGIN}
        )
    answer = browser.post(
        "/sign-in", data={"name": "a-owner", "password": PASSWORD}, headers={"origin": ORIGIN}
    )
    assert answer.status_code == 429
    assert 0 < int(answer.headers["retry-after"]) <= 15 * 60


@pytest.mark.parametrize(
    "origin", [None, "null", "http://evil.example", "http://testserver.evil.example"]
)
def test_nobody_is_signed_in_from_another_site(service: Service, origin: str | None) -> None:
    given = {"name": "a-owner", "password": PASSWORD}
    answer = service.browser().post(
        "/sign-in", data=given, headers={"origin": origin} if origin else {}
    )
    assert answer.status_code == 403


@given(st.text(st.sampled_from("/\\.:@a%?#\t\r\n htp"), max_size=12))
def test_signing_in_leads_nowhere_else(path: str) -> None:
    there = urlsplit(urljoin("http://here/sign-in", inside(path).replace("\\", "/")))
    assert (there.scheme, there.netloc) == ("http", "here")


def test_a_new_password_signs_out_everywhere_else(service: Service) -> None:
    here, there = service.browser("a-owner"), service.browser("a-owner")
    fields = {"new": "another long password", "again": "another long password"}
    assert here.submit("/account/password", old="wrong", **fields).status_code == 422
    assert (
        here.submit("/account/password", old=PASSWORD, new="short", again="short").status_code
        == 422
    )
    assert (
        here.submit("/account/password", old=PASSWORD, new="a" * 12, again="b" * 12).status_code
        == 422
    )
    assert here.submit("/account/password", old=PASSWORD, **fields).status_code == 303
    assert here.get("/account", follow_redirects=False).status_code == 200
    assert there.get("/account", follow_redirects=False).status_code == 303
    service.browser().sign_in("a-owner", "another long password")


# --- what holds for all pages ---------------------------------------------------------------------------


def test_without_a_session_there_is_nothing_to_see_or_to_do(service: Service) -> None:
    browser = service.browser()
    assert len(paths("GET")) > 10
    assert len(paths("POST")) > 10
    for method in ("GET", "POST"):
        for path in paths(method):
            answer = browser.request(
                method, path, headers={"origin": ORIGIN}, follow_redirects=False
            )
            assert answer.status_code == 303, path
            assert answer.headers["location"].startswith("/sign-in")


@pytest.mark.parametrize("wrong", ["no token", "another's token", "another site", "no origin"])
def test_forms_of_other_places_change_nothing(service: Service, wrong: str) -> None:
    browser, other = service.browser("operator"), service.browser("b-owner")
    token = {"no token": "", "another's token": other.token}.get(wrong, browser.token)
    origin = {"another site": {"origin": "http://evil.example"}, "no origin": {}}.get(
        wrong, {"origin": ORIGIN}
    )
    with service.database.read() as tx:
        before = audit.listing(tx, service.orgs["a"])
    for path in paths("POST"):
        answer = browser.post(path, data={"csrf": token}, headers=origin, follow_redirects=False)
        assert answer.status_code == 403, path
    with service.database.read() as tx:
        assert audit.listing(tx, service.orgs["a"]) == before
    assert browser.get("/account").status_code == 200  # not even signed out


def test_every_page_says_what_browsers_may_do_with_it(service: Service) -> None:
    browser = service.browser("operator")
    for path in (
        *paths("GET"),
        "/sign-in",
        "/static/service.css",
        "/static/nothing",
        "/keys/key_0",
    ):
        answer = browser.get(path, follow_redirects=False)
        assert "default-src 'none'" in answer.headers["content-security-policy"], path
        assert "unsafe" not in answer.headers["content-security-policy"]
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "style=" not in answer.text
        assert "<script>" not in answer.text


def test_only_a_few_files_are_served(service: Service) -> None:
    browser = service.browser()
    for name in ("service.css", "page.js", "playground.js", "htmx.min.js", "icon.svg"):
        assert browser.get(f"/static/{name}").status_code == 200
    for name in ("web.py", "base.html", "..%2Fweb.py", "%2e%2e/web.py", "LICENSE"):
        assert browser.get(f"/static/{name}").status_code == 404


# --- who may do what -------------------------------------------------------------------------------------

DOES = {  # what -> the least role, and the form that does it
    "key": ("member", "/keys", {"name": "k", "scopes": ["videos:read"], "days": "7"}),
    "webhooks key": ("admin", "/keys", {"name": "k", "scopes": ["webhooks:write"], "days": ""}),
    "admin key": ("operator", "/keys", {"name": "k", "scopes": ["admin"], "days": ""}),
    "browser key": ("viewer", "/playground/key", {}),
    "member": ("admin", "/members", {"name": "somebody", "role": "member"}),
    "owner": ("owner", "/members", {"name": "somebody", "role": "owner"}),
    "webhook": ("admin", "/webhooks", {"url": "https://receiver.example/"}),
    "limit": ("admin", "/limits", {"what": "videos/day", "amount": "10"}),
    "price": ("operator", "/prices", {"model": "nano", "size": "*", "per_second": "0.05"}),
}


@pytest.mark.parametrize("what", DOES)
@pytest.mark.parametrize("role", ROLES)
def test_roles_do_what_they_may_and_nothing_else(service: Service, role: str, what: str) -> None:
    least, path, given = DOES[what]
    browser = service.browser(f"a-{role}")
    with service.database.read() as tx:
        project = accounts.find_project(tx, service.orgs["a"]).id
    answer = browser.submit(path, **given, project=project, scope=service.orgs["a"])
    allowed = least in ROLES and ROLES.index(role) <= ROLES.index(least)
    assert (answer.status_code < 400) == allowed, answer.text
    assert answer.status_code in ((200, 303) if allowed else (403, 422))


def test_the_operator_sets_prices_and_others_see_them(service: Service) -> None:
    assert service.browser("operator").submit(
        "/prices", model="nano", size="*", per_second="0,05", per_video="", valid_from=""
    ).status_code == 303  # fmt: skip
    page = service.browser("b-viewer").get("/prices").text
    assert "0.05" in page
    assert "Set a price" not in page


@pytest.mark.parametrize("amount", ["-1", "0.0000001", "x", "1e99", "NaN"])
def test_what_is_no_amount_is_said_and_kept_in_the_form(service: Service, amount: str) -> None:
    answer = service.browser("operator").submit(
        "/prices", model="nano", size="*", per_second=amount
    )
    assert answer.status_code == 422
    assert 'role="alert"' in answer.text
    assert f'value="{amount}"' in answer.text


def test_members_change_their_own_keys_and_admins_all(service: Service) -> None:
    theirs, _ = service.key("a", by=service.users["a-admin"])
    mine, _ = service.key("a", by=service.users["a-member"])
    member = service.browser("a-member")
    assert member.submit(f"/keys/{theirs}/revoke").status_code == 403
    assert member.submit(f"/keys/{theirs}/rotate", grace="0").status_code == 403
    assert member.submit(f"/keys/{mine}/revoke").status_code == 303
    assert service.browser("a-admin").submit(f"/keys/{theirs}/revoke").status_code == 303


def test_an_admin_makes_no_owner_and_unmakes_none(service: Service) -> None:
    admin, owner, member = (
        service.browser("a-admin"),
        service.users["a-owner"],
        service.users["a-member"],
    )
    assert admin.submit(f"/members/{owner}/role", role="viewer").status_code == 403
    assert admin.submit(f"/members/{owner}/role", role="").status_code == 403
    assert admin.submit(f"/members/{member}/role", role="owner").status_code == 403
    assert admin.submit(f"/members/{member}/role", role="viewer").status_code == 303
    assert admin.submit(f"/members/{member}/role", role="king").status_code == 422
    with service.database.read() as tx:
        roles = {one.name: one.role for one in accounts.members_of(tx, service.orgs["a"])}
    assert (roles["a-owner"], roles["a-member"]) == ("owner", "viewer")


def test_who_is_taken_out_sees_nothing_any_more_and_their_keys_can_be_revoked(
    service: Service,
) -> None:
    gone, owner, user = (
        service.browser("a-member"),
        service.browser("a-owner"),
        service.users["a-member"],
    )
    _, played = played_by(gone)
    kept = [service.key("a", name=f"farm {n}", by=user)[1] for n in range(2)]
    assert "farm 0" not in owner.get("/members").text
    owner.submit(f"/members/{user}/role", role="")
    assert gone.get("/keys", follow_redirects=False).status_code == 303
    assert status(owner, played) == 401
    assert [status(owner, key) for key in kept] == [200, 200]
    page = owner.get("/members").text
    assert "farm 0" in page
    assert "farm 1" in page
    assert "farm 0" not in service.browser("a-viewer").get("/members").text
    assert service.browser("a-viewer").submit(f"/members/{user}/keys/revoke").status_code == 403
    service.browser("b-owner").submit(f"/members/{user}/keys/revoke")
    assert [status(owner, key) for key in kept] == [200, 200]
    assert owner.submit(f"/members/{user}/keys/revoke").status_code == 303
    assert [status(owner, key) for key in kept] == [401, 401]
    assert "farm 0" not in owner.get("/members").text


def test_a_forgotten_password_is_replaced_by_who_may(service: Service) -> None:
    users = service.users
    locked = service.browser("a-member")
    page = service.browser("a-admin").submit(f"/members/{users['a-member']}/password").text
    found = re.search(r"<code>([0-9a-z]{20})</code>", page)
    assert found, page
    assert locked.get("/account", follow_redirects=False).status_code == 303
    service.browser().sign_in("a-member", found[1])

    def reset(by: str, whose: str) -> int:
        return service.browser(by).submit(f"/members/{users[whose]}/password").status_code

    assert reset("a-member", "a-viewer") == 403
    assert reset("a-admin", "a-owner") == 403
    assert reset("a-owner", "b-member") == 422
    assert reset("a-owner", "operator") == 403
    with service.database.write() as tx:  # a name that looks like the operator's id changes nothing
        named = {"name": users["operator"], "password_hash": "", "by": "test", "at": ids.now()}
        accounts.create_user(tx, **named)
    assert reset("a-owner", "operator") == 403
    with service.database.write() as tx:
        row = {"org_id": service.orgs["b"], "user_id": users["a-viewer"], "role": "owner"}
        tx.execute(members.insert(), row | {"created_at": ids.now()})
    assert reset("a-owner", "a-viewer") == 403  # it would open the other organisation too
    assert reset("operator", "a-viewer") == 200


# --- keys that browsers make for themselves ------------------------------------------------------------


def played_by(browser: Browser) -> tuple[str, str]:
    """The id and the key that a playground makes."""
    key = browser.submit("/playground/key").json()["key"]
    return f"key_{key.split('_')[1]}", key


def status(browser: Browser, key: str, method: str = "GET") -> int:
    given = {"json": {"prompt": ""}} if method == "POST" else {}
    headers = {"authorization": f"Bearer {key}"}
    return browser.request(method, "/v1/videos", headers=headers, **given).status_code


@pytest.mark.parametrize("how", ["signing out", "another organisation", "forgetting", "password"])
def test_a_playgrounds_key_ends_with_its_session(service: Service, how: str) -> None:
    with service.database.write() as tx:
        row = {"org_id": service.orgs["b"], "user_id": service.users["a-member"], "role": "viewer"}
        tx.execute(members.insert(), row | {"created_at": ids.now()})
    browser = service.browser("a-member")
    keys = [played_by(browser)[1] for _ in range(2)]
    others = [played_by(service.browser("a-owner"))[1], service.key("a", name="playground")[1]]
    assert [status(browser, key) for key in keys + others] == [200] * 4
    new = {"old": PASSWORD, "new": "another long password", "again": "another long password"}
    done = {
        "signing out": lambda: browser.submit("/sign-out"),
        "another organisation": lambda: browser.submit("/account/org", org=service.orgs["b"]),
        "forgetting": lambda: browser.submit("/playground/key/forget"),
        "password": lambda: browser.submit("/account/password", **new),
    }[how]()
    assert done.status_code in (200, 303)
    assert [status(service.browser(), key) for key in keys + others] == [401, 401, 200, 200]


def test_a_viewers_playground_looks_and_makes_nothing(service: Service) -> None:
    browser = service.browser("a-viewer")
    _, key = played_by(browser)
    assert (status(browser, key), status(browser, key, "POST")) == (200, 403)
    _, theirs = played_by(service.browser("a-member"))
    assert status(browser, theirs, "POST") == 400


def test_playground_keys_are_one_line_among_the_keys(service: Service) -> None:
    browser = service.browser("a-owner")
    names = [played_by(browser)[0] for _ in range(3)]
    named, _ = service.key("a", name="playground")
    page = browser.get("/keys").text
    assert "3 keys that browsers have made" in page
    assert not [name for name in names if name in page]
    assert named in page  # somebody's own, which only has that name


def test_who_was_an_admin_rotates_no_key_of_the_whole_service(service: Service) -> None:
    row, _ = service.key("a", by=service.users["a-member"], scopes=["admin"])
    mine, _ = service.key("a", by=service.users["a-member"])
    member = service.browser("a-member")
    assert member.submit(f"/keys/{row}/rotate", grace="0").status_code == 403
    assert member.submit(f"/keys/{mine}/rotate", grace="0").status_code == 200
    assert service.browser("a-owner").submit(f"/keys/{row}/rotate", grace="0").status_code == 403
    assert service.browser("operator").submit(f"/keys/{row}/rotate", grace="0").status_code == 200


# --- other organisations ---------------------------------------------------------------------------------


def test_nobody_sees_or_changes_what_is_anothers(service: Service) -> None:
    theirs, _ = service.key("b", name="the secret project of b")
    browser = service.browser("a-owner")
    missing = browser.get("/keys/key_00000000000000000000000000")
    found = browser.get(f"/keys/{theirs}")
    assert found.status_code == missing.status_code == 404
    assert found.text.replace(theirs, "") == missing.text.replace(
        "key_00000000000000000000000000", ""
    )
    for path in (f"/keys/{theirs}/revoke", f"/keys/{theirs}/rotate"):
        assert browser.submit(path, grace="0").status_code == 404
    for scope in (theirs, service.orgs["b"]):
        assert (
            browser.submit("/limits", scope=scope, what="videos/day", amount="1").status_code == 422
        )
    assert (
        browser.submit(f"/members/{service.users['b-member']}/role", role="viewer").status_code
        == 422
    )
    assert browser.submit("/account/org", org=service.orgs["b"]).status_code == 422
    with service.database.read() as tx:
        project = accounts.find_project(tx, service.orgs["b"]).id
        row = tx.execute(keys.select().where(keys.c.id == theirs)).one()
    given = {"name": "k", "project": project, "scopes": ["videos:read"], "days": ""}
    assert browser.submit("/keys", **given).status_code == 422
    assert (row.revoked_at, row.previous_digest) == (None, None)
    for path in paths("GET"):
        text = browser.get(path).text
        assert "secret project" not in text, path
        assert "b-owner" not in text, path


def test_one_goes_to_another_organisation_that_one_is_in(service: Service) -> None:
    at = ids.now()
    with service.database.write() as tx:
        row = {
            "org_id": service.orgs["b"],
            "user_id": service.users["a-owner"],
            "role": "viewer",
            "created_at": at,
        }
        tx.execute(members.insert(), row)
    browser = service.browser("a-owner")
    browser.submit("/account/org", org=service.orgs["b"])
    assert "b-owner" in browser.get("/members").text
    assert browser.get("/audit").status_code == 403  # a viewer there


# --- words of strangers ------------------------------------------------------------------------------------


def test_hostile_names_are_shown_as_they_are(service: Service) -> None:
    browser = service.browser("operator")
    with service.database.read() as tx:
        project = accounts.find_project(tx, service.orgs["a"]).id
    assert HOSTILE not in browser.submit("/members", name=HOSTILE, role="member").text
    scopes = ["videos:read"]
    assert (
        HOSTILE
        not in browser.submit("/keys", name=HOSTILE, project=project, scopes=scopes, days="").text
    )
    assert (
        HOSTILE
        not in browser.submit("/keys", name=HOSTILE, project="none", scopes=scopes, days="").text
    )
    assert HOSTILE not in browser.submit("/webhooks", url=HOSTILE).text
    hooked = "https://receiver.example/" + HOSTILE.replace(" ", "")
    assert hooked not in browser.submit("/webhooks", url=hooked).text
    assert HOSTILE not in browser.submit("/prices", model=HOSTILE, per_second=HOSTILE).text
    assert (
        HOSTILE not in browser.submit("/limits", scope=HOSTILE, what=HOSTILE, amount=HOSTILE).text
    )
    assert (
        HOSTILE
        not in browser.post("/sign-in", data={"name": HOSTILE}, headers={"origin": ORIGIN}).text
    )
    with service.database.write() as tx:
        accounts.create_project(
            tx, org_id=service.orgs["a"], name=HOSTILE, by=HOSTILE, at=ids.now()
        )
        row = tx.execute(keys.select().where(keys.c.name == HOSTILE)).one()
        add = {
            "id": "video_1",
            "org_id": row.org_id,
            "project_id": row.project_id,
            "key_id": row.id,
            "model": HOSTILE,
        }
        add |= {
            "prompt": HOSTILE,
            "seconds": "2",
            "size": "112x64",
            "params": {},
            "status": "failed",
        }
        tx.execute(
            videos.insert(),
            add | {"error_code": HOSTILE, "error_message": HOSTILE, "created_at": ids.now()},
        )
    seen = 0
    for path in (*paths("GET"), f"/keys/{row.id}"):
        text = browser.get(path).text
        assert HOSTILE not in text, path
        assert "<script>alert" not in text
        assert "<img src=x" not in text
        seen += "&lt;script&gt;alert" in text
    assert seen >= 5
    assert "{{7*7}}" in browser.get("/keys").text
