"""HDTF: the 20 test clips that StyleHEAT's, OTAvatar's and GOHA's line of work uses, first ten seconds."""

from talkbench.evaluation.protocol import Protocol

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
    # 20 clips x 125 frames are 2500; neighbouring frames are alike, so read KID and the oracle's row beside FID
    options={"fid": {"frames_per_clip": 125}, "kid": {"frames_per_clip": 125}},
)
