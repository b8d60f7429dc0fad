// The model of a bundle. edge.onnx takes a photo of any size; the manifest says when a person should look.
import * as ort from "./vendor/ort.wasm.bundle.min.mjs";

ort.env.wasm.numThreads = 1; // more of them need a server that sends COOP and COEP headers

const get = async (url) => {
  const answer = await fetch(url);
  if (!answer.ok) throw new Error(`${url}: ${answer.status} ${answer.statusText}`);
  return answer;
};

export async function loadModel(folder) {
  const [labels, manifest, graph] = await Promise.all([
    get(`${folder}/labels.txt`).then((answer) => answer.text()),
    get(`${folder}/manifest.json`).then((answer) => answer.json()),
    get(`${folder}/edge.onnx`).then((answer) => answer.arrayBuffer()),
  ]);
  const rules = Object.values(manifest.variants).find((variant) => variant.edge === "edge.onnx");
  const session = await ort.InferenceSession.create(graph);
  return { name: manifest.name, classify: (photo) => classify(session, labels.split("\n"), rules, photo) };
}

// photo: { rgb, width, height }, as from photo.mjs.
async function classify(session, labels, rules, { rgb, width, height }) {
  const image = new ort.Tensor("uint8", rgb, [height, width, 3]);
  const start = performance.now();
  const { label, confidence, unknown } = await session.run({ image });
  const milliseconds = performance.now() - start;
  const index = Number(label.data[0]);
  // Without a promised precision a person looks at every photo.
  const promised = rules.targets.find((target) => target.precision === rules.precision);
  const threshold = promised?.thresholds[index] ?? null;
  const said = { label: labels[index], confidence: confidence.data[0], threshold, milliseconds };
  return { ...said, doubt: doubt(said, unknown?.data[0], rules.unknown) };
}

// Why a person should look, or null. If a class has no threshold, a person always looks.
function doubt({ confidence, threshold }, unknown, limit) {
  if (limit && !(unknown <= limit.limit)) return "unknown";
  return threshold !== null && confidence >= Math.fround(threshold) ? null : "threshold";
}
