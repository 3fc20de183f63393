import pathlib
import sys

import pytest

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "compare")]
from webdriver import Browser  # noqa: E402


@pytest.fixture(scope="session")
def chromium(tmp_path_factory):
    """One Chromium for all tests."""
    if Browser.missing():
        pytest.skip(f"needs {Browser.missing()}")
    browser = Browser(tmp_path_factory.mktemp("chromium"))
    yield browser
    browser.quit()


@pytest.fixture
def browser(chromium):
    """A page may neither complain nor ask for anything but itself."""
    chromium.call("POST", "/url", {"url": "about:blank"})
    chromium.forget()
    yield chromium
    assert chromium.complaints() == []
    assert chromium.requests_elsewhere() == []
