// The staff console's pages: sends forms as JSON, shows the answer, and keeps the live part fresh. All words are the page's.

const SOON_MS = 700; // between two looks while something is under way
const LATER_MS = 3_000;

const live = document.querySelector("[data-live]");
const offline = document.querySelector("[data-offline]");
const inOurs = `?language=${document.documentElement.lang}`; // the cookie has that of the page opened last

function ended(why = "") {
  location.replace(`/login?ended=${why}`);
}

function inLocalTime(root) {
  const words = new Intl.DateTimeFormat(document.documentElement.lang, { dateStyle: "medium", timeStyle: "short" });
  for (const time of root.querySelectorAll("time")) time.textContent = words.format(new Date(time.dateTime));
}

async function look() {
  if (document.hidden) return;
  try {
    const response = await fetch(live.dataset.live + inOurs, { cache: "no-store" });
    if (response.status === 401) return ended();
    if (!response.ok) throw new Error(String(response.status));
    const html = await response.text();
    if (html !== live.shown) {
      live.shown = html;
      live.innerHTML = html;
      inLocalTime(live);
    }
    offline.hidden = true;
  } catch {
    offline.hidden = false;
  }
}

async function keepLooking() {
  for (;;) {
    await look();
    const wait = live.querySelector("[data-soon]") ? SOON_MS : LATER_MS;
    await new Promise((resume) => setTimeout(resume, wait));
  }
}

function bodyOf(form) {
  return Object.fromEntries([...form.querySelectorAll("input, select")].map((input) => [
    input.name,
    "number" in input.dataset ? (input.value === "" ? null : Number(input.value)) : input.value,
  ]));
}

function reveal(block) {
  block.hidden = false;
  block.scrollIntoView({ block: "nearest" }); // it may lie below what a phone shows
}

function show(form, answer) {
  for (const block of form.querySelectorAll("[data-when]")) {
    const [key, value] = block.dataset.when.split("=");
    block.hidden = true;
    if (String(answer?.[key]) !== value) continue;
    for (const place of block.querySelectorAll("[data-fill]")) place.textContent = answer[place.dataset.fill] ?? "";
    if ("over" in block.dataset) for (const part of form.querySelectorAll("label, input, select, button")) part.hidden = true;
    reveal(block);
  }
}

function refuse(form, words) {
  const error = form.querySelector("[data-error]");
  if (!error) return;
  error.textContent = words ?? error.dataset.unknown;
  reveal(error);
}

async function send(form) {
  const error = form.querySelector("[data-error]");
  if (error) error.hidden = true;
  show(form, null);
  const from = form.dataset.then ? {} : { "Console-Staff": encodeURIComponent(document.body.dataset.staff) };
  const response = await fetch(form.dataset.post + inOurs, {
    method: "POST",
    headers: { "Content-Type": "application/json", ...from },
    body: JSON.stringify(bodyOf(form)),
  });
  const answer = response.headers.get("Content-Type")?.startsWith("application/json") ? await response.json() : {};
  if (response.ok) {
    if (form.dataset.then) return location.replace(form.dataset.then);
    form.reset();
    for (const stale of form.querySelectorAll("[data-before]")) stale.hidden = true;
    show(form, answer);
    if (live) await look();
    return undefined;
  }
  if (response.status === 401) return ended("order");
  for (const input of form.querySelectorAll("[data-secret]")) {
    input.value = "";
    input.focus();
  }
  refuse(form, answer.error);
  return undefined;
}

for (const form of document.querySelectorAll("form[data-post]")) {
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const button = form.querySelector("button");
    if (button.getAttribute("aria-disabled") === "true") return;
    const words = button.textContent;
    button.setAttribute("aria-disabled", "true"); // and not disabled: that would drop the focus
    if (button.dataset.busy) button.textContent = button.dataset.busy;
    try {
      await send(form);
      offline.hidden = true;
    } catch {
      offline.hidden = false;
      if (!form.dataset.then) refuse(form);
    }
    button.removeAttribute("aria-disabled");
    button.textContent = words;
  });
}

for (const form of document.querySelectorAll("form[data-look]")) {
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    location.assign(`${form.dataset.look}?${new URLSearchParams(new FormData(form))}`);
  });
}

inLocalTime(document);
if (live) keepLooking();
