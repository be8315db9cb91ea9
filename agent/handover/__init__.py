"""What leaves the box: an export for a radiologist, a support bundle for remote support."""
