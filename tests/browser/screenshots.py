#!/usr/bin/env python3
"""Screenshots of reports, to be looked at: screenshots.py FOLDER PAGE.html…: light and dark, at 1440, 1024 and 390 pixels."""
import pathlib
import sys
import tempfile

from webdriver import Browser


def shoot(browser, page, folder, fragment=""):
    for dark in (False, True):
        for width in (1440, 1024, 390):
            browser.open(page, fragment, width, 900, dark)
            browser.until("return document.querySelector('.chart svg, .map, .pairs') !== null")
            browser.run("document.documentElement.style.scrollBehavior = 'auto'")
            browser.run("for (const each of document.querySelectorAll('.picture')) each.scrollIntoView()")
            browser.until("return [...document.querySelectorAll('main > section > .picture')].every((each) => each.querySelector('canvas'))")
            browser.until("scrollTo(0, 0); return scrollY === 0")
            browser.screenshot(folder / f"{page.stem}-{width}-{'dark' if dark else 'light'}.png")


def main():
    folder, *pages = map(pathlib.Path, sys.argv[1:])
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as profile:
        browser = Browser(pathlib.Path(profile))
        try:
            for page in pages:
                shoot(browser, page.resolve(), folder)
        finally:
            browser.quit()


if __name__ == "__main__":
    main()
