"""Pictures of a head: the key slice, reformats, outlines on the stored slices."""
