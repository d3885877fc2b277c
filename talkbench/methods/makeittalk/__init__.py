"""MakeItTalk (Zhou et al., SIGGRAPH Asia 2020): landmarks from speech and speaker, pictures from landmarks."""
