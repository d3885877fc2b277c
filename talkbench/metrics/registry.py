"""What is known of every metric: name, unit, direction, what it needs, which definition. Plain values.

The number of a definition goes up with any change that moves a score; the version string travels with every
result, and results of different versions are never put in one column.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Metric:
    """One metric.

    Attributes:
        key: its name in files and on the command line.
        name: its name in tables.
        unit: of the value; "" for none.
        better: "higher" or "lower".
        level: "frame" (mean over the clip's frames, then over clips), "clip" (one value a clip) or "set"
            (one value for all clips).
        needs: what is compared: "frames", "landmarks", "identity", "features", "sync", "perceptual",
            "pose", "bytes".
        judge: kind of judge that looks for it, or None.
        version: definition, spelled out.
        reference: where the definition comes from.
    """

    key: str
    name: str
    unit: str
    better: str
    level: str
    needs: tuple[str, ...]
    judge: str | None
    version: str
    reference: str


def _picture(key, name, unit, better, version, reference):
    return Metric(key, name, unit, better, "frame", ("frames",), None, version, reference)


def _face(key, name, unit, better, version, reference, level="frame"):
    return Metric(key, name, unit, better, level, ("landmarks",), "landmarks", version, reference)


_WANG = "Wang et al., IEEE TIP 2004"
_MAKEITTALK = "Zhou et al., MakeItTalk, SIGGRAPH Asia 2020, section 5; no code was published"

_ALL = (
    _picture(
        "l1", "L1", "", "lower", "1 mean |difference| on [0,1], RGB", "Siarohin et al., FOMM, NeurIPS 2019"
    ),
    _picture("l1_255", "L1 (0..255)", "levels", "lower", "1 mean |difference| on 0..255, RGB", "as l1"),
    _picture(
        "psnr", "PSNR", "dB", "higher", "1 RGB, data range 255, per frame, capped at 100", "scikit-image"
    ),
    _picture(
        "psnr_luma", "PSNR (luma)", "dB", "higher", "1 luma uint8, per frame, capped at 100", "scikit-image"
    ),
    Metric(
        "psnr_pooled",
        "PSNR (pooled)",
        "dB",
        "higher",
        "clip",
        ("frames",),
        None,
        "1 RGB, of the clip's mean squared error, capped at 100",
        "scikit-image",
    ),
    _picture(
        "psnr_atvgnet",
        "PSNR (uint8 wrap)",
        "dB",
        "higher",
        "1 luma uint8 wrapping modulo 256, for parity only",
        "ATVGnet evaluation script",
    ),
    _picture("ssim", "SSIM", "", "higher", "1 gaussian_rgb 11x11 sigma 1.5, data range 255", _WANG),
    _picture(
        "ssim_luma", "SSIM (luma)", "", "higher", "1 gaussian_luma 11x11 sigma 1.5, data range 255", _WANG
    ),
    _picture(
        "ssim_uniform7",
        "SSIM (7x7)",
        "",
        "higher",
        "1 uniform7_rgb, sample covariance",
        "scikit-image defaults",
    ),
    _picture(
        "ssim_uniform7_luma",
        "SSIM (7x7 luma)",
        "",
        "higher",
        "1 uniform7_luma, sample covariance",
        "scikit-image defaults, ATVGnet evaluation script",
    ),
    _picture(
        "ssim_torchmetrics",
        "SSIM (torchmetrics)",
        "",
        "higher",
        "1 gaussian 11x11, reflected border scored too",
        "torchmetrics 1.9",
    ),
    _picture(
        "ssim_pytorch",
        "SSIM (pytorch-ssim)",
        "",
        "higher",
        "1 gaussian 11x11, zero padding, border scored too",
        "pytorch-ssim",
    ),
    _picture(
        "ms_ssim",
        "MS-SSIM",
        "",
        "higher",
        "1 gaussian 11x11 sigma 1.5, relu",
        "Wang et al., Asilomar 2003; torchmetrics 1.9",
    ),
    _picture(
        "tde", "Temporal difference", "", "lower", "1 difference of frame differences on [0,1]", "talkbench"
    ),
    _picture(
        "flicker_error",
        "Flicker error",
        "",
        "lower",
        "1 |mean change from frame to frame, generated - real| on [0,1]",
        "talkbench",
    ),
    _picture(
        "warping_error_dis",
        "Warping error (DIS)",
        "",
        "lower",
        "1 squared on [0,1], along OpenCV's DIS flow (medium) of the real clip, where it returns",
        "Lai et al., ECCV 2018",
    ),
    _picture(
        "cpbd",
        "CPBD",
        "",
        "higher",
        "1 cpbd 1.0.7 on luma, 256 px",
        "Narvekar and Karam, IEEE TIP 2011; package cpbd 1.0.7",
    ),
    _picture(
        "cpbd_atvgnet",
        "CPBD (ATVGnet)",
        "",
        "higher",
        "1 script's fixed threshold on luma, 256 px",
        "ATVGnet evaluation script",
    ),
    _face(
        "lmd",
        "LMD",
        "px of 256",
        "lower",
        "1 mouth centred, mean over points",
        "Chen et al., ATVGnet, CVPR 2019",
    ),
    _face("lmd_mouth_raw", "M-LMD", "px of 256", "lower", "1 mouth, not centred", "later papers"),
    _face("d_ll", "D-LL", "%", "lower", "1 jaw and lips over lip width, 2D", _MAKEITTALK),
    _face("d_vl", "D-VL", "%", "lower", "1 velocity of jaw and lips over lip width, 2D", _MAKEITTALK),
    _face("d_a", "D-A", "%", "lower", "1 inner lip area over its largest real value", _MAKEITTALK),
    _face(
        "d_a_outer", "D-A (outer)", "%", "lower", "1 outer lip area over its largest real value", _MAKEITTALK
    ),
    _face("d_l", "D-L", "%", "lower", "1 all points over face width, 2D", _MAKEITTALK),
    _face("d_v", "D-V", "%", "lower", "1 velocity of all points over face width, 2D", _MAKEITTALK),
    _face(
        "d_rot",
        "D-Rot",
        "degrees",
        "lower",
        "1 weak-perspective fit of the mean head's T shape to 2D landmarks, geodesic angle",
        _MAKEITTALK,
    ),
    _face("d_pos", "D-Pos", "%", "lower", "1 centroid of the T shape over face width, 2D", _MAKEITTALK),
    _face("akd", "AKD", "px of 256", "lower", "1 L1 mean over coordinates", "pose-evaluation cmp_kp"),
    _face(
        "akd_euclidean",
        "AKD (Euclidean)",
        "px of 256",
        "lower",
        "1 mean Euclidean distance",
        "usual reading of AKD",
    ),
    _face(
        "mkr",
        "MKR",
        "",
        "lower",
        "1 share of real frames' faces lost",
        "pose-evaluation cmp_with_missing",
        "clip",
    ),
    _face(
        "lip_gap_r",
        "Lip gap r",
        "",
        "higher",
        "1 Pearson r of inner lip gap over eye corner distance; 0 for a still mouth",
        "talkbench",
        "clip",
    ),
    Metric(
        "lpips",
        "LPIPS",
        "",
        "lower",
        "frame",
        ("perceptual",),
        "lpips",
        "1 input [-1,1]; trunk named by the judge",
        "Zhang et al., CVPR 2018",
    ),
    Metric(
        "fid",
        "FID",
        "",
        "lower",
        "set",
        ("features",),
        "features",
        "1 clip-balanced, covariance n-1",
        "Heusel et al., NeurIPS 2017",
    ),
    Metric(
        "fid_infinity",
        "FID-infinity",
        "",
        "lower",
        "set",
        ("features",),
        "features",
        "1 clip-balanced, covariance n-1, line in 1/n through 15 sizes from n/5 (5000 at most), order of seed 0",
        "Chong and Forsyth, CVPR 2020",
    ),
    Metric(
        "kid",
        "KID",
        "x 1000",
        "lower",
        "set",
        ("features",),
        "features",
        "1 clip-balanced, unbiased, cubic kernel, full sets",
        "Binkowski et al., ICLR 2018",
    ),
    Metric(
        "csim",
        "CSIM",
        "",
        "higher",
        "frame",
        ("identity",),
        "identity",
        "1 mean cosine with the real frame",
        "Deng et al., ArcFace, CVPR 2019",
    ),
    Metric(
        "csim_source",
        "CSIM (source)",
        "",
        "higher",
        "frame",
        ("identity",),
        "identity",
        "1 mean cosine with the source picture",
        "Deng et al., ArcFace, CVPR 2019",
    ),
    Metric(
        "aed",
        "AED",
        "",
        "lower",
        "frame",
        ("identity",),
        "identity",
        "1 squared distance of L2-normalised identity vectors",
        "pose-evaluation cmp",
    ),
    Metric(
        "head_pose",
        "Head pose error",
        "degrees",
        "lower",
        "frame",
        ("pose",),
        "pose",
        "1 mean |yaw|, |pitch|, |roll| difference",
        "Ruiz et al., Hopenet, CVPRW 2018",
    ),
    Metric(
        "lse_c",
        "LSE-C",
        "",
        "higher",
        "clip",
        ("sync",),
        "sync",
        "1 vshift 15, median - min of mean distances",
        "Prajwal et al., Wav2Lip, ACM MM 2020",
    ),
    Metric(
        "lse_d",
        "LSE-D",
        "",
        "lower",
        "clip",
        ("sync",),
        "sync",
        "1 vshift 15, min of mean distances",
        "Prajwal et al., Wav2Lip, ACM MM 2020",
    ),
    Metric(
        "av_offset",
        "AV offset",
        "frames",
        "lower",
        "clip",
        ("sync",),
        "sync",
        "1 vshift 15, absolute value of the offset",
        "Chung and Zisserman, SyncNet, ACCVW 2016",
    ),
    Metric(
        "bpp", "Bits per pixel", "bit", "lower", "clip", ("bytes",), None, "1 all bytes sent", "talkbench"
    ),
    Metric(
        "kbps",
        "Bit rate",
        "kbit/s",
        "lower",
        "clip",
        ("bytes",),
        None,
        "1 all bytes sent, 25 fps",
        "talkbench",
    ),
)

METRICS: dict[str, Metric] = {metric.key: metric for metric in _ALL}
JUDGE_KINDS = ("landmarks", "features", "sync", "lpips", "identity", "pose")


def version(key: str, options: dict | None = None) -> str:
    """Version string of a metric with a protocol's options for it, such as "1 gaussian ... scales=3"."""
    options = options or {}
    return " ".join([METRICS[key].version, *(f"{name}={options[name]}" for name in sorted(options))])


def known(keys) -> list[str]:
    """The keys as a list; ValueError for one that does not exist, naming those that do."""
    keys = list(keys)
    unknown = [key for key in keys if key not in METRICS]
    if unknown:
        raise ValueError(
            f"unknown metric {', '.join(map(repr, unknown))}; there are {', '.join(sorted(METRICS))}"
        )
    return keys
