"""Chromium, and visitors in it."""

import contextlib
import os
import shutil

from playwright.sync_api import expect

expect.set_options(timeout=20_000)
NAMES = ("chromium", "chromium-browser", "google-chrome")
CHROMIUM = next(filter(None, map(shutil.which, NAMES)), None)
QUIET = ["--disable-background-networking", "--disable-component-update", "--disable-sync"]
QUIET += ["--no-first-run", "--disable-gpu"]
if hasattr(os, "geteuid") and os.geteuid() == 0:
    QUIET += ["--no-sandbox"]  # which Chromium asks of the system's administrator


@contextlib.contextmanager
def visitor(browser, app, at="", elsewhere=(), **options):
    """A fresh visitor's page, on which no script may fail and nothing come from elsewhere.

    `elsewhere`: what the addresses begin with that may be asked all the same.
    """
    context = browser.new_context(**({"viewport": {"width": 1280, "height": 900}} | options))
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    page, asked, errors = context.new_page(), set(), []
    page.on("request", lambda r: asked.add(r.url))
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(app.url + at)
    yield page
    context.close()
    assert {
        url for url in asked if not is_here(url, app) and not url.startswith(elsewhere)
    } == set()
    assert errors == []


def paste(field, text):
    """Have a text field hold a text, at once: Playwright's `fill` takes seconds for a long one."""
    field.page.evaluate("text => navigator.clipboard.writeText(text)", text)
    field.press("Control+A")
    field.press("Control+V")


def is_here(url, app):
    return url.startswith((app.url, app.url.replace("http", "ws"), "data:", "blob:"))
