"""Convert a Keras network to ONNX like an export, before metadata is added."""


def convert(network, size, temperature=1.0, unknown=None):
    from exporter.graph import to_logits, with_probabilities  # loads TensorFlow

    return with_probabilities(to_logits(network, size, unknown), temperature)
