// Letters on the review page: each may be a shortcut, or the first of a name. A photo gets no letter before a person has seen it.
const SECOND_MS = 400; // in which the next letter of a name comes
const UNSEEN_MS = 250; // nobody sees a photo and presses a key sooner
const REST_MS = 1000; // after it, a name whose beginning was left out is over

const isLetter = (key) => /^\p{L}$/u.test(key);

export class Letters {
  /**
   * @param {Record<string, () => void>} shortcuts what a letter does by itself
   * @param {() => boolean} waits whether a shortcut may be the first letter of a name: not in the grid
   * @param {(text: string) => boolean} begins whether the name of a class may begin so
   * @param {() => object | undefined} shown the question on the screen
   * @param {(key: string) => boolean} isCommand whether a key acts at once and is no part of a name
   * @param {(text: string) => void} search begins a search with these letters
   * @param {() => void} tell says that letters were left out
   */
  constructor({ shortcuts, waits, begins, shown, isCommand, search, tell }) {
    Object.assign(this, { shortcuts, waits, begins, shown, isCommand, search, tell });
    this.held = null; // a shortcut that waits for the next letter
    this.last = { key: "", leftOut: false, on: undefined, at: -Infinity }; // no name was begun before the page
  }

  /** Remember a key, and which photo it was about. */
  note(key, leftOut = false) {
    this.last = { key, leftOut, on: this.shown(), at: performance.now() };
  }

  /** Whether a key is handled: it waits, continues a name, or is left out. */
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

  /** Whether a key belongs to a name that was begun on the photo before; a shortcut that is pressed again does not. */
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

  /** A second letter makes it a search. Another key does no more than end the wait: the next photo is not seen yet. */
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
    const isMoot = on !== this.shown() && key !== "g"; // the grid is about no one photo
    if (isMoot || document.querySelector("dialog[open]")) return;
    this.note(key);
    this.shortcuts[key]();
  }

  drop() {
    clearTimeout(this.held?.timer);
    this.held = null;
  }
}
