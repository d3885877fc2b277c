"""VoxCeleb2's test speakers: one utterance each, official 224-pixel crops enlarged once to 256."""

from talkbench.evaluation.protocol import Protocol

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
    metrics=(
        *("l1", "psnr", "ssim", "ms_ssim", "lpips", "fid", "kid"),
        *("lmd", "akd", "mkr", "lip_gap_r", "d_ll", "d_vl", "d_a", "d_l", "d_v", "d_rot", "d_pos"),
        *("csim", "csim_source", "head_pose", "lse_c", "lse_d", "av_offset"),
    ),
    judges={
        "landmarks": "fan-2d",
        "features": "inception-fid",
        "lpips": "lpips-vgg",
        "identity": "arcface-irse50-bgr",
        "pose": "hopenet",
        "sync": "syncnet",
    },
    # 118 clips x 32 frames are 3776; with the usual 16 a clip they would be too few for FID
    options={"fid": {"frames_per_clip": 32}, "kid": {"frames_per_clip": 32}},
)
