"""Everything that is said to a person: as a code with values, and the one table of wordings."""

from agent.reasons.page import PAGE
from agent.reasons.reason import Reason, Value, english, plain, recalled, what_to_do
from agent.reasons.service import SERVICE
from agent.reasons.wording import Wording

__all__ = [
    "PAGE",
    "SERVICE",
    "Reason",
    "Value",
    "Wording",
    "english",
    "plain",
    "recalled",
    "what_to_do",
]
