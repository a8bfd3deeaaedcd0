"""What a machine and a cluster lack for a sweep: each probe looks at one thing and says what cures it.

Nothing is changed: what a probe writes it takes away again.
"""

from tunekit.doctor.examination import examine
from tunekit.doctor.findings import Finding, Patient
from tunekit.doctor.page import render

__all__ = ["Finding", "Patient", "examine", "render"]
