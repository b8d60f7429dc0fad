"""The bundle's ``README.md``: what the model is, what it was proved to be, and how to use it anywhere."""

import json
from typing import Final

from exporter.cost import Drop
from exporter.markdown import plain, table
from exporter.proof import Proof
from exporter.variant import MadeVariant
from models.benchmark.measure import Measured
from models.benchmark.record import BenchmarkRecord
from models.decision import precision_text
from models.manifest import Manifest, Variant

__all__ = ["OPERATORS_FILE", "bundle_card"]

OPERATORS_FILE: Final = "required_operators.config"

_HANGTAG: Final = """\
```python
import hangtag

model = hangtag.load({place})  # variant="int8" for another of its models
answer = model.classify("shoe.jpg")
print(answer.label, answer.confidence, answer.review)
```"""

_PYTHON: Final = """\
```python
import json, os

os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # ONNX Runtime reports to its maker otherwise
import numpy, onnxruntime
from PIL import Image, ImageOps

session = onnxruntime.InferenceSession("edge.onnx")
labels = json.loads(session.get_modelmeta().custom_metadata_map["hangtag"])["labels"]
photo = ImageOps.exif_transpose(Image.open("shoe.jpg")).convert("RGBA")
photo = Image.alpha_composite(Image.new("RGBA", photo.size, "white"), photo).convert("RGB")
label, confidence, review = session.run(["label", "confidence", "review"], {"image": numpy.asarray(photo)})
print(labels[label], float(confidence), "review" if review else "labeled")
```"""

_JAVASCRIPT: Final = """\
```js
import * as ort from "onnxruntime-node"; // in a browser: onnxruntime-web, and the pixels of a canvas
import sharp from "sharp";
import { readFile } from "node:fs/promises";

process.env.ORT_DISABLE_TELEMETRY = "1"; // ONNX Runtime reports to its maker otherwise
const labels = (await readFile("labels.txt", "utf8")).trimEnd().split("\\n");
const session = await ort.InferenceSession.create("edge.onnx");
const photo = sharp("shoe.jpg").rotate().flatten({ background: "white" }).toColourspace("srgb").raw();
const { data, info } = await photo.toBuffer({ resolveWithObject: true });
const image = new ort.Tensor("uint8", new Uint8Array(data), [info.height, info.width, 3]);
const { label, confidence, review } = await session.run({ image });
console.log(labels[Number(label.data[0])], confidence.data[0], review.data[0] ? "review" : "labeled");
```"""

_CPP: Final = """\
```cpp
#include <cstdlib>
#include <onnxruntime_cxx_api.h>  // pixels: height × width × 3 bytes of RGB, from any decoder

setenv("ORT_DISABLE_TELEMETRY", "1", 1);  // ONNX Runtime reports to its maker otherwise
Ort::Env env;
Ort::Session session(env, "edge.onnx", Ort::SessionOptions{});
int64_t shape[] = {height, width, 3};
auto memory = Ort::MemoryInfo::CreateCpu(OrtArenaAllocator, OrtMemTypeDefault);
auto image = Ort::Value::CreateTensor<uint8_t>(memory, pixels, height * width * 3, shape, 3);
const char *in[] = {"image"}, *out[] = {"label", "confidence", "review"};
auto said = session.Run(Ort::RunOptions{}, in, &image, 1, out, 3);
int64_t label = *said[0].GetTensorData<int64_t>();
float confidence = *said[1].GetTensorData<float>();
bool review = *said[2].GetTensorData<bool>();
```"""


def bundle_card(manifest: Manifest, record: BenchmarkRecord, proof: Proof) -> str:
    """Write the card.

    Args:
        manifest: of the bundle; of its files only what is listed under variants is read.
        record: how large and quick its files are.
        proof: how far they agree with Keras.
    """
    parts = [
        f"# {plain(manifest.name)}\n\n{_what(manifest)}",
        "## Files\n\n" + _files(manifest, record),
        "## Proof\n\n" + _proof(proof),
        "## How sure it is\n\n" + _sure(manifest),
        "## Using it\n\n" + _using(manifest),
    ]
    return "\n\n".join(parts) + "\n"


def _what(manifest: Manifest) -> str:
    spec = manifest.preprocess
    labels = ", ".join(map(plain, manifest.labels))
    tested = "" if manifest.accuracy is None else f" Accuracy on test photos: {manifest.accuracy:.3f}."
    return (
        f"Labels product photos as one of {len(manifest.labels)} classes: {labels}. Version {manifest.version}, "
        f"architecture `{manifest.arch}`, photos as {spec.size}×{spec.size} px "
        f"(`fit` {spec.fit}, `decode` {spec.decode}).{tested}"
    )


def _files(manifest: Manifest, record: BenchmarkRecord) -> str:
    rows = [_file_row(manifest.variants[measured.variant], measured) for measured in record.measured]
    head = (
        "file",
        "size",
        "accuracy on validation",
        "a photo",
        "photos a second, one thread",
        "memory",
        "loading",
    )
    machine = record.machine
    named = f"{machine.cpu}, {machine.cores} cores, ONNX Runtime {machine.onnxruntime}"
    instructions = f" ({', '.join(machine.instructions)})" if machine.instructions else ""
    return (
        table(head, rows)
        + f"\n\nMeasured on {named}{instructions}. A photo: one by one, on one thread; of edge graphs "
        f"a photo of {record.edge_photo[1]}×{record.edge_photo[0]} px, resizing included. Memory: of a whole process. "
        "Measure it on your own machine with `hangtag benchmark`." + _quantized(manifest)
    ) + f"\n\n{_beside(manifest)}"


def _beside(manifest: Manifest) -> str:
    """The files that are not measured."""
    mobile = [f"`{name}`" for v in manifest.variants.values() for name in (v.ort, v.edge_ort) if name]
    lines = [
        "`labels.txt`: a label a line, in the order of the probabilities.",
        "`manifest.json`: what Hangtag reads, with the SHA-256 of every file.",
        "`parity.json`, `benchmark.json`, `golden/`: what was compared and measured; photos to compare it anew.",
        "`reference.json`: what the models say of the validation photos; labelled photos are compared with it.",
        "`README.md`: this card.",
    ]
    if mobile:
        lines.insert(
            0,
            f"{', '.join(mobile)}: the same in ONNX Runtime's own format, for phones; `{OPERATORS_FILE}` names the "
            "operators that a build of it for them alone needs.",
        )
    return "Beside them:\n\n" + "\n".join(f"- {line}" for line in lines)


def _file_row(variant: Variant, measured: Measured) -> tuple[str, ...]:
    speed = measured.speeds[0]
    return (
        f"`{measured.file}`",
        f"{measured.bytes / 1e6:.2f} MB",
        "–" if variant.accuracy is None or measured.edge else f"{variant.accuracy:.3f}",
        f"{speed.p50_ms:.1f} ms",
        "–" if speed.images_per_s is None else f"{speed.images_per_s:,.0f}",
        f"{measured.peak_memory_mb:.0f} MB",
        f"{measured.load_ms:.0f} ms",
    )


def _quantized(manifest: Manifest) -> str:
    quantization = next((v.quantization for v in manifest.variants.values() if v.quantization), None)
    if quantization is None:
        return ""
    everywhere = quantization.weight_bits < 8  # noqa: PLR2004 - bits
    safe = "right on every processor" if everywhere else "**only for processors with VNNI or the like**"
    left = f", {len(quantization.float_layers)} layers still in floating point" if quantization.float_layers else ""
    return (
        f"\n\nint8 keeps weights in {quantization.weight_bits} bits: {safe}{left}. Ranges were found on "
        f"{quantization.photos} training photos."
    )


def _proof(proof: Proof) -> str:
    lines = [
        f"- ONNX Runtime gives the probabilities of Keras on {proof.many.photos:,} photos: largest difference "
        f"{proof.many.largest:.1e}, no label changed (near-ties: {len(proof.many.near_ties)}); one by one on "
        f"{proof.one.photos}: {proof.one.largest:.1e}.",
        *(line for variant in proof.variants for line in _variant_lines(variant)),
        *(f"- {refusal.name} was left out: {refusal.reason}." for refusal in proof.refusals),
        f"- {proof.golden} golden samples lie in `golden/`; `hangtag verify` repeats them on any machine, with the "
        "SHA-256 of every file. `parity.json` has all figures.",
    ]
    return "\n".join(lines)


def _variant_lines(variant: MadeVariant) -> list[str]:
    lines = []
    if variant.cost is not None:
        low, high = variant.cost.points_95
        lines.append(
            f"- {variant.name} loses {variant.cost.points:.2f} points of accuracy on {variant.cost.photos} validation "
            f"photos (95%: {low:.2f} to {high:.2f}). Against float32 on one thread it was {variant.pace}."
        )
    if variant.edge_parity is not None:
        lines.append(
            f"- The edge graph of {variant.name} labels {variant.edge_parity.agreement:.1%} of "
            f"{variant.edge_parity.photos} photos as the model does where Hangtag decodes them in full, and "
            f"{variant.edge_parity.own_agreement:.1%} where it decodes them as the manifest says"
            f"{_edge_cost(variant.edge_parity.cost)}."
        )
    return lines


def _edge_cost(cost: Drop | None) -> str:
    if cost is None:
        return ""
    low, high = cost.points_95
    return f"; against that it loses {cost.points:.1f} points of accuracy (95%: {low:.1f} to {high:.1f})"


def _sure(manifest: Manifest) -> str:
    variant = manifest.variants[manifest.default_variant]
    rows = [
        (precision_text(target.precision), f"{target.coverage:.0%}", f"{1 - target.coverage:.0%}")
        for target in variant.targets
    ]
    own = (
        "It promises no precision: every photo goes to review, unless somebody asks for labels without a promise with "
        "`--threshold`."
        if variant.precision is None
        else f"Where none is asked for, {precision_text(variant.precision)} rules."
    )
    unknown = " Photos beyond the limit of the unknown score go to review as well." if variant.unknown else ""
    promised = table(("precision asked for", "labelled by itself", "to review"), rows) + "\n\n" if rows else ""
    return f"{promised}{own}{unknown} The thresholds of each class are in `manifest.json` and in each file's metadata."


def _using(manifest: Manifest) -> str:
    with_hangtag = "With Hangtag:\n\n" + _HANGTAG.format(place=json.dumps(manifest.name))
    if manifest.variants[manifest.default_variant].edge is None:
        return with_hangtag + "\n\nWithout it, export with `--edge`: `edge.onnx` takes a photo of any size."
    without = "`edge.onnx` takes one photo of any size, RGB, upright, and needs nothing else."
    return "\n\n".join([with_hangtag, without, "Python:", _PYTHON, "JavaScript:", _JAVASCRIPT, "C++:", _CPP])
