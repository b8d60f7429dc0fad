// Letters on the review page. A letter is a shortcut, or begins a name. Letters typed before a photo is seen are ignored.
const SECOND_MS = 400; // the longest time between two letters of a name
const UNSEEN_MS = 250; // shorter than any person's reaction to a photo
const REST_MS = 1000; // after this pause, an ignored name has ended

const isLetter = (key) => /^\p{L}$/u.test(key);

export class Letters {
  /**
   * @param {Record<string, () => void>} shortcuts the action of each letter
   * @param {() => boolean} waits whether a shortcut may also begin a name; false in the grid
   * @param {(text: string) => boolean} begins whether the name of a class begins with this text
   * @param {() => object | undefined} shown the question on the screen
   * @param {(key: string) => boolean} isCommand whether a key acts at once and cannot be part of a name
   * @param {(text: string) => void} search begins a search with these letters
   * @param {() => void} tell reports ignored letters
   */
  constructor({ shortcuts, waits, begins, shown, isCommand, search, tell }) {
    Object.assign(this, { shortcuts, waits, begins, shown, isCommand, search, tell });
    this.held = null; // a shortcut that waits for the next letter
    this.last = { key: "", leftOut: false, on: undefined, at: -Infinity }; // no key yet
  }

  /** Remember a key and its photo. */
  note(key, leftOut = false) {
    this.last = { key, leftOut, on: this.shown(), at: performance.now() };
  }

  /** Handle a key: it waits, continues a name, or is ignored. Returns false for other keys. */
  takes(key) {
    if (key === "Escape" || key === "Backspace") this.drop();
    if (key !== "Enter" && [...key].length > 1) return false;
    if (this.held && this.held.on !== this.shown()) this.drop();
    const leftOut = this.isRest(key);
    if (leftOut && !this.last.leftOut) this.tell();
    this.note(key, leftOut);
    if (leftOut) return true;
    return this.held ? this.goOn(key) : this.hold(key);
  }

  /** Whether a key belongs to a name for the last photo. A repeated shortcut does not. */
  isRest(key) {
    const { last } = this;
    const pause = performance.now() - last.at;
    if (last.leftOut) return pause < REST_MS && (key === "Enter" || [...key].length === 1);
    if (last.on === this.shown() || pause >= (isLetter(last.key) ? SECOND_MS : UNSEEN_MS)) return false;
    if (this.isCommand(key) || key === last.key || key === "u") return false;
    return isLetter(last.key) || !this.shortcuts[key] || this.begins(key);
  }

  hold(key) {
    if (!this.shortcuts[key] || !this.waits()) return false;
    this.held = { key, on: this.shown(), timer: setTimeout(() => this.fire(), SECOND_MS) };
    return true;
  }

  /** A second letter begins a search. Another key only ends the wait, because the next photo was not seen yet. */
  goOn(key) {
    const first = this.held.key;
    if (key === first) {
      this.fire();
      return this.hold(key);
    }
    if (isLetter(key) || !this.isCommand(key)) {
      this.drop();
      this.search(first + key);
    } else this.fire();
    return true;
  }

  fire() {
    const { key, on } = this.held;
    this.drop();
    const isMoot = on !== this.shown() && key !== "g"; // the grid shows several photos
    if (isMoot || document.querySelector("dialog[open]")) return;
    this.note(key);
    this.shortcuts[key]();
  }

  drop() {
    clearTimeout(this.held?.timer);
    this.held = null;
  }
}
