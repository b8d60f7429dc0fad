"""The model: errors, manifest, preprocessing, bundle and classifier. Never imports TensorFlow."""
