// The citizen's page: shows what the daemon says, sends taps back, and decides nothing.

import { Entry } from "./entry.js";
import { Scanner } from "./lettercode.js";
import { follow } from "./stream.js";

const IDLE_MS = 45_000; // after this, what was typed on the first page is somebody's forgotten code
const WARN_MS = 20_000; // before that the page says so (WCAG 2.2.1)
const REPEAT_MS = 1_000; // a second tap on the same button within this is a trembling finger

const page = document.getElementById("page");
const moment = document.getElementById("moment");
const say = document.getElementById("say");
const entry = new Entry();
const scanner = new Scanner();

let shown = null; // the last message, without its fragment
let choice = ""; // of the ways that a page offers, the one that is shown
let preview = null;
let lastTap = { what: "", at: -Infinity };
let idle = 0;
let idleAt = Infinity;

async function tap(action, value = "") {
  if (!shown) return;
  const what = `${shown.seq} ${action}`;
  const at = performance.now();
  if (lastTap.what === what && at - lastTap.at < REPEAT_MS) return;
  lastTap = { what, at };
  try {
    const response = await fetch("/tap", {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ boot: shown.boot, seq: shown.seq, action, value }),
    });
    if (response.status === 400) entry.refused();
  } catch {
    // The stream notices that the daemon is away.
  }
}

function choose(way) {
  choice = way;
  for (const part of page.querySelectorAll("[data-choice]")) part.hidden = part.dataset.choice !== way;
  entry.attach(page, false);
}

function keepPreview() {
  const place = page.querySelector("[data-preview]");
  if (!place) {
    preview?.remove();
    if (preview) preview.src = ""; // ends the stream, which a removed picture would keep open
    preview = null;
    return;
  }
  if (!preview) {
    const picture = new Image();
    picture.alt = "";
    picture.src = "/preview";
    picture.addEventListener("error", () => setTimeout(() => {
      if (preview === picture) picture.src = `/preview?again=${Date.now()}`;
    }, 1_000));
    preview = picture;
  }
  place.append(preview); // the same element again, so that the stream does not start anew
}

function show(message) {
  const sameScreen = shown?.boot === message.boot && shown?.view === message.view;
  const focused = sameScreen ? document.activeElement?.closest("button") : null;
  const focus = focused && (focused.dataset.key ?? focused.dataset.action ?? focused.dataset.setting);
  const wrong = message.notice === "number_wrong" && shown?.notice !== message.notice;
  const { html, ...rest } = message;
  const keep = sameScreen && message.progress === "none" && !wrong;
  shown = rest;
  page.innerHTML = html;
  page.hidden = false;
  moment.hidden = true;
  page.dataset.seq = message.seq;
  page.dataset.view = message.view;
  document.documentElement.lang = message.lang;
  for (const button of page.querySelectorAll("[data-setting]")) {
    button.setAttribute("aria-pressed", String(document.documentElement.classList.contains(button.dataset.setting)));
  }
  if (!sameScreen) choice = page.querySelector("[data-choice]")?.dataset.choice ?? "";
  const offered = [...page.querySelectorAll("[data-choose]")].some((button) => button.dataset.choose === choice)
    || page.querySelector(`[data-choice="${choice}"]:not([hidden])`);
  if (offered) for (const part of page.querySelectorAll("[data-choice]")) part.hidden = part.dataset.choice !== choice;
  entry.attach(page, keep);
  keepPreview();
  if (say.textContent !== message.say) say.textContent = message.say;
  if (!sameScreen) page.querySelector("h1")?.focus({ preventScroll: true });
  else if (focus) page.querySelector(`[data-key="${focus}"],[data-action="${focus}"],[data-setting="${focus}"]`)?.focus();
  rest.since = performance.now();
  if (!sameScreen) touch();
  tick();
}

function away() {
  shown = null;
  entry.forget();
  page.replaceChildren();
  page.hidden = true;
  keepPreview();
  moment.hidden = false;
  say.textContent = "";
}

function touch() {
  clearTimeout(idle);
  idleAt = Infinity;
  if (shown?.view !== "code") return;
  idleAt = performance.now() + IDLE_MS;
  idle = setTimeout(forget, IDLE_MS);
  tick();
}

function forget() {
  if (shown?.view !== "code") return;
  if (entry.text) { // whoever typed it may still be there to read what became of it
    entry.clear();
    say.textContent = entry.hint.textContent;
    touch();
    return;
  }
  document.documentElement.className = "";
  if (shown.lang !== "zh") tap("language", "zh");
  for (const button of page.querySelectorAll("[data-setting]")) button.setAttribute("aria-pressed", "false");
  choose(page.querySelector("[data-choice]").dataset.choice);
}

function tick() {
  if (!shown) return;
  const bar = page.querySelector("[data-forgets]");
  if (bar) {
    const left = Math.ceil((idleAt - performance.now()) / 1_000);
    const words = bar.querySelector("p");
    const warned = !bar.hidden;
    bar.hidden = !entry.text || left * 1_000 > WARN_MS;
    if (!bar.hidden) words.textContent = words.dataset.template.replace("#", String(left));
    if (!bar.hidden && !warned) say.textContent = words.textContent;
  }
  const passed = Math.floor((performance.now() - shown.since) / 1_000);
  for (const clock of page.querySelectorAll("[data-seconds]")) {
    const left = Math.max(0, Number(clock.dataset.seconds) - passed);
    const words = clock.dataset.template.replace("#", String(left));
    if (clock.textContent !== words) clock.textContent = words;
  }
}

setInterval(tick, 500);

page.addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (!button || button.disabled) return;
  const { key, action, value, choose: way, setting } = button.dataset;
  if (key) entry.press(key);
  else if (way) choose(way);
  else if (setting) button.setAttribute("aria-pressed", String(document.documentElement.classList.toggle(setting)));
  else if ("fromEntry" in button.dataset) tap(action, entry.text);
  else if (action) {
    if (action === "cancel") entry.forget();
    tap(action, value);
  }
  touch();
});

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.altKey || event.metaKey) return;
  const scanned = scanner.key(event.key, page.querySelector("[data-scan]")?.dataset.scan);
  if (scanned !== null) {
    event.preventDefault();
    if (scanned) tap("letter_code", scanned);
    return;
  }
  const key = { Backspace: "back", Delete: "clear", x: "X" }[event.key] ?? event.key;
  if (entry.press(key)) {
    event.preventDefault();
    touch();
  }
  else if (event.key === "Enter" && !event.target.closest("button")) entry.ok?.click();
});

document.addEventListener("contextmenu", (event) => event.preventDefault());

follow("/events", show, away);
