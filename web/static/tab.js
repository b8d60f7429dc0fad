// The id of a browser tab, for which the server keeps photos. The id of a tab that crashed stays in the browser's storage.
export class BrowserTab {
  /**
   * @param {string} name of this review's tabs in the browser's storage: what their keys begin with
   * @param {(tab: string) => Promise<unknown>} letGo has the server ask others the questions of a tab
   */
  constructor(name, letGo) {
    this.name = name;
    this.letGo = letGo;
    this.id = sessionStorage.hangtagTab ??= randomId();
  }

  /** Take an id that no other tab has, and let go of the questions of tabs that are gone. */
  async begin() {
    if (!navigator.locks) return; // not over plain HTTP: leases end by themselves
    if (!(await hasOwn(this.id))) await hasOwn((this.id = sessionStorage.hangtagTab = randomId())); // a tab was duplicated
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
      if (!lock) return; // it is open
      await this.letGo(tab).then(() => localStorage.removeItem(key)).catch(() => {});
    });
  }

  /** The tab is closed. */
  end() {
    localStorage.removeItem(this.key);
    this.letGo(this.id).catch(() => {});
  }
}

const lockOf = (tab) => `hangtag.tab.${tab}`;

/** Lock an id for the life of this page; the browser ends the lock with the page, even after a crash. */
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
