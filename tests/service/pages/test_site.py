"""Signing in, who may do what, and what no page ever shows."""

from __future__ import annotations

from urllib.parse import urljoin, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.routing import Route
from tests.service.pages.conftest import HOSTILE, ORIGIN, PASSWORD, Service

from yozora.service import accounts, audit, ids
from yozora.service.pages.site import routes
from yozora.service.pages.web import inside
from yozora.service.schema import ROLES, keys, members, videos

OPEN = {"/", "/sign-in", "/static/{name}"}
NAMED = {"{key}": "key_0", "{user}": "user_0", "{name}": "nano"}


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
    "admin key": ("admin", "/keys", {"name": "k", "scopes": ["admin"], "days": ""}),
    "browser key": ("member", "/playground/key", {}),
    "member": ("admin", "/members", {"name": "somebody", "role": "member"}),
    "owner": ("owner", "/members", {"name": "somebody", "role": "owner"}),
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


def test_who_is_taken_out_sees_nothing_any_more(service: Service) -> None:
    gone = service.browser("a-member")
    service.browser("a-owner").submit(f"/members/{service.users['a-member']}/role", role="")
    assert gone.get("/keys", follow_redirects=False).status_code == 303


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
    assert "49" not in browser.get("/keys").text.split("{{7*7}}")[0][-20:]
