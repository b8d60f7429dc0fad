"""An ONNX model that takes one photo of any size: what preprocessing does, done inside the graph, and its proof."""
