"""An ONNX model that takes one photo of any size: preprocessing inside the graph, and its proof."""
