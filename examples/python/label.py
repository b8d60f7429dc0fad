"""python label.py edge.onnx photo.jpg ...    a line a photo: name, label, confidence, labeled or review.

Review means that a person should look.
"""

import io
import json
import os
import sys

import numpy as np
from PIL import Image, ImageCms, ImageOps

os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # else ONNX Runtime reports to Microsoft; it looks when it is imported
import onnxruntime as ort

session = ort.InferenceSession(sys.argv[1])
labels = json.loads(session.get_modelmeta().custom_metadata_map["hangtag"])["labels"]

for name in sys.argv[2:]:
    photo = ImageOps.exif_transpose(Image.open(name))
    if photo.mode == "RGB" and (profile := photo.info.get("icc_profile")):  # phones save other colours than sRGB
        ImageCms.profileToProfile(photo, io.BytesIO(profile), ImageCms.createProfile("sRGB"), inPlace=True)
    photo = photo.convert("RGBA")
    photo = Image.alpha_composite(Image.new("RGBA", photo.size, "white"), photo).convert("RGB")
    label, confidence, review = session.run(["label", "confidence", "review"], {"image": np.asarray(photo)})
    print(name, labels[label], f"{confidence:.3f}", "review" if review else "labeled", sep="\t")
