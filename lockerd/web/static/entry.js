// What is being typed on the page's keypad. It lives here only, and is forgotten when the page changes.

import { judge } from "./idnumber.js";
import { judge as judgeLetter } from "./lettercode.js";

const LENGTH = { code: 8, letter_code: 16, number: 18 };
const CHECKED = { number: judge, letter_code: judgeLetter };

export class Entry {
  #text = "";
  #kind = "";

  /** Bind to the entry of a freshly shown fragment; what was typed stays only if `keep` and the kind is the same. */
  attach(root, keep) {
    const boxes = [...root.querySelectorAll("[data-entry]")];
    this.box = boxes.find((box) => !box.closest("[hidden]")) ?? null;
    const kind = this.box?.dataset.entry ?? "";
    if (!keep || kind !== this.#kind) this.#text = "";
    this.#kind = kind;
    this.hint = this.box?.parentElement.querySelector("[data-hint]");
    this.ok = kind ? root.querySelector(`[data-action="${kind}"][data-from-entry]`) : null;
    this.#show();
  }

  get text() {
    return this.#text;
  }

  forget() {
    this.#text = "";
    this.#show();
  }

  /** Forget what nobody went on with, and say so. */
  clear() {
    this.forget();
    this.hint.className = "hint more";
    this.hint.textContent = this.box.dataset.cleared;
  }

  /** Take one key: a digit, "X", "back" or "clear". Returns whether it meant something here. */
  press(key) {
    if (!this.box) return false;
    if (key === "clear") this.#text = "";
    else if (key === "back") this.#text = this.#text.slice(0, -1);
    else if (/^[0-9]$/.test(key) && this.#text.length < LENGTH[this.#kind]) this.#text += key;
    else if (key === "X" && this.#kind === "number" && this.#text.length === 17) this.#text += key;
    else return false;
    this.#show();
    return true;
  }

  /** Say that the daemon refused what was typed. */
  refused() {
    if (this.hint && this.#kind in CHECKED) this.#tell("check");
  }

  #verdict() {
    if (this.#kind in CHECKED) return CHECKED[this.#kind](this.#text);
    return this.#text.length === LENGTH.code ? "good" : "more";
  }

  #show() {
    if (!this.box) return;
    const cells = this.box.querySelectorAll(".cell");
    cells.forEach((cell, place) => {
      cell.textContent = this.#text[place] ?? "";
      cell.classList.toggle("next", place === this.#text.length);
    });
    const verdict = this.#verdict();
    if (this.ok) this.ok.disabled = verdict !== "good";
    if (this.#kind in CHECKED) this.#tell(verdict);
    else this.hint.textContent = "";
  }

  #tell(verdict) {
    const words = { more: this.box.dataset.more, good: this.box.dataset.good, date: this.box.dataset.date, check: this.box.dataset.check };
    this.hint.className = `hint ${verdict}`;
    this.hint.textContent = this.#text ? words[verdict].replace("#", String(LENGTH[this.#kind] - this.#text.length)) : "";
    this.box.classList.toggle("bad", verdict === "date" || verdict === "check");
  }
}
