"""A sweep on a cluster that is elsewhere: what is shipped, the Ray job that runs it, and how its results come home.

Nothing here runs a trial: the job is ``tunekit sweep`` on the cluster's head. Ray itself is imported by the modules
whose name begins with ``ray_``, and by no other.
"""
