"""Captions from a vision model behind an OpenAI-compatible endpoint: vLLM, Ollama, llama.cpp and their like.

POST …/v1/chat/completions with a clip's frames as JPEG data. Nothing is sent to any other address: no redirect is
followed, no proxy is asked.
"""

from __future__ import annotations

import base64
import http.client
import json
import random
import socket
import ssl
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

from yozora.artifact import json_hash
from yozora.captioning.answer import asked_for, caption_in, text_of
from yozora.captioning.captioner import CaptionerError, Subject, pictures, shortened, told
from yozora.corpus.schema import Row
from yozora.errors import YozoraError
from yozora.footage.sidecar import tidy
from yozora.video.writing import encode_still

VERSION = "endpoint/1"  # to be raised when the same prompt asks for something else
ID = 12  # digits of a clip's id that a model has to say back
ASKED = 3  # times, for an answer that is fit
TRIES = 5  # times that a request is sent whose failure may pass
FIRST_WAIT, LONGEST_WAIT = 1.0, 60.0  # seconds before it is sent again; twice as long each time
PATIENCE = 600.0  # seconds that an endpoint may ask to be left alone for
TIMEOUT = 180.0  # seconds for an answer
TOKENS = 600  # of an answer
MOST = 2**22  # bytes of a reply
FOR_ALL = (401, 402, 403, 404, 405, 410)  # statuses that any other clip would meet too
PASSING = (408, 409, 425, 429)  # those below 500 that may pass


@dataclass(frozen=True)
class Reply:
    """What came back: status, headers in lower case, body."""

    status: int
    headers: dict[str, str]
    body: bytes


class Endpoint:
    """A captioner that asks the model of this name at this address; several clips at once.

    url: of the server, with or without /v1 or /v1/chat/completions. prompt: what to describe. secret: the key, which is
    sent to the address and said nowhere else. Raises YozoraError for an address or a key that cannot be used.
    """

    def __init__(
        self, url: str, model: str, prompt: str, *, secret: str = "", parallel: int = 4
    ) -> None:
        self.name = f"endpoint {model}"
        self.parallel = parallel
        self._model, self._prompt, self._secret = model, prompt, secret
        secure, self._host, self._port, self._path = parts(url)
        self._shown = f"{self._host}:{self._port}"
        if not (secret.isascii() and secret.isprintable()) or " " in secret:
            raise YozoraError(
                "The key for the endpoint has characters that no key has: set it again."
            )
        self._tls = ssl.create_default_context() if secure else None
        self._rest_until = 0.0
        self._closed = threading.Event()
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()

    def key(self, row: Row) -> str:
        """The hash of the clip's id, the prompt, the model, and the words that the model is told."""
        return json_hash([VERSION, row.id, self._prompt, self._model, told(row)])

    def caption(self, subject: Subject) -> str:
        """The model's caption; it is asked again for an answer that is another clip's, or none."""
        name = subject.row.id[:ID]
        body = json.dumps(self._request(subject, name)).encode()
        problem = ""
        for _ in range(ASKED):
            reply = self._sent(body)
            try:
                return caption_in(text_of(reply), name)
            except YozoraError as error:
                problem = str(error)
        raise YozoraError(f"{self._model} gave no fit answer in {ASKED}: {problem}.")

    def close(self) -> None:
        """Breaks off what is under way."""
        self._closed.set()
        with self._lock:
            for connection in self._open:
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)

    def _request(self, subject: Subject, name: str) -> dict[str, Any]:
        """The body of a request."""
        frames = pictures(subject.clip)
        seconds = f"over {subject.clip.seconds:.1f} seconds" if len(frames) > 1 else "of a still"
        words = told(subject.row)
        text = "\n".join([
            f"Clip {name}: {len(frames)} frames {seconds}, in order.",
            *([f"It came with these words: {words}"] if words else []),
            asked_for(name),
        ])  # fmt: skip
        images = (base64.b64encode(encode_still(f, "mjpeg")).decode("ascii") for f in frames)
        shown = [
            {"type": "image_url", "image_url": {"url": f"data:image/jpeg;base64,{image}"}}
            for image in images
        ]
        return {
            "model": self._model,
            "messages": [
                {"role": "system", "content": self._prompt},
                {"role": "user", "content": [{"type": "text", "text": text}, *shown]},
            ],
            "max_tokens": TOKENS,
        }

    def _sent(self, body: bytes) -> Any:
        """The JSON that comes back for a request, which is sent again where that may help."""
        problem, lost = "", False
        for number in range(TRIES):
            self._rest()
            wait = min(LONGEST_WAIT, FIRST_WAIT * 2**number) * random.uniform(0.5, 1.5)
            try:
                reply = self._once(body)
            except TimeoutError:
                problem, lost = f"no answer in {TIMEOUT:g} seconds", False
            except ssl.SSLCertVerificationError as error:
                raise CaptionerError(
                    f"{self._shown} has no certificate that this computer trusts: {error.verify_message}."
                ) from error
            except (OSError, http.client.HTTPException) as error:
                problem = str(error) or type(error).__name__
                lost = isinstance(error, ConnectionRefusedError | socket.gaierror)
            else:
                if reply.status == 200:
                    return parsed(reply.body)
                problem, lost = self._refused(reply), False
                asked = asked_wait(reply.headers.get("retry-after", ""))
                if asked > PATIENCE:
                    raise CaptionerError(
                        f"{self._shown} asks to be left alone for {asked / 60:.0f} minutes: call again after that."
                    )
                if asked:
                    wait = asked * random.uniform(1.0, 1.1)
                    with self._lock:  # what asks for rest means all requests
                        self._rest_until = max(self._rest_until, time.monotonic() + asked)
            if number < TRIES - 1:
                self._pause(wait)
        if lost:
            raise CaptionerError(
                f"Nothing answers at {self._shown} ({problem}): start the server, or mend --url."
            )
        raise YozoraError(f"{self._shown} failed {TRIES} times: {problem}.")

    def _refused(self, reply: Reply) -> str:
        """Why a request failed, if it is to be sent again. Raises an error if that would not help."""
        said = f"status {reply.status}{self._explained(reply.body)}"
        if 300 <= reply.status < 400:
            raise CaptionerError(
                f"{self._shown} answers with {said}, a redirection that is not followed: give --url where it leads."
            )
        if reply.status in FOR_ALL:
            advice = {
                401: "set the key in the variable that --key-env names",
                403: "set the key in the variable that --key-env names",
                404: "mend --url or --model",
            }.get(reply.status, "look at the server's own log")
            raise CaptionerError(f"{self._shown} refuses with {said}: {advice}.")
        if reply.status < 500 and reply.status not in PASSING:
            raise YozoraError(f"{self._shown} refuses this clip with {said}.")
        return said

    def _explained(self, body: bytes) -> str:
        """What an error's body says, on a line and without the key."""
        try:
            error = json.loads(body)["error"]
            message = error["message"] if isinstance(error, dict) else error
        except (ValueError, KeyError, TypeError, RecursionError):
            return ""
        text = tidy(str(message))
        return f" ({shortened(text.replace(self._secret, '…') if self._secret else text, 200)})"

    def _once(self, body: bytes) -> Reply:
        """Sends a request and reads what comes back."""
        where = self._host, self._port
        connection = (
            http.client.HTTPSConnection(*where, timeout=TIMEOUT, context=self._tls)
            if self._tls
            else http.client.HTTPConnection(*where, timeout=TIMEOUT)
        )
        deadline = time.monotonic() + TIMEOUT
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        if self._secret:
            headers["Authorization"] = f"Bearer {self._secret}"
        try:
            connection.connect()
            opened = connection.sock
            with self._lock:
                self._open.add(opened)
            try:
                self._require_open()
                connection.request("POST", self._path, body, headers)
                response = connection.getresponse()
                found = {name.lower(): value for name, value in response.getheaders()}
                return Reply(response.status, found, whole(response, deadline))
            finally:
                with self._lock:
                    self._open.discard(opened)
        finally:
            connection.close()

    def _rest(self) -> None:
        """Waits while the endpoint wants to be left alone."""
        while (left := self._rest_until - time.monotonic()) > 0:
            self._pause(left)
        self._require_open()

    def _pause(self, seconds: float) -> None:
        """Waits, but not once this is closed."""
        self._closed.wait(seconds)
        self._require_open()

    def _require_open(self) -> None:
        """Raises CaptionerError once this is closed."""
        if self._closed.is_set():
            raise CaptionerError("Captioning was broken off.")


def parts(url: str) -> tuple[bool, str, int, str]:
    """Whether an address is secure, its host, its port, and the path that completions are asked at.

    Raises YozoraError for what is no address of a server.
    """
    try:
        split = urlsplit(url)
        port = split.port
    except ValueError:
        split, port = urlsplit(""), None
    if (
        split.scheme not in ("http", "https")
        or not split.hostname
        or not url.isascii()
        or not url.isprintable()
    ):
        raise YozoraError(
            "--url is no address of a server: give one such as http://localhost:8000/v1."
        )
    if split.username is not None or split.query or split.fragment or " " in url:
        raise YozoraError(
            "--url is an address alone, without name, password or query: the key goes into the variable that --key-env "
            "names."
        )
    path = split.path.rstrip("/") or "/v1"
    if not path.endswith("/chat/completions"):
        path += "/chat/completions"
    secure = split.scheme == "https"
    return secure, split.hostname, port or (443 if secure else 80), path


def whole(response: http.client.HTTPResponse, deadline: float) -> bytes:
    """The body of a response, read to its end. Raises an OSError when that takes too long or too much."""
    parts, size = [], 0
    while part := response.read1(2**16):
        parts.append(part)
        size += len(part)
        if size > MOST:
            raise OSError(f"the reply is larger than {MOST >> 20} MiB")
        if time.monotonic() > deadline:
            raise TimeoutError
    return b"".join(parts)


def parsed(body: bytes) -> Any:
    """A reply's JSON; None where it is none."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def asked_wait(header: str) -> float:
    """The seconds that a Retry-After header asks for (RFC 9110, 10.2.3); 0 where it asks for none."""
    try:
        return (
            max(0.0, float(header))
            if header.strip().replace(".", "", 1).isdigit()
            else until(header)
        )
    except (ValueError, TypeError, OverflowError):
        return 0.0


def until(date: str) -> float:
    """Seconds to a date as HTTP writes it; 0 for one that is past. Raises ValueError for what is none."""
    return max(0.0, parsedate_to_datetime(date).timestamp() - time.time())
