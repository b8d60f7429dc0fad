"""What a model is: errors, manifest, preprocessing, bundle and classifier. Never imports TensorFlow."""
