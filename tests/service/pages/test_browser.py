"""The service in a real browser: `yozora serve` as anybody starts it, Chromium, and the model nano."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.browser import browser
from tests.service.pages import axe

__all__ = ["browser"]  # a fixture
PATIENCE = 300_000  # ms: other work may share this machine
SIZES = {"phone": (390, 800), "desktop": (1280, 900)}
PAGES = (
    "playground", "dashboard", "keys", "webhooks", "members", "limits", "prices", "audit", "statement", "models",
    "models/nano", "docs", "account", "verify",
)  # fmt: skip


@dataclass
class Served:
    """A service that was started, and how to sign in."""

    address: str
    password: str


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """`yozora serve` in a process of its own, ready."""
    folder = tmp_path_factory.mktemp("serve")
    program = Path(sys.executable).with_name("yozora")
    command = [program, "serve", "--json", "--data", folder, "--port", "0", "--lease", "600"]
    quiet = {**os.environ, "OMP_NUM_THREADS": "1"}
    with (
        open(folder / "log", "w") as log,
        subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=log, text=True, env=quiet
        ) as process,
    ):
        try:
            assert process.stdout is not None
            said = "".join(iter(process.stdout.readline, "}\n"))
            first = json.loads(said + "}")
            wait_for(f"{first['address']}/readyz")
            yield Served(first["address"], first["admin"]["password"])
        finally:
            process.terminate()


def wait_for(address: str) -> None:
    """Until it answers with 200."""
    until = time.monotonic() + PATIENCE / 1000
    while time.monotonic() < until:
        try:
            with urllib.request.urlopen(address, timeout=5):
                return
        except OSError:
            time.sleep(0.2)
    raise AssertionError(f"{address} is not ready")


@pytest.fixture(scope="module")
def visit(browser: object, served: Served) -> Iterator[object]:
    """A page where nobody is signed in yet; what its console says is in ``page.said``."""
    context = browser.new_context(
        viewport=dict(zip(("width", "height"), SIZES["desktop"], strict=True))
    )  # type: ignore[attr-defined]
    context.set_default_timeout(PATIENCE)
    page = context.new_page()
    page.said = []
    page.on("console", lambda message: page.said.append(message.text))
    page.on("pageerror", lambda error: page.said.append(str(error)))
    yield page
    context.close()


def status(served: Served, key: str) -> int:
    """What the API answers a key with."""
    request = urllib.request.Request(
        f"{served.address}/v1/videos", headers={"authorization": f"Bearer {key}"}
    )
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def test_from_the_first_sign_in_to_a_revoked_key(visit, served: Served) -> None:  # type: ignore[no-untyped-def]
    page = visit
    page.goto(served.address)
    page.wait_for_function("() => document.activeElement.name === 'name'")
    page.keyboard.type("admin")
    page.keyboard.press("Tab")
    page.keyboard.type(served.password)
    page.keyboard.press("Enter")
    page.wait_for_url("**/playground")

    page.click("text=Prices")
    page.fill("[name=per_second]", "0.05")
    page.click("text=Set the price")
    page.wait_for_selector(".done")

    page.click("text=API keys")
    page.fill("[name=name]", "browser test")
    page.click("button:text('Make a key')")
    key = page.inner_text("#secret").strip()
    assert status(served, key) == 200

    page.click("text=Playground")
    page.wait_for_selector("#send:disabled")
    page.fill("#paste [name=key]", key)
    page.click("text=Use it")
    page.wait_for_selector("#send:enabled")
    page.evaluate("""() => {
      window.seen = {said: new Set(), previews: new Set()};
      new MutationObserver(() => {
        seen.said.add(document.querySelector("#said").textContent);
        const preview = document.querySelector("#preview");
        if (!preview.hidden && preview.naturalWidth) seen.previews.add(preview.src);
      }).observe(document.querySelector("#result"), {subtree: true, childList: true, attributes: true});
      document.querySelector("#preview").addEventListener("load", (event) => seen.previews.add(event.target.src));
    }""")
    prompt = "a red ball bounces on a dark background"
    page.fill("[name=prompt]", prompt)
    page.click("#more summary")
    page.fill("[name=seed]", "7")
    page.wait_for_function("() => document.querySelector('#cost').textContent === 'costs 0.10'")
    page.keyboard.press("Control+Enter")
    page.wait_for_selector("#film:visible")
    page.wait_for_function("() => film.readyState >= 2 && film.currentTime > 0")
    assert page.evaluate("[film.videoWidth, film.videoHeight]") == [112, 64]
    assert abs(page.evaluate("film.duration") - 17 / 8) < 0.01
    assert page.inner_text("#said").startswith(prompt)
    seen = page.evaluate("() => ({said: [...seen.said], previews: [...seen.previews]})")
    assert any(re.fullmatch(r"Generating … \d+ %", line) for line in seen["said"]), seen["said"]
    assert len(seen["previews"]) >= 2
    assert all(one.startswith("data:image/webp;base64,") for one in seen["previews"])
    page.wait_for_selector("#history img")
    with page.expect_download() as download:
        page.click("#download")
    assert download.value.path().read_bytes()[4:8] == b"ftyp"

    page.click("text=Dashboard")
    assert page.inner_text("#spend-now") == "0.10"
    assert "browser test" in page.inner_text("#figures")
    with page.expect_download() as download:
        page.click("text=CSV")
    (line,) = csv.DictReader(io.StringIO(download.value.path().read_text()))
    assert (line["key"], line["model"], line["net"]) == ("browser test", "nano", "100000")

    page.click("text=API keys")
    page.click("text=browser test")
    page.click("text=Revoke this key …")
    page.click("#sure button.danger")
    page.wait_for_selector(".done")
    assert status(served, key) == 401
    page.click("text=Playground")
    page.wait_for_selector("#door:visible")  # the key that this tab had is not taken any more
    assert [line for line in page.said if "401" not in line] == []


def test_remixing_with_hostile_words_shows_them_as_they_are(visit, served: Served) -> None:  # type: ignore[no-untyped-def]
    page = visit
    page.said.clear()
    page.goto(f"{served.address}/playground")
    page.click("#make-key")
    page.click("#history button")
    page.wait_for_selector("#film:visible")
    page.click("[data-do=remix]")
    words = "<img src=x onerror=alert(1)>'\" $(id) \\"
    page.fill("[name=prompt]", words)
    page.click("#code summary")
    assert words.replace("\\", "\\\\").replace('"', '\\"') in page.inner_text("#python")
    page.click("#tasks :text('Extend')")
    assert "video=openai.omit" in page.inner_text("#python")
    page.click("#tasks :text('Remix')")
    page.click("#send")
    page.wait_for_function("() => document.querySelectorAll('#history li').length === 2")
    page.click("#cancel")
    page.wait_for_selector("text=Cancelled.")
    assert page.locator("#history .words").first.inner_text() == words
    assert page.locator("img[src=x]").count() == 0
    assert page.said == []


def test_the_form_asks_for_what_it_shows_and_asks_once(visit, served: Served) -> None:  # type: ignore[no-untyped-def]
    page = visit
    page.said.clear()
    page.goto(f"{served.address}/playground")
    page.click("#history li:last-child button")  # the video of the first test
    page.wait_for_selector("#film:visible")
    words = page.inner_text("#cost")
    page.click("[data-do=extend]")
    page.fill("[name=seconds]", "1")
    page.select_option("[name=extend]", "both")
    assert page.inner_text("#cost") == "costs 0.10"
    page.click("#tasks :text('Edit')")
    page.select_option("[name=anew]", "span")
    page.fill("[name=from]", "0.5")
    page.fill("[name=to]", "1")
    assert page.inner_text("#cost") == "costs 0.025"
    assert "[0.5, 1]" in page.text_content("#python").replace("0.5,1", "0.5, 1")
    page.click("#tasks :text('Words')")
    page.fill("[name=seconds]", "")
    assert page.inner_text("#cost") == words == "costs 0.10"
    assert '"video"' not in page.text_content("#curl")
    page.fill("[name=seconds]", "999")
    page.click("#tasks :text('Remix')")  # what cannot be seen does not keep it from being sent
    assert page.evaluate("document.querySelector('#wish').checkValidity()")
    page.click("#tasks :text('Words')")
    page.fill("[name=seconds]", "1")

    asked = []
    page.on("request", lambda one: asked.append(one.url) if one.method == "POST" else None)
    page.evaluate("""() => {
      const press = () => document.querySelector("#wish").requestSubmit();
      press(); press(); press();
    }""")
    page.wait_for_function("() => document.querySelectorAll('#history li').length === 3")
    page.wait_for_selector("#film:visible")
    assert len([url for url in asked if url.endswith("/v1/videos")]) == 1

    page.click("[data-do=delete]")
    page.click("#sure :text('Keep it')")
    assert page.locator("#history li").count() == 3
    page.click("[data-do=delete]")
    page.click("#really")
    page.wait_for_function("() => document.querySelectorAll('#history li').length === 2")
    assert page.said == []


def test_going_from_video_to_video_leaves_no_connection_behind(visit, served: Served) -> None:  # type: ignore[no-untyped-def]
    page = visit
    page.goto(f"{served.address}/playground")
    page.wait_for_selector("#history li")
    queued = page.evaluate("""async () => {
      const [key] = Object.values(sessionStorage);
      const headers = {authorization: `Bearer ${key}`, "content-type": "application/json"};
      const body = JSON.stringify({prompt: "x", seconds: "60", steps: 100});
      const made = [];
      for (let n = 0; n < 8; n++) {
        made.push((await (await fetch("/v1/videos", {method: "POST", headers, body})).json()).id);
      }
      return made;
    }""")
    try:
        page.reload()
        for video in queued:
            page.click(f"#history [data-id={video}] button")
            page.wait_for_selector("#bar:visible")
        answer = "fetch('/healthz', {signal: AbortSignal.timeout(20000)}).then((one) => one.status)"
        assert page.evaluate(answer) == 200
    finally:
        for video in queued:
            page.evaluate("""async (video) => {
              const headers = {authorization: `Bearer ${Object.values(sessionStorage)[0]}`};
              await fetch(`/v1/videos/${video}/cancel`, {method: "POST", headers});
            }""", video)  # fmt: skip


def test_a_tabs_key_is_of_one_user_and_ends_with_the_session(visit, served: Served) -> None:  # type: ignore[no-untyped-def]
    page = visit
    page.goto(f"{served.address}/playground")
    page.wait_for_selector("#history li")
    ((name, key),) = page.evaluate("Object.entries(sessionStorage)")
    assert re.fullmatch(r"yozora-key:user_\w+:org_\w+", name)
    assert status(served, key) == 200
    page.evaluate("sessionStorage.setItem('yozora-key:user_x:org_y', 'yz_a_b')")
    page.reload()
    page.wait_for_selector("#history li")
    assert page.evaluate("Object.keys(sessionStorage)") == [name]
    page.click("#forget-key")
    page.wait_for_selector("#door:visible")
    page.wait_for_function("() => sessionStorage.length === 0")
    until(lambda: status(served, key) == 401)
    page.fill("#paste [name=key]", "yz_mis_typed")
    page.click("text=Use it")
    page.wait_for_selector("#door-wrong:visible")
    page.click("#make-key")
    page.wait_for_selector("#send:enabled")
    (key,) = page.evaluate("Object.values(sessionStorage)")
    assert status(served, key) == 200
    page.click("text=Sign out")
    page.wait_for_url("**/sign-in*")
    assert status(served, key) == 401
    page.fill("[name=name]", "admin")
    page.fill("[name=password]", served.password)
    page.click("button")
    page.wait_for_url("**/playground")


def until(true) -> None:  # type: ignore[no-untyped-def]
    """Waits for something to become true."""
    for _ in range(100):
        if true():
            return
        time.sleep(0.1)
    raise AssertionError


@pytest.fixture(scope="module")
def checker(request: pytest.FixtureRequest) -> str:
    """The accessibility checker."""
    return axe.script(request.config.cache.mkdir("axe"))  # type: ignore[union-attr]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("device", SIZES)
def test_every_page_can_be_used_by_everybody(
    visit, served: Served, checker: str, device: str, scheme: str
) -> None:  # type: ignore[no-untyped-def]
    width, height = SIZES[device]
    visit.set_viewport_size({"width": width, "height": height})
    visit.emulate_media(color_scheme=scheme)
    wrong = []
    for path in PAGES:
        visit.goto(f"{served.address}/{path}")
        for summary in visit.locator("main summary").all():
            summary.click()
        wrong += [f"{path}: {one}" for one in axe.complaints(visit, checker)]
        wide = visit.evaluate("document.documentElement.scrollWidth")
        if wide > width:
            wrong.append(f"{path}: {wide} pixels wide")
        if device == "phone":
            visit.click(".menu")
            assert visit.is_visible("#nav")
    assert wrong == []


def test_signing_in_can_be_used_by_everybody(browser, served: Served, checker: str) -> None:  # type: ignore[no-untyped-def]
    for scheme in ("light", "dark"):
        context = browser.new_context(viewport={"width": 390, "height": 800}, color_scheme=scheme)
        page = context.new_page()
        page.goto(f"{served.address}/sign-in")
        page.fill("[name=name]", "admin")
        page.fill("[name=password]", "wrong")
        page.click("button")
        page.wait_for_selector("[role=alert]")
        assert axe.complaints(page, checker) == []
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        context.close()
