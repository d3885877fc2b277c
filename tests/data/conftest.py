from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def real() -> Path:
    """The folder of real clips that may lie beside the checkout (shared/realclips)."""
    for folder in Path(__file__).resolve().parents[2:]:
        if (folder / "shared" / "realclips" / "README.md").exists():
            return folder / "shared" / "realclips"
    pytest.skip("no shared/realclips beside the checkout")
