// The id of a browser tab. The server reserves questions for it. A crashed tab leaves its id in the browser's storage.
export class BrowserTab {
  /**
   * @param {string} name the prefix of this review's tabs in the browser's storage
   * @param {(tab: string) => Promise<unknown>} letGo releases a tab's questions to other reviewers
   */
  constructor(name, letGo) {
    this.name = name;
    this.letGo = letGo;
    this.id = sessionStorage.hangtagTab ??= randomId();
  }

  /** Take an unused id, and release the questions of closed tabs. */
  async begin() {
    if (!navigator.locks) return; // over plain HTTP there are no locks; leases expire
    if (!(await hasOwn(this.id))) await hasOwn((this.id = sessionStorage.hangtagTab = randomId())); // this tab is a duplicate
    const left = Object.keys(localStorage).filter((key) => key.startsWith(this.name) && key !== this.key);
    localStorage.setItem(this.key, "");
    await Promise.all(left.map((key) => this.leave(key)));
  }

  get key() {
    return this.name + this.id;
  }

  leave(key) {
    const tab = key.slice(this.name.length);
    return navigator.locks.request(lockOf(tab), { ifAvailable: true }, async (lock) => {
      if (!lock) return; // the other tab is open
      await this.letGo(tab).then(() => localStorage.removeItem(key)).catch(() => {});
    });
  }

  /** Call it when the tab is closed. */
  end() {
    localStorage.removeItem(this.key);
    this.letGo(this.id).catch(() => {});
  }
}

const lockOf = (tab) => `hangtag.tab.${tab}`;

/** Lock an id until this page ends. The browser releases the lock, also after a crash. */
function hasOwn(tab) {
  return new Promise((tell) => {
    navigator.locks.request(lockOf(tab), { ifAvailable: true }, (lock) => {
      tell(Boolean(lock));
      return lock && new Promise(() => {});
    });
  });
}

export function randomId() {
  return [...crypto.getRandomValues(new Uint8Array(9))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}
