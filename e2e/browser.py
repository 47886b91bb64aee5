"""A headless Chromium that tests drive, and that keeps account of what it asked for and what it complained about."""

import contextlib
import json
import os
import shutil
import tempfile
import urllib.parse

from selenium import webdriver
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.common.exceptions import NoSuchElementException, StaleElementReferenceException

from conftest import eventually

FLAGS = [
    "--headless=new",
    # Root may not use the sandbox; nothing but this platform's own pages is ever opened.
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--force-prefers-reduced-motion",
]


class Browser:
    """One window. `endpoint` is the front door; the log of the network is read as it goes."""

    def __init__(self, endpoint, width=1440, height=900, flags=()):
        self.endpoint = endpoint
        self.profile = tempfile.mkdtemp(prefix="longshore-browser-")
        options = webdriver.ChromeOptions()
        options.binary_location = shutil.which("chromium")
        for flag in [*FLAGS, *flags, f"--user-data-dir={self.profile}", f"--window-size={width},{height}"]:
            options.add_argument(flag)
        options.set_capability("goog:loggingPrefs", {"performance": "ALL", "browser": "ALL"})
        service = webdriver.ChromeService(executable_path=shutil.which("chromedriver"))
        # The driver asks nobody else for anything either.
        os.environ.setdefault("SE_OFFLINE", "true")
        os.environ.setdefault("no_proxy", "127.0.0.1,localhost")
        self.driver = webdriver.Chrome(options=options, service=service)
        self.driver.set_page_load_timeout(30)
        self.requests = []
        self.complaints = []
        self.expected = set()

    def close(self):
        with contextlib.suppress(Exception):
            self.driver.quit()
        shutil.rmtree(self.profile, ignore_errors=True)

    # Where

    def open(self, path="/console/"):
        self.driver.get(f"{self.endpoint}{path}")

    @property
    def path(self):
        parts = urllib.parse.urlsplit(self.driver.current_url)
        return parts.path + (f"?{parts.query}" if parts.query else "")

    def look(self, width, height, scheme=None):
        """Another size of window, and light or dark."""
        mobile = width < 600
        self.driver.execute_cdp_cmd(
            "Emulation.setDeviceMetricsOverride",
            {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": mobile},
        )
        if scheme:
            self.driver.execute_cdp_cmd(
                "Emulation.setEmulatedMedia",
                {"features": [{"name": "prefers-color-scheme", "value": scheme}]},
            )

    # What is there

    def all(self, selector):
        return self.driver.find_elements(By.CSS_SELECTOR, selector)

    def text(self, selector="main"):
        """The text of the first element, or nothing."""
        return self.script("return document.querySelector(arguments[0])?.innerText ?? ''", selector)

    def script(self, code, *arguments):
        return self.driver.execute_script(code, *arguments)

    def sees(self, text, selector="main", timeout=20):
        """Waits for `text`."""
        def seen():
            shown = self.text(selector)
            return text in shown and shown

        try:
            return eventually(seen, timeout, f"{text!r} on {self.path}")
        except AssertionError as error:
            raise AssertionError(f"{error}; the page says:\n{self.text(selector)}") from None

    def find(self, selector, timeout=20):
        def found():
            with contextlib.suppress(NoSuchElementException, StaleElementReferenceException):
                element = self.driver.find_element(By.CSS_SELECTOR, selector)
                return element if element.is_displayed() else None

        return eventually(found, timeout, f"{selector} on {self.path}")

    # What a person does

    def press(self, *keys):
        for key in keys:
            ActionChains(self.driver).send_keys(key).perform()

    def focused(self):
        """What has the focus, in words."""
        return self.script(
            "const e = document.activeElement;"
            "return e ? (e.getAttribute('aria-label') || e.labels?.[0]?.innerText || e.innerText || e.id || e.tagName).trim() : ''"
        )

    def tab_to(self, wanted, most=120):
        """Presses Tab until something that is called `wanted` has the focus."""
        for _ in range(most):
            if self.focused().split("\n")[0] == wanted:
                return
            self.press(Keys.TAB)
        raise AssertionError(f"{wanted!r} is not reached with Tab on {self.path}")

    def type_into(self, label, text):
        """Goes to a field by keyboard and replaces what stands there."""
        self.tab_to(label)
        ActionChains(self.driver).key_down(Keys.CONTROL).send_keys("a").key_up(Keys.CONTROL).send_keys(text).perform()

    # What it asked for

    def drain(self):
        """Reads the logs: every address that was asked for, every complaint of the console."""
        for entry in self.driver.get_log("performance"):
            message = json.loads(entry["message"])["message"]
            if message["method"] == "Network.requestWillBeSent":
                self.requests.append(message["params"]["request"]["url"])
            elif message["method"] == "Network.webSocketCreated":
                self.requests.append(message["params"]["url"])
        for entry in self.driver.get_log("browser"):
            if entry["level"] == "SEVERE":
                self.complaints.append(entry["message"])

    def expects(self, *texts):
        """The next complaints that hold one of `texts` are what the test is about. An answer's status is noted by the browser itself."""
        self.expected.update(texts)

    def account(self):
        """What it asked of others and what it complained about since the last time."""
        self.drain()
        foreign = self.foreign_requests()
        complaints = [text for text in self.complaints if not any(expected in text for expected in self.expected)]
        self.requests.clear()
        self.complaints.clear()
        self.expected.clear()
        return foreign, complaints

    def foreign_requests(self):
        """Addresses beyond the front door."""
        self.drain()
        return [url for url in self.requests if not url.startswith((f"{self.endpoint}/", "data:", "blob:", "chrome:", "about:"))]
