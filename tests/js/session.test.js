import assert from "node:assert/strict";
import { test } from "node:test";
import { load, ok, openPage, refused } from "./page.js";

const SIGNED_IN = { user: "Ada", role: "technologist", csrf: "c5rf", ends_in_s: 46_800 };
let stored = ok({});
const { document, requests } = await openPage({
  "/api/words": ok({ language: "en", words: {} }),
  "/api/session": () => ok(SIGNED_IN),
  "/api/series/1.2/1/verdict": () => stored,
});
const { nameIn, post } = await load("session.js");
const { resultPath, say } = await load("feedback.js");

const URL_ = "/api/series/1.2/1/verdict";

function form() {
  return document.getElementById("verdict").content.cloneNode(true).firstElementChild;
}

test("what is posted bears the session's token", async () => {
  await post(URL_, { agrees: true });

  const { headers, body } = requests.at(-1);
  assert.equal(headers["X-Bleedwatch-Csrf"], "c5rf");
  assert.deepEqual(JSON.parse(body), { agrees: true });
});

test("the header names who is signed in", () => {
  assert.match(document.getElementById("session").textContent, /Ada.*technologist/);
});

test("the name is the session's, whatever a form says", () => {
  const given = form();
  given.elements.who.value = "Somebody else";

  assert.equal(nameIn(given), "Ada");
});

test("an answer that was stored is returned, and the form can be used again", async () => {
  const given = form();
  given.elements.note.value = " seen ";

  const answer = await say(given, URL_, { agrees: false });

  assert.equal(answer.ok, true);
  assert.deepEqual(JSON.parse(requests.at(-1).body), { who: "Ada", note: "seen", agrees: false });
  assert.ok([...given.querySelectorAll("button")].every((button) => !button.disabled));
});

test("an answer that was not stored is said on its form", async () => {
  const given = form();
  stored = refused(503);

  assert.equal(await say(given, URL_, { agrees: true }), null);
  assert.equal(given.querySelector(".failed").textContent, "Not stored – try again");
});

test("a series UID cannot lead to another path", () => {
  assert.equal(resultPath("../x", 2), "/api/series/..%2Fx/2");
});
