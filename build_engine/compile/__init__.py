"""From a bundle to a TensorRT plan that may be trusted: built, verified, signed, activated."""
