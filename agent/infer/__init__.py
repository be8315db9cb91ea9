"""Networks: bundles, the runner seam, the slice and the volume stage. No I/O but a bundle's."""
