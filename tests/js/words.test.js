import assert from "node:assert/strict";
import { test } from "node:test";
import { load, ok, openPage } from "./page.js";

const GERMAN = {
  "slice {k} of {n}": "Schicht {k} von {n}", "left": "links", "basal ganglia": "Basalganglien", "{side} {region}": "{region} {side}",
  "Name not given": "Name fehlt", "Worklist": "Arbeitsliste", "subdural": "subdural",
};
const { document } = await openPage({ "/api/words": ok({ language: "de", words: GERMAN }) });
const { born, clock, cut, duration, findingWords, nameOf, number, place, plain, t, translatePage } = await load("words.js");

const named = (patient_name, test_ = false) => nameOf({ test: test_, patient: { patient_name } });

test("the page is marked with the language that it speaks", () => {
  assert.equal(document.documentElement.lang, "de");
});

test("a text is translated and filled in; one without a translation stays English", () => {
  assert.equal(t("slice {k} of {n}", { k: 3, n: 32 }), "Schicht 3 von 32");
  assert.equal(t("result {n}", { n: 2 }), "result 2");
});

test("a value that a text asks for and does not get is left as it is", () => {
  assert.equal(t("slice {k} of {n}", { k: 3 }), "Schicht 3 von {n}");
});

test("side and region stand in the language's order", () => {
  assert.equal(place({ side: "left", region: "basal ganglia" }), "Basalganglien links");
  assert.equal(place({ side: null, region: "basal ganglia" }), "Basalganglien");
  assert.equal(place({ side: null, region: null }), "");
});

test("a finding says what, where and how much, with its interval", () => {
  const finding = { subtype: "subdural", side: "left", region: null, volume_ml: 27.04, volume_interval_ml: [22.6, 48.1] };

  assert.equal(findingWords(finding), "Subdural, links: 27,0 mL (23–48)");
});

test("numbers are written as the language does", () => {
  assert.equal(number(1234.5, 1), "1.234,5");
  assert.equal(number(7), "7");
});

test("a time of another day bears its date", () => {
  const now = new Date();
  const before = new Date(now.getTime() - 3 * 86_400_000);

  assert.match(clock(now.toISOString()), /^\d\d:\d\d:\d\d$/);
  assert.match(clock(before.toISOString()), /^\d{1,2}\. .*\d\d:\d\d:\d\d$/);
});

test("durations are rounded down, and never negative", () => {
  assert.deepEqual([-1, 0.9, 59, 61, 3600, 7265].map(duration), ["0 s", "0 s", "59 s", "1 min 1 s", "1 h 0 min", "2 h 1 min"]);
});

test("a DICOM name is read by its groups and parts", () => {
  assert.equal(named("DOE^JANE^M^DR"), "DOE, JANE M DR");
  assert.equal(named("Yamada^Tarou=山田^太郎=やまだ^たろう"), "Yamada, Tarou (山田, 太郎)");
  assert.equal(named("DOE"), "DOE");
  for (const none of ["", "^", "^^^^", "=", " ^ "]) assert.equal(named(none), "Name fehlt", JSON.stringify(none));
});

test("a self-test bears no patient's name alone", () => {
  assert.equal(named("DOE^JANE", true), "TEST, NO PATIENT: DOE, JANE");
});

test("what turns or hides the text beside it is made visible", () => {
  assert.equal(plain("DOE\u202eENAJ\u200b\u0000"), "DOE\ufffdENAJ\ufffd\ufffd");
  assert.equal(plain(null), "");
});

test("an endless text is cut, and says so", () => {
  assert.equal(cut("x".repeat(500)).length, 121);
  assert.ok(cut("x".repeat(500)).endsWith("…"));
  assert.equal(named("x".repeat(500)).length, 121);
});

test("only a date is read as one", () => {
  assert.equal(born("19480307"), "born 1948-03-07");
  for (const other of ["", "1948", "1948-03-07", "194803071"]) assert.equal(born(other), other);
});

test("what the HTML says is translated, labels too", () => {
  translatePage(document);

  assert.equal(document.querySelector("#worklist").closest("section").getAttribute("aria-label"), "Arbeitsliste");
});
