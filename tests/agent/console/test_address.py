"""agent.console at any other address than loopback: refused at start, or by TLS and sign-in."""

from __future__ import annotations

import http.client
import json
import re
import socket
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption
from playwright.sync_api import Browser, Page, expect

from agent.console.address import Address
from agent.console.server import serve
from agent.console.sessions import LIFETIME_S
from agent.doctor.result import Mark
from agent.errors import ConfigError
from agent.wiring import system_clock
from tests.agent.certificates import NAMES, Authority
from tests.agent.console.browsing import IN_A_BROWSER
from tests.agent.console.made import context_of
from tests.agent.console.signed_in import PASSWORD, hashed
from tests.agent.doctor.scratch import Scratch, free_port
from tests.agent.reports import add_result, live, receive, report
from tests.agent.stored import Store
from tests.program import Order, until

UID = "1.2.3.4"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


def with_user(store: Store) -> None:
    store.console.accounts.add_user("ann", "technologist", hashed("ann"), system_clock())


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(tmp_path / "store.sqlite", system_clock) as opened:
        yield opened


def refusal(store: Store, address: Address, tmp_path: Path) -> ConfigError:
    with pytest.raises(ConfigError) as refused:
        serve(context_of(store), address)
    return refused.value


class TestRefusedAtStart:
    @pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1", "ct1.hospital.example"])
    def test_another_address_without_tls(self, store: Store, tmp_path: Path, host: str) -> None:
        with_user(store)

        error = refusal(store, Address(host, 9999), tmp_path)

        assert "loopback" in str(error)
        assert "console.tls_certificate" in error.what_to_do

    def test_another_address_without_sign_in(
        self, store: Store, authority: Authority, tmp_path: Path
    ) -> None:
        with_user(store)

        error = refusal(store, Address("0.0.0.0", 9999, False, *authority.make()), tmp_path)

        assert "console.sign_in = false" in str(error)

    @pytest.mark.parametrize("host", ["0.0.0.0", "127.0.0.1"])
    def test_sign_in_without_a_user(
        self, store: Store, authority: Authority, tmp_path: Path, host: str
    ) -> None:
        error = refusal(store, Address(host, 9999, True, *authority.make()), tmp_path)

        assert "there is none" in str(error)
        assert "bleedwatch user add" in error.what_to_do

    @pytest.mark.parametrize(
        ("changes", "words"),
        [
            ({"begins": timedelta(-9), "ends": timedelta(-1)}, "expired on"),
            ({"begins": timedelta(1)}, "not valid before"),
            ({"names": ()}, "names no host"),
            ({"secret": BestAvailableEncryption(b"secret")}, "with a passphrase"),
        ],
        ids=["expired", "not-yet", "no-names", "passphrase"],
    )
    def test_a_certificate_of_no_use(
        self, store: Store, authority: Authority, tmp_path: Path, changes: dict, words: str
    ) -> None:
        with_user(store)
        files = authority.make("useless", **changes)

        error = refusal(store, Address("0.0.0.0", 9999, None, *files), tmp_path)

        assert words in str(error)
        assert error.what_to_do

    @pytest.mark.parametrize(
        ("certificate", "key", "words"),
        [
            ("console.pem", None, "one without the other"),
            ("gone.pem", "console.key", "gone.pem: No such file"),
            ("console.pem", ".", "Is a directory"),
            ("console.key", "console.key", "no PEM certificate"),
            ("console.pem", "console.pem", "no PEM key"),
            ("console.pem", "another.key", "another.key: not the key of"),
        ],
    )
    def test_files_that_do_not_belong_together(
        self,
        store: Store,
        authority: Authority,
        tmp_path: Path,
        certificate: str,
        key: str | None,
        words: str,
    ) -> None:
        with_user(store)
        authority.make("console")
        authority.make("another")
        files = authority.folder / certificate, authority.folder / key if key else None

        error = refusal(store, Address("0.0.0.0", 9999, None, *files), tmp_path)

        assert words in str(error)
        assert error.what_to_do


@dataclass
class Served:
    """The real program at all addresses of this computer, by TLS."""

    folder: Path
    port: int
    store: Store
    ca: Path

    def start(self, certificate: Path, key: Path) -> None:
        config = self.folder / "agent.toml"
        config.write_text(
            f'export_folder = "{self.folder}"\nstate_folder = "{self.folder}"\n'
            f'[console]\nhost = "0.0.0.0"\nport = {self.port}\n'
            f'tls_certificate = "{certificate}"\ntls_key = "{key}"\n'
        )
        log = self.folder / "log"
        self.process = Order(("console", "--config", str(config)), log, log).begin()
        until(self.answers)

    def answers(self) -> bool:
        assert self.process.exitcode is None
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}/"

    def connect(self) -> http.client.HTTPSConnection:
        """Connect as a browser that trusts the hospital's authority and no other does."""
        context = ssl.create_default_context(cafile=str(self.ca))
        return http.client.HTTPSConnection("127.0.0.1", self.port, context=context, timeout=60)

    def ask(
        self, path: str, values: object = None, **headers: str
    ) -> tuple[int, http.client.HTTPMessage, bytes]:
        connection = self.connect()
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        if values is None:
            connection.request("GET", path, headers=named)
        else:
            named["Content-Type"] = "application/json"
            connection.request("POST", path, json.dumps(values), named)
        answer = connection.getresponse()
        told = answer.status, answer.headers, answer.read()
        connection.close()
        return told

    def sign_in(self, name: str) -> str:
        """Sign in and return the cookie."""
        _, headers, _ = self.ask("/api/sign-in", {"name": name, "password": PASSWORD})
        return headers["Set-Cookie"].partition(";")[0]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, authority: Authority) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("served")
    with Store(folder / "bleedwatch.sqlite", system_clock) as store:
        for name in ("ann", "bea", "cem"):
            store.console.accounts.add_user(name, "technologist", hashed(name), system_clock())
        live(store, system_clock)
        program = Served(folder, free_port(), store, authority.ca)
        program.start(*authority.make("served"))
        yield program
        program.process.kill()
        program.process.join()


class TestServedByTls:
    @pytest.mark.slow
    def test_a_browser_that_trusts_the_authority_is_answered(self, served: Served) -> None:
        assert served.ask("/healthz")[::2] == (200, b"ok\n")
        assert served.ask("/api/state")[::2] == (401, b"sign in first\n")

    @pytest.mark.slow
    def test_one_that_does_not_is_told_nothing(self, served: Served) -> None:
        connection = http.client.HTTPSConnection("127.0.0.1", served.port, timeout=60)
        with pytest.raises(ssl.SSLCertVerificationError):
            connection.request("GET", "/healthz")

    def test_nothing_is_answered_without_tls(self, served: Served) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=60)
        try:
            connection.request("GET", "/healthz")
            answered = connection.getresponse().status
        except (OSError, http.client.HTTPException):
            answered = None
        assert answered is None

    def test_old_tls_is_refused(self, served: Served) -> None:
        context = ssl.create_default_context(cafile=str(served.ca))
        context.set_ciphers("DEFAULT:@SECLEVEL=0")
        with pytest.warns(DeprecationWarning, match="TLSv1_1"):
            context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
        plain = socket.create_connection(("127.0.0.1", served.port), timeout=60)
        with pytest.raises((ssl.SSLError, OSError)), plain:
            context.wrap_socket(plain, server_hostname="127.0.0.1")

    @pytest.mark.parametrize(
        ("host", "status"),
        [(name, 200) for name in (*NAMES, "localhost")] + [("ct2.hospital.example", 400)],
    )
    def test_it_is_asked_for_by_the_names_in_the_certificate(
        self, served: Served, host: str, status: int
    ) -> None:
        assert served.ask("/healthz", Host=f"{host}:{served.port}")[0] == status

    def test_the_cookie_is_this_hosts_and_goes_by_tls_alone(self, served: Served) -> None:
        status, headers, _ = served.ask("/api/sign-in", {"name": "ann", "password": PASSWORD})

        assert status == 200
        cookie, *attributes = headers["Set-Cookie"].split("; ")
        assert cookie.startswith("__Host-bleedwatch=")
        assert {one.lower() for one in attributes} == {
            "httponly",
            "path=/",
            "samesite=strict",
            "secure",
        }
        assert served.ask("/api/state", Cookie=cookie)[0] == 200

    def test_the_stream_ends_with_the_session(self, served: Served) -> None:
        cookie = served.sign_in("bea")
        connection = served.connect()
        connection.request("GET", "/api/events", headers={"Cookie": cookie})
        stream = connection.getresponse()
        while not stream.readline().startswith(b"data: "):
            pass

        served.store.console.accounts.remove_user("bea")

        while stream.readline():  # to its end, which a session that lasted would never reach
            pass
        assert served.ask("/api/events", Cookie=cookie)[0] == 401
        connection.close()

    @pytest.mark.slow
    def test_a_header_that_names_another_address_gains_no_more_tries(self, served: Served) -> None:
        values = {"name": "cem", "password": "not the password"}
        statuses = [
            served.ask("/api/sign-in", values, X_Forwarded_For=f"10.9.8.{n}")[0] for n in range(6)
        ]

        assert statuses == [401] * 4 + [429] * 2
        assert "10.9.8." not in (served.folder / "audit.log").read_text()

    def test_a_port_that_cannot_be_had_is_refused(
        self, served: Served, store: Store, authority: Authority, tmp_path: Path
    ) -> None:
        with_user(store)
        address = Address("0.0.0.0", served.port, None, *authority.make("second"))

        assert "a Bleedwatch console is served" in str(refusal(store, address, tmp_path))


class TestDoctor:
    @pytest.fixture
    def scratch(self, tmp_path: Path) -> Scratch:
        return Scratch(tmp_path, free_port())

    def configure(self, scratch: Scratch, host: str, port: int, *files: Path) -> None:
        names = ("tls_certificate", "tls_key")
        lines = [f'{name} = "{path}"' for name, path in zip(names, files, strict=False)]
        scratch.configure(port=port, host=host)
        text = scratch.config.read_text()
        scratch.config.write_text(text.replace("[console]", "\n".join(["[console]", *lines])))

    def test_a_page_by_tls_is_asked_without_signing_in(
        self, scratch: Scratch, served: Served, authority: Authority
    ) -> None:
        files = authority.folder / "served.pem", authority.folder / "served.key"
        self.configure(scratch, "0.0.0.0", served.port, *files)

        results = scratch.results()

        assert results["console"].mark is Mark.WELL
        assert results["certificate"].mark is Mark.WELL
        assert "ct1.hospital.example" in results["certificate"].text
        assert results["users"].mark is Mark.WRONG
        assert "bleedwatch user add" in results["users"].what_to_do

    def test_a_page_that_still_shows_the_former_certificate_is_told(
        self, scratch: Scratch, served: Served, authority: Authority
    ) -> None:
        self.configure(scratch, "0.0.0.0", served.port, *authority.make("renewed"))

        told = scratch.results()["console"]

        assert told.mark is Mark.WRONG
        assert "restart bleedwatch-console" in told.what_to_do

    @pytest.mark.parametrize(
        ("days", "mark", "words"),
        [(-1, Mark.WRONG, "expired on"), (29, Mark.NOTE, "valid until"), (31, Mark.WELL, "valid")],
    )
    def test_the_certificates_end_is_told_a_month_before(
        self, scratch: Scratch, authority: Authority, days: int, mark: Mark, words: str
    ) -> None:
        files = authority.make("ending", begins=timedelta(-9), ends=timedelta(days, hours=1))
        self.configure(scratch, "0.0.0.0", scratch.port, *files)

        told = scratch.results()["certificate"]

        assert told.mark is mark
        assert words in told.text

    def test_the_users_are_counted_and_not_named(
        self, scratch: Scratch, authority: Authority
    ) -> None:
        self.configure(scratch, "0.0.0.0", scratch.port, *authority.make("counted"))
        with Store(scratch.store_path, system_clock) as store:
            with_user(store)

        assert scratch.results()["users"].text == "technologist: 1"


class TestInABrowser:
    pytestmark = IN_A_BROWSER

    @pytest.fixture
    def page(self, browser: Browser, served: Served) -> Iterator[Page]:
        window = browser.new_context(
            ignore_https_errors=True, viewport={"width": 1280, "height": 1024}
        )
        page = window.new_page()
        complaints: list[str] = []
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda request: complaints.append(request.url)
                if not request.url.startswith(served.url) else None)  # fmt: skip
        page.goto(served.url)
        yield page
        window.close()
        assert complaints == []

    def test_a_technologist_signs_in_acknowledges_and_signs_out_by_keyboard_alone(
        self, page: Page, served: Served, tmp_path: Path
    ) -> None:
        receive(served.store, system_clock, UID)
        add_result(served.store, report(UID))
        live(served.store, system_clock)
        expect(page.locator("h2")).to_have_text("✖ SIGNED OUT")
        page.screenshot(path=tmp_path / "signed-out.png")
        assert Axe().run(page).response["violations"] == []

        page.keyboard.type("ann")
        page.keyboard.press("Tab")
        page.keyboard.type("not the password")
        page.keyboard.press("Enter")
        expect(page.locator("#why")).to_have_text("Wrong name or password.")
        page.screenshot(path=tmp_path / "wrong.png")
        page.keyboard.type(PASSWORD)
        page.keyboard.press("Enter")

        expect(page.locator(".alert")).to_contain_text("SUSPECTED HEMORRHAGE")
        expect(page.locator("#session")).to_contain_text("ann · technologist")
        expect(page.get_by_label("Your name")).to_be_hidden()
        page.screenshot(path=tmp_path / "alert.png")
        self.press(page, "Acknowledge")
        expect(page.locator("#worklist")).to_contain_text("acknowledged by ann")
        self.press(page, "Sign out")

        expect(page.locator("h2")).to_have_text("✖ SIGNED OUT")
        assert "DOE" not in page.content()

    def test_a_page_whose_session_ends_says_so_and_shows_no_patient(
        self, page: Page, served: Served
    ) -> None:
        served.store.console.accounts.add_user("dan", "technologist", hashed("dan"), system_clock())
        receive(served.store, system_clock, "1.9")
        page.get_by_label("Name").fill("dan")
        page.get_by_label("Password").fill(PASSWORD)
        page.get_by_role("button", name="Sign in").click()
        expect(page.locator("#worklist")).to_contain_text("DOE, JANE")

        served.store.console.accounts.set_password("dan", hashed("dan"))

        expect(page.locator("h2")).to_have_text("✖ SIGNED OUT")
        assert "DOE" not in page.content()

    def test_the_sessions_end_is_told_half_an_hour_before(self, page: Page, served: Served) -> None:
        served.store.console.accounts.add_user("eve", "service", hashed("eve"), system_clock())
        page.get_by_label("Name").fill("eve")
        page.get_by_label("Password").fill(PASSWORD)
        page.get_by_role("button", name="Sign in").click()
        expect(page.locator("#session")).to_have_text("eve · service Sign out")

        earlier = "UPDATE sessions SET began_monotonic_s = began_monotonic_s - ?"
        served.store.sql(earlier, LIFETIME_S - 1200)
        page.reload()

        expect(page.locator("#session")).to_have_text(
            re.compile(r"▼ signs out at \d\d:\d\d eve · service Sign out")
        )

    def test_nobody_signs_in_before_the_page_is_ready(self, page: Page, served: Served) -> None:
        """Regression: whoever pressed Enter so early waited for nothing."""
        page.route("**/api/words*", lambda _: None)  # never answered: the script waits for it

        page.goto(served.url + "sign-in", wait_until="commit")

        expect(page.get_by_role("button", name="Sign in")).to_be_disabled()

    def test_who_has_to_wait_is_told_how_long(self, page: Page, served: Served) -> None:
        for _ in range(5):
            expect(page.get_by_role("button", name="Sign in")).to_be_enabled()
            page.get_by_label("Name").fill("nobody")
            page.get_by_label("Password").fill("not the password")
            page.keyboard.press("Enter")
            expect(page.locator("#why")).to_have_text(re.compile("Wrong name or password"))
            page.locator("#why").evaluate("node => { node.textContent = '' }")

        expect(page.locator("#why")).to_have_text(re.compile(r"Try again in \d\d s\."))
        expect(page.get_by_role("button", name="Sign in")).to_be_disabled()

    def press(self, page: Page, name: str) -> None:
        """Go to a button by Tab, as someone without a mouse does, and press it."""
        button = page.get_by_role("button", name=name)
        for _ in range(20):
            if button.evaluate("node => node === document.activeElement"):
                break
            page.keyboard.press("Tab")
        expect(button).to_be_focused()
        page.keyboard.press("Enter")
