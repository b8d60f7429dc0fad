// npm run build -- path/to/bundle    copies ONNX Runtime and the model into the page's folder.
import { cpSync, existsSync, mkdirSync } from "node:fs";
import { join } from "node:path";

const runtime = ["ort.wasm.bundle.min.mjs", "ort-wasm-simd-threaded.wasm"];
const model = ["edge.onnx", "labels.txt", "manifest.json"];

const [bundle] = process.argv.slice(2);
if (!bundle) {
  console.error("Expected a bundle; say: npm run build -- path/to/bundle");
  process.exit(2);
}
const missing = model.filter((name) => !existsSync(join(bundle, name)));
if (missing.length) {
  console.error(`Expected ${missing.join(", ")} in ${bundle}; export the bundle with --edge`);
  process.exit(2);
}
copy(runtime, "node_modules/onnxruntime-web/dist", "vendor");
copy(model, bundle, "model");

function copy(names, from, to) {
  mkdirSync(to, { recursive: true });
  for (const name of names) cpSync(join(from, name), join(to, name));
}
