"""What monitoring is told of the inlet: numbers and codes, no names, UIDs or paths."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Histogram

BOUNDS_S = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0)


class Counts:
    """Counters since the inlet's start, in a registry of their own."""

    def __init__(self) -> None:
        """Begin at nought."""
        self.registry = CollectorRegistry()
        self._associations = Counter(
            "bleedwatch_inlet_associations",
            "Associations that were asked for",
            ["outcome"],
            registry=self.registry,
        )
        self._objects = Counter(
            "bleedwatch_inlet_objects",
            "Objects that came, by what became of them: stored, or why refused",
            ["outcome"],
            registry=self.registry,
        )
        self._steps = Counter(
            "bleedwatch_inlet_procedure_steps",
            "Procedure steps that were created or changed: stored, or why refused",
            ["outcome"],
            registry=self.registry,
        )
        self._bytes = Counter(
            "bleedwatch_inlet_bytes", "Bytes of objects that were kept", registry=self.registry
        )
        self._seconds = Histogram(
            "bleedwatch_inlet_store_seconds",
            "From an object's last byte to its answer",
            buckets=BOUNDS_S,
            registry=self.registry,
        )

    def association(self, outcome: str) -> None:
        """Count an association: accepted or rejected."""
        self._associations.labels(outcome).inc()

    def step(self, outcome: str) -> None:
        """Count a procedure step's request: stored, or the code of the reason why not."""
        self._steps.labels(outcome).inc()

    def object(self, outcome: str, n_bytes: int, took_s: float) -> None:
        """Count an object: stored, or the code of the reason why not."""
        self._objects.labels(outcome).inc()
        self._seconds.observe(took_s)
        if outcome == "stored":
            self._bytes.inc(n_bytes)
