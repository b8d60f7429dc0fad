"""python label.py edge.onnx photo.jpg ...    prints a line a photo: its name, its label, how sure the model is."""

import io
import json
import sys

import numpy as np
import onnxruntime as ort
from PIL import Image, ImageCms, ImageOps

session = ort.InferenceSession(sys.argv[1])
labels = json.loads(session.get_modelmeta().custom_metadata_map["hangtag"])["labels"]

for name in sys.argv[2:]:
    photo = ImageOps.exif_transpose(Image.open(name))
    if photo.mode == "RGB" and (profile := photo.info.get("icc_profile")):  # phones save other colours than sRGB
        ImageCms.profileToProfile(photo, io.BytesIO(profile), ImageCms.createProfile("sRGB"), inPlace=True)
    photo = photo.convert("RGBA")
    photo = Image.alpha_composite(Image.new("RGBA", photo.size, "white"), photo).convert("RGB")
    label, confidence = session.run(["label", "confidence"], {"image": np.asarray(photo)})
    print(name, labels[label], f"{confidence:.3f}", sep="\t")
