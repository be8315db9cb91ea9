"""What a bundle makes of heads whose truth is known, and what its networks cost."""
