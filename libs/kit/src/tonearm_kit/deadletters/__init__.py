"""Dead letters as a product: look at them, mend them, send them back; every action is audited.

The dead-letter topics are the only store. What was done to a letter is told by the audit topic,
so the state survives wherever the topics do, and several people see the same.
"""

from tonearm_kit.deadletters.desk import Desk, Redriven, UnknownLetter
from tonearm_kit.deadletters.letters import AUDIT_TOPIC, Action, DeadLetter

__all__ = ["AUDIT_TOPIC", "Action", "DeadLetter", "Desk", "Redriven", "UnknownLetter"]
