"""Network blocks that several methods and judges share."""
