"""ATVGnet (Chen, Maddox, Duan, Xu: Hierarchical Cross-Modal Talking Face Generation, CVPR 2019)."""
