// Check of a letter code (16 digits, ISO/IEC 7064 MOD 97-10) while it is typed, and its QR code as a scanner types it.

const GAP_MS = 1_000; // between two keys of a scanner, at most
const LONGEST = 40;

/** "more" while it is incomplete, then "check" or "good". */
export function judge(code) {
  if (code.length < 16) return "more";
  return /^[0-9]{16}$/.test(code) && BigInt(code) % 97n === 1n ? "good" : "check";
}

/** Tells the keys of a scanner from those of a person: they begin with the letter of the QR code's prefix, and Enter ends them. */
export class Scanner {
  #text = "";
  #at = 0;

  /** Take one key event of a page whose QR codes begin with `prefix`: null where it is none of a scan, "" within one, at its end what follows the prefix. */
  key(key, prefix, at = performance.now()) {
    if (!prefix || at - this.#at > GAP_MS || this.#text.length > LONGEST) this.#text = "";
    this.#at = at;
    if (key === "Enter" && this.#text) {
      const text = this.#text;
      this.#text = "";
      return text.startsWith(prefix) ? text.slice(prefix.length) : "";
    }
    const letter = key.length === 1 ? key.toUpperCase() : "";
    if (!prefix || !letter || (!this.#text && letter !== prefix[0])) return null;
    this.#text += letter;
    return "";
  }
}
