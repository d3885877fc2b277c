"""talkbench: five talking-face methods in JAX and one evaluator for all of them."""

__version__ = "0.1.0"
