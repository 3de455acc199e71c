"""One answer from several targets: which is asked, for how long, how often, and what that is told."""
