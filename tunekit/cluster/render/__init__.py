"""What a scheduler of clusters is to be given: a manifest for KubeRay, a batch script for Slurm.

Both are text, computed from the sweep file and a few options. Nothing is asked of any cluster. What had to be guessed
is said in comments of the text itself.
"""

from tunekit.cluster.render.kuberay import render_kuberay
from tunekit.cluster.render.pods import IMAGE, Pods
from tunekit.cluster.render.sizing import Asked
from tunekit.cluster.render.slurm import BatchJob, render_slurm
from tunekit.cluster.render.words import pairs

__all__ = ["IMAGE", "Asked", "BatchJob", "Pods", "pairs", "render_kuberay", "render_slurm"]
