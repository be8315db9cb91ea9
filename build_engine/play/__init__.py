"""Studies played into an export folder, and an agent beside them: simulator, demo, self-test."""
