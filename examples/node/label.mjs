// node label.mjs bundle/edge.onnx photo.jpg ...    a line for each photo: name, label, confidence, labeled or review (a person should look)
import { readFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { InferenceSession, Tensor } from "onnxruntime-node";
import sharp from "sharp";

process.env.ORT_DISABLE_TELEMETRY = "1"; // else ONNX Runtime reports to Microsoft
const [model, ...photos] = process.argv.slice(2);
const labels = (await readFile(join(dirname(model), "labels.txt"), "utf8")).split("\n");
const session = await InferenceSession.create(model);

for (const photo of photos) {
  const decoded = sharp(photo).autoOrient().flatten({ background: "white" }).toColourspace("srgb").raw();
  const { data, info } = await decoded.toBuffer({ resolveWithObject: true }); // 8-bit RGB, row by row
  const image = new Tensor("uint8", data, [info.height, info.width, 3]);
  const { label, confidence, review } = await session.run({ image });
  const status = review.data[0] ? "review" : "labeled";
  console.log([photo, labels[label.data[0]], confidence.data[0].toFixed(3), status].join("\t"));
}
