"""The commands of somebody who uses a service: videos asked for, looked at and fetched over its interface."""

from __future__ import annotations

import http.client
import json
import os
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Mapping
from functools import wraps
from pathlib import Path
from typing import Any

import click

from yozora.errors import YozoraError
from yozora.terminal import COUNT, SEED, Finite, as_json, print_json, say

VARIANTS = ("video", "thumbnail", "spritesheet")
TIMEOUT = 60.0  # seconds without an answer
PART = 2**20


class Straight(urllib.request.HTTPRedirectHandler):
    """Follows nobody: a redirect would take the key to another host."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        """No request."""
        return


class Client:
    """A service at an address, asked with a key."""

    def __init__(self, base_url: str, key: str) -> None:
        self.base = base_url.rstrip("/")
        if urllib.parse.urlsplit(self.base).scheme not in ("http", "https"):
            raise YozoraError(
                f"'{base_url}' is no address: give one such as http://127.0.0.1:8000."
            )
        if not self.base.endswith("/v1"):
            self.base += "/v1"
        self.key, self.opener = key, urllib.request.build_opener(Straight)

    def open(
        self, method: str, path: str, body: Mapping[str, Any] | None = None
    ) -> http.client.HTTPResponse:
        """The answer to a request. Raises YozoraError with what the service says when it refuses."""
        data = None if body is None else json.dumps(body).encode()
        headers = {"authorization": f"Bearer {self.key}", "content-type": "application/json"}
        request = urllib.request.Request(self.base + path, data, headers, method=method)
        try:
            answer: http.client.HTTPResponse = self.opener.open(request, timeout=TIMEOUT)
        except urllib.error.HTTPError as error:
            raise YozoraError(said(error)) from error
        except (OSError, http.client.HTTPException, ValueError) as error:
            reason = getattr(error, "reason", error)
            raise YozoraError(f"The service at {self.base} does not answer: {reason}.") from error
        return answer

    def ask(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """A JSON answer. Raises YozoraError."""
        with self.open(method, path, body) as answer:
            try:
                found: dict[str, Any] = json.load(answer)
            except ValueError as error:
                raise YozoraError(f"What answers at {self.base} is no such service.") from error
        return found

    def wait(self, video: dict[str, Any]) -> dict[str, Any]:
        """A video when it is finished. Raises YozoraError."""
        while video["status"] in ("queued", "in_progress"):
            with self.open("GET", f"/videos/{video['id']}") as answer:
                pause = answer.headers.get("openai-poll-after-ms", "1000")
                video = json.load(answer)
            if video["status"] in ("queued", "in_progress"):
                time.sleep(min(10.0, float(pause) / 1000))
        return video


def said(error: urllib.error.HTTPError) -> str:
    """What a service says of a request that it refuses."""
    try:
        problem = json.load(error)["error"]
        return f"{problem['message']} ({problem['code']}, {error.headers.get('x-request-id', '')})"
    except (ValueError, KeyError, TypeError, OSError):
        return f"The service answers {error.code} {error.reason}."


def with_client(command: Callable[..., None]) -> Callable[..., None]:
    """Gives a command ``client``: the service that --base-url and --key name."""

    @click.option(
        "--base-url",
        envvar="YOZORA_BASE_URL",
        show_envvar=True,
        default="http://127.0.0.1:8000",
        show_default=True,
        help="Where the service is.",
    )
    @click.option("--key", envvar="YOZORA_API_KEY", show_envvar=True, help="An API key.")
    @wraps(command)
    def run(base_url: str, key: str | None, **options: Any) -> None:
        if not key:
            raise click.UsageError("give --key, or better the environment's YOZORA_API_KEY")
        command(client=Client(base_url, key), **options)

    return run


@click.group()
def videos() -> None:
    """Ask a service for videos, and fetch them."""


@videos.command("create")
@click.argument("prompt")
@click.option("--model", help="The service's first one by default.")
@click.option("--seconds", metavar="FLOAT", help="How long; as the model likes it by default.")
@click.option("--size", metavar="WxH")
@click.option("--seed", type=SEED, help="Same seed, same video.")
@click.option("--steps", type=COUNT, help="Solver steps.")
@click.option("--guidance", type=Finite(), metavar="FLOAT", help="Weight of the prompt.")
@click.option("--style", metavar="TEXT", help="How it is to look: film noir, watercolour ...")
@click.option("--negative-prompt", metavar="TEXT", help="What to keep away from.")
@click.option("--wait", is_flag=True, help="Until it is finished.")
@as_json
@with_client
def create_video(client: Client, prompt: str, wait: bool, as_json: bool, **fields: Any) -> None:
    """Ask for a video that shows PROMPT."""
    given = {name: value for name, value in fields.items() if value is not None}
    made = client.ask("POST", "/videos", {"prompt": prompt, **given})
    tell(client.wait(made) if wait else made, as_json)


@videos.command("list")
@click.option("--limit", type=click.IntRange(1, 100), default=20, show_default=True)
@click.option("--after", metavar="ID", help="Go on after this one.")
@as_json
@with_client
def list_videos(client: Client, limit: int, after: str | None, as_json: bool) -> None:
    """Show videos, the newest first."""
    query = urllib.parse.urlencode({"limit": limit} | ({"after": after} if after else {}))
    found = client.ask("GET", f"/videos?{query}")
    if as_json:
        print_json(found)
        return
    for video in found["data"]:
        say(line(video))
    if found["has_more"]:
        say(f"more: --after {found['last_id']}")


@videos.command("get")
@click.argument("video_id", metavar="ID")
@click.option("--wait", is_flag=True, help="Until it is finished.")
@as_json
@with_client
def get_video(client: Client, video_id: str, wait: bool, as_json: bool) -> None:
    """Show how far a video is, and what became of it."""
    found = client.ask("GET", address(video_id))
    tell(client.wait(found) if wait else found, as_json)


@videos.command("download")
@click.argument("video_id", metavar="ID")
@click.option("-o", "--out", type=click.Path(dir_okay=False, path_type=Path), required=True)
@click.option("--variant", type=click.Choice(VARIANTS), default="video", show_default=True)
@as_json
@with_client
def download_video(client: Client, video_id: str, out: Path, variant: str, as_json: bool) -> None:
    """Write a finished video to a file, or its thumbnail or spritesheet."""
    part = out.with_name(out.name + ".part")
    out.parent.mkdir(parents=True, exist_ok=True)
    try:
        with (
            client.open("GET", f"{address(video_id)}/content?variant={variant}") as answer,
            open(part, "wb") as file,
        ):
            while piece := answer.read(PART):
                file.write(piece)
            if file.tell() != int(answer.headers.get("content-length", file.tell())):
                raise YozoraError(f"The file of {video_id} did not come whole: try again.")
        os.replace(part, out)
    finally:
        part.unlink(missing_ok=True)
    report = {"id": video_id, "file": str(out), "bytes": out.stat().st_size}
    print_json(report) if as_json else say(f"wrote {out}")


@videos.command("cancel")
@click.argument("video_id", metavar="ID")
@as_json
@with_client
def cancel_video(client: Client, video_id: str, as_json: bool) -> None:
    """Stop a video that is queued or in progress; nothing is charged."""
    tell(client.ask("POST", f"{address(video_id)}/cancel"), as_json)


def address(video_id: str) -> str:
    """Where a video is."""
    return f"/videos/{urllib.parse.quote(video_id, safe='')}"


def tell(video: Mapping[str, Any], as_json: bool) -> None:
    """Report a video."""
    print_json(video) if as_json else say(line(video))


def line(video: Mapping[str, Any]) -> str:
    """A video in a line."""
    end = video["error"]["message"] if video["error"] else video["prompt"][:60]
    return f"{video['id']}  {video['status']} {video['progress']} %  {video['model']}  {end}"
