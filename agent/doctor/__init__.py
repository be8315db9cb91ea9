"""Doctor: is this box well, and what is to be done where it is not."""

from agent.doctor.examination import examine
from agent.doctor.verdict import Line, Mark, Verdict

__all__ = ["Line", "Mark", "Verdict", "examine"]
