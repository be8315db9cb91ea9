"""What makes engines: generator, training, compiling; and the demo, simulator and benchmark."""
