// A queue of answers. The browser stores them, and sends them in order until the server has stored them.
const PAUSES_MS = [500, 1000, 2000, 4000, 8000];
const BATCH = 100;

export class Outbox {
  /**
   * @param {string} name the prefix of the queue's key in the browser's storage; the same for all pages of a job
   * @param {(answers: object[]) => Promise<string[]>} deliver sends answers; returns the ids of settled answers
   * @param {(state: object) => void} tell called when the number of waiting answers changes
   */
  constructor(name, deliver, tell) {
    this.name = name;
    this.key = `${name}.${Date.now()}${Math.random()}`;
    this.deliver = deliver;
    this.tell = tell;
    this.waiting = [];
    this.sending = new Set();
    this.tries = 0;
    this.error = null; // the error of the last try
  }

  /** Take over the unsent answers of earlier pages. The server stores an answer once, even if it gets it twice. */
  begin() {
    const left = Object.keys(localStorage).filter((key) => key.startsWith(`${this.name}.`));
    this.waiting.unshift(...left.sort().flatMap((key) => JSON.parse(localStorage.getItem(key))));
    this.keep();
    for (const key of left) if (key !== this.key) localStorage.removeItem(key);
    this.flush();
  }

  get size() {
    return this.waiting.length;
  }

  holds(sha256) {
    return this.waiting.some((answer) => answer.sha256 === sha256 && answer.kind !== "undo");
  }

  /** Store an answer. The next flush sends it. */
  keepOne(answer) {
    this.waiting.push(answer);
    this.keep();
  }

  push(answer) {
    this.keepOne(answer);
    this.flush();
  }

  /** Remove an answer, unless it is being sent. */
  takeBack(id) {
    const place = this.waiting.findIndex((answer) => answer.id === id);
    if (place < 0 || this.sending.has(id)) return false;
    this.waiting.splice(place, 1);
    this.keep();
    return true;
  }

  /** Send until the queue is empty, or the server does not answer. */
  async settled() {
    await this.flushing;
  }

  flush() {
    this.flushing ??= this.sendAll().finally(() => (this.flushing = null));
    return this.flushing;
  }

  async sendAll() {
    while (this.waiting.length) {
      const { by } = this.waiting[0];
      const other = this.waiting.findIndex((answer) => answer.by !== by);
      const batch = this.waiting.slice(0, Math.min(other < 0 ? BATCH : other, BATCH));
      this.sending = new Set(batch.map((answer) => answer.id));
      try {
        const settled = new Set(await this.deliver(batch));
        this.waiting = this.waiting.filter((answer) => !settled.has(answer.id));
        this.tries = 0;
        this.error = null;
        this.keep();
      } catch (error) {
        this.error = error;
        this.keep();
        this.sending.clear();
        await new Promise((resolve) => setTimeout(resolve, PAUSES_MS[Math.min(this.tries++, PAUSES_MS.length - 1)]));
      }
    }
    this.sending.clear();
  }

  keep() {
    if (this.waiting.length) localStorage.setItem(this.key, JSON.stringify(this.waiting));
    else localStorage.removeItem(this.key);
    this.tell({ waiting: this.waiting.length, away: Boolean(this.error), problem: this.error?.detail });
  }

  /** Post JSON. An Error has the detail of the problem document. */
  async post(url, body) {
    const headers = { "Content-Type": "application/json", Accept: "application/json" };
    const answer = await fetch(url, { method: "POST", body, headers });
    if (answer.ok) return answer.json();
    const { detail } = await answer.json().catch(() => ({}));
    throw Object.assign(new Error(detail ?? "The server refused the request."), { detail });
  }
}
