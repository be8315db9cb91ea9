"""Results to channels."""
