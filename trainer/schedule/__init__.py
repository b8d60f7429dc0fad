"""When a cycle runs: due times, who claims them, and the queue that brings them to where TensorFlow is."""
