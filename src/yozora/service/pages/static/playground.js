// The playground: a form becomes a request to the public API; its answer is followed until the video can be played.
"use strict";
(() => {
  const one = (selector) => document.querySelector(selector);
  const play = one("#play");
  const form = one("#wish");
  const models = Object.fromEntries(JSON.parse(play.dataset.models).map((model) => [model.name, model]));
  const show = (selector, visible = true) => { one(selector).hidden = !visible; };
  const say = (text) => { one("#said").textContent = text; };
  const sleep = (ms) => new Promise((done) => setTimeout(done, ms));
  const KEY = `yozora-key:${play.dataset.user}:${play.dataset.org}`;  // a tab may see several users and organisations
  const PAGE = 24;

  // --- the API ---------------------------------------------------------------------------------------

  const key = () => sessionStorage.getItem(KEY) ?? "";

  class Failure extends Error {
    constructor(status, message) { super(message); this.status = status; }
  }

  const ask = async (path, options = {}) => {
    const headers = { authorization: `Bearer ${key()}`, ...options.headers };
    const answer = await fetch(path, { ...options, headers });
    if (answer.ok) return answer;
    const body = await answer.json().catch(() => null);
    if (answer.status === 401) drop("This key is not taken: make another one, or look whether it is whole.");
    throw new Failure(answer.status, body?.error?.message ?? `The service answered with ${answer.status}.`);
  };
  const askJson = async (path, options) => (await ask(path, options)).json();

  const pictures = new Map();  // address -> object URL: what needs a key cannot be the src of an element
  const content = async (id, variant) => {
    const path = `/v1/videos/${id}/content?variant=${variant}`;
    if (!pictures.has(path)) pictures.set(path, URL.createObjectURL(await (await ask(path)).blob()));
    return pictures.get(path);
  };

  // --- the key ---------------------------------------------------------------------------------------

  const keep = (value) => {
    sessionStorage.setItem(KEY, value);
    begin();
  };
  const drop = (why = "") => {
    sessionStorage.removeItem(KEY);
    begin(why);
  };
  const forget = async () => {
    leave();
    drop();
    await enter("/playground/key/forget");
  };
  const begin = (why = "") => {
    show("#door", !key());
    show("#forget-key", Boolean(key()));
    one("#door-wrong").textContent = why;
    show("#door-wrong", Boolean(why));
    ready();
    if (key()) list();
  };
  let busy = false;  // while a request is sent, another one would make and cost the same again
  const ready = () => { one("#send").disabled = busy || !key(); };
  for (const name of Object.keys(sessionStorage)) if (name.startsWith("yozora-key") && name !== KEY) sessionStorage.removeItem(name);

  // A form of our own pages; where the session is over, one signs in first.
  const enter = async (path) => {
    const answer = await fetch(path, { method: "POST", body: new URLSearchParams({ csrf: play.dataset.csrf }) });
    if (answer.redirected) location.assign("/sign-in?next=%2Fplayground");
    return answer.ok && !answer.redirected ? answer.json() : null;
  };
  one("#make-key")?.addEventListener("click", async () => {
    const made = await enter("/playground/key");
    if (made) keep(made.key);
    else begin("No key could be made: load the page again.");
  });
  one("#paste").addEventListener("submit", (event) => {
    event.preventDefault();
    keep(event.target.key.value.trim());
    event.target.reset();
  });
  one("#forget-key").addEventListener("click", forget);

  // --- the form --------------------------------------------------------------------------------------

  const field = (name) => form.elements[name];
  const task = () => field("task").value;
  let source = null;  // the video of the history that is extended, edited or remixed, when the task is one of these
  const from = () => (task() === "create" || task() === "still" ? null : source);

  const HINTS = {
    still: "The first frame of the video: PNG, JPEG or WebP.",
    extend: "The clip to go on from, or choose one from the history.",
    edit: "The clip to change, or choose one from the history.",
    remix: "Choose a finished video from the history: the same again with other words.",
  };

  const model = () => models[from()?.model ?? field("model").value];
  const can = (chosen, what) => Boolean(chosen?.tasks.includes(what === "still" ? "create" : what));
  const arrange = () => {
    const now = task();
    const chosen = model();
    for (const option of field("task")) option.disabled = !can(chosen, option.value);
    if (now !== "create" && !can(chosen, now)) {
      field("task").value = "create";
      return arrange();
    }
    show("#source", now !== "create");
    show("#chosen", Boolean(from()));
    show("#upload", now !== "create" && now !== "remix" && !from());
    show("#hint", !from() && now !== "create");
    one("#hint").textContent = HINTS[now] ?? "";
    one("#upload-name").textContent = now === "still" ? "Still" : "Clip";
    field("file").accept = now === "still" ? "image/png,image/jpeg,image/webp" : "video/*";
    show("#unchoose", now !== "remix");
    show("#directions", now === "extend");
    show("#spans", now === "edit");
    for (const label of document.querySelectorAll("[data-span]")) label.hidden = field("anew").value !== "span";
    show("#basics", now !== "remix" && !(now === "edit" && from()));
    show("#models", !from());
    show("#seconds", !span());
    show("#sizes", now === "create" || now === "still");
    show("#more", now !== "remix");
    one("#seconds-name").textContent = now === "extend" ? "Seconds to add" : "Seconds";
    field("seconds").max = chosen?.longest ?? "";
    field("seconds").placeholder = chosen?.usual ?? "";
    const sizes = chosen?.sizes ?? [];
    if ([...field("size").options].map((option) => option.value).join() !== sizes.join()) {
      field("size").replaceChildren(...sizes.map((size) => new Option(size.replace("x", " × "), size)));
    }
    // What cannot be seen cannot be mended: it must not keep the form from being sent.
    for (const input of form.querySelectorAll("#source input, .row input, .row select")) input.disabled = Boolean(input.closest("[hidden]"));
    price();
    code();
  };

  const span = () => task() === "edit" && field("anew").value === "span";
  // The seconds that are made anew. A remix makes what its video was made of: all of it, unless that kept some.
  const made = () => {
    if (span()) return Number(field("to").value) - Number(field("from").value);
    if (from() && task() !== "extend") return Number(from().seconds);
    const sides = task() === "extend" && field("extend").value === "both" ? 2 : 1;
    return Number(field("seconds").value || model()?.usual) * sides;
  };
  const price = () => {
    const chosen = model();
    const size = from()?.size ?? (task() === "create" || task() === "still" ? field("size").value : chosen?.sizes[0]);
    const cost = chosen?.costs[size];
    const micro = cost && made() > 0 ? cost[0] + Math.ceil(cost[1] * made()) : 0;
    const text = `${(micro / 1e6).toFixed(6).replace(/(\.\d\d\d*?)0+$/, "$1")}`;
    one("#cost").textContent = micro > 0 ? `costs ${task() === "remix" ? "at most " : ""}${text}` : "";
  };

  // What is asked for: where, with which fields, and with which file under which name.
  const wish = () => {
    const now = task();
    const value = (name) => field(name).value.trim();
    const prompt = field("prompt").value;
    const fields = { prompt };
    const style = value("style") ? { style: value("style") } : {};
    const more = { ...style };
    for (const name of ["seed", "steps", "guidance"]) if (value(name)) more[name] = Number(value(name));
    if (value("negative_prompt")) more.negative_prompt = value("negative_prompt");
    const file = field("file").files[0] ?? null;
    const seconds = value("seconds") || model()?.usual;
    if (now === "remix") return { call: "remix", path: `/v1/videos/${from()?.id ?? "video_…"}/remix`, id: from()?.id, fields, more: style, file: null };
    if (now === "create" || now === "still") {
      Object.assign(fields, { model: value("model"), seconds, size: value("size") });
      return { call: "create", path: "/v1/videos", fields, more, file: now === "still" ? file : null, as: "input_reference", needs: now === "still" };
    }
    if (from()) fields.video = { id: from().id };
    else more.model = value("model");
    if (now === "extend") {
      fields.seconds = seconds;
      if (value("extend") !== "forward") more.extend = value("extend");
    } else if (!from() && !span()) more.seconds = seconds;
    if (span()) more.fill = [Number(value("from")), Number(value("to"))];
    return { call: now, path: now === "extend" ? "/v1/videos/extensions" : "/v1/videos/edits", fields, more, file: from() ? null : file, as: "video", needs: !from() };
  };

  const body = (asked) => {
    if (!asked.file) {
      return { headers: { "content-type": "application/json" }, body: JSON.stringify({ ...asked.fields, ...asked.more }) };
    }
    const data = new FormData();
    for (const [name, value] of Object.entries({ ...asked.fields, ...asked.more })) {
      if (Array.isArray(value)) for (const item of value) data.append(`${name}[]`, item);
      else data.append(name, value);
    }
    data.append(asked.as, asked.file);
    return { body: data };
  };

  // --- the same as code --------------------------------------------------------------------------------

  const shell = (text) => `'${text.replaceAll("'", "'\\''")}'`;
  const python = (value) => (typeof value === "object" && !Array.isArray(value)
    ? `{${Object.entries(value).map(([name, item]) => `${JSON.stringify(name)}: ${python(item)}`).join(", ")}}`
    : JSON.stringify(value));
  const code = () => {
    const asked = wish();
    const file = asked.needs ? asked.file?.name ?? (asked.as === "video" ? "clip.mp4" : "still.png") : null;
    const curl = [`curl ${location.origin}${asked.path}`, `-H "Authorization: Bearer $YOZORA_KEY"`];
    if (file) {
      for (const [name, value] of Object.entries({ ...asked.fields, ...asked.more })) {
        for (const item of [value].flat()) curl.push(`--form-string ${shell(`${name}${Array.isArray(value) ? "[]" : ""}=${item}`)}`);
      }
      curl.push(`-F ${shell(`${asked.as}=@${file}`)}`);
    } else {
      curl.push(`-H "Content-Type: application/json"`, `-d ${shell(JSON.stringify({ ...asked.fields, ...asked.more }))}`);
    }
    one("#curl code").textContent = curl.join(" \\\n  ");
    const { video, ...fields } = asked.fields;  // the SDK takes a file there, and sends an id from extra_body
    const more = video ? { video, ...asked.more } : asked.more;
    const named = Object.entries(fields).map(([name, value]) => `    ${name}=${python(value)},`);
    if (asked.call === "remix") named.unshift(`    ${JSON.stringify(asked.id ?? "video_…")},`);
    if (file) named.push(`    ${asked.as}=open(${JSON.stringify(file)}, "rb"),`);
    if (video) named.push("    video=openai.omit,");
    if (Object.keys(more).length) named.push(`    extra_body=${python(more)},`);
    one("#python code").textContent = [
      "import os, openai", "",
      `client = openai.OpenAI(base_url=${JSON.stringify(`${location.origin}/v1`)}, api_key=os.environ["YOZORA_KEY"])`,
      `video = client.videos.${asked.call}(`, ...named, ")",
      "video = client.videos.poll(video.id)",
      `client.videos.download_content(video.id).write_to_file("out.mp4")`,
    ].join("\n");
  };

  form.addEventListener("input", arrange);
  form.addEventListener("invalid", (event) => { event.target.closest("details")?.setAttribute("open", ""); }, true);
  form.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) form.requestSubmit();
  });
  one("#unchoose").addEventListener("click", () => { source = null; arrange(); field("file").focus(); });

  // --- generating --------------------------------------------------------------------------------------

  let present = null;  // the video on the screen
  let turn = 0;  // which one is followed: an older one, once replaced, says nothing any more
  let following = new AbortController();  // its connection: browsers have six, and a stream is open for long
  const leave = () => {
    following.abort();
    following = new AbortController();
    return ++turn;
  };

  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (one("#send").disabled) return;
    const asked = wish();
    const wrong = asked.needs && !asked.file ? "Choose a file first."
      : asked.call === "remix" && !from() ? "Choose a video from the history first." : "";
    complain(wrong);
    if (wrong) return;
    busy = true;
    ready();
    try {
      const video = await askJson(asked.path, { method: "POST", ...body(asked) });
      follow(video);
    } catch (error) {
      complain(error.message);
    } finally {
      busy = false;
      ready();
    }
  });
  const complain = (text) => {
    one("#wrong").textContent = text;
    show("#wrong", Boolean(text));
  };

  const SAID = { queued: "In the queue …", in_progress: "Generating …" };
  const clear = () => {
    one("#film").pause();
    one("#film").removeAttribute("src");
    for (const name of ["#film", "#preview", "#actions", "#cancel", "#bar", "#idle"]) show(name, false);
  };
  const progress = (video) => {
    say(`${SAID[video.status] ?? ""} ${video.status === "in_progress" ? `${video.progress} %` : ""}`.trim());
    show("#bar");
    one("#bar").value = video.progress;
    show("#cancel");
  };

  const follow = async (video) => {
    const mine = leave();
    present = video;
    clear();
    mark();
    if (video.status === "queued" || video.status === "in_progress") {
      show("#idle");
      one("#idle").textContent = "";
      progress(video);
      list();
      await watch(video.id, mine);
      if (mine !== turn) return;
      try {
        video = present = await askJson(`/v1/videos/${video.id}`);
      } catch (error) {
        return say(error.message);
      }
      list();
    }
    if (mine === turn) await finished(video, mine);
  };

  const finished = async (video, mine) => {
    show("#bar", false);
    show("#cancel", false);
    show("#actions");
    const whole = video.status === "completed";
    for (const button of one("#actions").children) {
      const what = button.dataset.do;
      button.hidden = what !== "delete" && !(whole && (!what || can(models[video.model], what)));
    }
    if (!whole) {
      show("#preview", false);
      show("#idle");
      one("#idle").textContent = video.error?.code === "cancelled" ? "Cancelled." : "No video.";
      return say(video.error?.message ?? "It failed.");
    }
    try {
      const address = await content(video.id, "video");
      if (mine !== turn) return;
      const film = one("#film");
      film.src = address;
      film.setAttribute("aria-label", video.prompt);
      show("#film");
      film.play().catch(() => {});
      one("#download").href = address;
      one("#download").download = `${video.id}.mp4`;
      say(`${video.prompt} · ${video.seconds} s · ${video.size.replace("x", " × ")} · ${video.model}`);
      show("#preview", false);
    } catch (error) {
      say(error.message);
    }
  };

  // Follows the stream of events; where there is none, asks again and again. Ends when the video has.
  const watch = async (id, mine) => {
    let last = "";
    for (let failures = 0; mine === turn && failures < 3;) {
      try {
        const headers = last ? { "last-event-id": last } : {};
        const accept = { accept: "text/event-stream", ...headers };
        const answer = await ask(`/v1/videos/${id}/events`, { headers: accept, signal: following.signal });
        if (answer.status === 204) return;
        for await (const event of events(answer.body)) {
          failures = 0;
          if (event.id) last = event.id;
          if (mine !== turn) return;
          if (seen(event)) return;
        }
        await sleep(500);
        failures += 0.5;  // it ended before the video did: begin where it stopped
      } catch (error) {
        if (mine !== turn) return;
        if (error instanceof Failure && error.status < 500) break;
        failures += 1;
        await sleep(1000 * failures);
      }
    }
    await poll(id, mine);
  };
  const seen = (event) => {
    const data = JSON.parse(event.data || "{}");
    if (event.kind === "preview" && data.image) {
      one("#preview").src = `data:${data.type};base64,${data.image}`;
      show("#preview");
    } else if (data.status) {
      Object.assign(present, { status: data.status, progress: data.progress ?? present.progress });
      if (SAID[data.status]) progress(present);
    }
    return event.kind === "completed" || event.kind === "failed";
  };
  const poll = async (id, mine) => {
    while (mine === turn) {
      try {
        const answer = await ask(`/v1/videos/${id}`, { signal: following.signal });
        const video = await answer.json();
        if (!SAID[video.status]) return;
        if (mine === turn) progress(Object.assign(present, video));
        await sleep(Number(answer.headers.get("openai-poll-after-ms")) || 1000);
      } catch (error) {
        if (mine !== turn) return;
        if (error instanceof Failure && error.status < 500 && error.status !== 429) return say(error.message);
        await sleep(2000);
      }
    }
  };

  // The events of a stream (WHATWG HTML, server-sent events).
  async function* events(stream) {
    const reader = stream.pipeThrough(new TextDecoderStream()).getReader();
    let text = "";
    try {
      for (;;) {
        const { done, value } = await reader.read();
        if (done) return;
        text = (text + value).replaceAll("\r\n", "\n");
        const blocks = text.split("\n\n");
        text = blocks.pop();
        for (const block of blocks) {
          const event = { kind: "message", data: "", id: "" };
          for (const line of block.split("\n")) {
            const [, name, content] = line.match(/^([^:]*):? ?(.*)$/);
            if (name === "event") event.kind = content;
            if (name === "id") event.id = content;
            if (name === "data") event.data += content;
          }
          if (event.data) yield event;
        }
      }
    } finally {
      reader.cancel().catch(() => {});
    }
  }

  one("#cancel").addEventListener("click", async () => {
    one("#cancel").disabled = true;
    try {
      await ask(`/v1/videos/${present.id}/cancel`, { method: "POST" });
    } catch (error) {
      say(error.message);
    }
    one("#cancel").disabled = false;
  });

  const use = async (video, what) => {
    source = video;
    field("task").value = what;
    field("prompt").value = video.prompt;
    if (what === "extend") field("seconds").value = "";
    one("#chosen-name").textContent = video.prompt;
    show("#chosen-picture", false);
    arrange();
    form.scrollIntoView({ block: "nearest" });
    field("prompt").focus();
    one("#chosen-picture").src = await content(video.id, "thumbnail");
    show("#chosen-picture");
  };
  one("#actions").addEventListener("click", (event) => {
    const what = event.target.dataset?.do;
    if (what && what !== "delete" && present) use(present, what);  // deleting is asked about
  });
  one("#really").addEventListener("click", async () => {
    one("#sure").hidePopover();
    if (!present) return;
    try {
      await ask(`/v1/videos/${present.id}`, { method: "DELETE" });
      if (source?.id === present.id) { source = null; arrange(); }
      leave();
      present = null;
      clear();
      show("#idle");
      one("#idle").textContent = "Deleted.";
      say("");
      list();
    } catch (error) {
      say(error.message);
    }
  });

  // --- history -----------------------------------------------------------------------------------------

  let shown = [];
  const list = async (after = "") => {
    try {
      const found = await askJson(`/v1/videos?limit=${PAGE}${after ? `&after=${after}` : ""}`);
      shown = after ? [...shown, ...found.data] : found.data;
      one("#older").dataset.after = found.last_id ?? "";
      show("#older", found.has_more);
      show("#nothing", shown.length === 0);
      draw();
    } catch (error) {
      if (error.status !== 401) say(error.message);
    }
  };
  const STATES = { queued: "in the queue", in_progress: "being made", failed: "failed" };
  const draw = () => {
    const known = new Map([...one("#history").children].map((item) => [`${item.dataset.id} ${item.dataset.status}`, item]));
    one("#history").replaceChildren(...shown.map((video) => known.get(`${video.id} ${video.status}`) ?? card(video)));
    mark();
  };
  const card = (video) => {
    const item = document.createElement("li");
    const button = document.createElement("button");
    const picture = document.createElement("span");
    const words = document.createElement("span");
    item.dataset.id = video.id;
    item.dataset.status = video.status;
    button.type = "button";
    picture.className = "picture";
    words.className = "words";
    words.textContent = video.prompt;
    picture.textContent = video.error?.code === "cancelled" ? "cancelled" : STATES[video.status] ?? "";
    button.append(picture, words);
    button.addEventListener("click", () => follow({ ...video }));
    item.append(button);
    if (video.status === "completed") {
      content(video.id, "thumbnail").then((address) => {
        const image = new Image();
        image.alt = "";
        image.src = address;
        picture.replaceChildren(image);
      }).catch(() => {});
    }
    return item;
  };
  const mark = () => {
    for (const item of one("#history").children) {
      item.firstChild.setAttribute("aria-pressed", String(item.dataset.id === present?.id));
    }
  };
  one("#older").addEventListener("click", (event) => list(event.target.dataset.after));

  arrange();
  begin();
})();
