// One examination as a radiologist reads it: its images, what each finding was read as, and the report.

import { isRead } from "./attention.js";
import { at, button, element, field, first } from "./dom.js";
import { beforeParts } from "./examination.js";
import { resultPath } from "./feedback.js";
import { showFindings } from "./findings.js";
import { headMap } from "./head_map.js";
import { showReport } from "./report.js";
import { askName, checkSession, post } from "./session.js";
import { isRefused, stateLabel } from "./states.js";
import { Stream } from "./stream.js";
import { viewerFor } from "./viewer.js";
import { asNeeded, born, capital, nameOf, number, plain, said, t, translatePage, whatToDo } from "./words.js";

const LOOK_MS = 1000;
const SAME_TILT_DEG = 1;
const ANSWERING = "#reading .answers .more:not(:empty)"; // an answer that is being given
const UID = decodeURIComponent(location.pathname.split("/").at(-1) ?? "");

/** @type {Viewer | null} */
let viewer = null;
let shown = ""; // which result
let heard = ""; // what was told of it last
let read = ""; // the readings that are shown

translatePage(document);
const reader = /** @type {HTMLFormElement} */ (at("reader"));
const languages = /** @type {HTMLSelectElement} */ (at("language"));
languages.value = document.documentElement.lang; // the page's
reader.addEventListener("submit", (event) => event.preventDefault());
askName(reader);
const stream = new Stream(() => pathOf(UID, "/events"), take, load);
languages.addEventListener("change", () => stream.open());
document.addEventListener("visibilitychange", watch);
setInterval(watch, LOOK_MS);
watch();

/** Listens while somebody reads: a browser has six connections to a host, for all of its tabs. */
function watch() {
  if (!isRead()) stream.close();
  else if (!stream.isOpen) stream.open();
  if (stream.isLost) at("problem").textContent = t("The examination cannot be fetched. Trying again …");
}

/** @param {string} uid @param {string} below */
function pathOf(uid, below = "") { return `/api/exam/${encodeURIComponent(uid)}${below}?language=${languages.value}`; }

/** Asks without the stream: after an answer of one's own, and for why there is no stream. */
async function load() {
  const answer = await fetch(pathOf(UID)).catch(() => null);
  if (answer?.status === 401) await checkSession();
  if (answer?.ok) take(await answer.json());
  else at("problem").textContent = answer?.status === 404 ? t("No such examination is kept here.") : t("The examination cannot be fetched. Trying again …");
}

/** Shows what has changed, but nothing under the eyes of who reads or the hands of who answers. @param {ExaminationRead} exam */
function take(exam) {
  at("problem").textContent = "";
  const told = JSON.stringify(exam);
  if (told === heard) return;
  heard = told;
  if (!shown || resultOf(exam) === shown) show(exam);
  else if (!at("newer").childElementCount) {
    at("newer").replaceChildren(t("A newer result has come."), " ", button(t("Show it"), "small", () => location.reload()));
  }
}

/** @param {ExaminationRead} exam */
function resultOf({ examination: { series: [{ series_uid: uid, report }] } }) { return `${uid} ${report?.revision ?? 0}`; }

/** @param {ExaminationRead} exam */
function show(exam) {
  const speaker = exam.examination.series[0];
  if (!shown) showImages(exam.examination, exam.before);
  shown = resultOf(exam);
  at("exam").hidden = false;
  document.title = [nameOf(speaker), "Bleedwatch"].join(" – ");
  showWhose(exam.examination, speaker, exam.before);
  const path = resultPath(speaker.series_uid, speaker.report?.revision ?? 0);
  /** @param {string} action @param {object} values */
  const tell = async (action, values) => {
    const who = field(reader, "who").value.trim();
    const answer = await post(`${path}/${action}`, who ? { who, ...values } : values).catch(() => null);
    if (answer?.ok) {
      for (const open of document.querySelectorAll(ANSWERING)) open.replaceChildren();
      heard = ""; // it may have come while the answer was still open
      await load();
    }
    return answer;
  };
  const made = JSON.stringify([exam.standing, exam.drawings, exam.may_not_read]);
  if (made !== read && !document.querySelector(ANSWERING)) {
    read = made;
    showFindings(exam, viewer, tell);
  }
  showReport(exam, tell);
}

/** @param {Examination} examination @param {Before | null} before */
function showImages({ series: [speaker, ...others] }, before) {
  if (!isAnalysed(speaker)) {
    at("images").replaceChildren(element("p", t("No slices are kept here: look at them in the archive."), "says"));
    return;
  }
  viewer = viewerFor(resultPath(speaker.series_uid, speaker.report.revision), speaker.report);
  const parallel = others.filter(isAnalysed).filter((one) => isParallel(one, speaker));
  at("images").replaceChildren(viewer, ...parallel.map((one) => besideButton(one, speaker)), ...(before ? [beforeButton(before, speaker)] : []));
  viewer.open();
}

/** @typedef {Series & { report: Report }} Analysed */

/** @param {Series} series @returns {series is Analysed} */
function isAnalysed(series) { return series.report !== null && series.report.state !== "not_analysed"; }

/** Whether the same height means the same place in both, but for a slice's thickness. @param {Analysed} one @param {Analysed} other */
function isParallel(one, other) {
  const [tilt, otherTilt] = [one, other].map(({ report: { geometry } }) => geometry?.tilt_deg ?? 0);
  return Math.abs(tilt - otherTilt) < SAME_TILT_DEG;
}

/** Shows another series of the scan beside the first, scrolled with it by position. @param {Analysed} series @param {Analysed} speaker */
function besideButton(series, speaker) {
  const name = seriesName(series);
  return button(t("Beside it: {series}", { series: name }), "beside", async () => {
    const beside = putBeside(series, name, speaker);
    await beside.open();
    scrollTogether(beside, 0);
  });
}

/** Shows the same patient's previous examination beside this one. @param {Before} before @param {Analysed} speaker */
function beforeButton({ examination_uid: uid, change }, speaker) {
  return button(t("Previous examination beside it"), "beside", async () => {
    const former = /** @type {ExaminationRead | null} */ (await answered(pathOf(uid)))?.examination.series[0];
    if (!viewer || !former || !isAnalysed(former)) return;
    const over = `${resultPath(speaker.series_uid, speaker.report.revision)}/before`;
    /** @type {LaidOver | null} */
    const laid = await answered(over);
    const name = [t("Before"), said(change), seriesName(former)].join(" · ");
    const beside = putBeside(former, name, speaker, laid?.registered ? over : undefined);
    await beside.open();
    const higherMm = laid?.registered ? 0 : higherBy(beside, isParallel(former, speaker));
    at("images").append(element("p", alignedWords(laid, higherMm !== null), "aligned"));
    if (higherMm !== null) scrollTogether(beside, higherMm);
  });
}

/** What a path answers, null where it answers nothing. @param {string} path */
async function answered(path) {
  const answer = await fetch(path).catch(() => null);
  return answer?.ok ? answer.json() : null;
}

/** How much higher the same place lies in the first, by the vertex; null where that is not known. @param {Viewer} beside @param {boolean} parallel */
function higherBy(beside, parallel) {
  const [now, then] = [viewer?.vertexMm ?? null, beside.vertexMm];
  return parallel && now !== null && then !== null ? now - then : null;
}

/** @param {LaidOver | null} laid @param {boolean} isAligned */
function alignedWords(laid, isAligned) {
  const why = laid ? [capital(said(laid.said)), whatToDo(laid.said)].filter(Boolean).join(" → ") : "";
  if (laid?.registered) return why;
  return [why, isAligned ? t("Aligned by the height below the vertex.")
    : t("Not aligned: tilted otherwise, or kept without the vertex's height. Scroll each by itself.")].filter(Boolean).join(". ");
}

/** @param {Analysed} series @param {string} name @param {Analysed} speaker @param {string} path of its slices */
function putBeside(series, name, speaker, path = resultPath(series.series_uid, series.report.revision)) {
  const beside = viewerFor(path, series.report);
  at("exam").classList.add("paired");
  for (const one of document.querySelectorAll("#images .beside")) one.remove();
  at("images").prepend(element("h2", [nameOf(speaker), seriesName(speaker)].join(" · ")));
  at("images").append(element("h2", name), beside);
  return beside;
}

/** Has both scroll together, from where the first is. @param {Viewer} beside @param {number} higherMm the same place in the first */
function scrollTogether(beside, higherMm) {
  const shownFirst = viewer;
  if (!shownFirst) return;
  const follow = () => beside.follow(shownFirst.heightMm - higherMm);
  follow();
  shownFirst.addEventListener("moved", follow);
  beside.addEventListener("moved", () => shownFirst.follow(beside.heightMm + higherMm));
}

/** @param {Series} series */
function seriesName({ thickness_mm: mm, description }) {
  return [mm === null ? "" : `${asNeeded(mm)} mm`, plain(description)].filter(Boolean).join(" · ");
}

/** @param {Examination} examination @param {Series} speaker @param {Before | null} before */
function showWhose(examination, speaker, before) {
  const section = at("reading");
  const { patient, report } = speaker;
  first(section, ".patient").textContent = nameOf(speaker);
  first(section, ".whose").textContent = [patient.patient_id, born(patient.birth_date), patient.sex,
    patient.accession && t("accession {number}", { number: patient.accession })].map(plain).filter(Boolean).join(" · ");
  first(section, ".answer").textContent = [stateLabel(examination.state), ...(report ? answerWords(report) : [])].join(" · ");
  first(section, ".answer").classList.add(examination.state);
  first(section, ".caveats").replaceChildren(...(report?.caveats ?? []).map((one) => element("li", said(one))));
  first(section, ".series").textContent = [seriesName(speaker),
    t("series {n} of {n_series}", { n: 1, n_series: examination.series.length })].filter(Boolean).join(" · ");
  showBefore(first(section, ".before"), before, examination.fetched ? examination.remark : examination.prior);
  if (report) first(section, ".head-map").replaceWith(headMap(report.findings));
}

/** The previous examination beside this one, and the way to it; else why there is none. @param {HTMLElement} node @param {Before | null} before @param {Reason | null} otherwise */
function showBefore(node, before, otherwise) {
  node.replaceChildren();
  if (!before) {
    node.textContent = otherwise ? capital(said(otherwise)) : "";
    return;
  }
  const link = element("a", t("Previous examination"));
  link.href = `/exam/${encodeURIComponent(before.examination_uid)}`;
  node.append(link, ` · ${beforeParts(before).join(" · ")}`);
}

/** @param {Report} report */
function answerWords(report) {
  const { score, total_volume_ml: ml, midline_shift_mm: shiftMm } = report;
  if (isRefused(report)) return [t("because {reason}", { reason: said(report) })];
  return [
    score === null ? "" : t("score {score}", { score: number(score, 2) }),
    report.findings.length > 1 && ml !== null ? t("{volume} mL in all", { volume: number(ml, 1) }) : "",
    shiftMm === null ? "" : t("midline shift {shift} mm", { shift: number(shiftMm) }),
  ].filter(Boolean);
}
