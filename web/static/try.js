// The Try page. Photos come by drop, paste, file dialog, camera or URL, wait in a queue, and get a card each.
import { hideHeat, makeCard, showAnswer, showHeat, showPicture } from "./try_card.js";
import { fetchPhoto, openEdge, server, servedModel } from "./try_model.js";

const AT_ONCE = 4; // parallel requests; the server joins them to batches
const MOST = 1000;
const LOOK_MS = 1500;
const PHOTO = /\.(jpe?g|jpe|jfif|png|webp|avif|bmp|gif|tiff?|hei[cf])$/i;
const COLUMNS = ["photo", "status", "label", "confidence", "reason", "threshold", "unknown", "error", "error_message", "sha256", "model", "by", "decode_ms", "inference_ms"];

const $ = (selector) => document.querySelector(selector);
const results = $("#results");
let tries = []; // {name, url, photo, card, answer, stop}, newest batch first
let queue = [];
let asking = 0;
let answerer = server; // a promise while the browser's model loads; photos wait
let model; // the server's description
let edge = null;
const known = new Promise((resolve) => (know.first = resolve));

// ---- adding photos

function add(sources) {
  if (!sources.length) return;
  if (tries.length + sources.length > MOST) {
    window.hangtag.toast(`Expected at most ${MOST.toLocaleString("en")} photos, got ${(tries.length + sources.length).toLocaleString("en")}; label more with hangtag label.`);
    return;
  }
  const added = sources.map(({ name, photo, url }) => ({ name, photo, url, card: makeCard(name), stop: new AbortController() }));
  for (const tried of added) tried.card.tried = tried;
  results.prepend(...added.map(({ card }) => card));
  tries = [...added, ...tries];
  queue.push(...added);
  for (const tried of added) if (tried.photo) show(tried);
  count();
  work();
}

const addFiles = (files) => add([...files].map((photo) => ({ name: photo.webkitRelativePath || photo.name || "pasted photo", photo })));

function addUrl(text) {
  if (answerer !== server) window.hangtag.toast("The server must fetch this photo; switch off “In the browser” first.");
  else add([{ name: text, url: text }]);
}

function show(tried) {
  tried.shown = URL.createObjectURL(tried.photo);
  showPicture(tried.card, tried.shown, tried.name);
}

/** The dropped files, and the photos inside dropped folders. */
async function dropped(transfer) {
  const entries = [...transfer.items].filter(({ kind }) => kind === "file").map((item) => [item.webkitGetAsEntry?.(), item.getAsFile()]);
  const found = await Promise.all(entries.map(([entry, file]) => (entry?.isDirectory ? inside(entry) : file ? [file] : [])));
  return found.flat();
}

async function inside(folder) {
  const reader = folder.createReader();
  const found = [];
  for (;;) {
    const some = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
    if (!some.length) break;
    found.push(...some);
  }
  found.sort((a, b) => a.name.localeCompare(b.name, "en"));
  const files = await Promise.all(found.map((entry) => (entry.isDirectory ? inside(entry) : PHOTO.test(entry.name) ? file(entry) : [])));
  return files.flat();
}

const file = (entry) => new Promise((resolve, reject) => entry.file(resolve, reject));

function urlIn(transfer) {
  const said = (transfer.getData("text/uri-list") || transfer.getData("text/plain")).split("\n")[0].trim();
  return /^https?:\/\/\S+$/i.test(said) ? said : null;
}

async function take(transfer) {
  const url = urlIn(transfer); // read both before the first await: then the transfer is empty
  const files = await dropped(transfer);
  if (files.length) addFiles(files);
  else if (url) addUrl(url);
  else window.hangtag.toast("Expected photos or the URL of a photo; got something else.");
}

for (const kind of ["dragover", "dragleave", "drop"]) {
  document.addEventListener(kind, (event) => {
    event.preventDefault();
    $("#drop").classList.toggle("over", kind === "dragover");
  });
}
document.addEventListener("drop", (event) => take(event.dataTransfer));
document.addEventListener("paste", (event) => {
  if (event.target.closest?.("input, textarea") && !event.clipboardData.files.length) return;
  event.preventDefault();
  take(event.clipboardData);
});
for (const input of document.querySelectorAll("input[type=file]")) {
  input.addEventListener("change", () => {
    addFiles(input.id === "folder" ? [...input.files].filter(({ name }) => PHOTO.test(name)) : input.files);
    input.value = ""; // allows the same photo again
  });
}
$("#by-url").addEventListener("submit", (event) => {
  event.preventDefault();
  addUrl($("#url").value.trim());
  $("#url").value = "";
});

// ---- asking

function work() {
  while (asking < AT_ONCE && queue.length) {
    asking++;
    answer(queue.shift()).finally(() => {
      asking--;
      count();
      work();
    });
  }
}

async function answer(tried) {
  let by = "server";
  try {
    const who = await answerer;
    by = who.name;
    if (!tried.photo) {
      tried.photo = await fetchPhoto(tried.url, tried.stop.signal);
      show(tried);
    }
    tried.answer = await who.classify(tried.photo, tried.stop.signal);
    await known;
    if (by === "server" && tried.answer.model && tried.answer.model !== model.reference) await look(); // another version was promoted
  } catch (error) {
    if (tried.stop.signal.aborted) return;
    const message = error instanceof TypeError ? "The server does not answer." : error.message;
    tried.answer = { ...Object.fromEntries(COLUMNS.map((column) => [column, null])), status: "failed", error_message: message, top_k: null };
    tried.card.querySelector(".again").classList.remove("hidden");
  }
  tried.answer = { ...tried.answer, photo: tried.name, by };
  showAnswer(tried.card, tried.name, tried.answer, model);
  tried.card.querySelector(".heat").classList.toggle("hidden", tried.answer.status === "failed");
}

function again(tried) {
  const card = makeCard(tried.name);
  card.tried = tried;
  tried.card.replaceWith(card);
  Object.assign(tried, { card, answer: undefined });
  if (tried.shown) showPicture(card, tried.shown, tried.name);
  card.querySelector("article").focus();
  queue.push(tried);
  count();
  work();
}

async function heat(tried) {
  const button = tried.card.querySelector(".heat");
  if (!tried.answer?.label || button.disabled) return;
  if (button.getAttribute("aria-pressed") === "true") return hideHeat(tried.card);
  button.disabled = true;
  try {
    const who = await answerer;
    tried.maps ??= {};
    tried.maps[who.name] ??= await who.heatMap(tried.photo, tried.answer.label, tried.stop.signal);
    showHeat(tried.card, tried.maps[who.name]);
  } catch (error) {
    if (!tried.stop.signal.aborted) window.hangtag.toast(error.message);
  } finally {
    button.disabled = false;
  }
}

// ---- counting

let sayLater;

function count() {
  const done = tries.filter(({ answer }) => answer);
  const of = (status) => done.filter(({ answer }) => answer.status === status).length;
  const counts = { all: tries.length, labeled: of("labeled"), review: of("review"), failed: of("failed") };
  for (const [name, value] of Object.entries(counts)) $(`[data-count=${name}]`).textContent = value.toLocaleString("en");
  for (const part of ["#summary", "#keys"]) $(part).classList.toggle("hidden", !tries.length);
  document.body.classList.toggle("some", tries.length > 0);
  Object.assign($("#progress"), { max: Math.max(1, tries.length), value: done.length });
  $("#progress").classList.toggle("unseen", done.length === tries.length);
  clearTimeout(sayLater); // a screen reader reads the last count, not each count
  const words = tries.length ? `${done.length} of ${tries.length} ${tries.length === 1 ? "photo" : "photos"} done: ${counts.labeled} labeled, ${counts.review} for review, ${counts.failed} failed.` : "No photos.";
  sayLater = setTimeout(() => ($("#said").textContent = words), 400);
}

function remove(tried) {
  const next = tried.card.nextElementSibling ?? tried.card.previousElementSibling;
  drop(tried);
  tries = tries.filter((other) => other !== tried);
  queue = queue.filter((other) => other !== tried);
  (next?.querySelector("article") ?? $("#choose")).focus();
  count();
}

function drop(tried) {
  tried.stop.abort(new Error("removed"));
  tried.card.remove();
  if (tried.shown) URL.revokeObjectURL(tried.shown);
}

$("#clear").addEventListener("click", () => {
  tries.forEach(drop);
  [tries, queue] = [[], []];
  count();
  $("#choose").focus();
});
for (const button of document.querySelectorAll("[data-show]")) {
  button.addEventListener("click", () => {
    results.dataset.show = button.dataset.show;
    for (const other of document.querySelectorAll("[data-show]:is(button)")) other.setAttribute("aria-pressed", other === button);
  });
}

// ---- downloads

const answers = () => tries.filter(({ answer }) => answer).map(({ answer }) => answer);

$("#csv").addEventListener("click", () => {
  const rows = answers().map((answer) => COLUMNS.map((column) => cell(answer[column])));
  save([COLUMNS, ...rows].map((row) => row.join(",")).join("\n") + "\n", "text/csv", "photos.csv");
});
$("#json").addEventListener("click", () => save(JSON.stringify({ photos: answers() }, null, 1) + "\n", "application/json", "photos.json"));

/** A cell of a CSV. An apostrophe keeps spreadsheets from reading text as a formula. */
function cell(value) {
  if (typeof value !== "string") return value ?? "";
  const inert = /^(\s*[=+\-@＝＋－＠]|[\t\r\n])/.test(value) ? `'${value}` : value;
  return /[",\r\n]/.test(inert) ? `"${inert.replaceAll('"', '""')}"` : inert;
}

function save(text, type, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

// ---- the model

async function look() {
  try {
    const said = await servedModel();
    if (said.model) {
      know(said);
      return;
    }
    $("#model").textContent = said.trouble ? `No model: start hangtag web with --model. ${said.trouble}` : "The model is being loaded …";
    $("#model").classList.toggle("failed", Boolean(said.trouble));
  } catch (error) {
    $("#model").textContent = error instanceof TypeError ? "The server does not answer." : error.message;
  }
  setTimeout(look, LOOK_MS);
}

function know(said) {
  const replaced = edge && said.edge?.digest !== edge.digest;
  model = said.model;
  edge = said.edge;
  know.first();
  $("#model").classList.remove("failed");
  $("#model").textContent = `${model.name} · ${model.classes.toLocaleString("en")} classes · ${model.rule}`;
  $("#model").title = model.reference;
  $("#in-browser").disabled = !edge;
  if (!edge) $("#where").textContent = `Photos go to this server, which does not store them. In the browser: ${said.no_edge}`;
  if (!replaced) return;
  switchTo.opened = undefined;
  if ($("#in-browser").checked) switchTo(true);
}

const WHERE = {
  server: "Photos go to this server, which does not store them.",
  loading: "Loading the model into this browser (14 MB for the engine) …",
  browser: "Photos stay on this device.",
};

async function switchTo(browser) {
  answerer = server;
  $("#where").textContent = browser ? WHERE.loading : WHERE.server;
  for (const field of $("#by-url").elements) field.disabled = browser;
  if (!browser) return;
  switchTo.opened ??= openEdge(edge);
  const loading = (answerer = switchTo.opened);
  try {
    await loading;
    if (answerer === loading) $("#where").textContent = WHERE.browser;
  } catch (error) {
    switchTo.opened = undefined;
    if (answerer === loading) $("#where").textContent = `The model does not run in this browser (${error.message}). Switch off “In the browser” to use the server.`;
  }
}

$("#in-browser").addEventListener("change", ({ target }) => switchTo(target.checked));
look();

// ---- the camera

async function photograph() {
  const touch = matchMedia("(pointer: coarse)").matches;
  if (touch || !navigator.mediaDevices) return $("#camera").click();
  try {
    $("video").srcObject = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" } });
    await $("video").play(); // the picture is empty before
    $("#viewfinder").showModal();
  } catch {
    window.hangtag.toast("No camera was found or allowed; choose a photo instead.");
  }
}

$("#shoot").addEventListener("click", () => {
  const video = $("video");
  const canvas = Object.assign(document.createElement("canvas"), { width: video.videoWidth, height: video.videoHeight });
  canvas.getContext("2d").drawImage(video, 0, 0);
  canvas.toBlob((photo) => photo && add([{ name: `camera ${new Date().toLocaleTimeString("en-GB")}.jpg`, photo }]), "image/jpeg", 0.95);
});
$("#stop").addEventListener("click", () => $("#viewfinder").close());
$("#viewfinder").addEventListener("close", () => {
  for (const track of $("video").srcObject?.getTracks() ?? []) track.stop();
});

// ---- keys and buttons

const here = () => document.activeElement.closest?.("#results > li");

function move(step) {
  const shown = [...results.children].filter((card) => card.offsetParent);
  const next = shown[Math.min(shown.length - 1, Math.max(0, shown.indexOf(here()) + step))];
  next?.querySelector("article").focus();
}

const KEYS = {
  "?": () => window.hangtag.toast($("#keys").textContent),
  c: () => $("#choose").click(),
  f: () => $("#choose-folder").click(),
  p: () => $("#photograph").click(),
  u: () => $("#url").focus(),
  b: () => $("#in-browser").click(),
  j: () => move(1),
  k: () => move(-1),
  h: () => here() && heat(here().tried),
  x: () => here() && remove(here().tried),
};

document.addEventListener("keydown", (event) => {
  const typing = event.target.matches("input:not([type=checkbox]), textarea, select") || $("#viewfinder").open;
  if (typing || event.ctrlKey || event.metaKey || event.altKey || !KEYS[event.key]) return;
  event.preventDefault();
  KEYS[event.key]();
});
results.addEventListener("click", ({ target }) => {
  const tried = target.closest("li")?.tried;
  if (target.closest(".heat")) heat(tried);
  else if (target.closest(".remove")) remove(tried);
  else if (target.closest(".again")) again(tried);
});
$("#choose").addEventListener("click", () => $("#files").click());
$("#choose-folder").addEventListener("click", () => $("#folder").click());
$("#photograph").addEventListener("click", photograph);
