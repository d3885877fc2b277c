"""VoxCeleb2's test speakers: one utterance each, official 224-pixel crops enlarged once to 256."""

from talkbench.evaluation.protocol import PUBLISHED_JUDGES, REAL_METRICS, Protocol

PROTOCOL = Protocol(
    name="voxceleb2",
    version=1,
    title="VoxCeleb2 test, 256 px: 118 speakers, the first 128 frames of one utterance each",
    dataset="voxceleb2",
    split="test",
    size=256,
    tasks=("reconstruction", "cross_identity"),
    selection="voxceleb2-test",
    frames=128,
    metrics=REAL_METRICS,
    judges=PUBLISHED_JUDGES,
    # 118 clips x 32 frames are 3776; with the usual 16 a clip they would be too few for FID
    options={"fid": {"frames_per_clip": 32}, "kid": {"frames_per_clip": 32}},
)
