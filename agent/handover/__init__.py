"""What leaves the box: for a radiologist, and for who looks after it from afar."""
