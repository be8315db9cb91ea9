// The states in which a series can be, and how people answered: each a word and a shape, never a colour alone.

import { t } from "./words.js";

const SHAPES = { receiving: "…", analysing: "…", suspected: "▲", not_suspected: "✓", not_analysed: "?", dismissed: "✗", confirmed: "▲" };

/** @typedef {SeriesState | "dismissed" | "confirmed"} Standing a state, or what people made of it */

/** @param {Standing} state */
export function stateWord(state) {
  return {
    receiving: t("receiving"),
    analysing: t("analysing"),
    suspected: t("suspected"),
    not_suspected: t("not suspected"),
    not_analysed: t("not analysed"),
    dismissed: t("dismissed"),
    confirmed: t("confirmed"),
  }[state];
}

/** @param {Standing} state */
export function stateLabel(state) { return `${SHAPES[state]} ${stateWord(state)}`; }

/** Whether a report is a reason, why its series was not analysed. @param {Report} report @returns {report is Refused} */
export function isRefused(report) { return report.code !== null; }

/** @param {SeriesState} state */
export function isUnderWay(state) { return state === "receiving" || state === "analysing"; }
