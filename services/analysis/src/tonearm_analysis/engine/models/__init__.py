"""The networks and fitted numbers that the engine ships: each file with a card beside it.

`open_network` and `read_numbers` check the file's SHA-256 against its card before use.
"""

from tonearm_analysis.engine.models.store import (
    ModelCorruptedError,
    Network,
    open_network,
    read_card,
    read_numbers,
    session,
)

__all__ = ["ModelCorruptedError", "Network", "open_network", "read_card", "read_numbers", "session"]
