// Labels photos in this browser, without sending them. The bundle's edge graph takes a photo of any size.
// Messages in: {setup: {root, rules}}, then {id, photo} or {id, photo, label} for a heat map. Out: {id, answer} or {id, error}.
import { decode, pixels } from "../static/photo.mjs"; // the same file as in examples/browser
import * as ort from "../static/vendor/ort.wasm.min.mjs";

const TOP = 5;

let rules;
let model;
let last = Promise.resolve();

ort.env.wasm.numThreads = 1; // more threads need a cross-origin isolated page

addEventListener("message", ({ data }) => {
  if (data.setup) setUp(data.setup);
  else last = last.then(() => answer(data)); // one at a time: a decoded photo is large, and a session runs one photo
});

function setUp(given) {
  rules = given.rules;
  model = load(given.root);
  model.then(
    () => postMessage({ ready: true }),
    (error) => postMessage({ ready: false, error: error.message }),
  );
}

async function answer({ id, photo, label }) {
  try {
    const session = await model;
    postMessage({ id, answer: label === undefined ? await classify(session, photo) : await heatMap(session, photo, label) });
  } catch (error) {
    postMessage({ id, error: error.message });
  }
}

async function load(root) {
  ort.env.wasm.wasmPaths = new URL(`${root}/static/vendor/`, location.href).href;
  const answer = await fetch(`${root}/try/edge.onnx`);
  if (!answer.ok) throw new Error((await answer.json()).detail);
  return ort.InferenceSession.create(await answer.arrayBuffer());
}

async function classify(session, file) {
  const begin = performance.now();
  const photo = pixels(await decoded(file));
  const middle = performance.now();
  const said = await run(session, photo);
  const inference_ms = performance.now() - middle;
  const index = Number(said.label.data[0]);
  const answer = {
    label: rules.labels[index],
    confidence: said.confidence.data[0],
    threshold: rules.thresholds[index],
    unknown: said.unknown ? said.unknown.data[0] : null,
    top_k: likeliest(said.probabilities.data),
    decode_ms: middle - begin,
    inference_ms,
  };
  const reason = doubt(answer);
  return { ...answer, reason, status: reason ? "review" : "labeled", error: null, error_message: null };
}

const run = (session, { rgb, width, height }) =>
  session.run({ image: new ort.Tensor("uint8", rgb, [height, width, 3]) });

function likeliest(probabilities) {
  const order = [...probabilities.keys()].sort((a, b) => probabilities[b] - probabilities[a] || a - b);
  return order.slice(0, TOP).map((index) => ({ label: rules.labels[index], confidence: probabilities[index] }));
}

// The reason for review, or null. Photos of a class without a threshold always go to review.
function doubt({ confidence, threshold, unknown }) {
  if (rules.unknown_limit !== null && unknown !== null && !(unknown <= rules.unknown_limit)) return "unknown";
  return threshold !== null && confidence >= Math.fround(threshold) ? null : "threshold";
}

/** Decode a photo upright. Refuses a photo that is too large. */
async function decoded(file) {
  let bitmap;
  try {
    bitmap = await decode(file);
  } catch {
    throw new Error("This browser cannot read the file as a photo; switch to the server, or save the photo as JPEG or PNG.");
  }
  const { width, height } = bitmap;
  if (width * height <= rules.max_pixels) return bitmap;
  bitmap.close();
  throw new Error(`Expected at most ${rules.max_pixels.toLocaleString("en")} pixels, got ${width}×${height}; save a smaller copy.`);
}

/** The same map as the server's (web/heat_map.py). */
async function heatMap(session, file, label) {
  const begin = performance.now();
  const bitmap = await decoded(file);
  const scale = Math.min(1, (2 * rules.size) / Math.max(bitmap.width, bitmap.height));
  const side = (length) => Math.max(1, Math.round(length * scale));
  const size = { resizeWidth: side(bitmap.width), resizeHeight: side(bitmap.height), resizeQuality: "medium" };
  const photo = pixels(scale < 1 ? await createImageBitmap(bitmap, size) : bitmap);
  bitmap.close();
  const index = rules.labels.indexOf(label);
  const probability = async (covered) => (await run(session, covered)).probabilities.data[index];
  const confidence = await probability(photo);
  const colour = meanColour(photo.rgb);
  const drops = [];
  for (const [top, bottom] of spans(photo.height)) {
    const row = [];
    for (const [left, right] of spans(photo.width)) {
      row.push(confidence - (await probability(cover(photo, colour, left, top, right, bottom))));
    }
    drops.push(row);
  }
  return { label, confidence, drops, milliseconds: performance.now() - begin };
}

function spans(length) {
  const cell = length / rules.grid;
  const half = (rules.patch / 2) * cell;
  const middles = Array.from({ length: rules.grid }, (_, place) => (place + 0.5) * cell);
  return middles.map((middle) => [Math.max(0, Math.round(middle - half)), Math.min(length, Math.round(middle + half))]);
}

function meanColour(rgb) {
  const sums = [0, 0, 0];
  for (let at = 0; at < rgb.length; at++) sums[at % 3] += rgb[at];
  return sums.map((sum) => Math.round((sum * 3) / rgb.length));
}

function cover({ rgb, width, height }, colour, left, top, right, bottom) {
  const copy = rgb.slice();
  for (let y = top; y < bottom; y++) {
    for (let x = left; x < right; x++) copy.set(colour, (y * width + x) * 3);
  }
  return { rgb: copy, width, height };
}
