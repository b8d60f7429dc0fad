"""When a cycle runs: slots, who claims them, and the queue that brings them to where TensorFlow is."""
