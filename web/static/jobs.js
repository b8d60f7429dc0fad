// The pages of jobs: rows and regions that the server sends as they change, the form for a new job, and keys.
const { root, send, toast } = window.hangtag;
const byId = (id) => document.getElementById(id);

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

function followTable(rows) {
  const events = new EventSource(root + rows.dataset.events);
  events.addEventListener("rows", (event) => {
    for (const [id, html] of Object.entries(JSON.parse(event.data))) {
      const row = [...rows.children].find((one) => one.dataset.id === id);
      if (row) updateRow(row, html);
    }
    applyFilter();
  });
  events.addEventListener("table", (event) => {
    const html = JSON.parse(event.data).rows;
    byId("table").hidden = !html.length;
    if (rows.contains(document.activeElement)) {
      const id = document.activeElement.closest("tr").dataset.id;
      rows.replaceChildren(elements(html.join("")));
      [...rows.children].find((row) => row.dataset.id === id)?.querySelector("a")?.focus();
    } else rows.replaceChildren(elements(html.join("")));
    applyFilter();
  });
  events.addEventListener("summary", (event) => (byId("summary").textContent = JSON.parse(event.data)));
}

function applyFilter() {
  const wanted = byId("filter").value.trim().toLowerCase();
  for (const row of byId("rows").children) row.hidden = !row.textContent.toLowerCase().includes(wanted);
}

function followJob(live) {
  const events = new EventSource(root + live.dataset.events);
  for (const region of live.querySelectorAll("[data-region]"))
    events.addEventListener(region.dataset.region, (event) => {
      const focus = region.contains(document.activeElement) ? document.activeElement.dataset.key : null;
      region.replaceChildren(elements(JSON.parse(event.data)));
      if (focus) region.querySelector(`[data-key="${focus}"]`)?.focus();
    });
  events.addEventListener("end", () => {
    events.close();
    location.reload();
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
    const { said } = await (await send(button.dataset.act, { method: "POST" })).json();
    if (said) sessionStorage.setItem("said", said);
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

  function given() {
    const data = new FormData(form);
    const own = { upload: "file", place: "source", urls: "urls" };
    for (const [kind, name] of Object.entries(own)) if (kind !== from()) data.delete(name);
    if (from() === "place") data.delete("upload");
    return data;
  }
  function refuse(text) {
    refused.textContent = text;
    refused.hidden = !text;
  }
  function forget() {
    asked += 1;
    preview.replaceChildren();
    start.disabled = true;
    refuse("");
  }
  async function work(words, doing) {
    refuse("");
    busy.textContent = words;
    start.disabled = true;
    try {
      await doing();
    } catch (error) {
      refuse(error.message);
    }
    busy.textContent = "";
  }
  async function look() {
    const data = given();
    if (data.get("upload")) ["file", "urls"].forEach((name) => data.delete(name));
    const mine = ++asked;
    await work("Reading the first rows …", async () => {
      const answer = await send("/jobs/_preview", { method: "POST", body: data });
      const html = await answer.text();
      if (mine !== asked) return;
      const group = form.elements.group_column?.value;
      preview.replaceChildren(elements(html));
      if (group) form.elements.group_column.value = group;
      start.disabled = false;
    });
  }

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    look();
  });
  form.addEventListener("change", (event) => {
    const name = event.target.name;
    if (["from", "file", "source", "urls"].includes(name)) forget();
    if (name === "file" && event.target.files.length) look();
    if (["image_column", "image_root"].includes(name) && preview.childElementCount) look();
    if (name === "image_root" && !preview.childElementCount && !refused.hidden) look();
  });
  start.addEventListener("click", async () => {
    if (!form.reportValidity()) return;
    const data = given();
    ["file", "urls"].forEach((name) => data.delete(name));
    await work("Reading the catalogue …", async () => {
      const answer = await send("/jobs/_start", { method: "POST", body: data });
      location.assign(`${root}/jobs/${encodeURIComponent((await answer.json()).id)}`);
    });
    start.disabled = !preview.childElementCount;
  });
  document.addEventListener("dragover", (event) => event.preventDefault());
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    if (!event.dataTransfer.files.length) return;
    show(true);
    form.elements.from.value = "upload";
    form.elements.file.files = event.dataTransfer.files;
    forget();
    look();
  });
  function show(open) {
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
  byId("filter").addEventListener("input", applyFilter);
}
const live = byId("live");
if (live?.dataset.events) followJob(live);
const said = sessionStorage.getItem("said");
if (said) toast(said);
sessionStorage.removeItem("said");
