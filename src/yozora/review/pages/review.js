// Keys for the form. Without this file everything works by pointing, tabbing and the browser's own keys.
"use strict";
(() => {
  const one = (selector) => document.querySelector(selector);
  const still = matchMedia("(prefers-reduced-motion: reduce)");
  const shown = (element) => element.getClientRects().length > 0;
  const questions = () => [...document.querySelectorAll("fieldset.question")].filter(shown);
  const answered = (question) => question.querySelector(":checked") !== null;
  const current = () => {
    const here = document.activeElement.closest("fieldset.question");
    return here ?? questions().find((question) => !answered(question)) ?? null;
  };

  const focus = (question) => {
    question?.focus({ preventScroll: true });
    question?.scrollIntoView({ block: "nearest", behavior: still.matches ? "auto" : "smooth" });
  };
  const move = (step) => {
    const all = questions();
    const place = all.indexOf(current());
    focus(all[Math.min(all.length - 1, Math.max(0, place + step))]);
  };
  const goOn = (question) => {
    const all = questions();
    const next = all.slice(all.indexOf(question) + 1).find((other) => !answered(other));
    focus(next ?? question);
  };

  // "None" and "unclear" stand alone.
  const clear = (input) => {
    const alone = (other) => ["none", "unclear"].includes(other.value);
    if (!input.checked || input.type !== "checkbox") return;
    for (const other of input.closest("fieldset").querySelectorAll(":checked"))
      if (other !== input && (alone(input) || alone(other))) other.checked = false;
  };
  const choose = (key) => {
    const question = current();
    const input = question?.querySelector(`[data-key="${key}"]`);
    if (!input) return;
    input.checked = question.hasAttribute("data-several") ? !input.checked : true;
    clear(input);
    if (question.hasAttribute("data-several")) focus(question);
    else goOn(question);
  };

  const step = (frames) => {
    const film = one("#film");
    film.pause();
    const frame = 1 / Number(film.dataset.fps);
    const place = Math.floor(film.currentTime / frame + 1e-3) + frames;
    film.currentTime = Math.min(Math.max(0, (place + 0.5) * frame), Math.max(0, film.duration - frame / 2));
  };
  const play = () => {
    const film = one("#film");
    if (film.paused) film.play(); else film.pause();
  };
  const toggle = (details) => { details.open = !details.open; };

  const keys = {
    " ": play,
    ArrowLeft: () => step(-1),
    ArrowRight: () => step(1),
    ArrowUp: () => move(-1),
    ArrowDown: () => move(1),
    Enter: () => {
      document.activeElement.blur();  // else the next clip's element of the same name would have the focus
      one("#form").requestSubmit();
    },
    c: () => toggle(one("#caption")),
    n: () => one("#note").focus(),
    b: () => one("#before")?.click(),
    s: () => one("#after")?.click(),
    "?": () => one("#keys").showModal(),
  };
  for (const key of "0123456789u") keys[key] = () => choose(key);

  // What an element does with a key by itself: it keeps it when somebody has tabbed to it.
  const keeps = (element, key) => {
    if (element.matches("input:not([type=radio],[type=checkbox])")) return true;
    if (element.matches("video")) return key === "Enter";
    if (element.matches("a, button, summary")) return key === "Enter" || key === " ";
    if (element.matches("[type=checkbox], [type=radio]:not(:checked)")) return key === " ";
    return false;
  };

  document.addEventListener("keydown", (event) => {
    if (!one("#form") || one("dialog[open]") || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.isComposing || (event.repeat && !event.key.startsWith("Arrow"))) return;
    if (event.target.matches("textarea")) {
      if (event.key === "Escape") event.target.blur();
      else if (event.key !== "Enter" || event.shiftKey) return;
    }
    if (keeps(event.target, event.key) || !(event.key in keys)) return;
    event.preventDefault();
    keys[event.key]();
  });

  document.addEventListener("change", (event) => {
    if (!event.target.matches("fieldset.question input")) return;
    clear(event.target);
  });
  document.addEventListener("click", (event) => {
    if (event.target.closest("#help")) one("#keys").showModal();
    // By pointer: the question keeps the focus, so that the keys go on from there.
    if (event.detail > 0 && event.target.matches("fieldset.question input"))
      event.target.closest("fieldset").focus({ preventScroll: true });
  });

  const begin = () => {
    if (!one("#form")) return;
    one("#help").hidden = false;
    if (still.matches) one("#film").pause();
    if (document.activeElement.closest("fieldset.question")) return;  // who types fast has begun already
    const missing = one(".missing");
    focus(missing ?? questions().find((question) => !answered(question)) ?? questions()[0]);
  };
  document.addEventListener("htmx:after:swap", () => { scrollTo(0, 0); begin(); });
  begin();
})();
