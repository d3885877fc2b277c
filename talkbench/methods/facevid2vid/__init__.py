"""face-vid2vid: one-shot free-view talking-head synthesis (Wang, Mallya, Liu, CVPR 2021)."""
