import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";
import { setImmediate as turn } from "node:timers/promises";
import { load, ok, openPage } from "./page.js";

let firstToAnswer = "Ada";
const { document, requests } = await openPage({
  "/api/words": ok({ language: "en", words: {} }),
  "/api/session": ok({ user: null, role: "service", csrf: "", ends_in_s: null }),
  "/api/series/1.2/1/acknowledge": () => ok({ who: firstToAnswer, at_utc: "2026-11-23T10:00:00Z", note: "" }),
});
const { remindOf, showAlerts } = await load("alerts.js");

const FINDING = {
  subtype: "subdural", side: "left", region: "frontal", volume_ml: 27, volume_interval_ml: [22, 48], probability: 0.93,
  place: [0.9, 0.25, 0.8], key_slice: 12,
};
const REPORT = {
  revision: 1, state: "suspected", code: null, values: {}, text: null, what_to_do: null, score: 0.91, total_volume_ml: 27, midline_shift_mm: null,
  findings: [FINDING], caveats: [],
};
const SERIES = {
  series_uid: "1.2", test: false, state: "suspected", slices: 32, expected: 0, revision: 1, report: REPORT, alert: REPORT,
  description: "HEAD", patient: { patient_name: "DOE^JANE", patient_id: "P1", birth_date: "19480307", sex: "F", accession: "A7" },
  last_slice_utc: "2026-11-23T10:00:00Z", last_slice_age_s: 4, shown_utc: null, acknowledged: null, verdict: null,
  escalated_utc: null, escalation_problem: null, unread_files: [], thickness_mm: 5, place: "speaks", concluded_utc: "2026-11-23T10:00:05Z",
};
const OTHER = { ...SERIES, series_uid: "1.3", patient: { ...SERIES.patient, patient_name: "ROE^RICHARD" } };

// An examination of these series, of which those with an alert wait for an answer.
const examination = (series, ...beside) => {
  const all = [series, ...beside];
  return {
    examination_uid: series.series_uid, test: series.test, state: series.state, needs_nobody: false, second: null, remark: null,
    urgency: "prompt", waiting: all.filter(({ alert }) => alert).map(({ series_uid: uid }) => uid), last_slice_utc: series.last_slice_utc, series: all,
  };
};

const cards = () => [...document.querySelectorAll("#front .alert")];
const patients = () => cards().map((card) => card.querySelector(".patient").textContent);
const text = (selector) => cards()[0].querySelector(selector).textContent;

function submit(button) {
  const form = cards()[0].querySelector("form");
  const event = new window.Event("submit", { cancelable: true });
  Object.defineProperty(event, "submitter", { value: form.querySelector(`[value=${button}]`) });
  form.dispatchEvent(event);
}

beforeEach(() => {
  showAlerts([]);
  document.activeElement.blur();
  requests.length = 0;
  firstToAnswer = "Ada";
});

test("an alert says who, what, where and how much", () => {
  showAlerts([examination(SERIES)]);

  assert.equal(text(".patient"), "DOE, JANE");
  assert.equal(text(".whose"), "P1born 1948-03-07Faccession A7HEAD");
  assert.equal(text(".findings"), "Subdural, left frontal: 27.0 mL (90 %: 22.0–48.0)blood: likely (93 %)");
  assert.equal(text(".numbers"), "");
});

test("an alert without an outline says to look at every slice", () => {
  showAlerts([examination({ ...SERIES, alert: { ...REPORT, findings: [] } })]);

  assert.match(text(".findings"), /look at every slice/);
});

test("the most urgent alert is in front, as the server orders them, and none is hidden", () => {
  showAlerts([examination(SERIES)]);
  showAlerts([examination(OTHER), examination(SERIES)]);

  assert.deepEqual(patients(), ["ROE, RICHARD", "DOE, JANE"]);
  assert.deepEqual(cards().map((card) => card.classList.contains("behind")), [false, true]);
  const strips = [...document.querySelectorAll("#pinned .strip")];
  assert.deepEqual(strips.map((strip) => strip.querySelector(".whom").textContent), ["ROE, RICHARDP1born 1948-03-07", "DOE, JANEP1born 1948-03-07"]);
  assert.deepEqual(strips.map((strip) => strip.classList.contains("whole")), [true, false]);
});

test("a strip brings its alert to the front, where it stays", () => {
  window.HTMLElement.prototype.scrollIntoView = () => {};
  showAlerts([examination(OTHER), examination(SERIES)]);
  document.querySelectorAll("#pinned .strip")[1].click();
  showAlerts([examination(OTHER), examination(SERIES)]);

  assert.deepEqual(patients(), ["DOE, JANE", "ROE, RICHARD"]);
});

test("a head that was not analysed says why and what to do, and can only be acknowledged", () => {
  const refused = { ...REPORT, state: "not_analysed", code: "x", values: {}, text: "slices missing", what_to_do: "export it again", findings: [] };
  showAlerts([{ ...examination({ ...SERIES, state: "not_analysed", alert: null, report: refused }), urgency: "not_analysed" }], "call 4711");

  assert.equal(text("h2"), "? HEAD NOT ANALYSED");
  assert.equal(text(".findings"), "because slices missing");
  assert.equal(text(".next"), "→ export it again\n→ call 4711");
  assert.ok([...cards()[0].querySelectorAll(".dismissal")].every((node) => node.hidden));
});

test("a new alert does not push away one that somebody is answering", () => {
  showAlerts([examination(SERIES)]);
  cards()[0].querySelector("[name=note]").focus();
  showAlerts([examination(OTHER), examination(SERIES)]);

  assert.deepEqual(patients(), ["DOE, JANE", "ROE, RICHARD"]);
});

test("a small suspicion has a shape of its own", () => {
  showAlerts([{ ...examination(SERIES), urgency: "small" }]);

  assert.deepEqual([text("h2"), cards()[0].dataset.urgency], ["△ SMALL SUSPECTED HEMORRHAGE", "small"]);
});

test("an alert that is no longer waiting leaves the page", () => {
  showAlerts([examination(SERIES)]);
  showAlerts([]);

  assert.equal(cards().length, 0);
});

test("what was typed into an alert stays while others come and go", () => {
  showAlerts([examination(SERIES)]);
  cards()[0].querySelector("[name=note]").value = "told the ward";
  showAlerts([examination({ ...SERIES, last_slice_age_s: 9 })]);

  assert.equal(cards()[0].querySelector("[name=note]").value, "told the ward");
});

test("acknowledging posts who and a note", async () => {
  showAlerts([examination(SERIES)]);
  cards()[0].querySelector("[name=who]").value = "Ada";
  submit("acknowledge");
  await turn();
  await turn();

  const { url, body } = requests.find(({ method }) => method === "POST");
  assert.equal(url, "/api/series/1.2/1/acknowledge");
  assert.deepEqual(JSON.parse(body), { who: "Ada", note: "" });
  assert.equal(text(".failed"), "");
});

test("who comes second is told who was first", async () => {
  firstToAnswer = "Grace";
  showAlerts([examination(SERIES)]);
  cards()[0].querySelector("[name=who]").value = "Ada";
  submit("acknowledge");
  await turn();
  await turn();

  assert.match(text(".failed"), /^Grace was first/);
});

test("a dismissal needs its reason", async () => {
  showAlerts([examination(SERIES)]);
  cards()[0].querySelector("[name=who]").value = "Ada";
  submit("dismiss");
  await turn();
  assert.equal(requests.filter(({ method }) => method === "POST").length, 0);

  cards()[0].querySelector("[name=reason]").value = "calcification";
  submit("dismiss");
  await turn();
  await turn();

  const { body } = requests.find(({ method }) => method === "POST");
  assert.equal(JSON.parse(body).dismissed_because, "calcification");
});

test("a later result that suspects nothing is told on the alert's own card", () => {
  showAlerts([examination({ ...SERIES, revision: 2, state: "not_suspected", report: { ...REPORT, revision: 2, state: "not_suspected" } })]);

  assert.equal(text(".later"), "Result 2 says not suspected. Look at the images.");
});

test("a caveat stands with the findings that it limits", () => {
  const caveat = { code: "volume_uncertain", values: {}, text: "the volume is uncertain", what_to_do: "" };
  showAlerts([examination({ ...SERIES, alert: { ...REPORT, caveats: [caveat] } })]);

  assert.equal(text(".caveats"), "the volume is uncertain");
});

test("an alert moves when it sounds again", async () => {
  showAlerts([examination(SERIES)]);
  remindOf("1.2");
  await new Promise((resolve) => { window.requestAnimationFrame(resolve); });
  await new Promise((resolve) => { window.requestAnimationFrame(resolve); });

  assert.ok(cards()[0].classList.contains("again"));
});

const THIN = { ...SERIES, series_uid: "1.4", thickness_mm: 0.6, concluded_utc: "2026-11-23T10:01:40Z" };
const THICK = { ...SERIES, place: "beside" };
const remark = (words) => ({ code: "other", values: {}, text: words, what_to_do: "" });

test("thin slices that confirm change the card in place, and what was typed stays", () => {
  showAlerts([examination(SERIES)]);
  const [before] = cards();
  before.querySelector("[name=note]").value = "told the ward";
  const larger = { ...REPORT, findings: [{ ...FINDING, volume_ml: 29.8 }], score: 0.95 };
  const confirmed = { ...examination({ ...THIN, report: larger, alert: larger }, THICK), examination_uid: "1.2", second: "confirmed", remark: remark("thin slices confirm") };
  showAlerts([confirmed]);

  assert.deepEqual(cards(), [before]);
  assert.match(text(".findings"), /29\.8 mL/);
  assert.equal(text(".second"), "Thin slices confirm");
  assert.equal(before.querySelector("[name=note]").value, "told the ward");
  assert.deepEqual([...before.querySelectorAll(".history li")].map((item) => item.textContent.slice(0, 18)), ["▲ suspected 5 mm ·", "▲ suspected 0.6 mm"]);
});

test("an answer is given to what the card tells by then", async () => {
  showAlerts([examination(SERIES)]);
  showAlerts([{ ...examination(THIN, THICK), examination_uid: "1.2", second: "confirmed" }]);
  cards()[0].querySelector("[name=who]").value = "Ada";
  submit("acknowledge");
  await turn();

  assert.ok(requests.some(({ url }) => url === "/api/series/1.4/1/acknowledge"));
});

test("a suspicion that thin slices withdraw stays on its card, which says so", () => {
  const clear = { ...THIN, state: "not_suspected", alert: null, report: { ...REPORT, state: "not_suspected", findings: [] } };
  showAlerts([{ ...examination(clear, THICK), second: "withdrawn", remark: remark("thin slices withdraw") }]);

  assert.match(text("h2"), /SUSPICION WITHDRAWN/);
  assert.match(text(".findings"), /27\.0 mL/);
  assert.equal(text(".second"), "Thin slices withdraw");
  assert.equal(cards()[0].querySelectorAll(".history li").length, 2);
});
