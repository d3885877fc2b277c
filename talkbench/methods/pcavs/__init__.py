"""PC-AVS: pose-controllable talking faces by an implicitly modularised audio-visual representation (Zhou et al., CVPR 2021)."""
