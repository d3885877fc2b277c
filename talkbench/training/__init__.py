"""The one trainer for every stage of every method."""
