// Answers on their way: in order, tried until the server has stored them, kept by the browser meanwhile.
const PAUSES_MS = [500, 1000, 2000, 4000, 8000];
const BATCH = 100;

export class Outbox {
  /**
   * @param {string} name where the browser keeps them; pages of the same job begin with the same name
   * @param {(answers: object[]) => Promise<string[]>} deliver sends answers; gives the ids of settled ones
   * @param {(state: object) => void} tell is told whenever the number of waiting answers changes
   */
  constructor(name, deliver, tell) {
    this.name = name;
    this.key = `${name}.${Date.now()}${Math.random()}`;
    this.deliver = deliver;
    this.tell = tell;
    this.waiting = [];
    this.sending = new Set();
    this.tries = 0;
    this.error = null; // of the last try
  }

  /** Take over what an earlier page could not send: an answer that is sent twice is stored once. */
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

  /** Keep an answer; it is sent with the next flush. */
  keepOne(answer) {
    this.waiting.push(answer);
    this.keep();
  }

  push(answer) {
    this.keepOne(answer);
    this.flush();
  }

  /** Take out an answer that is not on its way yet. */
  takeBack(id) {
    const place = this.waiting.findIndex((answer) => answer.id === id);
    if (place < 0 || this.sending.has(id)) return false;
    this.waiting.splice(place, 1);
    this.keep();
    return true;
  }

  /** Send until the queue is empty, or the server is away. */
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

  /** Post as JSON; an Error has the detail of a problem document. */
  async post(url, body) {
    const headers = { "Content-Type": "application/json", Accept: "application/json" };
    const answer = await fetch(url, { method: "POST", body, headers });
    if (answer.ok) return answer.json();
    const { detail } = await answer.json().catch(() => ({}));
    throw Object.assign(new Error(detail ?? "The server refused."), { detail });
  }
}
