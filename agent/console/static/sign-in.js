// Signing in, where the page is for named users.

import { at, field, first } from "./dom.js";
import { said, t, translatePage } from "./words.js";

const form = /** @type {HTMLFormElement} */ (at("sign-in"));
const why = at("why");
/** @type {HTMLButtonElement} */
const button = first(form, "button");
const name = field(form, "name");
const password = field(form, "password");
let waiting = 0;

translatePage(document);
const to = whereTo(new URLSearchParams(location.search).get("to"));
enterIfSignedIn();

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  clearInterval(waiting);
  button.disabled = true;
  const answer = await send().catch(() => null);
  if (answer?.ok) {
    location.replace(to);
    return;
  }
  password.value = "";
  password.focus();
  if (!answer) {
    say(t("Bleedwatch does not answer. Try again, or call service."));
    return;
  }
  const refusal = await answer.json().catch(() => null);
  const text = refusal?.reason ? said(refusal.reason) : t("Not signed in.");
  if (refusal?.wait_s > 0) countDown(text, performance.now() + refusal.wait_s * 1000);
  else say(text);
});

button.disabled = false; // until here a press of it would have been lost

function send() {
  const values = { name: name.value, password: password.value };
  return fetch("/api/sign-in", {
    method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(values),
  });
}

/** @param {string} text */
function say(text) {
  button.disabled = false;
  why.textContent = text;
}

/** @param {string} text @param {number} untilMs */
function countDown(text, untilMs) {
  const tick = () => {
    const seconds = Math.ceil((untilMs - performance.now()) / 1000);
    if (seconds > 0) {
      const time = seconds < 120 ? `${seconds} s` : `${Math.ceil(seconds / 60)} min`;
      why.textContent = [text, t("Try again in {time}.", { time })].join(" ");
      return;
    }
    clearInterval(waiting);
    say(t("Try again."));
  };
  waiting = setInterval(tick, 1000);
  tick();
}

async function enterIfSignedIn() { // as after a link from elsewhere, which brings no cookie along
  const answer = await fetch("/api/session").catch(() => null);
  if (answer?.ok) location.replace(to);
}

/** Where a link led before it was asked to sign in: one of the radiologist's pages, or else the page. @param {string | null} asked */
function whereTo(asked) {
  const url = new URL(asked ?? "/", location.origin);
  const isOurs = url.origin === location.origin && ["/exam", "/reading"].some((page) => url.pathname === page || url.pathname.startsWith(`${page}/`));
  return isOurs ? url.pathname + url.search : "/";
}
