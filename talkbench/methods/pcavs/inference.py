"""Constants of the published inference."""

AUDIO_GAIN = 1.2  # of the speech content, at inference only
