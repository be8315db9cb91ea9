"""The technologist's page: a process of its own that reads the store."""
