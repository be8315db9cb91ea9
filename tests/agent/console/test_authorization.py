"""agent.console with sign-in: what is closed to whom, and how a session begins and ends."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import argon2
import pytest
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from agent.console.authorization import CSRF_HEADER
from agent.console.lockout import Lockout
from agent.console.passwords import HASHER, hash_password
from agent.console.sessions import IDLE_S, LIFETIME_S
from agent.errors import AccessError
from tests.agent.box import SetClock
from tests.agent.console.signed_in import AT_THE_SCANNER, ELSEWHERE, PASSWORD, Page, Ward, hashed
from tests.agent.reports import add_result, receive, report
from tests.agent.stored import Store

UID = "1.2.3.4"
ACKNOWLEDGE = f"/api/series/{UID}/1/acknowledge"
PATIENTS = ["/api/state", "/api/events", f"/api/series/{UID}/1/views/axial.png", "/api/session"]


@pytest.fixture
def ward(tmp_path: Path) -> Iterator[Ward]:
    clock = SetClock()
    with Store(tmp_path / "store.sqlite", clock) as store:
        receive(store, clock)
        add_result(store, report(), {"axial": b"\x89PNG"})
        yield Ward(store, tmp_path / "audit.log", clock)


@pytest.fixture
def ann(ward: Ward) -> Page:
    return ward.page().enter(ward, "ann")


def acknowledged_by(ward: Ward) -> str | None:
    row = ward.store.queries.series(UID)
    assert row is not None
    return row.acknowledged.who if row.acknowledged else None


class TestWithoutASession:
    @pytest.mark.parametrize("path", [*PATIENTS, "/static/console.js", "/metrics", "/nothing"])
    def test_every_path_is_closed(self, ward: Ward, path: str) -> None:
        answer = ward.page().http.get(path)

        assert (answer.status_code, answer.text) == (401, "sign in first\n")

    def test_a_path_that_someone_adds_is_closed_too(self, ward: Ward) -> None:
        ward.app.router.routes.append(Route("/later", lambda _: PlainTextResponse("DOE^JANE")))
        assert ward.page().http.get("/later").status_code == 401

        assert ward.page().enter(ward, "ann").http.get("/later").text == "DOE^JANE"

    @pytest.mark.parametrize(
        "path",
        ["/static/../api/state", "//api/state", "/healthz/../api/state", "/sign-in/", "/STATIC/x"],
    )
    def test_no_way_of_writing_a_path_opens_it(self, ward: Ward, path: str) -> None:
        assert ward.page().http.get(path).status_code == 401

    @pytest.mark.parametrize("path", [ACKNOWLEDGE, f"/api/series/{UID}/1/shown", "/api/sign-out"])
    def test_nothing_can_be_done(self, ward: Ward, path: str) -> None:
        assert ward.page().post(path, {"who": "Ann"}).status_code == 401
        assert acknowledged_by(ward) is None
        assert len(ward.store.queries.undelivered()) == 1

    def test_the_page_leads_to_signing_in_which_needs_nothing_else(self, ward: Ward) -> None:
        http = ward.page().http

        page = http.get("/")

        assert page.url.path == "/sign-in"
        assert "SIGNED OUT" in page.text
        for path in ("/static/sign-in.js", "/static/sign-in.css", "/static/console.css"):
            assert path in page.text
            assert http.get(path).status_code == 200
        assert http.get("/healthz").text == "ok\n"


class TestSigningIn:
    def test_opens_the_page_by_a_cookie_that_no_script_and_no_other_site_gets(
        self, ward: Ward
    ) -> None:
        page = ward.page()

        answer = page.sign_in()

        assert answer.json() == {"user": "ann", "role": "technologist"}
        assert page.may
        cookie, *attributes = answer.headers["set-cookie"].split("; ")
        assert cookie.startswith("bleedwatch=")
        assert {one.lower() for one in attributes} == {"httponly", "path=/", "samesite=strict"}

    def test_names_may_be_typed_in_either_case(self, ward: Ward) -> None:
        assert ward.page().sign_in("ANN").json()["user"] == "ann"

    @pytest.mark.slow
    def test_a_wrong_password_and_a_name_of_nobody_get_the_same_answer(self, ward: Ward) -> None:
        wrong, nobody = (ward.page().sign_in(name, "x" * 20) for name in ("ann", "bob"))

        assert (wrong.status_code, wrong.json()) == (nobody.status_code, nobody.json())
        assert wrong.status_code == 401

    @pytest.mark.parametrize(
        ("values", "status"),
        [
            ({"name": "ann"}, 422),
            ({"name": None, "password": "x"}, 422),
            ({"name": "ann", "password": 7}, 422),
            ({"name": "", "password": ""}, 401),
            ({"name": "ann", "password": "x" * 9000}, 401),
            ({"name": "ann\x00", "password": PASSWORD}, 200),
            ({"name": "x" * 20_000, "password": PASSWORD}, 413),
        ],
        ids=["no-password", "no-name", "number", "empty", "long", "nul", "longer"],
    )
    def test_what_is_typed_may_be_anything(self, ward: Ward, values: dict, status: int) -> None:
        assert ward.page().http.post("/api/sign-in", json=values).status_code == status

    def test_half_a_character_is_no_password(self, ward: Ward) -> None:
        body, kind = b'{"name": "ann", "password": "\\ud800"}', {"Content-Type": "application/json"}

        assert ward.page().http.post("/api/sign-in", content=body, headers=kind).status_code == 401

    @pytest.mark.parametrize(
        "headers", [{"Origin": "http://elsewhere"}, {"Sec-Fetch-Site": "cross-site"}]
    )
    def test_another_site_can_sign_nobody_in(self, ward: Ward, headers: dict) -> None:
        values = {"name": "ann", "password": PASSWORD}

        answer = ward.page().http.post("/api/sign-in", json=values, headers=headers)

        assert answer.status_code == 403
        assert "set-cookie" not in answer.headers

    def test_neither_password_nor_token_is_in_the_store(self, ward: Ward, ann: Page) -> None:
        token = ann.http.cookies["bleedwatch"]

        with closing(sqlite3.connect(ward.store.path)) as db:
            held = "\n".join(db.iterdump())

        assert 'INSERT INTO "sessions" VALUES(\'' in held
        assert "$argon2id$v=19$m=65536,t=3,p=4$" in held
        for secret in (token, ann.csrf, PASSWORD):
            assert secret not in held

    @pytest.mark.slow
    def test_a_hash_of_other_parameters_is_made_anew(self, ward: Ward) -> None:
        old = argon2.PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash(PASSWORD)
        ward.store.console.accounts.set_password("ann", old)

        assert ward.page().sign_in().status_code == 200

        user = ward.store.console.accounts.user("ann")
        assert user is not None
        assert not HASHER.check_needs_rehash(user.argon2)
        assert ward.page().sign_in().status_code == 200

    @pytest.mark.slow
    def test_keyboards_that_compose_letters_differently_give_one_password(self, ward: Ward) -> None:
        ward.store.console.accounts.set_password("ann", hashed("ann", "f\u00fcnfzehn Zeichen"))

        assert ward.page().sign_in("ann", "fu\u0308nfzehn Zeichen").status_code == 200


class TestASession:
    def test_a_token_from_before_signing_in_is_no_session_after_it(self, ward: Ward) -> None:
        page, planted = ward.page(), "planted-by-someone-else"
        page.http.cookies.set("bleedwatch", planted)

        answer = page.http.post("/api/sign-in", json={"name": "ann", "password": PASSWORD})

        assert planted not in answer.headers["set-cookie"]
        thief = ward.page(ELSEWHERE)
        thief.http.cookies.set("bleedwatch", planted)
        assert not thief.may

    def test_signing_in_again_ends_the_browsers_former_session(self, ward: Ward, ann: Page) -> None:
        former = ward.page()
        former.http.cookies.set("bleedwatch", ann.http.cookies["bleedwatch"])
        assert former.may

        ann.sign_in("sam")

        assert ann.may
        assert not former.may

    def test_ends_by_signing_out_in_the_store_and_not_only_in_the_browser(
        self, ward: Ward, ann: Page
    ) -> None:
        kept = ward.page()
        kept.http.cookies.set("bleedwatch", ann.http.cookies["bleedwatch"])

        answer = ann.post("/api/sign-out")

        assert answer.status_code == 204
        assert "Max-Age=0" in answer.headers["set-cookie"]
        assert not kept.may

    def test_that_no_page_uses_ends_after_half_an_hour(self, ward: Ward, ann: Page) -> None:
        ward.clock.now_s += IDLE_S - 1
        assert ann.may

        ward.clock.now_s += IDLE_S + 1

        assert not ann.may

    def test_that_a_page_uses_lasts_a_shift_and_no_longer(self, ward: Ward, ann: Page) -> None:
        for _ in range(int(LIFETIME_S // 900)):
            assert ann.may
            ward.clock.now_s += 900

        ward.clock.now_s += 1

        assert not ann.may

    def test_says_how_long_it_has_to_go(self, ward: Ward, ann: Page) -> None:
        ward.clock.now_s += 1000

        assert ann.http.get("/api/session").json() == {
            "user": "ann",
            "role": "technologist",
            "csrf": ann.csrf,
            "ends_in_s": LIFETIME_S - 1000,
        }

    def test_outlives_the_console_but_not_the_computer(self, ward: Ward, ann: Page) -> None:
        ward.restart()
        ann.http.app = ward.app
        page = ward.page()
        page.http.cookies.set("bleedwatch", ann.http.cookies["bleedwatch"])
        assert page.may

        ward.boot = "boot-2"
        ward.restart()
        page = ward.page()
        page.http.cookies.set("bleedwatch", ann.http.cookies["bleedwatch"])

        assert not page.may

    def test_ends_when_its_user_is_removed(self, ward: Ward, ann: Page) -> None:
        ward.store.console.accounts.remove_user("ann")
        assert not ann.may

        ward.add("ann", "service")  # whoever comes after with that name begins anew
        assert not ann.may

    def test_ends_when_its_password_is_set_anew(self, ward: Ward, ann: Page) -> None:
        sam = ward.page().enter(ward, "sam")

        ward.store.console.accounts.set_password("ann", hashed("ann"))

        assert not ann.may
        assert sam.may

    def test_goes_on_where_its_use_cannot_be_written_down(self, ward: Ward, ann: Page) -> None:
        ward.store.pragma("query_only", "ON")  # as on a full disk
        ward.clock.now_s += 600

        assert ann.may

    def test_only_its_own_page_may_act(self, ward: Ward, ann: Page) -> None:
        sam = ward.page().enter(ward, "sam")

        for csrf in ("", "0" * 64, sam.csrf, b"\xe9"):
            assert ann.post(ACKNOWLEDGE, csrf=csrf).status_code == 403
        bare = ann.http.post(ACKNOWLEDGE, json={})
        assert bare.status_code == 403
        assert acknowledged_by(ward) is None

        own = ann.http.post(ACKNOWLEDGE, json={}, headers={CSRF_HEADER: ann.csrf})
        assert own.status_code == 200

    def test_an_acknowledgement_is_by_who_is_signed_in_and_by_nobody_else(
        self, ward: Ward, ann: Page
    ) -> None:
        assert ann.post(ACKNOWLEDGE, {"who": "sam"}).status_code == 403
        assert acknowledged_by(ward) is None

        assert ann.post(ACKNOWLEDGE, {"note": "called"}).json()["who"] == "ann"

        assert acknowledged_by(ward) == "ann"


class TestRoles:
    def test_what_is_for_service_is_closed_to_a_technologist(self, ward: Ward, ann: Page) -> None:
        assert ann.http.get("/metrics").status_code == 403
        sam = ward.page().enter(ward, "sam")
        assert "bleedwatch_ready" in sam.http.get("/metrics").text

    @pytest.mark.parametrize("path", ["/metrics", "/readyz"])
    def test_a_monitor_on_this_computer_need_not_sign_in(self, ward: Ward, path: str) -> None:
        assert ward.page("127.0.0.1").http.get(path).status_code in (200, 503)
        assert ward.page(ELSEWHERE).http.get(path).status_code == 401

    def test_a_role_is_another_at_once(self, ward: Ward, ann: Page) -> None:
        ward.store.console.accounts.set_role("ann", "service")

        assert ann.http.get("/metrics").status_code == 200
        assert ann.http.get("/api/session").json()["role"] == "service"


class TestLockout:
    def wrong(self, page: Page, n: int, name: str = "ann") -> list[int]:
        return [page.sign_in(name, "not the password").status_code for _ in range(n)]

    @pytest.mark.slow
    def test_five_wrong_passwords_make_the_next_try_wait_and_longer_each_time(
        self, ward: Ward
    ) -> None:
        page = ward.page()
        assert self.wrong(page, 5) == [401] * 4 + [429]

        answer = page.sign_in()
        assert (answer.status_code, answer.json()["wait_s"]) == (429, 30)
        assert answer.headers["retry-after"] == "30"

        for wait_s in (60, 120):
            ward.clock.now_s += 900
            assert page.sign_in("ann", "not the password").json()["wait_s"] == wait_s

    @pytest.mark.slow
    def test_it_ends_and_signing_in_forgets_it(self, ward: Ward) -> None:
        page = ward.page()
        self.wrong(page, 5)
        ward.clock.now_s += 29
        assert page.sign_in().json()["wait_s"] == 1

        ward.clock.now_s += 1
        assert page.sign_in().status_code == 200

        assert self.wrong(page, 4) == [401] * 4

    @pytest.mark.slow
    def test_who_guesses_elsewhere_locks_nobody_out_at_the_scanner(self, ward: Ward) -> None:
        assert self.wrong(ward.page(ELSEWHERE), 6)[-2:] == [429, 429]

        assert ward.page(AT_THE_SCANNER).sign_in().status_code == 200

    @pytest.mark.slow
    def test_ends_no_session(self, ward: Ward, ann: Page) -> None:
        self.wrong(ward.page(), 6)

        assert ann.may

    @pytest.mark.slow
    def test_outlives_the_console_and_the_computer(self, ward: Ward) -> None:
        self.wrong(ward.page(), 5)

        ward.restart()
        assert ward.page().sign_in().status_code == 429
        ward.boot, ward.clock.now_s = "boot-2", 10.0
        ward.restart()

        assert ward.page().sign_in().json()["wait_s"] == 20


class TestCountingTries:
    """The same without passwords, which take their time."""

    @pytest.fixture
    def lockout(self, ward: Ward) -> Lockout:
        return Lockout(ward.store.console.accounts, ward.clock, ward.boot)

    def made(self, lockout: Lockout, names: list[str], address: str) -> int:
        return sum(lockout.count_attempt(name, address) == 0 for name in names)

    def test_an_address_has_twenty_whatever_names_it_tries(self, lockout: Lockout) -> None:
        names = [f"user{n}" for n in range(40)]

        assert self.made(lockout, names, ELSEWHERE) == 20
        assert self.made(lockout, names, AT_THE_SCANNER) == 20

    def test_a_name_has_fifty_from_wherever(self, lockout: Lockout) -> None:
        addresses = [f"10.1.0.{n}" for n in range(100)]

        assert sum(self.made(lockout, ["ann"], address) for address in addresses) == 50
        assert self.made(lockout, ["sam"], AT_THE_SCANNER) == 1

    def test_all_addresses_of_one_ipv6_computer_are_one(self, lockout: Lockout) -> None:
        addresses = [f"2001:db8:0:1::{n:x}" for n in range(40)]

        assert sum(self.made(lockout, ["ann"], address) for address in addresses) == 5
        assert self.made(lockout, ["ann"], "2001:db8:0:2::1") == 1

    def test_letters_case_makes_no_second_name(self, lockout: Lockout) -> None:
        assert self.made(lockout, ["ann", "ANN", "Ann"] * 3, AT_THE_SCANNER) == 5

    def test_tries_at_the_same_moment_gain_nothing(self, lockout: Lockout) -> None:
        with ThreadPoolExecutor(16) as many:
            waits_s = list(many.map(lambda _: lockout.count_attempt("ann", ELSEWHERE), range(32)))

        assert waits_s.count(0) == 5

    def test_no_wait_is_longer_than_a_quarter_of_an_hour(
        self, ward: Ward, lockout: Lockout
    ) -> None:
        waits_s = []
        for _ in range(60):
            ward.clock.now_s += 900
            assert lockout.count_attempt("ann", ELSEWHERE) == 0
            waits_s.append(lockout.next_wait_s("ann", ELSEWHERE))

        assert waits_s[:11] == [0, 0, 0, 0, 30, 60, 120, 240, 480, 900, 900]
        assert set(waits_s[10:]) == {900}

    def test_are_forgotten_after_a_day(self, ward: Ward, lockout: Lockout) -> None:
        assert self.made(lockout, ["ann"] * 9, ELSEWHERE) == 5
        ward.clock.now_s += 86_401

        assert self.made(lockout, ["ann"] * 9, ELSEWHERE) == 5
        assert len(ward.store.sql("SELECT * FROM tries")) == 3


@pytest.mark.parametrize(
    "password",
    ["fourteen chars", "", "a" * 40, "abcabcabcabcabcabc", "i am ann lee of ct", "x1y2z" * 300],
    ids=["short", "none", "one-letter", "few-letters", "the-name", "endless"],
)
def test_passwords_that_will_not_do(password: str) -> None:
    with pytest.raises(AccessError):
        hash_password(password, "Ann Lee")
