"""What a sweep would do, found out before any worker starts and without training anything.

:func:`check` reads the data that the sweep names, describes each backbone on the meta device and builds each arm's
method at the extreme corners of its space; whatever is wrong surfaces as one ConfigError that names the arm.
:func:`render` is the page that ``tunekit check FILE`` prints of it.
"""

from tunekit.check.arms import check
from tunekit.check.elsewhere import checkable
from tunekit.check.findings import ArmCheck, Rate, Span, SweepCheck
from tunekit.check.page import render

__all__ = ["ArmCheck", "Rate", "Span", "SweepCheck", "check", "checkable", "render"]
