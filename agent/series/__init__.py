"""The life of a series: a pure table, the shell that moves it, and the hands that do the work."""
