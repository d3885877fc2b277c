"""From raw video files to records: one unit of work a source file, resumable, every file accounted for.

A run goes `trees` (which files, which parts of them) -> `survey` (first pass: time base, cuts, faces, sound) -> `segments`
(what to keep, with which crop) -> `cutting` (second pass: pictures) -> `workplace` (a finished unit on disk) -> `packing`
(records in the order of clip ids) -> `verification`.
"""
