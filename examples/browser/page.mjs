// What the user sees: a place to drop photos, and a card for each photo.
import { loadModel } from "./edge_model.mjs";
import { readPhoto } from "./photo.mjs";

const WORDS = { unknown: "Unlike what the model knows", threshold: "Not sure enough" };
const percent = new Intl.NumberFormat("en", { style: "percent" });

const status = document.querySelector("#status");
const input = document.querySelector("input[type=file]");
const drop = document.querySelector("#drop");
const cards = document.querySelector("#cards");

const model = loadModel("model");
model.then(
  ({ name }) => (status.textContent = `${name} is ready. No photo leaves this device.`),
  (error) => fail(`The model could not be loaded (${error.message}). Was the page built?`),
);

input.addEventListener("change", () => show([...input.files]));
drop.addEventListener("drop", (event) => show([...event.dataTransfer.files]));
for (const kind of ["dragover", "dragleave", "drop"]) {
  drop.addEventListener(kind, (event) => {
    event.preventDefault();
    drop.classList.toggle("over", kind === "dragover");
  });
}

async function show(files) {
  const waiting = files.reverse().map((file) => [file, addCard(file)]).reverse(); // the first ends up on top
  input.value = ""; // the same photo may be chosen again
  for (const [file, card] of waiting) await label(file, card); // one at a time: a decoded photo is large
}

function addCard(file) {
  const card = document.querySelector("template").content.cloneNode(true).firstElementChild;
  const image = card.querySelector("img");
  image.src = URL.createObjectURL(file);
  image.onload = image.onerror = () => URL.revokeObjectURL(image.src); // else the file is held while the page is open
  image.alt = file.name;
  card.querySelector(".file").textContent = file.name;
  cards.prepend(card);
  return card;
}

async function label(file, card) {
  try {
    fill(card, await (await model).classify(await readPhoto(file)));
  } catch (error) {
    card.querySelector(".label").textContent = "This photo cannot be read";
    card.querySelector(".verdict").textContent = error.message;
    card.dataset.state = "failed";
  }
}

function fill(card, { label, confidence, threshold, doubt, milliseconds }) {
  const put = (name, text) => (card.querySelector(name).textContent = text);
  put(".label", label);
  put(".confidence", percent.format(confidence));
  put(".verdict", doubt ? `${WORDS[doubt]}: a person should look` : "Sure enough");
  put(".time", `${milliseconds.toFixed(0)} ms`);
  card.style.setProperty("--confidence", confidence);
  card.style.setProperty("--threshold", threshold ?? 1);
  Object.assign(card.dataset, { label, confidence, doubt: doubt ?? "", state: doubt ? "review" : "labeled" });
}

function fail(message) {
  status.textContent = message;
  status.classList.add("failed");
}
