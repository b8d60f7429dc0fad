"""A Keras network as the ONNX model that an export makes of it, whose file has no metadata yet."""


def convert(network, size, temperature=1.0, unknown=None):
    from exporter.graph import to_logits, with_probabilities  # loads TensorFlow

    return with_probabilities(to_logits(network, size, unknown), temperature)
