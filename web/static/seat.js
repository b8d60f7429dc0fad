// The seat of a page: what the server knows it by that keeps photos for it. A page that crashed leaves its own behind.
export class Seat {
  /**
   * @param {string} name what the seats of this review begin with in the browser's storage
   * @param {(seat: string) => Promise<unknown>} letGo has the server ask others what a seat holds
   */
  constructor(name, letGo) {
    this.name = name;
    this.letGo = letGo;
    this.id = sessionStorage.hangtagSeat ??= randomId();
  }

  /** Take a seat that no other page has, and let go of those whose pages are gone. */
  async take() {
    if (!navigator.locks) return; // not over plain HTTP: leases end by themselves
    if (!(await hasOwn(this.id))) await hasOwn((this.id = sessionStorage.hangtagSeat = randomId())); // a tab was duplicated
    const left = Object.keys(localStorage).filter((key) => key.startsWith(this.name) && key !== this.key);
    localStorage.setItem(this.key, "");
    await Promise.all(left.map((key) => this.leave(key)));
  }

  get key() {
    return this.name + this.id;
  }

  leave(key) {
    const seat = key.slice(this.name.length);
    return navigator.locks.request(lockOf(seat), { ifAvailable: true }, async (lock) => {
      if (!lock) return; // its page is open
      await this.letGo(seat).then(() => localStorage.removeItem(key)).catch(() => {});
    });
  }

  /** The page is closed. */
  end() {
    localStorage.removeItem(this.key);
    this.letGo(this.id).catch(() => {});
  }
}

const lockOf = (seat) => `hangtag.seat.${seat}`;

/** Lock a seat for as long as this page is there; the browser ends the lock with it, however it ends. */
function hasOwn(seat) {
  return new Promise((tell) => {
    navigator.locks.request(lockOf(seat), { ifAvailable: true }, (lock) => {
      tell(Boolean(lock));
      return lock && new Promise(() => {});
    });
  });
}

export function randomId() {
  return [...crypto.getRandomValues(new Uint8Array(9))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}
