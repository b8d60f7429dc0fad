// The pages of jobs: rows and regions that the server sends as they change, the form for a new job, and keys.
const { root, send, toast } = window.hangtag;
const byId = (id) => document.getElementById(id);
const AGAIN_MS = 5000;
const AWAY = "The server does not answer; the page goes on when it does.";

/** Elements of HTML that this server has rendered and escaped. */
function elements(html) {
  const template = document.createElement("template");
  template.innerHTML = html;
  return template.content;
}

/** Put new cells in the place of those that have changed; one that has the focus stays. */
function updateRow(row, html) {
  const cells = [...elements(html).firstElementChild.children];
  cells.forEach((cell, at) => {
    const old = row.children[at];
    if (old.outerHTML !== cell.outerHTML && !old.contains(document.activeElement)) old.replaceWith(cell);
  });
}

/** Hear events of the server, by name; again where a proxy has ended them, unless the job or the session is gone. */
function follow(path, heard) {
  const events = new EventSource(root + path);
  for (const [name, hear] of Object.entries(heard))
    events.addEventListener(name, (event) => hear(JSON.parse(event.data), events));
  let silent = false;
  events.addEventListener("open", () => (silent = false));
  events.addEventListener("error", () => {
    if (silent) toast(AWAY); // the first error is the end of what was heard, the next that nobody answers
    silent = true;
    if (events.readyState === EventSource.CLOSED) setTimeout(again, AGAIN_MS);
  });
  async function again() {
    const now = await fetch(location.href).catch(() => null);
    if (!now) toast(AWAY);
    if (now?.status === 404 || now?.redirected) location.reload();
    else follow(path, heard);
  }
}

function followTable(rows) {
  follow(rows.dataset.events, {
    rows(changed) {
      for (const [id, html] of Object.entries(changed)) {
        const row = [...rows.children].find((one) => one.dataset.id === id);
        if (row) updateRow(row, html);
      }
    },
    table(html) {
      byId("table").hidden = !html.length;
      const id = rows.contains(document.activeElement) && document.activeElement.closest("tr").dataset.id;
      rows.replaceChildren(elements(html.join("")));
      if (id) [...rows.children].find((row) => row.dataset.id === id)?.querySelector("a")?.focus();
    },
    summary: (text) => (byId("summary").textContent = text),
  });
}

function followJob(live) {
  const regions = [...live.querySelectorAll("[data-region]")].map((region) => [
    region.dataset.region,
    (html) => {
      const focus = region.contains(document.activeElement) ? document.activeElement.dataset.key : null;
      region.replaceChildren(elements(html));
      if (focus) region.querySelector(`[data-key="${focus}"]`)?.focus();
    },
  ]);
  const end = (_, events) => {
    events.close();
    location.reload();
  };
  follow(live.dataset.events, { ...Object.fromEntries(regions), end });
}

function ask(text) {
  const dialog = byId("ask");
  byId("ask-text").textContent = text;
  dialog.returnValue = "no";
  dialog.showModal();
  return new Promise((answer) => dialog.addEventListener("close", () => answer(dialog.returnValue === "yes"), { once: true }));
}

async function act(button) {
  if (button.dataset.ask && !(await ask(button.dataset.ask))) return;
  button.disabled = true;
  try {
    const { message } = await (await send(button.dataset.act, { method: "POST" })).json();
    if (message) sessionStorage.setItem("message", message);
    location.reload();
  } catch (error) {
    button.disabled = false;
    toast(error.message);
  }
}

/** The form: a preview is asked for again whenever what it shows may have changed; only what was previewed can start. */
function newJob(form) {
  const [start, busy, refused, preview] = ["start", "busy", "refused", "preview"].map(byId);
  const from = () => form.elements.from.value;
  let asked = 0;
  let sent = ""; // the file that the server keeps for this form
  let looked = Promise.resolve(false); // whether what is asked for now has a preview, once it is known
  let starting = false;

  function given() {
    const data = new FormData(form);
    const own = { upload: "file", place: "source", urls: "urls" };
    for (const [kind, name] of Object.entries(own)) if (kind !== from()) data.delete(name);
    if (from() === "place") data.delete("upload");
    if (sent && data.get("upload") !== sent) data.set("instead", sent);
    return data;
  }
  function tell(doing, wrong = "") {
    busy.textContent = doing;
    refused.textContent = wrong;
    refused.hidden = !wrong;
  }
  /** Nothing can start; the fields of the preview stay where they may mend what was wrong. */
  function refuse(wrong) {
    if (document.activeElement === start) byId("look").focus();
    start.disabled = true;
    preview.querySelectorAll("[name=upload], h3, .said, .wide").forEach((one) => one.remove());
    tell("", wrong);
  }
  function forget(wrong) {
    asked += 1;
    looked = Promise.resolve(false);
    refuse(wrong);
    preview.replaceChildren();
  }
  /** Refuse a file before it is sent; the server looks again. */
  function isCatalogue(file) {
    const kinds = form.elements.file.accept.split(",");
    if (kinds.some((kind) => file.name.toLowerCase().endsWith(kind))) return true;
    forget(`Expected a ${kinds.slice(0, -1).join(", ")} or ${kinds.at(-1)} file, got ${file.name}; save a spreadsheet as CSV.`);
    return false;
  }
  async function look() {
    const mine = ++asked;
    const data = given();
    if (data.get("upload")) ["file", "urls"].forEach((name) => data.delete(name));
    tell("Reading the first rows …");
    try {
      const html = await (await send("/jobs/_preview", { method: "POST", body: data })).text();
      if (mine !== asked) return false;
      const group = form.elements.group_column?.value;
      const focus = preview.contains(document.activeElement) && document.activeElement.id;
      preview.replaceChildren(elements(html));
      if (focus) byId(focus)?.focus();
      if (group) form.elements.group_column.value = group;
      sent = form.elements.upload.value;
      start.disabled = !preview.querySelector(".first-rows");
      tell("");
    } catch (error) {
      if (mine === asked) refuse(error.message);
    }
    return mine === asked && !start.disabled;
  }
  /** Start what is previewed, once the preview that is under way has come. */
  async function begin() {
    if (!form.reportValidity() || !(await looked)) return;
    const data = given();
    ["file", "urls"].forEach((name) => data.delete(name));
    tell("Reading the catalogue …");
    try {
      const answer = await send("/jobs/_start", { method: "POST", body: data });
      location.assign(`${root}/jobs/${encodeURIComponent((await answer.json()).id)}`);
    } catch (error) {
      tell("", error.message);
    }
  }

  const { model, models } = form.elements;
  models.addEventListener("input", () => (model.required = !models.value.trim())); // one of the two is enough
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    looked = look();
  });
  form.addEventListener("change", (event) => {
    const name = event.target.name;
    if (["from", "file", "source", "urls"].includes(name)) forget();
    if (name === "file" && event.target.files.length && isCatalogue(event.target.files[0])) looked = look();
    if (["image_column", "image_root", "encoding"].includes(name) && (preview.childElementCount || !refused.hidden)) looked = look();
  });
  start.addEventListener("click", async () => {
    if (starting) return;
    starting = true;
    await begin();
    starting = false;
  });
  document.addEventListener("dragover", (event) => event.preventDefault());
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    if (!event.dataTransfer.files.length) return;
    show(true);
    form.elements.from.value = "upload";
    form.elements.file.files = event.dataTransfer.files;
    forget();
    if (isCatalogue(event.dataTransfer.files[0])) looked = look();
  });
  function show(open) {
    open ||= byId("table").hidden; // without a job there is nothing else to show
    byId("new-job").hidden = !open;
    byId("new").setAttribute("aria-expanded", String(open));
    if (open) form.elements.from[0].focus();
  }
  byId("new").addEventListener("click", () => show(byId("new-job").hidden));
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, select, textarea, dialog")) return;
  const wanted = [...document.querySelectorAll("[data-key]")].find((one) => one.dataset.key === event.key);
  if (!wanted) return;
  event.preventDefault();
  if (wanted.matches("input")) wanted.focus();
  else wanted.click();
});
document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-act]");
  if (button) act(button);
});

const rows = byId("rows");
if (rows) {
  followTable(rows);
  newJob(byId("submit"));
}
const live = byId("live");
if (live?.dataset.events) followJob(live);
const message = sessionStorage.getItem("message");
if (message) toast(message);
sessionStorage.removeItem("message");
