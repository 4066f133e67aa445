// The dock's page: draws the live truth and sends what hands do. It keeps nothing but who is selected.

const $ = (id) => document.getElementById(id);
const CODE = /(?<!\d)\d{4} ?\d{4}(?!\d)/;
const PLACES = {
  tray: "in the staff's tray", load: "in the load feeder", transport: "before the exit reader", slot: "in slot", exit: "in the exit",
  retract: "in the retract box", throat: "in the throat", escrow: "in escrow", bin: "in the bin", reject_lane: "in the reject lane",
  person: "in hand", between: "on its way",
};
const RELATIONS = { guardian: "as guardian", authorised: "authorised" };
const grouped = (code) => code.match(/.{4}/g).join(" ");

let people = [];
let chosen = null;
let drawn = {};
let letterAt = "";

function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key === "class") made.className = value;
    else if (key === "disabled") made.disabled = value;
    else if (key === "on") made.addEventListener("click", value);
    else made.setAttribute(key, value);
  }
  made.append(...children.filter((child) => child !== null));
  return made;
}

function say(text) {
  $("said").textContent = text;
  clearTimeout(say.timer);
  say.timer = setTimeout(() => ($("said").textContent = ""), 4000);
}

async function post(path, body, then = "") {
  const answer = await fetch(path, {
    method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body),
  }).catch(() => null);
  if (!answer) return say("The dock does not answer.");
  const told = await answer.json().catch(() => ({}));
  say(answer.ok ? then : told.error ?? `Refused (${answer.status}).`);
  return look();
}

const act = (what, more = {}, then = "") => post("act", { do: what, ...more }, then);

// Draw a part again only when what it shows has changed, so that buttons stay under the finger.
function draw(part, shown, make) {
  const key = JSON.stringify(shown);
  if (drawn[part] === key) return;
  drawn[part] = key;
  make();
}

function where(card, truth) {
  if (card.card_id === truth.on_reader) return "on the reader";
  return card.place === "slot" ? `in slot ${card.slot}` : PLACES[card.place] ?? card.place;
}

function cardShape(card, truth, buttons = []) {
  return element("div", { class: `id-card ${card.role}` },
    element("b", {}, `${card.role === "new" ? "New" : "Old"} card ${card.card_id}${card.broken ? ", chip broken" : ""}`),
    element("span", { class: "where" }, where(card, truth)),
    buttons.length ? element("div", { class: "buttons" }, ...buttons) : null);
}

function drawPeople(truth) {
  draw("people", [people.length, chosen, truth.looking, truth.cards], () => {
    $("people").replaceChildren(...people.map((person) => {
      const card = truth.cards.find((each) => each.card_id === person.new_card);
      const mark = card?.place === "person" ? "collected" : card?.place === "slot" ? "waiting" : "not loaded";
      return element("button", {
        type: "button", "aria-pressed": String(person.person_id === chosen), title: person.name,
        on: () => { chosen = person.person_id; look(); },
      }, element("img", { src: `faces/${person.person_id}.jpg`, alt: "" }), person.name, element("span", { class: "mark" }, mark));
    }));
  });
}

function letterButtons(person, letter) {
  const claim = person.new_card;
  if (!letter) {
    return element("button", {
      type: "button", class: "quiet", on: () => post("letter", { claim }, "The office wrote a letter."),
    }, "Office writes a letter");
  }
  return element("button", {
    type: "button", on: () => post("scan", { claim }, "The scanner read the letter."),
  }, "Hold the letter to the scanner");
}

function entrusting(person) {
  const others = people.filter((each) => each !== person && each.old_card);
  const who = element("select", { "aria-label": "Who may collect" }, ...others.map((each) =>
    element("option", { value: each.new_card }, each.name)));
  const relation = element("select", { "aria-label": "As what" }, ...Object.entries(RELATIONS).map(([value, words]) =>
    element("option", { value }, words)));
  return element("div", { class: "buttons" }, who, relation, element("button", {
    type: "button", class: "quiet",
    on: () => post("entrust", { claim: person.new_card, to: who.value, relation: relation.value }, "The office told the machine."),
  }, "may collect, too"));
}

function drawReviews(reviews) {
  draw("reviews", reviews, () => $("reviews").replaceChildren(...reviews.map((review) => {
    const person = people.find((each) => each.new_card === review.claim_id);
    const decide = (decision, words, style) => element("button", {
      type: "button", class: style, on: () => post("review", { n: String(review.n), decision }),
    }, words);
    return element("article", { class: "review" },
      element("h2", {}, "A reviewer at the office is asked"),
      element("figure", {}, element("img", { src: `faces/${person?.person_id}.jpg`, alt: "" }),
        element("figcaption", {}, review.collector_id ? "photo of the owner; a collector stands there" : "photo")),
      element("figure", {}, element("img", { src: `reviews/${review.n}.jpg`, alt: "" }), element("figcaption", {}, "at the machine")),
      element("div", { class: "buttons" }, decide("approved", "Same person: approve", ""), decide("refused", "Refuse", "danger")));
  })));
}

function drawPerson(truth, messages, letters) {
  const person = people.find((each) => each.person_id === chosen);
  if (!person) return;
  const mine = messages.filter((message) => message.phone === person.phone);
  const code = mine.map((message) => message.text.match(CODE)?.[0]).filter(Boolean).at(-1);
  const cards = truth.cards.filter((card) => card.person === person.person_id);
  const letter = letters[person.new_card];
  draw("person", [person, code, letter, cards, truth.looking, truth.touching, truth.on_reader, truth.shutter_open], () => {
    const here = truth.looking === person.person_id;
    const touching = truth.touching === person.person_id;
    $("person").replaceChildren(
      element("img", { src: `faces/${person.person_id}.jpg`, alt: "" }),
      element("h2", {}, person.name),
      element("p", {}, `${person.kind} · ${person.id_number} · ${person.phone}`),
      element("p", { class: "code" }, code ? `Code ${code}` : "No SMS yet", letter ? element("span", { class: "letter" }, "Letter ",
        element("a", { href: letterAt + person.new_card, target: "_blank", rel: "noopener" }, grouped(letter))) : null),
      element("div", { class: "buttons" }, element("button", {
        type: "button", on: () => act("look", { person: here ? null : person.person_id }),
      }, here ? "Walk away from the camera" : "Look into the camera"), element("button", {
        type: "button", on: () => act("touch", { person: touching ? null : person.person_id }),
      }, touching ? "Take the finger away" : "Lay a finger on the sensor"), letterButtons(person, letter)),
      entrusting(person),
      element("div", { class: "cards" }, ...cards.map((card) => cardShape(card, truth, cardButtons(card, truth)))),
    );
  });
}

function cardButtons(card, truth) {
  if (card.place !== "person") return [];
  const onReader = truth.on_reader === card.card_id;
  return [
    element("button", {
      type: "button", on: () => (onReader ? act("take_from_reader") : act("put_on_reader", { card: card.card_id })),
    }, onReader ? "Take from the reader" : "Put on the reader"),
    element("button", {
      type: "button", class: "quiet", disabled: !truth.shutter_open, on: () => act("insert_old", { card: card.card_id }),
    }, "Insert into the throat"),
    card.broken ? null : element("button", {
      type: "button", class: "quiet", on: () => act("break_chip", { card: card.card_id }),
    }, "Break the chip"),
  ].filter(Boolean);
}

function port(name, truth, cardId, open, light) {
  const box = $(`port-${name}`);
  box.classList.toggle("lit", truth.lights.includes(light));
  const place = box.querySelector(".card-place");
  place.classList.toggle("open", open);
  const card = truth.cards.find((each) => each.card_id === cardId);
  draw(`port-${name}`, [card, open], () => place.replaceChildren(card ? cardShape(card, truth) : open ? "open, empty" : "empty"));
  const button = box.querySelector("button");
  if (button) button.disabled = !card || !open;
}

function somebody(port, who, nobody) {
  const person = people.find((each) => each.person_id === who);
  port.querySelector(".looking").replaceChildren(...(person
    ? [element("img", { src: `faces/${person.person_id}.jpg`, alt: "" }), element("span", {}, person.name)]
    : [element("span", {}), element("span", {}, nobody)]));
}

function drawMachine(truth) {
  port("reader", truth, truth.on_reader, false, "reader");
  port("throat", truth, truth.at_throat, truth.shutter_open, "throat");
  port("exit", truth, truth.at_exit, truth.gate_open, "exit");
  const camera = $("port-camera");
  camera.classList.toggle("lit", truth.lights.includes("camera"));
  camera.querySelector("button").disabled = !truth.looking;
  draw("camera", truth.looking, () => somebody(camera, truth.looking, "nobody"));
  const sensor = $("port-finger");
  sensor.querySelector("button").disabled = !truth.touching;
  draw("finger", truth.touching, () => somebody(sensor, truth.touching, "no finger"));
  draw("inside", truth.cards.concat(truth.powered, truth.units), () => {
    const at = (place) => truth.cards.filter((card) => card.place === place).map((card) => card.card_id);
    const slots = truth.cards.filter((card) => card.place === "slot").map((card) => `${card.slot}: ${card.card_id}`);
    const rows = [
      ["Power", truth.powered ? "on" : "off"], ["Slots", slots.join(", ") || "empty"],
      ["On its way", [...at("transport"), ...at("between"), ...at("escrow")].join(", ") || "nothing"],
      ["Bin", at("bin").join(", ") || "empty"], ["Retract box", at("retract").join(", ") || "empty"],
      ["Totals", `${truth.units.dispenser.dispensed} dispensed, ${truth.units.recycler.retained} retained`],
    ];
    $("inside").replaceChildren(...rows.flatMap(([name, value]) => [element("dt", {}, name), element("dd", {}, value)]));
  });
  draw("motions", truth.motions, () => $("motions").replaceChildren(...truth.motions.toReversed().map((motion) =>
    element("li", { class: motion.ended === null ? "running" : "" }, `${motion.unit} ${motion.motion}`,
      element("span", {}, motion.ended === null ? "…" : `${(motion.ended - motion.began).toFixed(2)} s`)))));
}

function drawStaff(truth) {
  const tray = truth.cards.filter((card) => card.role === "new" && card.place === "tray").map((card) => card.card_id);
  const button = $("tray");
  button.textContent = tray.length ? `Place tray (${Math.min(tray.length, 5)} of ${tray.length} cards)` : "Tray is empty";
  button.disabled = tray.length === 0;
  button.onclick = () => act("place_tray", { cards: tray.slice(0, 5) }, "Placed. Now load it: staff console.");
}

function drawMessages(messages) {
  draw("messages", messages, () => $("messages").replaceChildren(...messages.toReversed().map((message) => {
    const code = message.text.match(CODE)?.[0];
    const [before, after] = code ? message.text.split(code) : [message.text, ""];
    const person = people.find((each) => each.phone === message.phone);
    return element("li", {},
      element("small", {}, `${person?.name ?? ""} ${message.phone} · ${new Date(message.at * 1000).toLocaleTimeString("en-GB")}`),
      before, code ? element("b", {}, code) : null, after);
  })));
}

async function look() {
  const live = await fetch("live").then((answer) => (answer.ok ? answer.json() : null)).catch(() => null);
  if (!live) return;
  document.body.classList.toggle("dark", live.dark);
  $("power").disabled = live.dark;
  drawPeople(live.truth);
  drawPerson(live.truth, live.messages, live.letters);
  drawReviews(live.reviews);
  drawMachine(live.truth);
  drawStaff(live.truth);
  drawMessages(live.messages);
}

async function begin() {
  const town = await (await fetch("people")).json();
  people = town.people;
  chosen = people[0]?.person_id ?? null;
  $("kiosk").src = town.kiosk;
  $("console").href = town.console;
  letterAt = town.letters;
  $("staff").textContent = `(${town.staff.name}, PIN ${town.staff.pin})`;
  for (const button of document.querySelectorAll("button[data-act]")) {
    const { act: what, then, ...more } = button.dataset;
    if ("person" in more) more.person = more.person || null;
    if ("seconds" in more) more.seconds = Number(more.seconds);
    button.addEventListener("click", () => act(what, more, then));
  }
  $("power").addEventListener("click", () => post("power", {}));
  for (;;) {
    await look();
    await new Promise((done) => setTimeout(done, 300));
  }
}

begin();
