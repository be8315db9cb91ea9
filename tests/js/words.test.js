import assert from "node:assert/strict";
import { test } from "node:test";
import { load, ok, openPage } from "./page.js";

const GERMAN = {
  "slice {k} of {n}": "Schicht {k} von {n}", "left": "links", "basal ganglia": "Basalganglien", "{side} {region}": "{region} {side}",
  "Name not given": "Name fehlt", "Worklist": "Arbeitsliste", "subdural": "subdural",
};
const REASONS = {
  slices_missing: { text: "Schichten fehlen zwischen {below_mm:.1f} und {above_mm:.1f} mm ({n_missing})", what_to_do: "Export prüfen" },
  volume_uncertain: { text: "{because}: das Volumen ist unsicher", what_to_do: "" },
  not_seen_whole: { text: "kein Verdacht, aber {missing}", what_to_do: "" },
  thickness_not_covered: { text: "Schichtdicke {thickness_mm} mm", what_to_do: "Profil {profile} anpassen" },
  not_dicom: { text: "keine DICOM-Datei", what_to_do: "" },
};
const { document } = await openPage({ "/api/words": ok({ language: "de", words: GERMAN, reasons: REASONS }) });
const { born, clock, cut, duration, findingWords, likelihood, nameOf, number, place, plain, said, t, tn, translatePage, whatToDo } = await load("words.js");

/** @param {string} code @param {Record<string, ReasonValue>} values @returns {Reason} */
const reason = (code, values = {}) => ({ code, values, text: `${code} in English`, what_to_do: "what to do in English" });
const gap = reason("slices_missing", { below_mm: 34.24, above_mm: 49, n_missing: 3 });

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

test("a reason is worded by its code, its values as the language writes numbers", () => {
  assert.equal(said(gap), "Schichten fehlen zwischen 34,2 und 49,0 mm (3)");
  assert.equal(whatToDo(gap), "Export prüfen");
  assert.equal(said(reason("thickness_not_covered", { thickness_mm: 0.625, profile: "ge" })), "Schichtdicke 0,625 mm");
});

test("reasons are said within one, several one after another", () => {
  assert.equal(said(reason("volume_uncertain", { because: gap })), `${said(gap)}: das Volumen ist unsicher`);
  assert.equal(said(reason("not_seen_whole", { missing: [gap, reason("not_dicom")] })), `kein Verdacht, aber ${said(gap)}; keine DICOM-Datei`);
});

test("a file is said before what is so of it", () => {
  assert.equal(said(reason("not_dicom", { file: "IM\u202e1" })), "IM\ufffd1: keine DICOM-Datei");
});

test("a reason of another version, whose code or values are not known, is said in English", () => {
  assert.equal(said(reason("of_tomorrow")), "of_tomorrow in English");
  assert.equal(said(reason("volume_uncertain")), "volume_uncertain in English");
  assert.equal(whatToDo(reason("of_tomorrow")), "what to do in English");
});

test("side and region stand in the language's order", () => {
  assert.equal(place({ side: "left", region: "basal ganglia" }), "Basalganglien links");
  assert.equal(place({ side: null, region: "basal ganglia" }), "Basalganglien");
  assert.equal(place({ side: null, region: null }), "");
  const either = { subtype: "extra-axial (subdural or epidural)", side: "left" };
  assert.equal(place({ ...either, region: "extra-axial" }), "links");
  assert.equal(place({ ...either, region: "basal ganglia" }), "Basalganglien links");
});

test("a finding says what, where and how much, with its interval", () => {
  const finding = { subtype: "subdural", side: "left", region: null, volume_ml: 27.04, volume_interval_ml: [22.6, 48.1] };

  assert.equal(findingWords(finding), "Subdural, links: 27,0 mL (90 %: 22,6–48,1)");
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

test("one of a thing is told otherwise than several", () => {
  assert.deepEqual([0, 1, 2, 1200].map((n) => tn(n, "{n} slice", "{n} slices")), ["0 slices", "1 slice", "2 slices", "1.200 slices"]);
});

test("no network is certain: it is never told as 100 %", () => {
  assert.deepEqual([0.6, 0.8, 0.95, 0.989, 0.998, 1].map(likelihood), [
    "blood: uncertain (60 %)", "blood: likely (80 %)", "blood: very likely (95 %)", "blood: very likely (99 %)",
    "blood: very likely (over 99 %)", "blood: very likely (over 99 %)",
  ]);
});
