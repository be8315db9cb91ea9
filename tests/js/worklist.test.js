import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";
import { setImmediate as turn } from "node:timers/promises";
import { load, ok, openPage } from "./page.js";

const { document, requests } = await openPage({
  "/api/words": ok({ language: "en", words: {} }),
  "/api/session": ok({ user: null, role: "service", csrf: "", ends_in_s: null }),
  "/api/series/1.2/1/shown": () => ok({}),
  "/api/series/1.2/2/shown": () => ok({}),
  "/api/series/1.2/1/verdict": () => ok({}),
});
const { confirmShown, showWorklist } = await load("worklist.js");

const REPORT = { revision: 1, state: "not_suspected", findings: [], caveats: [], code: null };
const SERIES = {
  series_uid: "1.2", test: false, state: "not_suspected", slices: 32, expected: 0, revision: 1, report: REPORT, alert: null,
  description: "HEAD 5mm", patient: { patient_name: "DOE^JANE", patient_id: "P1" }, last_slice_utc: "2026-11-23T10:00:00Z",
  last_slice_age_s: 1, shown_utc: null, acknowledged: null, verdict: null, escalated_utc: null, escalation_problem: null, unread_files: [],
  thickness_mm: 5, place: "speaks", concluded_utc: "2026-11-23T10:00:05Z",
};

const examination = (series, ...others) => ({
  examination_uid: series.series_uid, test: series.test, state: series.state, needs_nobody: false, second: null, remark: null,
  waiting: [], urgency: null, last_slice_utc: series.last_slice_utc, series: [series, ...others],
});

const rows = () => [...document.querySelectorAll("#worklist tr")];
const cells = () => [...rows()[0].querySelectorAll("td")].map((cell) => cell.textContent);
const posted = () => requests.filter(({ method }) => method === "POST").map(({ url }) => url);

beforeEach(() => {
  showWorklist([], true);
  requests.length = 0;
});

test("an empty list says so, once the server was heard", () => {
  const { hidden } = document.getElementById("empty");
  showWorklist([], false);

  assert.deepEqual([hidden, document.getElementById("empty").hidden], [false, true]);
});

test("a row says state, patient, series and slices", () => {
  showWorklist([examination(SERIES)], true);

  assert.deepEqual(cells().slice(0, 4), ["✓ not suspected", "DOE, JANEP1", "HEAD 5mm", "32"]);
});

test("a result without a suspicion is told with what it is to be read with", () => {
  const caveat = { code: "other", values: {}, text: "contrast agent is not excluded", what_to_do: "" };
  showWorklist([examination({ ...SERIES, report: { ...REPORT, caveats: [caveat] } })], true);

  assert.match(cells().join(" "), /contrast agent is not excluded/);
});

test("a series that was not analysed says why, and what to do", () => {
  const refused = { ...REPORT, state: "not_analysed", code: "bone_kernel", values: {}, text: "bone reconstruction", what_to_do: "send the other" };
  showWorklist([examination({ ...SERIES, state: "not_analysed", report: refused })], true);

  assert.equal(cells()[5], "because bone reconstruction→ send the other");
});

test("what a header says is text, never markup", () => {
  showWorklist([examination({ ...SERIES, description: "<img src=x onerror=alert(1)>" })], true);

  assert.equal(rows()[0].querySelector("img"), null);
  assert.equal(cells()[2], "<img src=x onerror=alert(1)>");
});

test("slices that were promised are counted against their number", () => {
  showWorklist([examination({ ...SERIES, state: "receiving", report: null, slices: 8, expected: 32 })], true);

  assert.equal(rows()[0].querySelector("progress").value, 8);
  assert.match(cells()[3], /8 of 32/);
});

test("a row that would show the same is left alone, whatever time went by", () => {
  showWorklist([examination(SERIES)], true);
  const [before] = rows();

  showWorklist([examination({ ...SERIES, last_slice_age_s: 99 })], true);

  assert.equal(rows()[0], before);
});

test("rows keep the order that the server gives", () => {
  showWorklist([examination(SERIES), examination({ ...SERIES, series_uid: "1.3" })], true);
  const [first, second] = rows();
  showWorklist([examination({ ...SERIES, series_uid: "1.3" }), examination(SERIES)], true);

  assert.deepEqual(rows(), [second, first]);
});

test("a verdict can be given, and its form closes once it is stored", async () => {
  const report = { ...REPORT, score: 0.1, total_volume_ml: null, midline_shift_mm: null };
  showWorklist([examination({ ...SERIES, report })], true);
  assert.equal(rows()[0].querySelector(".verdict"), null); // it is asked beside the pictures
  rows()[0].querySelector("td:last-child button").click();
  rows()[1].querySelector(".verdict button:last-of-type").click();
  await turn();
  const form = rows()[1].querySelector("form.verdict");
  form.elements.who.value = "Dr Lee";

  form.dispatchEvent(new window.Event("submit", { cancelable: true }));
  await turn();
  await turn();

  const { body } = requests.find(({ url }) => url.endsWith("/verdict"));
  assert.deepEqual(JSON.parse(body), { who: "Dr Lee", note: "", agrees: false });
  assert.equal(rows()[1].querySelector("form"), null);
  rows()[0].querySelector("td:last-child button").click();
});

test("a result that was shown is confirmed once", async () => {
  confirmShown(SERIES);
  confirmShown(SERIES);
  await turn();

  assert.deepEqual(posted(), ["/api/series/1.2/1/shown"]);
});

test("a result that another page has shown is not confirmed again, but an alert of an earlier one is", async () => {
  const later = { ...SERIES, revision: 3, report: { ...REPORT, revision: 3 }, shown_utc: "2026-11-23T10:00:00Z" };
  confirmShown({ ...later, alert: { ...REPORT, revision: 2, state: "suspected" } });
  await turn();

  assert.deepEqual(posted(), ["/api/series/1.2/2/shown"]);
});

test("a page that nobody can see confirms nothing", async () => {
  Object.defineProperty(document, "hidden", { value: true, configurable: true });
  confirmShown({ ...SERIES, series_uid: "1.4" });
  delete document.hidden;
  await turn();

  assert.deepEqual(posted(), []);
});

const REFUSED = { ...REPORT, state: "not_analysed", code: "bone_kernel", values: {}, text: "bone reconstruction", what_to_do: "adapt protocol profile x" };
const BONE = { ...SERIES, series_uid: "1.9", place: "aside", state: "not_analysed", report: REFUSED };

test("an examination is one row, and what needs nobody is folded into a grey line without advice", () => {
  showWorklist([examination(SERIES, BONE, { ...BONE, series_uid: "1.8" })], true);
  const details = rows()[0].querySelector("details");

  assert.equal(rows().length, 1);
  assert.deepEqual([details.open, details.querySelector("summary").textContent], [false, "further series: 2"]);
  assert.match(details.querySelector("li.aside").textContent, /^– not analysed/);
  assert.doesNotMatch(rows()[0].textContent, /adapt/);
  assert.equal(rows()[0].querySelector(".to-do, .not_analysed"), null);
});

test("an examination without a head to analyse is grey, and what to do is no warning", () => {
  showWorklist([{ ...examination({ ...BONE, place: "speaks" }), state: "not_analysed", needs_nobody: true }], true);

  assert.equal(cells()[0], "– not analysed");
  assert.equal(rows()[0].querySelector("td").className, "aside");
  assert.equal(rows()[0].querySelector(".to-do"), null);
});

test("a row opens its card, which stays while others come, and closes it", () => {
  const report = { ...REPORT, state: "suspected", score: 0.9, total_volume_ml: null, midline_shift_mm: null };
  const suspected = { ...SERIES, state: "suspected", report };
  showWorklist([examination(suspected)], true);
  const toggle = () => rows()[0].querySelector("td:last-child button");
  toggle().click();
  const [, card] = rows();
  showWorklist([examination({ ...SERIES, series_uid: "1.5" }), examination(suspected)], true);

  assert.ok(card.querySelector(".viewer"));
  assert.equal(rows()[2], card);
  rows()[1].querySelector("td:last-child button").click();
  assert.equal(rows().length, 2);
});

test("every answer of an examination is told in the order in which it came", () => {
  const thin = { ...SERIES, series_uid: "1.5", thickness_mm: 0.6, concluded_utc: "2026-11-23T10:01:00Z" };
  showWorklist([examination(thin, { ...SERIES, place: "beside" })], true);

  const told = [...rows()[0].querySelectorAll(".history li")].map((item) => item.textContent);
  assert.match(told[0], /5 mm/);
  assert.match(told[1], /0\.6 mm/);
});

test("how far a result is on its way to each archive stands in its row, of what failed the archive's words", () => {
  const way = { sent_utc: null, delivered_utc: null, dropped_utc: null, problem: null, remark: null };
  const raised = { code: "order_raised", values: {}, text: "a: the order was raised to stat", what_to_do: "" };
  const at = "2026-11-23T10:01:00Z";
  const refused = { code: "archive_refused", values: {}, text: "pacs refused 1 of 5 objects: 0xA700 full", what_to_do: "" };
  showWorklist([examination({ ...SERIES, sent: [
    { ...way, channel: "a", delivered_utc: at, remark: raised }, { ...way, channel: "b", sent_utc: at }, { ...way, channel: "c" },
    { ...way, channel: "d", problem: refused }, { ...way, channel: "e", dropped_utc: at, problem: refused },
  ] })], true);

  const lines = [...rows()[0].querySelectorAll("small")].map((line) => line.textContent);
  const [delivered, remark, ...rest] = lines.slice(-6);
  const told = [delivered, ...rest];
  assert.match(told[0], /^a: delivered, /);
  assert.equal(remark, "a: the order was raised to stat");
  assert.match(told[1], /^b: sent, .*; not confirmed yet$/);
  assert.deepEqual(told.slice(2, 4), ["c: not sent yet", "pacs refused 1 of 5 objects: 0xA700 full"]);
  assert.match(told[4], /^e: given up, /);
});

test("what somebody outlined elsewhere, and a fetched earlier examination, are told in row and card", () => {
  const report = { ...REPORT, state: "suspected", score: 0.9, total_volume_ml: null, midline_shift_mm: null };
  const drawn = { who: "Grey", at_utc: "2026-11-23T10:01:00Z", segments: [{ label: "a", volume_ml: 20 }, { label: "b", volume_ml: 3 }] };
  const prior = { code: "prior_none", values: {}, text: "none since 2026", what_to_do: "" };
  const remark = { code: "fetched_earlier", values: {}, text: "an earlier examination", what_to_do: "" };
  const suspected = examination({ ...SERIES, state: "suspected", report });
  const fetched = examination({ ...SERIES, series_uid: "PRIOR.1", state: "suspected", report });
  showWorklist([{ ...suspected, drawn, prior }, { ...fetched, fetched: true, remark }], true);
  rows()[0].querySelector("td:last-child button").click();

  const [row, card, grey] = rows();
  assert.match(row.textContent, /outlined by Grey: 23\.0 mL/);
  assert.equal(card.querySelector(".drawn").textContent, "Outlined by Grey: 23.0 mL");
  assert.equal(card.querySelector(".before").textContent, "None since 2026");
  assert.ok(grey.classList.contains("aside"));
  assert.match(grey.cells[0].textContent, /^– suspected$/);
  assert.match(grey.textContent, /An earlier examination/);
  row.querySelector("td:last-child button").click();
});
