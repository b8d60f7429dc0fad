// The pages of jobs: rows and regions that update from the server, the form for a new job, and keys.
const { send, toast } = window.hangtag;
const byId = (id) => document.getElementById(id);
const EVERY_MS = 1500;
const AWAY = "The server does not answer. This page updates when the server answers again.";

/** Replace changed cells, except a cell with the focus. */
function updateRow(row, fresh) {
  const cells = [...fresh.children];
  cells.forEach((cell, at) => {
    const old = row.children[at];
    if (old.outerHTML !== cell.outerHTML && !old.contains(document.activeElement)) old.replaceWith(cell);
  });
}

/** Fetch the page again while it is open and visible. `show` gets the new document. */
function follow(show) {
  let away = false;
  let looking = false;
  setInterval(async () => {
    if (document.hidden || looking) return;
    looking = true;
    try {
      const answer = await fetch(location.href, { headers: { Accept: "text/html" } });
      if (answer.status === 404 || answer.redirected) location.reload();
      else if (answer.ok) show(new DOMParser().parseFromString(await answer.text(), "text/html"));
      away = false;
    } catch {
      if (!away) toast(AWAY);
      away = true;
    }
    looking = false;
  }, EVERY_MS);
}

function followTable(rows) {
  follow((now) => {
    const fresh = [...now.getElementById("rows").children];
    const shown = new Map([...rows.children].map((row) => [row.dataset.id, row]));
    for (const row of fresh) if (shown.has(row.dataset.id)) updateRow(shown.get(row.dataset.id), row);
    if (fresh.length !== shown.size || !fresh.every((row) => shown.has(row.dataset.id))) {
      const focus = rows.contains(document.activeElement) && document.activeElement;
      rows.replaceChildren(...fresh.map((row) => shown.get(row.dataset.id) ?? row));
      if (focus) focus.focus();
    }
    byId("table").hidden = !fresh.length;
    byId("summary").textContent = now.getElementById("summary").textContent;
  });
}

function followJob(live) {
  follow((now) => {
    if (!now.querySelector("#live[data-live]")) return location.reload();
    for (const region of live.querySelectorAll("[data-region]")) {
      const fresh = now.querySelector(`[data-region="${region.dataset.region}"]`);
      if (fresh.innerHTML === region.innerHTML) continue;
      const focus = region.contains(document.activeElement) ? document.activeElement.dataset.key : null;
      region.replaceChildren(...fresh.childNodes);
      if (focus) region.querySelector(`[data-key="${focus}"]`)?.focus();
    }
  });
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

/** The form. A change fetches a new preview. Only a previewed job can start. */
function newJob(form) {
  const [start, busy, refused, preview] = ["start", "busy", "refused", "preview"].map(byId);
  const from = () => form.elements.from.value;
  let asked = 0;
  let looked = Promise.resolve(false); // resolves to whether the current form has a preview
  let starting = false;

  function given() {
    const data = new FormData(form);
    ["from", "urls"].forEach((name) => data.delete(name));
    if (from() !== "place") data.delete("source");
    if (from() === "urls") data.set("catalogue", new File([`${form.elements.urls.value.trim()}\n`], "pasted.txt"));
    else if (from() === "place" || !form.elements.catalogue.files.length) data.delete("catalogue");
    const models = data.get("models").split("\n").map((line) => line.trim()).filter(Boolean);
    data.delete("models");
    if (models.length) data.delete("model");
    for (const model of models) data.append("model", model);
    return data;
  }
  function tell(doing, wrong = "") {
    busy.textContent = doing;
    refused.textContent = wrong;
    refused.hidden = !wrong;
  }
  /** Disable the start. The preview's fields stay, because a change in them may correct the fault. */
  function refuse(wrong) {
    if (document.activeElement === start) byId("look").focus();
    start.disabled = true;
    preview.querySelectorAll("h3, .said, .wide").forEach((one) => one.remove());
    tell("", wrong);
  }
  function forget(wrong) {
    asked += 1;
    looked = Promise.resolve(false);
    refuse(wrong);
    preview.replaceChildren();
  }
  /** Refuse a file before the upload. The server checks again. */
  function isCatalogue(file) {
    const kinds = form.elements.catalogue.accept.split(",");
    if (kinds.some((kind) => file.name.toLowerCase().endsWith(kind))) return true;
    forget(`Expected a ${kinds.slice(0, -1).join(", ")} or ${kinds.at(-1)} file, got ${file.name}; save a spreadsheet as CSV.`);
    return false;
  }
  async function look() {
    const mine = ++asked;
    tell("Reading the first rows …");
    try {
      const html = await (await send("/jobs/_preview", { method: "POST", body: given() })).text();
      if (mine !== asked) return false;
      const group = form.elements.group_column?.value;
      const focus = preview.contains(document.activeElement) && document.activeElement.id;
      preview.replaceChildren(...new DOMParser().parseFromString(html, "text/html").body.childNodes);
      if (focus) byId(focus)?.focus();
      if (group) form.elements.group_column.value = group;
      start.disabled = !preview.querySelector(".first-rows");
      tell("");
    } catch (error) {
      if (mine === asked) refuse(error.message);
    }
    return mine === asked && !start.disabled;
  }
  /** Start the previewed job, after a pending preview. */
  async function begin() {
    if (!form.reportValidity() || !(await looked)) return;
    tell("Reading the catalogue …");
    try {
      const { links, remarks } = await (await send("/v1/jobs", { method: "POST", body: given() })).json();
      sessionStorage.setItem("message", remarks.join(" "));
      location.assign(links.page);
    } catch (error) {
      tell("", error.message);
    }
  }

  const { model, models } = form.elements;
  models.addEventListener("input", () => (model.required = !models.value.trim())); // one of the two fields is enough
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    looked = look();
  });
  form.addEventListener("change", (event) => {
    const name = event.target.name;
    if (["from", "catalogue", "source", "urls"].includes(name)) forget();
    if (name === "catalogue" && event.target.files.length && isCatalogue(event.target.files[0])) looked = look();
    if (["image_column", "image_root", "image_suffix", "encoding"].includes(name) && (preview.childElementCount || !refused.hidden)) looked = look();
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
    form.elements.catalogue.files = event.dataTransfer.files;
    forget();
    if (isCatalogue(event.dataTransfer.files[0])) looked = look();
  });
  function show(open) {
    open ||= byId("table").hidden; // without jobs the page shows only the form
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
if (live && "live" in live.dataset) followJob(live);
const message = sessionStorage.getItem("message");
if (message) toast(message);
sessionStorage.removeItem("message");
