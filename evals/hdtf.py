"""HDTF: the 20 test clips that StyleHEAT's, OTAvatar's and GOHA's line of work uses, first ten seconds."""

from talkbench.evaluation.protocol import PUBLISHED_JUDGES, REAL_METRICS, Protocol

PROTOCOL = Protocol(
    name="hdtf",
    version=1,
    title="HDTF, 256 px: 20 test clips, the first 250 frames of each",
    dataset="hdtf",
    split="test",
    size=256,
    tasks=("reconstruction", "cross_identity"),
    selection="hdtf-test20",
    frames=250,
    metrics=REAL_METRICS,
    judges=PUBLISHED_JUDGES,
    # 20 clips x 125 frames are 2500; neighbouring frames are alike, so read KID and the oracle's row beside FID
    options={"fid": {"frames_per_clip": 125}, "kid": {"frames_per_clip": 125}},
)
