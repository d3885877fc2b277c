"""From raw video files to records: one unit of work a source file, resumable, every file accounted for.

A run goes `trees` (which files, which parts of them) -> `survey` (first pass: time base, cuts, faces, sound) -> `segments`
(what to keep, with which crop) -> `work` (second pass: pictures) -> `workplace` (a finished unit on disk) -> `run` (packs
records in the order of clip ids) -> `verification`.
"""

DATASETS = (
    "folder",
    "voxceleb2",
    "vox-metadata",
    "hdtf",
    "talkinghead1kh",
    "lrw",
    "grid",
)  # layouts that it reads
