"""Doctor: checks whether everything on this box is as it should be, and what to do if not."""

from agent.doctor.examination import examine
from agent.doctor.result import CheckResult, Line, Mark

__all__ = ["CheckResult", "Line", "Mark", "examine"]
