// The card of a photo: picture, answer, reason for review, heat map.
const SVG = "http://www.w3.org/2000/svg";
const WIDTH = 1000;
const FAINTEST = 0.02; // smaller changes of the probability are noise

const number = new Intl.NumberFormat("en", { maximumSignificantDigits: 3 });

/** A percentage. Only an exact 1 becomes 100%. */
export function percent(share) {
  const text = (share * 100).toFixed(1);
  if (text === "100.0") return share === 1 ? "100%" : ">99.9%";
  return `${text}%`;
}

export function makeCard(name) {
  const card = document.querySelector("#card").content.cloneNode(true).firstElementChild;
  card.querySelector(".file").textContent = name;
  card.querySelector(".file").title = name;
  card.querySelector("article").setAttribute("aria-label", `${name}: waiting`);
  return card;
}

/** Show the picture. A text replaces formats that this browser cannot show. */
export function showPicture(card, url, name) {
  const image = card.querySelector("img");
  image.alt = name;
  image.addEventListener("error", () => card.querySelector(".frame").classList.add("blind"), { once: true });
  image.src = url;
}

export function showAnswer(card, name, answer, model) {
  const say = (part, text) => (card.querySelector(part).textContent = text);
  card.dataset.status = answer.status;
  card.classList.add(answer.status);
  card.querySelector("article").setAttribute("aria-label", `${name}: ${answer.label ?? "no label"}, ${answer.status}`);
  say(".label", answer.label ?? "No label");
  say(".pill", { labeled: "✓ labeled", review: "! review", failed: "✗ failed" }[answer.status]);
  say(".why", why(answer, model));
  if (answer.status === "failed") return;
  card.querySelector(".bars").replaceChildren(...answer.top_k.map((guess, place) => bar(guess, place || answer.label_level ? null : answer.threshold)));
  card.querySelector(".facts").replaceChildren(...facts(answer, model));
}

function why({ status, error, error_message, reason, label, confidence, threshold, unknown }, model) {
  if (status === "failed") return error_message ?? error;
  if (reason === "unknown") {
    return `Unlike the model's products: the out-of-distribution score, ${number.format(unknown)}, is above the limit, ${number.format(model.unknown_limit)}.`;
  }
  if (threshold === null) return `${label} has no promised precision: all its photos go to review.`;
  const [sure, limit] = apart(confidence, threshold);
  return status === "labeled"
    ? `Sure enough: ${sure} reaches the threshold of ${label}, ${limit}.`
    : `Not sure enough: ${sure} is below the threshold of ${label}, ${limit}.`;
}

/** Both with enough digits to show the difference. */
function apart(confidence, threshold) {
  const rounded = [percent(confidence), percent(threshold)];
  if (rounded[0] !== rounded[1] || confidence === threshold) return rounded;
  return [confidence, threshold].map((share) => `${Number((share * 100).toPrecision(7))}%`);
}

function bar({ label, confidence }, threshold) {
  const item = document.createElement("li");
  const name = text("span", label);
  name.title = label;
  item.append(name, drawing(confidence, threshold), text("span", percent(confidence), "n"));
  return item;
}

function drawing(confidence, threshold) {
  const svg = shape("svg", { viewBox: `0 0 ${WIDTH} 10`, preserveAspectRatio: "none", "aria-hidden": "true" });
  svg.append(shape("rect", { width: WIDTH, height: 10, class: "rail" }));
  svg.append(shape("rect", { width: Math.max(2, confidence * WIDTH), height: 10, class: "share" }));
  if (threshold !== null) svg.append(shape("rect", { x: threshold * WIDTH - 3, width: 6, height: 10, class: "limit" }));
  return svg;
}

function facts({ threshold, unknown, decode_ms, inference_ms, by }, model) {
  const said = [["threshold", threshold === null ? "none" : percent(threshold)]];
  if (unknown !== null) said.push(["out-of-distribution", `${number.format(unknown)} of ${number.format(model.unknown_limit)}`]);
  said.push([by === "browser" ? "in this browser" : "on the server", `${decode_ms.toFixed(1)} ms decoding, ${inference_ms.toFixed(1)} ms inference`]);
  return said.map(([name, value]) => {
    const fact = document.createElement("div");
    fact.append(text("dt", name), text("dd", value));
    return fact;
  });
}

/** Lay a heat map over the picture, and explain it. */
export function showHeat(card, { label, confidence, drops, milliseconds }) {
  const canvas = card.querySelector("canvas");
  const most = Math.max(...drops.flat());
  canvas.width = drops[0].length;
  canvas.height = drops.length;
  const image = new ImageData(canvas.width, canvas.height);
  drops.flat().forEach((drop, at) => image.data.set([255, 60, 0, 210 * Math.max(0, drop) / Math.max(most, FAINTEST)], at * 4));
  canvas.getContext("2d").putImageData(image, 0, 0);
  canvas.classList.remove("hidden");
  const copied = " The map shows a smaller copy of the photo, whose confidence may differ.";
  const matters = `Each of ${drops.flat().length} patches was covered with the photo's mean colour. Red parts raise the confidence in ${label}. Covering the reddest part lowers it from ${percent(confidence)} to ${percent(confidence - most)}.${copied}`;
  const nothing = `None of ${drops.flat().length} patches matters: covering one lowers the confidence in ${label} (${percent(confidence)}) by less than a point.${copied}`;
  const said = card.querySelector(".heat-said");
  said.textContent = `${most < 0.01 ? nothing : matters} ${Math.round(milliseconds)} ms.`;
  said.classList.remove("hidden");
  card.querySelector(".heat").setAttribute("aria-pressed", "true");
}

export function hideHeat(card) {
  card.querySelector("canvas").classList.add("hidden");
  card.querySelector(".heat-said").classList.add("hidden");
  card.querySelector(".heat").setAttribute("aria-pressed", "false");
}

function shape(name, attributes) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}

function text(name, content, kind) {
  const made = document.createElement(name);
  made.textContent = content;
  if (kind) made.className = kind;
  return made;
}
