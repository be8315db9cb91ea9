"""``bleedwatch bench``: what this machine takes for an alert, for reading, for its networks."""
