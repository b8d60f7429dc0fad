"""python label.py edge.onnx photo.jpg ...    prints name, label, confidence, and labeled or review for each photo.

Review means that a person should look.
"""

import io
import json
import os
import sys
from contextlib import suppress

import numpy as np
from PIL import Image, ImageCms, ImageOps

os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # read at the import; otherwise ONNX Runtime reports to Microsoft
import onnxruntime as ort

session = ort.InferenceSession(sys.argv[1])
labels = json.loads(session.get_modelmeta().custom_metadata_map["hangtag"])["labels"]

for name in sys.argv[2:]:
    photo = ImageOps.exif_transpose(Image.open(name))
    profile = photo.info.get("icc_profile")  # phones save other colours than sRGB
    if photo.mode.startswith("I"):  # 16 bits of grey, which convert() would clip to white
        photo = Image.fromarray((np.asarray(photo).clip(0, 65_535) >> 8).astype(np.uint8))
    if photo.has_transparency_data:
        photo = photo.convert("RGBA")
        photo = Image.alpha_composite(Image.new("RGBA", photo.size, "white"), photo)
    if photo.mode not in {"L", "CMYK"}:
        photo = photo.convert("RGB")
    if profile:
        with suppress(ImageCms.PyCMSError):  # a damaged profile, or a profile for other kinds of colours
            photo = ImageCms.profileToProfile(
                photo, io.BytesIO(profile), ImageCms.createProfile("sRGB"), outputMode="RGB"
            )
    image = np.asarray(photo.convert("RGB"))
    label, confidence, review = session.run(["label", "confidence", "review"], {"image": image})
    print(name, labels[label], f"{confidence:.3f}", "review" if review else "labeled", sep="\t")
