"""What passes by itself: a full disk, a share or a hub that fails for a while. Wait, say so, and go on.

Stands on the ground: it opens no file and asks no network, so every room that does may use it.
"""

from tunekit.patience.passing import closed_door, passing
from tunekit.patience.waiting import Wait, hurrying, listen, listening, overhearing, persist, say

__all__ = ["Wait", "closed_door", "hurrying", "listen", "listening", "overhearing", "passing", "persist", "say"]
