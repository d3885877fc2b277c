"""The cases of the golden file `metrics.npz`, computed by this package.

`CASES` maps a case's name to `function(case, weights) -> {output key: array}`; a case has `inputs()`, `outputs`
(each with a `shape`), as `weights.golden` reads them. There are no weights. Picture stacks come channels first.
"""

import numpy as np

from talkbench.geometry.topology import OUTER_MOUTH
from talkbench.metrics import bootstrap as boot
from talkbench.metrics import compression, embedding, frechet, image, landmark, sync, temporal
from talkbench.metrics import cpbd as blur


def _pictures(case) -> tuple[np.ndarray, np.ndarray, dict]:
    arguments = case.inputs()
    real, fake = (np.moveaxis(arguments[side], 1, -1) for side in ("real", "fake"))
    return real, fake, arguments


def _l1(case, _weights=None):
    real, fake, _ = _pictures(case)
    unit = image.l1(real, fake)
    return {"per_frame_255": image.l1_255(real, fake), "per_frame_unit": unit, "clip_unit": unit.mean()}


def _psnr(case, _weights=None):
    real, fake, _ = _pictures(case)
    per_frame = image.psnr(real, fake)
    step = image.LUMA_STEP
    return {
        "per_frame": per_frame,
        "clip_mean": per_frame.mean(),
        "pooled": np.array(image.psnr_pooled(real, fake)),
        "gray": image.psnr_luma(real, fake),
        "gray_uint8_wraparound": image.psnr_atvgnet(real, fake),
        "luma": image.luma(real)[:, ::step, ::step].astype(np.float64),
    }


def _ssim(case, _weights=None):
    real, fake, _ = _pictures(case)
    values = {name: image.ssim(real, fake, data_range=255, variant=name) for name in image.SSIM_VARIANTS}
    values["wrong_data_range_2_on_unit"] = image.ssim(
        real / 255, fake / 255, data_range=2, variant="uniform7_rgb"
    )
    values["wrong_255_floats_range_1"] = image.ssim(real, fake, data_range=1, variant="uniform7_rgb")
    return values


def _ms_ssim(case, _weights=None):
    real, fake, _ = _pictures(case)
    return {"per_frame": image.ms_ssim(real, fake, data_range=255)}


def _frechet(case, _weights=None):
    sets = case.inputs()
    a, b, s1, s2 = (sets[name] for name in ("a", "b", "s1", "s2"))
    full, deficient, half = frechet.fid(a, b), frechet.fid(s1, s2), len(a) // 2
    return {
        "full": np.array(full),
        "rank_deficient": np.array(deficient),
        "same": np.array(frechet.fid(a, a)),
        "full_eigenvalues": np.array(full),
        "rank_deficient_eigenvalues": np.array(deficient),
        "halves": np.array(frechet.fid(a[:half], a[half:])),
    }


def _fid_infinity(case, _weights=None):
    sets = case.inputs()
    points = case.outputs["n"].shape[0]
    # the case begins at 60 rows
    sizes, values, slope, intercept = frechet.fid_infinity(
        sets["a"], sets["b"], sets["permutation"], smallest=60, points=points
    )
    return {
        "n": sizes.astype(np.float64),
        "fid": values,
        "slope": np.array(slope),
        "fid_infinity": np.array(intercept),
    }


def _kid(case, _weights=None):
    sets = case.inputs()
    a, b = sets["a"], sets["b"]
    mean, spread = frechet.kid_subsets(a, b, subsets=5, size=100)
    return {
        "equal_size": np.array(frechet.kid(a[: len(b)], b)),
        "unequal": np.array(frechet.kid(a, b)),
        "subsets_mean": np.array(mean),
        "subsets_std": np.array(spread),
    }


def _lmd(case, _weights=None):
    tracks = case.inputs()
    real, fake = tracks["real"], tracks["fake"]
    sums = landmark.lmd_script(real, fake)
    return {
        "per_frame_sum": sums,
        "script_mean": sums.mean(),
        "lmd": np.array(landmark.lmd(real, fake, size=256)),
        "mouth_raw": np.array(landmark.mouth_raw(real, fake)),
        "face_raw": np.array(landmark.face_raw(real, fake)),
        "face_centred": np.array(landmark.face_centred(real, fake)),
    }


def _makeittalk(dimensions):
    def run(case, _weights=None):
        tracks = case.inputs()
        real, fake = tracks["real"][..., :dimensions], tracks["fake"][..., :dimensions]
        values = {
            "D-LL": landmark.d_ll(real, fake),
            "D-VL": landmark.d_vl(real, fake),
            "D-L": landmark.d_l(real, fake),
            "D-V": landmark.d_v(real, fake),
            "D-A": landmark.d_a(real, fake),
            "D-A_outer": landmark.d_a(real, fake, OUTER_MOUTH),
            "lip_width": landmark.lip_width(real),
            "face_width": landmark.face_width(real),
        }
        return {key: np.array(value) for key, value in values.items()}

    return run


def _head_pose(case, _weights=None):
    tracks = case.inputs()
    real, fake = tracks["real"], tracks["fake"]
    return {
        "euler_real": landmark.euler(landmark.rotations(real, real[0])),
        "euler_fake": landmark.euler(landmark.rotations(fake, real[0])),
        "D-Rot": np.array(landmark.d_rot(real, fake, real[0])),
        "D-Rot_euler": np.array(landmark.d_rot_euler(real, fake, real[0])),
        "D-Pos": np.array(landmark.d_pos(real, fake)),
    }


def _akd_aed_mkr(case, _weights=None):
    values = case.inputs()
    real, fake = values["real"], values["fake"]
    found_real, found_fake = ~values["miss_real"], ~values["miss_fake"]
    points = found_real.shape[1]
    a, b = values["id_real"], values["id_fake"]
    scores = {
        "akd": landmark.akd(real, fake),
        "akd_euclidean": landmark.akd_euclidean(real, fake),
        "aed": embedding.aed(a, b),
        "aed_unnormalised": embedding.squared_distance(a, b).mean(),
        "aed_root": embedding.aed_root(a, b),
        "akd_present": landmark.akd_present(
            real[:, :points, :2], fake[:, :points, :2], found_real, found_fake
        ),
        "mkr": landmark.mkr(found_real, found_fake),
        "csim": embedding.csim(a, b),
        "csim_to_first": embedding.csim(a[:1], b),
    }
    return {key: np.array(value) for key, value in scores.items()}


def _sync(case, _weights=None):
    features = case.inputs()
    vshift = case.outputs["mean_dist"].shape[0] // 2
    found = sync.search(features["video"], features["audio"], vshift)
    return {
        "mean_dist": found.mean_distance,
        "offset": np.array(float(found.offset)),
        "lse_d": np.array(found.lse_d),
        "lse_c": np.array(found.lse_c),
        "frame_confidence": found.frame_confidence,
    }


def _mfcc(case, _weights=None):
    from talkbench.data.mfcc import mfcc

    return {"mfcc": mfcc(case.inputs()["audio"])}


def _cpbd(case, _weights=None):
    values = {}
    for name, picture in case.inputs().items():
        values[f"cpbd_{name}"] = np.array(blur.cpbd(picture))
        values[f"atvgnet_{name}"] = np.array(blur.cpbd_atvgnet(picture))
    return values


def _temporal(case, _weights=None):
    real, fake, arguments = _pictures(case)
    track_real, track_fake = arguments["landmarks_real"], arguments["landmarks_fake"]
    scores = {
        "tde": temporal.tde(real, fake),
        "flicker": temporal.flicker(fake),
        "flicker_real": temporal.flicker(real),
        "velocity_fake": landmark.velocity(track_fake),
        "acceleration_fake": landmark.acceleration(track_fake),
        "jitter_ratio": landmark.jitter_ratio(track_real, track_fake),
    }
    return {key: np.array(value) for key, value in scores.items()}


def _warping_error(case, _weights=None):
    _, fake, arguments = _pictures(case)
    errors = temporal.warping_error(fake, np.moveaxis(arguments["flow"], 1, -1), arguments["visible"])
    return {"per_pair": errors, "mean": errors.mean()}


def _bpp(case, _weights=None):
    sent = case.inputs()
    size, frames = sent["bytes"], sent["frames"]
    return {
        "bpp": np.array(compression.bits_per_pixel(size, frames, sent["height"], sent["width"])),
        "kbps": np.array(compression.kilobits_per_second(size, frames, sent["fps"])),
    }


def _bootstrap(case, _weights=None):
    scores = case.inputs()
    a, b, draws = scores["a"], scores["b"], scores["resamples"]
    mean, low, high = boot.mean_interval(a, draws)
    difference = boot.paired(a, b, draws)
    return {
        "mean": np.array(mean),
        "ci": np.array([low, high]),
        "diff": np.array(difference.mean),
        "diff_ci": np.array([difference.low, difference.high]),
        "p": np.array(difference.p),
        "frame_weighted": np.array(boot.weighted_mean(a, 1 + np.arange(len(a)) % 4)),
    }


CASES = {
    "l1": _l1,
    "psnr": _psnr,
    "ssim": _ssim,
    "ms_ssim": _ms_ssim,
    "frechet": _frechet,
    "fid_infinity": _fid_infinity,
    "kid": _kid,
    "lmd": _lmd,
    "makeittalk_2d": _makeittalk(2),
    "makeittalk_3d": _makeittalk(3),
    "head_pose": _head_pose,
    "akd_aed_mkr": _akd_aed_mkr,
    "sync_offset_vshift10": _sync,
    "sync_offset_vshift15": _sync,
    "mfcc": _mfcc,
    "cpbd": _cpbd,
    "temporal": _temporal,
    "warping_error": _warping_error,
    "bpp": _bpp,
    "bootstrap": _bootstrap,
}
