// Labels photos with the server's model, or with the same model in this browser.
const { root } = window.hangtag;
const TOP = 5;
const LONGEST_WAIT_S = 60;

const pause = (seconds) => new Promise((done) => setTimeout(done, seconds * 1000));

/** Send a request. If the server is busy (429), wait for Retry-After and send it again. */
async function ask(path, body, type, signal) {
  for (;;) {
    const answer = await fetch(root + path, {
      method: "POST",
      body,
      signal,
      headers: { Accept: "application/json", "Content-Type": type },
    });
    if (answer.ok) return answer;
    if (answer.status !== 429) throw new Error(await problem(answer));
    const seconds = Number(answer.headers.get("Retry-After")) || 1;
    await pause(Math.min(LONGEST_WAIT_S, seconds) + Math.random() / 2);
    signal?.throwIfAborted();
  }
}

async function problem(answer) {
  try {
    return (await answer.json()).detail;
  } catch {
    return `The server answered ${answer.status}.`;
  }
}

const BYTES = "application/octet-stream";

export const server = {
  name: "server",
  classify: async (photo, signal) => (await (await ask(`/v1/classify?top_k=${TOP}`, photo, BYTES, signal)).json()).photos[0],
  heatMap: async (photo, _label, signal) => (await ask("/try/heat-map", photo, BYTES, signal)).json(),
};

/** The photo at a URL. The server fetches it, because the browser forbids photos of other sites. */
export const fetchPhoto = async (url, signal) =>
  (await ask("/try/photo", JSON.stringify({ urls: [url] }), "application/json", signal)).blob();

/** The server's description of its model: `{model}`, or `{trouble}` if there is none yet. */
export async function servedModel() {
  const answer = await fetch(`${root}/try/model`, { headers: { Accept: "application/json" } });
  if (!answer.ok) throw new Error(await problem(answer));
  return answer.json();
}

/** Load the model into this browser. Resolves when the model is ready. */
export async function openEdge(rules) {
  const worker = new Worker(`${root}/try/edge_worker.js`, { type: "module" });
  const waiting = new Map();
  const ready = new Promise((resolve, reject) => {
    worker.addEventListener("error", (event) => reject(new Error(event.message || "The model could not be loaded.")));
    worker.addEventListener("message", ({ data }) => {
      if (data.ready) resolve();
      else if (data.ready === false) reject(new Error(data.error));
      else settle(waiting, data);
    });
  });
  worker.postMessage({ setup: { root, rules } });
  await ready;
  const send = (message, signal) =>
    new Promise((resolve, reject) => {
      signal?.throwIfAborted();
      waiting.set((send.next = (send.next ?? 0) + 1), { resolve, reject });
      worker.postMessage({ id: send.next, ...message });
    });
  return {
    name: "browser",
    classify: async (photo, signal) => ({ ...(await send({ photo }, signal)), model: rules.reference, sha256: await sha256(photo) }),
    heatMap: (photo, label, signal) => send({ photo, label }, signal),
  };
}

function settle(waiting, { id, answer, error }) {
  const { resolve, reject } = waiting.get(id);
  waiting.delete(id);
  if (error === undefined) resolve(answer);
  else reject(new Error(error));
}

/** SHA-256 as in the server's answers. Null without https, because browsers then lack the function. */
async function sha256(photo) {
  if (!crypto.subtle) return null;
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", await photo.arrayBuffer()));
  return [...digest].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}
