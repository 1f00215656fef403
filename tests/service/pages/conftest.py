"""The pages of a service with people of every role in two organisations."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from yozora.service import accounts, ids, keys
from yozora.service.api.app import create_app
from yozora.service.artifacts import Artifacts
from yozora.service.database import Database
from yozora.service.schema import ROLES
from yozora.service.settings import Settings

ORIGIN = "http://testserver"
PASSWORD = "a long enough password"
HOSTILE = """</td><script>alert("x")</script><img src=x onerror=alert(1)>'"{{7*7}}"""


class Browser(TestClient):
    """A browser that stays signed in, and sends forms as one does."""

    def sign_in(self, name: str, password: str = PASSWORD) -> Browser:
        given = {"name": name, "password": password}
        answer = self.post(
            "/sign-in", data=given, headers={"origin": ORIGIN}, follow_redirects=False
        )
        assert answer.status_code == 303, answer.text
        return self

    @property
    def token(self) -> str:
        """The token that forms bring."""
        found = re.search(r'name="csrf" value="([^"]+)"', self.get("/account").text)
        assert found
        return found[1]

    def submit(self, path: str, **given: object):  # type: ignore[no-untyped-def]
        """Send a form of a page; several values of a field are a list."""
        data = {
            f"{name}[]" if isinstance(value, list) else name: value for name, value in given.items()
        }
        return self.post(
            path,
            data={"csrf": self.token, **data},
            headers={"origin": ORIGIN},
            follow_redirects=False,
        )


@dataclass
class Service:
    """A service, and who is who in it: ``users`` by organisation and role."""

    app: object
    settings: Settings
    database: Database
    orgs: dict[str, str] = field(default_factory=dict)
    users: dict[str, str] = field(default_factory=dict)

    def browser(self, name: str | None = None) -> Browser:
        """A browser, of somebody who is signed in or of nobody."""
        made = Browser(self.app)  # type: ignore[arg-type]
        if name is not None:
            with self.database.write() as tx:
                user = self.users[name]
                cookie = accounts.begin(tx, user, accounts.orgs_of(tx, user)[0].id, ids.now())
            made.cookies["yozora-80"] = cookie
        return made

    def key(self, org: str, name: str = "a key", by: str = "", **given: object) -> tuple[str, str]:
        """A key of an organisation: its id, and the key."""
        with self.database.write() as tx:
            project = accounts.find_project(tx, self.orgs[org]).id
            row, key = keys.create(
                tx, keys.pepper(self.settings.data), org_id=self.orgs[org], project_id=project, name=name,
                created_by=by or "test", at=ids.now(), **given,
            )  # fmt: skip
        return row.id, key


@pytest.fixture(scope="session")
def hashed() -> str:
    """What is kept of PASSWORD; it takes its time."""
    return accounts.hashed(PASSWORD)


@pytest.fixture
def service(tmp_path: Path, hashed: str, new_sqlite: Callable[[], str]) -> Iterator[Service]:
    """Users are called after organisation and role: a-owner, b-viewer. The operator owns a."""
    settings = Settings(tmp_path, new_sqlite())
    database = Database(settings.database)
    made = Service(
        create_app(settings, database, Artifacts(settings.artifacts)), settings, database
    )
    at = ids.now()
    with database.write() as tx:
        for org in "ab":
            made.orgs[org] = accounts.create_org(tx, name=org, by="test", at=at)
            for role in ROLES:
                name = f"{org}-{role}"
                user = accounts.create_user(tx, name=name, password_hash=hashed, by="test", at=at)
                accounts.set_role(
                    tx, org_id=made.orgs[org], user_id=user, role=role, by="test", at=at
                )
                made.users[name] = user
        made.users["operator"] = accounts.create_user(
            tx, name="operator", password_hash=hashed, operator=True, by="test", at=at
        )
        accounts.set_role(
            tx,
            org_id=made.orgs["a"],
            user_id=made.users["operator"],
            role="owner",
            by="test",
            at=at,
        )
    yield made
    database.close()
