"""What a model is: errors, manifest, preprocessing, bundle and classifier. Needs numpy, Pillow and ONNX Runtime only."""
