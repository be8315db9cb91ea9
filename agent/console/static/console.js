// The page: what the agent is doing, what it found, and whether either can be relied on.

import { remindOf, showAlerts, tickAlerts } from "./alerts.js";
import { at, element, first } from "./dom.js";
import { isUnanalysed, isWaiting, isWithdrawn, speakerOf, stateOf } from "./examination.js";
import { chooseLanguage } from "./language.js";
import { listed, lookAgain, lookWith } from "./look.js";
import { notifyButton, notifyOf } from "./notify.js";
import { checkSession } from "./session.js";
import { remind, soundButton } from "./sound.js";
import { Stream } from "./stream.js";
import { capital, clock, number, plain, said, t, timeOfDay, tn, translatePage } from "./words.js";
import { confirmShown, showWorklist } from "./worklist.js";

/** @type {Snapshot} */
const NOTHING = {
  at_utc: "", examinations: [], notices: [], problem: null, agent: null, selftest: { problem: null }, today: null, low_disk_bytes: null, repeat_s: [30], call: "",
  n_more: 0,
};

/** @type {Snapshot | null} */
let latest = null;
let lost = false;

window.name = "bleedwatch-alerts"; // pages for reading lead back to this one, and open no second one
translatePage(document);
soundButton(at("sound"));
notifyButton(at("notify"));
chooseLanguage(at("language"));
lookWith(showList);
const stream = new Stream(() => "/api/events", hear, checkSession); // a session that is over ends its stream
stream.open();
navigator.serviceWorker?.register("/sw.js").catch(() => null); // only tells that Bleedwatch cannot be reached
setInterval(() => {
  if (stream.isLost && !lost) {
    lost = true;
    refresh();
  }
  tickAlerts();
  tickClock();
  sound();
}, 250);

/** @param {Snapshot} state */
function hear(state) {
  lost = false;
  latest = state;
  refresh();
  lookAgain();
}

function refresh() {
  try {
    show(latest ?? NOTHING);
  } catch (error) {
    banner("trouble", t("THIS PAGE HAS A FAULT"), t("What it shows may be old. Do not rely on it: call service."));
    throw error;
  }
}

/** Whether it waits with what is still suspected; a self-test's alert counts for nobody. @param {Examination} examination */
function isSuspected(examination) { return isWaiting(examination) && !isUnanalysed(examination) && !isWithdrawn(examination) && !examination.test; }

/** @param {Snapshot} state */
function show(state) {
  const waiting = state.examinations.filter(isWaiting);
  document.body.classList.toggle("lost", lost);
  showAlerts(waiting, state.call);
  showBanner(state, waiting);
  showHeader(state, waiting);
  showDay(state);
  showList();
  notifyOf(waiting.filter((one) => isSuspected(one) || isUnanalysed(one)));
  showNotices(state.notices);
  sound();
  if (!lost) requestAnimationFrame(() => requestAnimationFrame(() => state.examinations.filter(({ fetched }) => !fetched).flatMap(({ series }) => series).forEach(confirmShown)));
}

function showList() {
  showWorklist(listed(latest ?? NOTHING).examinations, latest !== null);
}

function sound() {
  const { examinations, problem, repeat_s: repeatS } = latest ?? NOTHING;
  /** @type {Map<string, "suspected" | "not_analysed" | "trouble">} */
  const waiting = new Map();
  for (const one of examinations) {
    if (isSuspected(one)) waiting.set(one.examination_uid, "suspected");
    else if (isUnanalysed(one)) waiting.set(one.examination_uid, "not_analysed");
  }
  if (lost || problem) waiting.set("trouble", "trouble");
  remind(waiting, repeatS, remindOf);
}

/** @param {Snapshot} state @param {Waiting[]} waiting */
function showHeader(state, waiting) {
  put("engine", state.agent ? engineWords(state.agent.engine) : "");
  put("degraded", state.agent?.degraded ? `▼ ${said(state.agent.degraded)}` : "");
  put("low-disk", state.low_disk_bytes === null ? ""
    : t("▼ disk low: {free} MiB free", { free: number(state.low_disk_bytes / 2 ** 20) }));
  put("selftest", state.selftest.problem ? `▼ ${said(state.selftest.problem)}` : "");
  const n = waiting.filter(isSuspected).length;
  put("waiting", n > 1 ? t("▲ {n} suspected", { n }) : "");
  document.title = titleOf(state, n, waiting.filter(isUnanalysed).length);
}

/** What a tab behind others says. @param {Snapshot} state @param {number} suspected @param {number} unanalysed */
function titleOf(state, suspected, unanalysed) {
  const trouble = troubleOf(state);
  if (trouble && suspected) return t("✖ ({n}) SUSPECTED – Bleedwatch", { n: suspected });
  if (trouble) return `✖ ${trouble.title} – Bleedwatch`;
  if (suspected) return t("({n}) SUSPECTED – Bleedwatch", { n: suspected });
  return unanalysed ? t("({n}) NOT ANALYSED – Bleedwatch", { n: unanalysed }) : "Bleedwatch";
}

/** @param {Snapshot} state @param {Waiting[]} waiting */
function showBanner(state, waiting) {
  const trouble = troubleOf(state);
  if (trouble) banner("trouble", trouble.title, trouble.text);
  else if (waiting.length) banner("none", "", "");
  else banner("calm", t("Watching"), t("No alert is waiting."));
  put("last", trouble ? "" : lastWords(state));
}

/** What keeps the page from being relied on, null where nothing does. @param {Snapshot} state */
function troubleOf(state) {
  if (lost && !latest) return { title: t("NOT CONNECTED"), text: t("This page has not heard from Bleedwatch. Do not rely on it.") };
  if (lost) return { title: t("CONNECTION LOST"), text: t("Since {time} this page has not heard from Bleedwatch. Do not rely on it.", { time: clock(state.at_utc) }) };
  return state.problem && agentTrouble(state.problem);
}

/** @param {Reason} problem */
function agentTrouble(problem) {
  const { code, values: { why } } = problem;
  const folder = code === "export_folder_unreachable";
  const what = folder && typeof why === "object" && "code" in why ? said(why) : capital(said(problem));
  return { title: folder ? t("EXPORT FOLDER UNREACHABLE") : t("AGENT NOT RUNNING"), text: t("{what}. No scan is being analysed: call service.", { what }) };
}

/** The last examination of a patient, its scanner and its answer. @param {Snapshot} state */
function lastWords({ examinations }) {
  const [last] = examinations.filter(({ test, needs_nobody: quiet }) => !test && !quiet)
    .sort((one, other) => other.last_slice_utc.localeCompare(one.last_slice_utc));
  if (!last) return "";
  const { scanner } = speakerOf(last);
  return [t("Last examination: {time}", { time: clock(last.last_slice_utc) }), plain(scanner), stateOf(last).label].filter(Boolean).join(" · ");
}

function tickClock() {
  put("clock", timeOfDay(new Date()));
}

/** @param {"trouble" | "calm" | "none"} kind @param {string} title @param {string} text */
function banner(kind, title, text) {
  const node = first(document, ".banner");
  node.className = `banner ${kind}`;
  node.hidden = kind === "none";
  const lines = [{ trouble: `✖ ${title}`, calm: `● ${title}`, none: "" }[kind], text];
  lines.forEach((line, n) => write(node.children[n], line));
}

/** @param {Engine} engine */
function engineWords({ bundle, version, backend, device }) {
  return plain(`${bundle} ${version}, ${backend}, ${device}`);
}

/** What is counted today, where one of it is told otherwise than several. @type {Record<string, (n: number) => string>} */
const COUNTED = {
  examinations: (n) => tn(n, "examination today", "examinations today"),
  suspected: (n) => tn(n, "alert", "alerts"),
};

/** @param {Snapshot} state */
function showDay(state) {
  at("day").hidden = !state.today;
  for (const [name, n] of Object.entries(state.today ?? {})) {
    const [term, figure] = first(document, `#day div:has([data-count=${name}])`).children;
    write(figure, number(n));
    if (COUNTED[name]) write(term, COUNTED[name](n));
  }
  const expected = state.agent?.alerts_per_100;
  put("expected", expected == null ? "" : t("Of 100 scans without a bleed, {low} to {high} are expected to alarm.", { low: number(expected[0]), high: number(expected[1]) }));
}

/** @param {Snapshot["notices"]} notices */
function showNotices(notices) {
  const lines = notices.map((notice) => `${clock(notice.at_utc)}  ${said(notice.reason)}`);
  const shown = [...at("notices").children].map((node) => node.textContent);
  if (lines.join("\n") !== shown.join("\n")) at("notices").replaceChildren(...lines.map((line) => element("p", line)));
}

/** @param {string} id @param {string} text */
function put(id, text) { write(at(id), text); }

/** Writes only what is new, so that it is read out once. @param {Element} node @param {string} text */
function write(node, text) {
  if (node.textContent !== text) node.textContent = text;
}
