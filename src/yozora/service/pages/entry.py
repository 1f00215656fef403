"""Signing in and out, going to another organisation, and one's own password."""

from __future__ import annotations

from sqlalchemy import Connection
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from yozora.errors import YozoraError
from yozora.service import accounts, ids
from yozora.service.accounts import Session, TooManyAttempts
from yozora.service.api import forms
from yozora.service.api.service import of
from yozora.service.pages.web import (
    Form,
    Pages,
    Refused,
    Visit,
    cookie,
    from_our_pages,
    go,
    inside,
    keep_cookie,
    rendered,
    signed_in,
    slowly,
    text,
)

pages = Pages()


@pages.open("/")
async def home(request: Request) -> Response:
    """The playground, or the way to it."""
    return RedirectResponse("/playground" if await signed_in(request) else "/sign-in", 303)


@pages.open("/sign-in")
async def ask(request: Request) -> Response:
    """The form."""
    after = inside(request.query_params.get("next", "/"))
    return RedirectResponse(after, 303) if await signed_in(request) else form(after)


@pages.open("/sign-in", ("POST",))
async def take(request: Request) -> Response:
    """Checks a name and a password; tries are counted by both the name and the address."""
    if not from_our_pages(request):
        raise Refused("Sign in on the page itself.", 403)
    given = await forms.small(request)
    name, password, after = text(given, "name"), given.get("password"), inside(text(given, "next"))
    try:
        found = await compared(request, name, password if isinstance(password, str) else "")
    except TooManyAttempts as error:
        answer = form(after, name, str(error), 429)
        answer.headers["retry-after"] = str(-(-error.wait // 1000))
        return answer
    except YozoraError as error:
        return form(after, name, str(error), 403)
    if found is None:
        return form(after, name, "This name and this password do not belong together.", 422)
    going = RedirectResponse(after, 303)
    keep_cookie(request, going, found[0])
    return going


async def compared(request: Request, name: str, password: str) -> tuple[str, Session] | None:
    """As `accounts.sign_in`."""
    address = request.client.host if request.client else ""
    return await slowly(
        lambda: accounts.sign_in(
            of(request).database, name=name, password=password, address=address, at=ids.now()
        )
    )


def form(after: str, name: str = "", wrong: str = "", status: int = 200) -> Response:
    """The page with the form."""
    return HTMLResponse(rendered("sign_in.html", after=after, name=name, wrong=wrong), status)


@pages.post("/sign-out")
async def leave(visit: Visit, _form: Form) -> Response:
    """Ends the session, and what the browser may still do by a key."""
    value = visit.request.cookies.get(cookie(visit.request), "")
    await visit.service.write(lambda tx: accounts.sign_out(tx, value, ids.now()))
    answer = RedirectResponse("/sign-in", 303)
    answer.delete_cookie(
        cookie(visit.request), path="/", secure=visit.request.url.scheme == "https"
    )
    return answer


@pages.get("/account")
async def account(visit: Visit) -> Response:
    """Who one is here, and one's password."""
    own = await visit.service.read(lambda tx: accounts.orgs_of(tx, visit.session.user_id))
    return visit.show("account.html", orgs=own, shortest=accounts.SHORTEST)


@pages.post("/account/org", back=account)
async def enter(visit: Visit, given: Form) -> Response:
    """Goes to another organisation."""
    value = visit.request.cookies.get(cookie(visit.request), "")
    await visit.service.write(lambda tx: accounts.enter(tx, value, text(given, "org"), ids.now()))
    return go("/")


@pages.post("/account/password", back=account)
async def password(visit: Visit, given: Form) -> Response:
    """Changes one's password, which signs one out everywhere else."""
    service, who = visit.service, visit.session
    old, new = str(given.get("old", "")), str(given.get("new", ""))
    if await compared(visit.request, who.user, old) is None:
        raise YozoraError("This is not your present password.")
    if new != given.get("again"):
        raise YozoraError("The new password was not written the same way twice.")
    kept = await slowly(lambda: accounts.hashed(new))

    def work(tx: Connection) -> str:
        at = ids.now()
        accounts.change_password(tx, user_id=who.user_id, password_hash=kept, by=who.user, at=at)
        return accounts.begin(tx, who.user_id, who.org_id, at)

    answer = go("/account", "password")
    keep_cookie(visit.request, answer, await service.write(work))
    return answer
