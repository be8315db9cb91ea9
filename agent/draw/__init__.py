"""Pictures of a head: the key slice, its reformats, outlines on slices that are kept."""
