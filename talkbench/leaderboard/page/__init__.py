"""The page for people: one folder of HTML, style, script, videos and pictures, which loads nothing from elsewhere."""
