"""An exported student, tried on an image: onnxruntime and numpy, never torch."""
