"""A browser to look at pages with.

Where there is no Chromium these tests are skipped; with REQUIRE_CHROMIUM set they fail.
"""

import os
import shutil

import pytest


@pytest.fixture(scope="module")
def chromium() -> str:
    """A browser."""
    names = ("chromium", "chromium-browser", "google-chrome")
    path = next(filter(None, map(shutil.which, names)), None)
    if path is None:
        if os.environ.get("REQUIRE_CHROMIUM"):
            pytest.fail("there is no Chromium")
        pytest.skip("there is no Chromium")
    return path
