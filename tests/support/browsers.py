"""The browser in which pages are tested: the system's own, which `scripts/browser.sh` installs where it may."""

from __future__ import annotations

import shutil

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
NO_BROWSER = "there is no Chromium or Chrome here, and scripts/browser.sh could not install one"
