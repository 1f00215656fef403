"""Make the pictures of the service's pages in docs/images/service: a service with some days of use, seen by a browser.

    python examples/service_pages.py

The service is a real one, in a folder that is thrown away; its clips are made by the shipped model. Keys, prices and
the day before are written into its database. Needs Debian's chromium, and the extra `dev`.
"""

from __future__ import annotations

import io
import random
import shutil
import threading
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import uvicorn
from PIL import Image
from playwright.sync_api import Page, sync_playwright

from yozora.service import accounts, ids, jobs, keys, limits, prices
from yozora.service.api.app import create_app
from yozora.service.artifacts import Artifacts
from yozora.service.database import Database
from yozora.service.settings import Settings
from yozora.service.wishes import Wish
from yozora.service.worker import Worker

OUT = Path(__file__).parents[1] / "docs" / "images" / "service"
PROMPTS = (Path(__file__).parent / "prompts.txt").read_text(encoding="utf-8").splitlines()
HOUR = 3_600_000
PAGES = (
    "dashboard", "keys", "webhooks", "members", "limits", "prices", "audit", "statement", "models", "models/nano",
    "docs", "account", "verify",
)  # fmt: skip
QUIET = "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"


def main() -> None:
    OUT.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory() as folder:
        settings = Settings(Path(folder), lease=600_000)
        database = Database(settings.database)
        database.upgrade()
        password = fill(database, settings)
        worker = Worker(settings)
        threading.Thread(target=worker.run, daemon=True).start()
        server = uvicorn.Server(
            uvicorn.Config(
                create_app(settings, database, Artifacts(settings.artifacts)),
                port=8765,
                log_level="warning",
            )
        )
        threading.Thread(target=server.run, daemon=True).start()
        while not server.started:
            time.sleep(0.1)
        look("http://127.0.0.1:8765", password)
        worker.stop.set()
        server.should_exit = True


def fill(database: Database, settings: Settings) -> str:
    """Three keys, and videos of the last day that were paid for. Returns the admin's password."""
    at, rng = ids.now(), random.Random(1)
    with database.write() as tx:
        password = accounts.bootstrap(tx, at=at)
        assert password is not None
        org = accounts.find_org(tx, accounts.DEFAULT).id
        project = accounts.find_project(tx, org).id
        prices.set_price(tx, per_second=40_000, by="admin", at=at - 48 * HOUR)
        limits.set_limit(
            tx,
            org_id=org,
            scope=org,
            measure="spend",
            period="month",
            amount=20_000_000,
            by="admin",
            at=at,
        )
        for name in ("storyboards", "render farm", "trailer tool"):
            pepper = keys.pepper(settings.data)
            row, key = keys.create(
                tx,
                pepper,
                org_id=org,
                project_id=project,
                name=name,
                created_by="admin",
                at=at - 40 * HOUR,
            )
            for _ in range(rng.randrange(8, 25)):
                video(tx, keys.verify(tx, pepper, key, at), at - rng.randrange(24 * HOUR), rng)
    return password


def video(tx: Any, who: keys.Identity, at: int, rng: random.Random) -> None:
    """One that was asked for, made and charged, or has failed."""
    wish = Wish("nano", rng.choice(PROMPTS), "2", "112x64", {"seed": 1, "task": "create"})
    price = prices.price(tx, "nano", "112x64", "2", ids.now())
    made = jobs.create(tx, identity=who, wish=wish, price=price, at=at)
    began = at + rng.randrange(200, 9000)
    (job,) = jobs.claim(tx, worker="w", models=["nano"], at=began, lease=HOUR)
    ended = began + rng.randrange(1500, 6000)
    if rng.random() < 0.08:
        jobs.fail(tx, job, code="cancelled", message=jobs.CANCELLED, at=ended)
    else:
        jobs.finish(tx, job, file=job.artifact, bytes=1, sha256="0" * 64, taken=2.0, at=ended)
    assert made == job.id
    jobs.delete(tx, job.id, at=ended)  # it has no file to be shown


def look(address: str, password: str) -> None:
    """Take the pictures."""
    chromium = shutil.which("chromium")
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium, args=QUIET.split())
        page = browser.new_context(viewport={"width": 1280, "height": 860}).new_page()
        page.set_default_timeout(600_000)
        page.goto(f"{address}/sign-in")
        take(page, "sign-in")
        page.fill("[name=name]", "admin")
        page.fill("[name=password]", password)
        page.click("button")
        page.wait_for_url("**/playground")
        page.click("#make-key")
        page.click("#more summary")
        page.fill("[name=seed]", "7")
        page.click("#more summary")
        for prompt in PROMPTS[:4]:
            page.fill("[name=prompt]", prompt)
            page.click("#send")
            page.wait_for_selector("#cancel", state="visible")
            page.wait_for_selector("#film", state="visible")
        page.wait_for_function("() => film.readyState >= 2")
        page.evaluate("() => { film.pause(); film.currentTime = film.duration / 2; }")
        page.wait_for_timeout(1000)
        take(page, "playground")
        for path in PAGES:
            page.goto(f"{address}/{path}")
            page.wait_for_timeout(500)
            take(page, path.replace("/", "-"))
        page.set_viewport_size({"width": 390, "height": 800})
        page.emulate_media(color_scheme="dark")
        page.goto(f"{address}/dashboard")
        take(page, "dashboard-phone")
        browser.close()


def take(page: Page, name: str) -> None:
    """Write a picture of what is seen, in few colours, so that it is small."""
    picture = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    picture.quantize(256, kmeans=2, dither=Image.Dither.NONE).save(
        OUT / f"{name}.png", optimize=True
    )
    print(OUT / f"{name}.png")


if __name__ == "__main__":
    main()
