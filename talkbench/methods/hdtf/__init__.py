"""HDTF: flow-guided one-shot talking face (Zhang, Li, Ding, Fan, CVPR 2021)."""
